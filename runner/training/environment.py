"""What a run computes on: set up before the first import of Keras, recorded afterwards."""

import contextlib
import functools
import importlib.metadata
import logging
import os
import platform
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from runner import __version__
from runner.config.schema import Run
from runner.errors import InputError

# and the backend's packages: a search does not go on with another version of these
COMPUTE = ("keras", "keras-tuner")
PACKAGES = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib"), "torch": ("torch",)}
RECORDED = (*COMPUTE, "numpy", "scipy", "scikit-learn", "hydra-core", "omegaconf", "tinydb")
# backend, threads and determinism that this process was set up with
_prepared: set[tuple[str, int, bool]] = set()


def prepare(run: Run) -> None:
    """Set backend, threads and determinism. Must come before anything imports Keras in this
    process.
    """
    wanted = (run.backend, run.threads, run.deterministic)
    if _prepared and wanted not in _prepared:
        raise InputError("one process has one backend, threads and deterministic: start a run each")
    _prepared.add(wanted)
    os.environ["KERAS_BACKEND"] = run.backend
    hushed = contextlib.nullcontext() if "TF_CPP_MIN_LOG_LEVEL" in os.environ else _hushed()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for noisy in ("tensorflow", "jax", "matplotlib", "absl"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # notices about retracing and fonts
    # not every column can name an input
    warnings.filterwarnings("ignore", message="When providing `inputs` as a dict")
    with hushed:
        import tensorflow as tf  # under every backend: Keras seeds it too

        match run.backend:
            case "tensorflow":
                tf.config.list_physical_devices()  # its notices come now
                tf.config.threading.set_intra_op_parallelism_threads(run.threads)
                if run.deterministic:
                    tf.config.experimental.enable_op_determinism()
            case "jax":
                # XLA reads these when its client starts. PJRT_NPROC sizes its pools of threads on a
                # CPU; the flags that are said to, `intra_op_parallelism_threads` and
                # `--xla_cpu_multi_thread_eigen`, change nothing (seen with jax 0.10).
                os.environ["PJRT_NPROC"] = str(run.threads)
                if run.deterministic:
                    flags = os.environ.get("XLA_FLAGS", "")
                    os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true"
            case "torch":
                import torch

                torch.set_num_threads(run.threads)
                if run.deterministic:
                    # without it, CUDA's matrix products refuse
                    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
                    torch.use_deterministic_algorithms(True)
    import keras

    keras.utils.disable_interactive_logging()  # progress is ours, and goes to stderr


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Drop TensorFlow's start-up notices, which would bury ours: its C++ writes them to stderr
    before any log level holds. An import that fails says so by its exception.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def versions(run: Run, names: tuple[str, ...] = COMPUTE) -> dict[str, str]:
    """Return the installed versions of packages, and of the backend."""
    found = dict.fromkeys((*names, *PACKAGES[run.backend]), "not installed as a package")
    for name in found:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@functools.cache
def _git(*arguments: str) -> str | None:
    """Return what git says, as it is when this process asks first; None where it fails."""
    try:
        return subprocess.run(
            ["git", *arguments],
            capture_output=True,
            check=True,
            timeout=30,
            encoding="utf-8",
            errors="surrogateescape",
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def uncommitted() -> str | None:
    """Return how tracked files of the working tree differ from the commit, as `git apply` takes it;
    None without a difference or a repository.
    """
    return _git("diff", "--binary", "--no-color", "--no-ext-diff", "HEAD") or None


def describe(run: Run) -> dict[str, object]:
    """Return the environment as an entry records it."""
    status, commit = _git("status", "--porcelain"), (_git("rev-parse", "HEAD") or "").strip()
    devices = _devices(run)
    return {
        "python": platform.python_version(),
        "packages": {**versions(run, RECORDED), "runner": __version__},
        "git": {"commit": commit or None, "dirty": None if status is None else bool(status)},
        "host": platform.node(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "accelerator": None if devices.startswith("cpu") else devices,
        "threads": run.threads,
        "backend": run.backend,
    }


def _devices(run: Run) -> str:
    """Return the devices that compute: those of the best kind that there is."""
    if run.backend == "torch":  # for which Keras lists none
        import torch

        return str(torch.accelerator.current_accelerator() or "cpu")
    import keras

    return ", ".join(keras.distribution.list_devices())


def _processor() -> str:
    with contextlib.suppress(OSError):  # it is Linux's own
        named = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text("utf-8"))
        if named:
            return named[1]
    return platform.processor() or platform.machine()
