"""Executes one trial: from plain settings to a plain result, wherever the executor runs it."""

import datetime
import time
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path

import keras
import keras_tuner
import numpy as np

from history.ranking import merit
from runner.config.schema import Objective, Pipeline, Run
from runner.errors import ConfigError, machine_is_at_fault
from runner.search.oracles import measured
from runner.search.state import Place, Trained, TrialResult
from runner.training.build import bench, curves, new_callbacks, values_of
from runner.training.seeds import derive_seed


def run_trial(
    run: Run,
    pipeline: Pipeline,
    place: Place,
    trial_id: str,
    hyperparameters: Mapping[str, object],
) -> TrialResult:
    """Run a trial's executions and write what they returned to its folder.

    Args:
        run, pipeline: the settings.
        place: of the search.
        trial_id: of the trial.
        hyperparameters: as Keras Tuner's config.

    Raises:
        ConfigError, keras_tuner.errors.FatalError: the trial cannot run for a reason that no other
        would escape. OSError: the disk is full or read-only; the trial has not ended.
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    hp = values_of(hyperparameters)
    asked = dict(hp.values)
    try:
        trained = _train(run, pipeline, place, trial_id, hp)
    except Exception as error:
        hopeless = isinstance(error, ConfigError | keras_tuner.errors.FatalError)
        if hopeless or machine_is_at_fault(error):
            raise
        trained = Trained(status="FAILED", message=traceback.format_exc())
    result = TrialResult(
        trial_id=trial_id,
        asked=asked,
        hyperparameters=hp.get_config(),
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        **vars(trained),
    )
    result.write(place.trial(trial_id))
    return result


def _train(
    run: Run, pipeline: Pipeline, place: Place, trial_id: str, hp: "keras_tuner.HyperParameters"
) -> Trained:
    objective, ready = pipeline.objective, bench(pipeline)
    best = BestEpoch(objective)
    overrides = {}
    if "tuner/initial_epoch" in hp.values:
        overrides["initial_epoch"] = hp.values["tuner/initial_epoch"]
    parent = hp.values.get("tuner/trial_id")
    returned = []
    executions: list[dict[str, object]] = []
    for execution in range(pipeline.tuner.executions_per_trial):
        seed = derive_seed(run.seed, trial_id, execution)
        model = ready.build(hp, seed)
        if parent is not None:
            with warnings.catch_warnings():  # the checkpoint has no optimizer state, on purpose
                warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
                model.load_weights(place.checkpoint(parent))
        callbacks = [*new_callbacks(pipeline.callbacks, "callbacks"), best]
        given = ready.train(model, hp, callbacks, overrides)
        returned.append(given)
        executions.append({"seed": seed, "history": curves(given)})
    metrics, best_step = measured(returned, objective)
    if not np.isfinite(metrics[objective.name]):
        message = f"the objective {objective.name} is {metrics[objective.name]}"
        return Trained(status="FAILED", message=message, executions=executions)
    best.save(model, place.checkpoint(trial_id))
    return Trained(status="COMPLETED", metrics=metrics, best_step=best_step, executions=executions)


class BestEpoch(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Keeps the weights of the best epoch over all executions in memory; the last where the
    objective is not logged, as a HyperModel with its own `fit` may do.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective
        self.highest = -np.inf
        self.weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        value = (logs or {}).get(self.objective.name)
        found = merit(value, self.objective.sense)
        if value is None or self.weights is None or found > self.highest:
            self.highest, self.weights = found, self.model.get_weights()

    def save(self, model: "keras.Model", path: Path) -> None:
        """Write the kept weights, without the optimizer's state: three times the size, and never
        read.
        """
        if self.weights is not None:
            model.set_weights(self.weights)
        model.optimizer = None
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save_weights(path)
