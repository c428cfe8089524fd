"""Identities, each with a name of its own. Only this module makes them.

    data fingerprint     of the loaded rows (computed by runner.data)
    code                 of the modules that a config names, and those they import (by
                         runner.config.code)
    search fingerprint   of all that decides a search's trials; names and marks its folder
    fingerprint          of all that decides a pipeline's result: the search, its budget and the
                         validation; an entry with the same fingerprint can be reused
    config hash          of a pipeline's settings
    run key              of what makes two commands the same run

All but the first two are a `digest` of plain data.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation import files
from history import config
from runner.config import code, schema
from runner.training import environment, regimes

SEARCH_FORMAT = 5  # of drawing and storing trials; a search of another format is not continued
# Settings of the number of trials; changing them continues a search.
BUDGETS = (
    "max_trials",
    "hyperband_iterations",
    "hyperband_trials",
    "stop_when_no_improvement",
)
NOT_OF_A_SEARCH = {
    *BUDGETS,
    "max_seconds",
    "max_consecutive_failed_trials",
    "directory",
    "project_name",
}
# Settings that older fingerprints did not have. They are left out at their default, so that older
# entries and searches still match.
NEWER: dict[str, object] = {
    "start_from": [],
    "folds": None,
    "weights": "refit",
    "direction": None,
    "hyperband_trials": None,
    "stop_when_no_improvement": None,
}
# Settings of a pipeline that decide no result. A time limit decides none by itself: the same number
# of trials gives the same result.
IRRELEVANT: Any = {"baselines": True, "artefacts": True, "tuner": {"max_seconds"}}


@dataclass(frozen=True)
class Identity:
    """All that decides a pipeline's result, as plain data."""

    of_search: Mapping[str, Any]
    of_pipeline: Mapping[str, Any]  # of_search, the budget and the validation

    @property
    def search_fingerprint(self) -> str:
        """Identifies the search."""
        return digest(self.of_search)

    @property
    def fingerprint(self) -> str:
        """Identifies the pipeline."""
        return digest(self.of_pipeline)


def identify(
    run: schema.Run, pipeline: schema.Pipeline, data: Mapping[str, object], dtype: str
) -> Identity:
    """Return a pipeline's identity. It does not depend on paths and verbosity, and that of its
    search not on budgets.

    Args:
        run, pipeline: the settings; the code that they name is read, not imported.
        data: `source` and `content`, the fingerprint, of the loaded data; with folds also `by`, the
            fingerprint of the groups or times that they are drawn by.
        dtype: the policy that importing the model's module left behind.
    """
    settings = pipeline.model_dump(exclude={"tuner": NOT_OF_A_SEARCH})
    packages: tuple[str, ...] = environment.COMPUTE
    if isinstance(pipeline.tuner, schema.TpeTuner):
        packages += ("optuna",)
    if regimes.of(pipeline).continues:
        del settings["fit"]["epochs"]  # the tuner sets them
    of_search = {  # the order is part of the fingerprint
        "format": SEARCH_FORMAT,
        "task": pipeline.task.kind,
        "data": data,
        "model": settings["model"],
        "tuner": _without_defaults(settings["tuner"]),
        "objective": {"name": pipeline.objective.name, "direction": pipeline.objective.sense},
        "fit": settings["fit"],
        "callbacks": settings["callbacks"],
        "code": code.code_of(pipeline),
        "files": {path: files.sha256(Path(path)) for path in pipeline.fingerprint.files},
    }
    of_search |= {key: getattr(run, key) for key in config.DECIDING}
    of_search["versions"] = environment.versions(run.backend, packages)
    of_search["dtype"] = dtype
    validation = {
        "settings": _without_defaults(settings["validation"]),
        "code": code.modules(config.foreign_code({"validation": settings["validation"]})),
        "manager": pipeline.manager_name,
        "rank_by": pipeline.task.rank_by,
        "direction": pipeline.task.direction,
    }
    budget = {key: getattr(pipeline.tuner, key, None) for key in BUDGETS}
    return Identity(
        of_search,
        {
            **of_search,
            "budget": _without_defaults(budget),
            "validation": _without_defaults(validation),
        },
    )


def _without_defaults(settings: Mapping[str, object]) -> dict[str, object]:
    """Return settings without those of NEWER that have their default."""
    return {key: value for key, value in settings.items() if NEWER.get(key, ...) != value}


def config_hash(pipeline: schema.Pipeline) -> str:
    """Return the hash of a pipeline's settings that decide its result."""
    return digest(pipeline.model_dump(exclude=IRRELEVANT))


def run_key(experiment: schema.Experiment) -> str:
    """Return the key of a run: two commands with the same pipelines, including budgets, and the
    same settings that decide results are the same run.
    """
    pipelines = {
        name: pipeline.model_dump(exclude=IRRELEVANT)
        for name, pipeline in experiment.pipelines.items()
    }
    deciding = [getattr(experiment.run, key) for key in config.DECIDING]
    return digest([experiment.name, deciding, pipelines])


def digest(content: object) -> str:
    """Return the SHA-256 of plain data. The order of keys counts, as it is the order of layers, and
    that in which hyperparameters are drawn.
    """
    # json, unlike strict JSON, distinguishes infinity from null
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
