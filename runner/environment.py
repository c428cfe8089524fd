"""What a run computes on: set up before the first import of Keras, recorded afterwards."""

import contextlib
import functools
import importlib.metadata
import logging
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner import __version__
from runner.errors import InputError
from runner.settings import Run

NOTICES = ("I0000", "WARNING: All log messages before absl", "To enable the following instructions")
COMPUTE = ("keras", "keras-tuner")  # beside the backend: a search does not go on with another version of these
RECORDED = (*COMPUTE, "numpy", "scipy", "scikit-learn", "hydra-core", "omegaconf", "tinydb")
UNKNOWN_FILE = 100_000  # bytes
_prepared: dict[str, tuple[int, bool]] = {}  # threads and determinism that this process was set up with


def prepare(run: Run) -> None:
    """Sets backend, threads and determinism. Must come before anything imports Keras in this process."""
    os.environ["KERAS_BACKEND"] = run.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its start-up notices would bury ours
    for noisy in ("tensorflow", "matplotlib", "absl"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # notices about retracing and fonts
    with _without_notices():
        import tensorflow as tf

        tf.config.list_physical_devices()
    wanted = (run.threads, run.deterministic)
    if _prepared.setdefault("tensorflow", wanted) != wanted:
        raise InputError("threads and deterministic cannot change within one process: start a run for each value")
    if tf.config.threading.get_intra_op_parallelism_threads() != run.threads:
        tf.config.threading.set_intra_op_parallelism_threads(run.threads)
    if run.deterministic:
        tf.config.experimental.enable_op_determinism()
    import keras

    keras.utils.disable_interactive_logging()  # progress is ours, and goes to stderr


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Drops TensorFlow's start-up notices, which its C++ writes to stderr before any log level holds; passes on
    the rest when the import has ended, or failed."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                no_driver = "failed call to cuInit" in line and not Path("/dev/nvidiactl").exists()
                if not (line.startswith(NOTICES) or no_driver):
                    sys.stderr.write(f"{line}\n")


def versions(run: Run, names: tuple[str, ...] = COMPUTE) -> dict[str, str]:
    """Installed versions of packages, and of the backend."""
    found = {}
    for name in (*names, run.backend):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


@functools.cache
def _git(*arguments: str, ends: tuple[int, ...] = (0,)) -> str | None:
    """What git says, or None where it does not end as it should."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, encoding="utf-8", errors="surrogateescape")
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode in ends else None


@functools.cache
def uncommitted(root: Path) -> str | None:
    """What the working tree adds to its commit, as `git apply` takes it: as it is when this process asks first. Files
    that git does not know yet are in it up to UNKNOWN_FILE bytes each, but none below `root`; None without a change or
    a repository."""
    top = (_git("rev-parse", "--show-toplevel") or "").rstrip("\n")
    if not top:
        return None
    listed = (_git("-C", top, "ls-files", "--others", "--exclude-standard", "-z") or "").split("\0")
    new = [Path(top, name) for name in listed if name]
    new = [path for path in new if path.is_file() and not path.is_symlink() and root not in path.parents]
    new = [path for path in new if path.stat().st_size <= UNKNOWN_FILE]
    parts = [_git("-C", top, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-color") or ""]
    for path in new:
        arguments = ("diff", "--no-index", "--binary", "--no-color", "/dev/null", str(path.relative_to(top)))
        parts.append(_git("-C", top, *arguments, ends=(0, 1)) or "")
    return "".join(parts) or None


def describe(run: Run) -> dict[str, Any]:
    """The environment as an entry records it."""
    import tensorflow as tf  # by now loaded

    accelerators = [device.name for device in tf.config.list_physical_devices() if device.device_type != "CPU"]
    status = _git("status", "--porcelain")
    commit = (_git("rev-parse", "HEAD") or "").strip() or None
    return {
        "python": platform.python_version(),
        "packages": {**versions(run, RECORDED), "runner": __version__},
        "git": {"commit": commit, "dirty": None if status is None else bool(status)},
        "host": platform.node(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "accelerator": ", ".join(accelerators) or None,
        "threads": run.threads,
        "backend": run.backend,
    }


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
