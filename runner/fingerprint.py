"""Identities: hashes over all that decides a result, and seeds derived from names."""

import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from history.files import to_json
from runner.check import plain
from runner.settings import Pipeline, Run


def digest(content: Any) -> str:
    """SHA-256 of plain data, independent of the order of its keys."""
    return hashlib.sha256(to_json(_sorted(content))).hexdigest()


def derive_seed(*names: object) -> int:
    """A seed that depends on these names alone, in 1 … 2^31 - 1 (Keras Tuner reads 0 as "any")."""
    text = "/".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) % (2**31 - 1) + 1


def source_hash(target: Any) -> str | None:
    """SHA-256 of the file that defines a user's function or class; None for ours, which the version names."""
    module = inspect.getmodule(target)
    if module is None or module.__name__.split(".")[0] in ("runner", "keras", "sklearn"):
        return None
    try:
        return hashlib.sha256(Path(inspect.getfile(target)).read_bytes()).hexdigest()
    except (OSError, TypeError):
        return None


def search_parts(
    run: Run, pipeline: Pipeline, data: str, sources: Mapping[str, str | None], versions: Mapping[str, str]
) -> dict[str, Any]:
    """All that decides a search's trials, part by part; budgets, paths and verbosity are not among it.

    Args:
        run, pipeline: the settings.
        data: fingerprint of the loaded data.
        sources: hashes of the user's source files.
        versions: of the packages that compute.
    """
    tuner = plain(pipeline.tuner)
    for budget_or_path in ("max_trials", "max_consecutive_failed_trials", "directory", "project_name"):
        tuner.pop(budget_or_path, None)
    return {
        "task": pipeline.task.kind,
        "data": data,
        "model": plain(pipeline.model),
        "tuner": tuner,
        "objective": {"name": pipeline.objective.name, "direction": pipeline.objective.sense},
        "fit": plain(pipeline.fit),
        "callbacks": plain(pipeline.callbacks),
        "sources": dict(sources),
        "seed": run.seed,
        "threads": run.threads,
        "deterministic": run.deterministic,
        "backend": run.backend,
        "versions": dict(versions),
    }


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _sorted(value[k]) for k in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [_sorted(v) for v in value]
    return value
