"""Identities, each with a word of its own. This is the one module that makes them.

    data fingerprint     of the rows that were loaded (computed where they are, by runner.data)
    code                 of the modules that a config names, or these import (runner.config.code)
    search fingerprint   of all that decides a search's trials: names and marks its folder
    fingerprint          of all that decides a pipeline's result: that, the budget and the
                         validation; an entry with the same one can be reused
    config hash          of a pipeline's settings: which of a run's entries they belong to
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

BUDGETS = ("max_trials", "hyperband_iterations")  # raising one continues a search
ENDS = ("hyperband_trials", "stop_when_no_improvement")  # likewise; they count where they are set
NOT_OF_A_SEARCH = (
    *(*BUDGETS, *ENDS, "max_seconds"),
    *("max_consecutive_failed_trials", "directory", "project_name"),
)
# Of a pipeline's settings, those that decide no result. What a clock decides is no result of its
# own, but as many trials as it came to.
BESIDE: Any = {"baselines": True, "artefacts": True, "tuner": {"max_seconds"}}

SEARCH_FORMAT = 5  # of how trials are drawn and kept: a search of another one is not continued


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


def identify(
    run: schema.Run, pipeline: schema.Pipeline, data: Mapping[str, object], dtype: str
) -> Identity:
    """Return a pipeline's identity. Paths and verbosity are not among it, and budgets not among
    what decides its search.

    Args:
        run, pipeline: the settings; the code that they name is read, not imported.
        data: `source` and `content`, the fingerprint, of the loaded data; with folds also `by`, the
            fingerprint of what they are drawn by.
        dtype: the policy that importing the model's module left behind.
    """
    plain = pipeline.model_dump()
    validated = {"validation": plain.pop("validation")}
    of_search = {
        "format": SEARCH_FORMAT,
        "task": pipeline.task.kind,
        "data": dict(data),
        "model": plain["model"],
        "tuner": {
            key: value
            for key, value in plain["tuner"].items()
            if key not in NOT_OF_A_SEARCH and value != [] and (key, value) != ("folds", None)
        },
        "objective": {"name": pipeline.objective.name, "direction": pipeline.objective.sense},
        "fit": {
            key: value
            for key, value in plain["fit"].items()
            if key != "epochs" or not regimes.of(pipeline).continues  # its tuner sets them
        },
        "callbacks": plain["callbacks"],
        "code": code.code_of(pipeline),
        "files": {path: files.sha256(Path(path)) for path in pipeline.fingerprint.files},
        **{key: getattr(run, key) for key in config.DECIDING},
        "versions": environment.versions(
            run.backend,
            *[(*environment.COMPUTE, "optuna")] * isinstance(pipeline.tuner, schema.TpeTuner),
        ),
        "dtype": dtype,
    }
    return Identity(
        of_search,
        {
            **of_search,
            "budget": {
                **{key: plain["tuner"].get(key) for key in BUDGETS},
                **{key: n for key in ENDS if (n := plain["tuner"].get(key))},
            },
            "validation": {
                "settings": {
                    key: value
                    for key, value in validated["validation"].items()
                    if (key, value) != ("weights", "refit")  # as it was before there was a choice
                },
                "code": code.modules(config.foreign_code(validated)),
                "manager": pipeline.manager_name,
                "rank_by": pipeline.task.rank_by,
                **({"direction": way} if (way := pipeline.task.direction) else {}),
            },
        },
    )


def run_key(experiment: schema.Experiment) -> str:
    """Return what makes two commands the same run: the pipelines with their budgets, and what the
    run adds to a result.
    """
    return digest(
        [
            experiment.name,
            [getattr(experiment.run, key) for key in config.DECIDING],
            {
                name: pipeline.model_dump(exclude=BESIDE)
                for name, pipeline in experiment.pipelines.items()
            },
        ]
    )


def digest(content: object) -> str:
    """Return SHA-256 of plain data. The order of keys counts: it is the order of layers, and that
    in which hyperparameters are drawn.
    """
    # unlike strict JSON, it tells inf from null
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
