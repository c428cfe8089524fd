"""Executes one trial: from plain settings to a plain result, wherever the executor runs it."""

import datetime
import re
import time
import traceback
import warnings
from collections.abc import Mapping

import keras
import keras_tuner
import numpy as np

from history.ranking import merit
from runner.config.schema import HyperbandTuner, Objective, Pipeline, Run
from runner.data.shared import Loaded
from runner.errors import ConfigError, SearchError, machine_is_at_fault, message_of
from runner.search import oracles, state
from runner.training import build, memory, seeds

# what a trace says where memory ran out: Python's, TensorFlow's and PyTorch's exceptions by name,
# and the words of JAX, of CUDA and of the system
OUT_OF_MEMORY = re.compile(
    r"^[\w.]*(Memory|ResourceExhausted)Error\b|RESOURCE_EXHAUSTED"
    r"|(?i:out of memory|allocate memory)",
    re.MULTILINE,
)


def run_trial(
    run: Run,
    pipeline: Pipeline,
    given: Loaded,
    place: state.Place,
    trial_id: str,
    hyperparameters: Mapping[str, object],
) -> state.TrialResult:
    """Run a trial's executions and write what they returned to its folder.

    Args:
        run, pipeline, given: the settings, and the data.
        place: of the search.
        trial_id: of the trial.
        hyperparameters: as Keras Tuner's config.

    Raises:
        ConfigError, SearchError: the trial cannot run for a reason that no other would escape.
        OSError: the disk is full or read-only; the trial has not ended.
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    hp = build.values_of(hyperparameters)
    try:
        trained = _train(run, build.bench(pipeline, given), place, trial_id, hp)
    except ConfigError:
        raise
    except keras_tuner.errors.FatalError as error:
        raise SearchError(message_of(error)) from error
    except (Exception, SystemExit) as error:
        if machine_is_at_fault(error):
            raise
        trace = traceback.format_exc()
        trained = state.Trained(
            status="FAILED", message=trace, again=bool(OUT_OF_MEMORY.search(trace))
        )
    result = state.TrialResult(
        trial_id=trial_id,
        asked=dict(build.values_of(hyperparameters).values),
        hyperparameters=hp.get_config(),
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        **vars(trained),
    )
    place.write(state.RESULT, vars(result), trial_id)
    return result


def _train(
    run: Run,
    ready: build.Bench,
    place: state.Place,
    trial_id: str,
    hp: "keras_tuner.HyperParameters",
) -> state.Trained:
    pipeline, objective = ready.pipeline, ready.pipeline.objective
    best = BestEpoch(objective)
    overrides = (
        {"initial_epoch": hp.values["tuner/initial_epoch"]}
        if "tuner/initial_epoch" in hp.values
        else {}
    )
    begun = {n: place.intact(n) for name, n in hp.values.items() if name == "tuner/trial_id"}
    drawn = [
        seeds.derive_seed(run.seed, trial_id, n) for n in range(pipeline.tuner.executions_per_trial)
    ]
    returned = []
    for seed in drawn:
        model = ready.build(hp, seed, overrides)
        for parent in begun:
            with warnings.catch_warnings():  # the checkpoint has no optimizer state, on purpose
                warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
                model.load_weights(place.checkpoint(parent))
        callbacks = build.new_callbacks(pipeline.callbacks, "callbacks")
        returned.append(ready.train(model, hp, [*callbacks, best], overrides))
    executions: list[dict[str, object]] = [
        {"seed": seed, "history": build.curves(given)}
        for seed, given in zip(drawn, returned, strict=True)
    ]
    metrics, best_step = oracles.measured(returned, objective)
    if not np.isfinite(metrics[objective.name]):
        return state.Trained(
            status="FAILED",
            message=f"the objective {objective.name} is {metrics[objective.name]}",
            executions=executions,
        )
    place.write(state.CHECKPOINT, best.saved(model), trial_id)
    return state.Trained(
        status="COMPLETED",
        metrics=metrics,
        best_step=best_step,
        executions=executions,
        # only Hyperband goes on from them
        checkpoints={**begun, trial_id: place.stated(trial_id)}
        if isinstance(pipeline.tuner, HyperbandTuner)
        else {},
    )


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

    def saved(self, model: "keras.Model") -> bytes:
        """Return a file of the kept weights, without the optimizer's state: three times the size,
        and never read.
        """
        if self.weights is not None:
            model.set_weights(self.weights)
        model.optimizer = None
        return memory.saved(model.save_weights, state.CHECKPOINT)
