"""What a run computes on: set up before the first import of Keras, recorded afterwards."""

import contextlib
import functools
import importlib
import importlib.metadata
import logging
import os
import platform
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import __version__
from runner.config.schema import Run
from runner.errors import InputError

NOTICES = ("I0000", "WARNING: All log messages before absl", "To enable the following instructions")
COMPUTE = (
    "keras",
    "keras-tuner",
)  # and the backend's packages: a search does not go on with another version of these
RECORDED = (*COMPUTE, "numpy", "scipy", "scikit-learn", "hydra-core", "omegaconf", "tinydb")
UNKNOWN_FILE = 100_000  # bytes
_prepared: set[tuple[str, int, bool]] = (
    set()
)  # backend, threads and determinism that this process was set up with


@dataclass(frozen=True)
class Backend:
    """What differs between the backends of Keras."""

    packages: tuple[str, ...]  # that compute
    prepare: Callable[[Run], None]  # sets threads and determinism
    accelerators: Callable[[], list[str]]


def _tensorflow(run: Run) -> None:
    import tensorflow as tf

    tf.config.list_physical_devices()  # its notices come now
    tf.config.threading.set_intra_op_parallelism_threads(run.threads)
    if run.deterministic:
        tf.config.experimental.enable_op_determinism()


def _tensorflow_devices() -> list[str]:
    import tensorflow as tf

    return [
        str(device.name)
        for device in tf.config.list_physical_devices()
        if device.device_type != "CPU"
    ]


def _jax(run: Run) -> None:
    """XLA reads these when its client starts. PJRT_NPROC sizes its pools of threads on a CPU; the
    flags that are said to, `intra_op_parallelism_threads` and `--xla_cpu_multi_thread_eigen`,
    change nothing (seen with jax 0.10).
    """
    os.environ["PJRT_NPROC"] = str(run.threads)
    if run.deterministic:
        os.environ["XLA_FLAGS"] = (
            f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
        )


def _jax_devices() -> list[str]:
    import jax

    return [str(device) for device in jax.devices() if device.platform != "cpu"]


def _torch(run: Run) -> None:
    import torch

    torch.set_num_threads(run.threads)
    if run.deterministic:
        os.environ.setdefault(
            "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
        )  # without it, CUDA's matrix products refuse
        torch.use_deterministic_algorithms(True)


def _torch_devices() -> list[str]:
    import torch

    return [
        f"{torch.accelerator.current_accelerator()}:{index}"
        for index in range(torch.accelerator.device_count())
    ]


BACKENDS = {
    "tensorflow": Backend(("tensorflow",), _tensorflow, _tensorflow_devices),
    "jax": Backend(("jax", "jaxlib"), _jax, _jax_devices),
    "torch": Backend(("torch",), _torch, _torch_devices),
}


def prepare(run: Run) -> None:
    """Sets backend, threads and determinism. Must come before anything imports Keras in this
    process.
    """
    wanted = (run.backend, run.threads, run.deterministic)
    if _prepared and wanted not in _prepared:
        what = "backend, threads and deterministic cannot change within one process: start a run for each value"
        raise InputError(what)
    _prepared.add(wanted)
    os.environ["KERAS_BACKEND"] = run.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its start-up notices would bury ours
    for noisy in ("tensorflow", "jax", "matplotlib", "absl"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # notices about retracing and fonts
    warnings.filterwarnings(
        "ignore", message="When providing `inputs` as a dict"
    )  # not every column can name one
    with _without_notices():
        importlib.import_module("tensorflow")  # under every backend: Keras seeds it too
        BACKENDS[run.backend].prepare(run)
    import keras

    keras.utils.disable_interactive_logging()  # progress is ours, and goes to stderr


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Drops TensorFlow's start-up notices, which its C++ writes to stderr before any log level
    holds; passes on the rest when the import has ended, or failed.
    """
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
    for name in (*names, *BACKENDS[run.backend].packages):
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
        done = subprocess.run(
            command, capture_output=True, timeout=30, encoding="utf-8", errors="surrogateescape"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode in ends else None


@functools.cache
def uncommitted(root: Path) -> str | None:
    """What the working tree adds to its commit, as `git apply` takes it: as it is when this process
    asks first. Files that git does not know yet are in it up to UNKNOWN_FILE bytes each, but none
    below `root`; None without a change or a repository.
    """
    top = (_git("rev-parse", "--show-toplevel") or "").rstrip("\n")
    if not top:
        return None
    listed = (_git("-C", top, "ls-files", "--others", "--exclude-standard", "-z") or "").split("\0")
    new = [Path(top, name) for name in listed if name]
    new = [
        path
        for path in new
        if path.is_file() and not path.is_symlink() and root not in path.parents
    ]
    new = [path for path in new if path.stat().st_size <= UNKNOWN_FILE]
    parts = [_git("-C", top, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-color") or ""]
    for path in new:
        arguments = (
            "diff",
            "--no-index",
            "--binary",
            "--no-color",
            "/dev/null",
            str(path.relative_to(top)),
        )
        parts.append(_git("-C", top, *arguments, ends=(0, 1)) or "")
    return "".join(parts) or None


def describe(run: Run) -> dict[str, Any]:
    """The environment as an entry records it."""
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
        "accelerator": ", ".join(BACKENDS[run.backend].accelerators()) or None,
        "threads": run.threads,
        "backend": run.backend,
    }


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(
                line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
            )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
