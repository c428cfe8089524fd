"""Identities: hashes over all that decides a result, and seeds derived from names."""

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner import __version__
from runner.config.check import plain_config
from runner.config.schema import HyperbandTuner, Pipeline, Run

NOT_OF_A_SEARCH = (
    *(
        "max_trials",
        "hyperband_iterations",
        "max_consecutive_failed_trials",
    ),  # budgets: raising one continues it
    *("directory", "project_name"),
)


def digest(content: Any) -> str:
    """SHA-256 of plain data. The order of keys counts: it is the order of layers, and that in which
    hyperparameters are drawn."""
    return hashlib.sha256(
        json.dumps(content, separators=(",", ":")).encode()
    ).hexdigest()  # unlike JSON proper, it tells inf from null


def source_hash(path: str, target: Any) -> str | None:
    """What identifies the code at a dotted path: our version for ours; for the user's, SHA-256 of
    the file of the module that the path names and of the file that defines the target behind its
    decorators; None for a package's, whose version the environment records.
    """
    modules = [path.rpartition(".")[0], getattr(inspect.unwrap(target), "__module__", None)]
    packages = {str(module).split(".")[0] for module in modules if module}
    if packages <= {"runner"}:
        return f"runner {__version__}"
    if packages <= {"keras", "sklearn", "keras_tuner"}:
        return None
    files = {getattr(sys.modules.get(str(module)), "__file__", None) for module in modules}
    contents = [
        Path(file).read_bytes() for file in sorted(f for f in files if f) if Path(file).is_file()
    ]
    return hashlib.sha256(b"".join(contents)).hexdigest() if contents else None


def search_parts(
    run: Run,
    pipeline: Pipeline,
    data: Mapping[str, Any],
    sources: Mapping[str, str | None],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """All that decides a search's trials, part by part; budgets, paths and verbosity are not among
    it.

    Args:
        run, pipeline: the settings.
        data: source and fingerprint of the loaded data.
        sources: hashes of the user's source files.
        versions: of the packages that compute.
    """
    tuner = plain_config(pipeline.tuner)
    for budget_or_path in NOT_OF_A_SEARCH:
        tuner.pop(budget_or_path, None)
    fit = plain_config(pipeline.fit)
    if isinstance(pipeline.tuner, HyperbandTuner):
        fit.pop("epochs")  # Hyperband sets them
    return {
        "task": pipeline.task.kind,
        "data": dict(data),
        "model": plain_config(pipeline.model),
        "tuner": tuner,
        "objective": {"name": pipeline.objective.name, "direction": pipeline.objective.sense},
        "fit": fit,
        "callbacks": plain_config(pipeline.callbacks),
        "sources": dict(sources),
        "seed": run.seed,
        "threads": run.threads,
        "deterministic": run.deterministic,
        "backend": run.backend,
        "versions": dict(versions),
    }
