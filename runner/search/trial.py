"""Executes one trial: from plain settings to a plain result, wherever the executor runs it."""

import datetime
import json
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras_tuner.src.engine import (
    tuner_utils,
)  # how Keras Tuner turns what a fit returned into metrics

from history.errors import suggest
from history.files import write_atomic
from runner.config.schema import Pipeline, Run
from runner.errors import ConfigError, Problem, machine_is_at_fault
from runner.search.state import CHECKPOINT, RESULT
from runner.training.build import (
    bench,
    build,
    callbacks,
    curves,
    fit_arguments,
    has_own_fit,
    train,
    values_of,
)
from runner.training.seeds import derive_seed


@dataclass(frozen=True)
class Job:
    """A trial to run. `hyperparameters` is Keras Tuner's config of them; `parent` a checkpoint to
    start from.
    """

    run: Run
    pipeline: Pipeline
    trial_id: str
    hyperparameters: dict[str, Any]
    folder: Path
    parent: Path | None


def run_trial(job: Job) -> dict[str, Any]:
    """Runs a trial's executions and writes what they returned to its folder.

    Returns:
        trial_id, asked (the values asked for), hyperparameters (with what the model added to them),
        status, metrics (at the best epoch, mean over executions), best_step (0-based), message,
        started (ISO 8601), seconds, executions (each with its seed and the metrics of every epoch).

    Raises:
        ConfigError, keras_tuner.errors.FatalError: the trial cannot run for a reason that no other
        would escape. OSError: the disk is full or read-only; the trial has not ended.
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    hp = values_of(job.hyperparameters)
    asked = dict(hp.values)
    outcome: dict[str, Any] = {
        "status": "COMPLETED",
        "metrics": {},
        "best_step": 0,
        "message": None,
        "executions": [],
    }
    try:
        outcome |= _train(job, hp)
    except (ConfigError, keras_tuner.errors.FatalError):
        raise
    except Exception as error:
        if machine_is_at_fault(error):
            raise
        outcome |= {"status": "FAILED", "message": traceback.format_exc()}
    result = {
        "trial_id": job.trial_id,
        "asked": asked,
        "hyperparameters": hp.get_config(),
        **outcome,
        "started": started.isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - clock,
    }
    job.folder.mkdir(parents=True, exist_ok=True)
    write_atomic(
        job.folder / RESULT, json.dumps(result).encode()
    )  # not to_json: NaN must come back as NaN
    return result


def _train(job: Job, hp: Any) -> dict[str, Any]:
    objective = keras_tuner.Objective(job.pipeline.objective.name, job.pipeline.objective.sense)
    dataset, model_maker = bench(job.pipeline)
    best = BestEpoch(objective, must_be_logged=not has_own_fit(model_maker))
    returned, executions = [], []
    model = None
    for execution in range(job.pipeline.tuner.executions_per_trial):
        seed = derive_seed(job.run.seed, job.trial_id, execution)
        model = build(model_maker, hp, seed)
        if job.parent is not None:
            with warnings.catch_warnings():  # the checkpoint has no optimizer state, on purpose
                warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
                model.load_weights(job.parent)
        arguments = fit_arguments(job.pipeline, dataset, model_maker, hp)
        if "tuner/initial_epoch" in hp.values:
            arguments["initial_epoch"] = hp.values["tuner/initial_epoch"]
        arguments["callbacks"] = [*callbacks(job.pipeline.callbacks, "callbacks"), best]
        given = train(model_maker, hp, model, dataset, **arguments)
        tuner_utils.validate_trial_results(given, objective, "HyperModel.fit()")
        returned.append(given)
        executions.append({"seed": seed, "history": curves(given)})
    metrics = {
        k: float(v) for k, v in tuner_utils.convert_to_metrics_dict(returned, objective).items()
    }
    if not np.isfinite(metrics[objective.name]):
        message = f"the objective {objective.name} is {metrics[objective.name]}"
        return {"status": "FAILED", "message": message, "executions": executions}
    best.save(model, job.folder / CHECKPOINT)
    step = tuner_utils.get_best_step(returned, objective)
    return {"metrics": metrics, "best_step": int(step), "executions": executions}


class BestEpoch(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Keeps the weights of the best epoch over all executions in memory; the last where the
    objective is not logged, which only a HyperModel with its own `fit` may do.
    """

    def __init__(self, objective: Any, *, must_be_logged: bool) -> None:
        super().__init__()
        self.objective, self.must_be_logged = objective, must_be_logged
        self.value: float | None = None
        self.weights: list[Any] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        name = self.objective.name
        if name not in logs and self.must_be_logged:
            what = f"'{name}' is not among the metrics that the model reports{suggest(name, logs)}"
            raise ConfigError([Problem("objective.name", f"{what} (reported: {', '.join(logs)})")])
        value = logs.get(name)
        if value is None or self.value is None or self.objective.better_than(value, self.value):
            self.value = value
            self.weights = self.model.get_weights()

    def save(self, model: Any, path: Path) -> None:
        """Writes the kept weights, without the optimizer's state: three times the size, and never
        read.
        """
        if self.weights is not None:
            model.set_weights(self.weights)
        model.optimizer = None
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save_weights(path)
