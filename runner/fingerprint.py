"""Identities: hashes over all that decides a result, and seeds derived from names."""

import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from history.files import to_json
from runner.check import plain
from runner.settings import Pipeline, Run

NOT_OF_A_SEARCH = (
    *("max_trials", "hyperband_iterations", "max_consecutive_failed_trials"),  # budgets: raising one continues it
    *("directory", "project_name"),
)


def digest(content: Any) -> str:
    """SHA-256 of plain data. The order of keys counts: it is the order of layers, and that in which
    hyperparameters are drawn."""
    return hashlib.sha256(to_json(content)).hexdigest()


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
    run: Run,
    pipeline: Pipeline,
    data: Mapping[str, Any],
    sources: Mapping[str, str | None],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """All that decides a search's trials, part by part; budgets, paths and verbosity are not among it.

    Args:
        run, pipeline: the settings.
        data: source and fingerprint of the loaded data.
        sources: hashes of the user's source files.
        versions: of the packages that compute.
    """
    tuner = plain(pipeline.tuner)
    for budget_or_path in NOT_OF_A_SEARCH:
        tuner.pop(budget_or_path, None)
    return {
        "task": pipeline.task.kind,
        "data": dict(data),
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


def differences(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted key → (old, new) of every leaf in which two trees of plain data differ; a missing leaf is None. Where
    only the order of keys differs, that is the difference."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: dict[str, tuple[Any, Any]] = {}
        if list(old) != list(new) and set(old) == set(new):
            found[path] = (list(old), list(new))
        for key in dict.fromkeys([*old, *new]):
            found |= differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        return found
    return {} if old == new else {path: (old, new)}
