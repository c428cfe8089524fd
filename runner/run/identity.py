"""Identities, each with a word of its own. This is the one module that makes them.

    data fingerprint     of the rows that were loaded (computed where they are, by runner.data)
    source hash          of the code that a dotted path in a config names
    search fingerprint   of all that decides a search's trials: names and marks its folder
    fingerprint          of all that decides a pipeline's result: that, the budget and the
                         validation; an entry with the same one can be reused
    config hash          of a pipeline's settings: which of a run's entries they belong to
    run key              of what makes two commands the same run

All but the first two are a `digest` of plain data.
"""

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner import __version__
from runner.config.schema import Experiment, HyperbandTuner, Pipeline, Run, Target
from runner.config.targets import locate
from runner.training import environment

BUDGETS = ("max_trials", "hyperband_iterations")  # raising one continues a search
NOT_OF_A_SEARCH = (*BUDGETS, "max_consecutive_failed_trials", "directory", "project_name")
DECISIVE = ("seed", "threads", "deterministic", "backend")  # of the root keys

SEARCH_FORMAT = 2  # of how trials are drawn and kept: a search of another one is not continued


@dataclass(frozen=True)
class Identity:
    """All that decides a pipeline's result, part by part, as plain data."""

    of_search: Mapping[str, object]
    of_pipeline: Mapping[str, object]  # that, the budget and the validation

    @property
    def search_fingerprint(self) -> str:
        """The search's."""
        return digest(self.of_search)

    @property
    def fingerprint(self) -> str:
        """The pipeline's."""
        return digest(self.of_pipeline)


def identify(run: Run, pipeline: Pipeline, data: Mapping[str, object], dtype: str) -> Identity:
    """Return a pipeline's identity. Paths and verbosity are not among it, and budgets not among
    what decides its search.

    Args:
        run, pipeline: the settings; the code that they name is imported.
        data: `source` and `content`, the fingerprint, of the loaded data.
        dtype: the policy that importing the model's module left behind.
    """
    plain = pipeline.model_dump()
    tuner = plain["tuner"]
    if isinstance(pipeline.tuner, HyperbandTuner):
        del plain["fit"]["epochs"]  # Hyperband sets them
    sources = _source_hashes("", {"model": pipeline.model, "data": pipeline.data})
    of_search = {
        "format": SEARCH_FORMAT,
        "task": pipeline.task.kind,
        "data": dict(data),
        "model": plain["model"],
        "tuner": {key: value for key, value in tuner.items() if key not in NOT_OF_A_SEARCH},
        "objective": {"name": pipeline.objective.name, "direction": pipeline.objective.sense},
        "fit": plain["fit"],
        "callbacks": plain["callbacks"],
        "sources": sources | _source_hashes("callbacks.", pipeline.callbacks),
        **{key: getattr(run, key) for key in DECISIVE},
        "versions": environment.versions(run),
        "dtype": dtype,
    }
    validation = {
        "settings": plain["validation"],
        "sources": _source_hashes("validation.callbacks.", pipeline.validation.callbacks or {}),
        "manager": pipeline.manager_name,
        "rank_by": pipeline.task.rank_by,
    }
    budget = {key: tuner.get(key) for key in BUDGETS}
    return Identity(of_search, {**of_search, "budget": budget, "validation": validation})


def run_key(experiment: Experiment) -> str:
    """Return what makes two commands the same run: the pipelines with their budgets, and what the
    run adds to a result.
    """
    decisive = [getattr(experiment.run, key) for key in DECISIVE]
    pipelines = {name: pipeline.model_dump() for name, pipeline in experiment.pipelines.items()}
    return digest([experiment.name, decisive, pipelines])


def source_hash(path: str, target: object) -> str | None:
    """Return what identifies the code at a dotted path: our version for ours; for the user's,
    SHA-256 of the file of the module that the path names and of the file that defines the target
    behind its decorators; None for a package's, whose version the environment records.
    """
    defined_in = getattr(inspect.unwrap(target), "__module__", None)  # type: ignore[arg-type]
    modules = [name for name in (path.rpartition(".")[0], defined_in) if name]
    packages = {name.partition(".")[0] for name in modules}
    if packages <= {"runner"}:
        return f"runner {__version__}"
    if packages <= {"keras", "sklearn", "keras_tuner"}:
        return None
    files = {getattr(sys.modules.get(name), "__file__", None) for name in modules}
    contents = [Path(f).read_bytes() for f in sorted(filter(None, files)) if Path(f).is_file()]
    return hashlib.sha256(b"".join(contents)).hexdigest() if contents else None


def digest(content: object) -> str:
    """Return SHA-256 of plain data. The order of keys counts: it is the order of layers, and that
    in which hyperparameters are drawn.
    """
    text = json.dumps(content, separators=(",", ":"))  # unlike strict JSON, it tells inf from null
    return hashlib.sha256(text.encode()).hexdigest()


def _source_hashes(section: str, named: Mapping[str, object]) -> dict[str, str | None]:
    """Return the source hash of each part of a section that names code, by its dotted key."""
    targets = {f"{section}{name}": one for name, one in named.items() if isinstance(one, Target)}
    return {
        key: source_hash(one.target, locate(one.target, f"{key}._target_"))
        for key, one in targets.items()
    }
