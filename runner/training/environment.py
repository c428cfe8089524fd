"""What a run computes on: set up before the first import of Keras, recorded afterwards."""

import contextlib
import functools
import importlib.metadata
import itertools
import logging
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from foundation import files
from runner import __version__, errors
from runner.config.schema import Run

# and the backend's packages: a search does not go on with another version of these
COMPUTE = ("keras", "keras-tuner")
PACKAGES = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib"), "torch": ("torch",)}
RECORDED = (*COMPUTE, "numpy", "scipy", "scikit-learn", "hydra-core", "omegaconf", "tinydb")
HASHED, LISTED = 2**20, 1000  # bytes of an untracked file, and so many of them
# whatever the user's settings of git are
DIFF = (
    "-c",
    "diff.relative=false",
    "diff",
    "--binary",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--submodule=short",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "-U3",
    "HEAD",
)
# what this process is for: see claim
_claimed: set[tuple[object, ...]] = set()


def claim(run: Run) -> None:
    """Take this process for one backend, and for its threads and determinism where trials run in
    it.

    Raises:
        InputError: it was taken for others.
    """
    wanted: tuple[object, ...] = (run.backend,)
    if run.executor.kind == "inline":
        wanted = (run.backend, run.threads, run.deterministic)
    if _claimed and wanted not in _claimed:
        raise errors.InputError(
            "one process has one backend and, with executor=inline, one value of threads and of "
            "deterministic: start a separate run for each"
        )
    _claimed.add(wanted)


def import_keras() -> None:
    """Import Keras on the backend that the environment names. Nothing is computed."""
    for noisy in ("tensorflow", "jax", "matplotlib", "absl"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # notices about retracing and fonts
    # not every column can name an input; shuffle=True, the default, is not for streams
    warnings.filterwarnings("ignore", message="When providing `inputs` as|`shuffle=True` was")
    with contextlib.nullcontext() if "TF_CPP_MIN_LOG_LEVEL" in os.environ else _hushed():
        # what fails is raised; it also logs errors where nothing has failed
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow  # noqa: F401 - under every backend: Keras seeds it too
    import keras

    keras.utils.disable_interactive_logging()  # progress is ours, and goes to stderr


def prepare(run: Run) -> None:
    """Set backend, threads and determinism of this process, in which nothing has been computed."""
    os.environ["KERAS_BACKEND"] = run.backend
    sys.dont_write_bytecode |= run.mode == "check"  # of the user's own modules
    import_keras()
    match run.backend:
        case "tensorflow":
            _prepare_tensorflow(run)
        case "jax":
            _prepare_jax(run)
        case "torch":
            _prepare_torch(run)


def _prepare_tensorflow(run: Run) -> None:
    import tensorflow as tf

    with _hushed():
        tf.config.list_physical_devices()  # its notices come now
    tf.config.threading.set_intra_op_parallelism_threads(run.threads)
    if run.deterministic:
        tf.config.experimental.enable_op_determinism()


def _prepare_jax(run: Run) -> None:
    # XLA reads these when its client starts. PJRT_NPROC sizes its pools of threads on a
    # CPU; the flags that are said to, `intra_op_parallelism_threads` and
    # `--xla_cpu_multi_thread_eigen`, change nothing (seen with jax 0.10).
    os.environ["PJRT_NPROC"] = str(run.threads)
    import jax

    if run.mode == "run" and not jax.config.jax_compilation_cache_dir:
        _cache_compilations(run)
    if run.deterministic:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true"


def _cache_compilations(run: Run) -> None:
    """Keep what XLA compiles for the processes to come, apart for each number of threads, which
    JAX leaves out of its keys. An entry that a kill has cut is no more than a program to compile,
    each time.
    """
    import jax

    folder = Path(run.paths.root).resolve() / ".cache" / "jax" / str(run.threads)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    warnings.filterwarnings("ignore", message="Error .* persistent compilation cac")


def _prepare_torch(run: Run) -> None:
    import torch

    torch.set_num_threads(run.threads)
    if run.deterministic:
        # without it, CUDA's matrix products refuse
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def graphics() -> list[str]:
    """Return NVIDIA's graphics processors that this process may use, by number or name."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        present = Path("/proc/driver/nvidia/gpus").glob("*")
        return [str(number) for number, _ in enumerate(present)]
    return list(itertools.takewhile(lambda name: name not in ("", "-1"), visible.split(",")))


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Drop TensorFlow's start-up notices, which would bury ours: its C++ writes them to stderr
    before any log level holds. An import that fails says so by its exception.
    """
    stderr = os.dup(2)
    with Path(os.devnull).open("wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def versions(backend: str, names: tuple[str, ...] = COMPUTE) -> dict[str, str]:
    """Return the installed versions of packages, and of the backend."""
    installed = {}
    for name in names + PACKAGES[backend]:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = "not installed as a package"
    return installed


@functools.cache
def git(*arguments: str) -> str | None:
    """Return what git says, as it is when this process asks first, or a run with workers, which
    import the code anew, begins; None where it fails.
    """
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


def uncommitted(root: Path) -> str | None:
    """Return what the working tree adds to the commit, as `git apply` takes it: how tracked files
    differ and, in lines before that, untracked ones outside `root` by name, size and hash: one may
    be a secret. None where there is nothing, or no repository.
    """
    lines = []
    untracked = git("ls-files", "-z", "--others", "--exclude-standard", ":/") or ""
    for path in map(Path, untracked.split("\0")[:LISTED]):
        if path.is_file() and not path.is_symlink() and root not in path.resolve().parents:
            with contextlib.suppress(OSError):  # gone by now, or not ours to read
                size = path.stat().st_size
                line = f"untracked: {str(path)!r}, {size} bytes"
                if size <= HASHED:
                    line += f", SHA-256 {files.sha256(path)}"
                lines.append(f"{line}\n")
    lines.append(git(*DIFF) or "")
    return "".join(lines) or None


def describe(run: Run, devices: str) -> dict[str, object]:
    """Return the environment as an entry records it, with the devices that compute."""
    commit = (git("rev-parse", "HEAD") or "").strip()
    status = git("status", "--porcelain")
    linux = files.found_in(Path("/proc/cpuinfo"), r"model name\s*: (.+)")
    return {
        "python": platform.python_version(),
        "packages": versions(run.backend, RECORDED) | {"runner": __version__},
        "git": {"commit": commit or None, "dirty": None if status is None else bool(status)},
        "host": platform.node(),
        "platform": platform.platform(),
        "processor": linux or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "accelerator": None if devices.startswith("cpu") else devices,
        "threads": run.threads,
        "backend": run.backend,
    }


def devices(run: Run) -> str:
    """Return the devices that compute here: those of the best kind that there is."""
    if run.backend == "torch":  # for which Keras lists none
        import torch

        return str(torch.accelerator.current_accelerator() or "cpu")
    import keras

    return ", ".join(keras.distribution.list_devices())
