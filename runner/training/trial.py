"""Executes one trial: from plain settings to a plain result, wherever the executor runs it."""

import datetime
import logging
import re
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from history.ranking import merit
from runner.config.schema import CALLBACKS, EPOCH, Objective, Pipeline, Run
from runner.data.shared import Loaded
from runner.errors import ConfigError, SearchError, machine_is_at_fault, message_of
from runner.search import oracles, state
from runner.training import build, memory, refit, seeds, validated

log = logging.getLogger("runner")

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
    place: state.SearchFolder,
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
    (place.trial(trial_id) / EPOCH).unlink(missing_ok=True)
    result = state.TrialResult(
        trial_id=trial_id,
        asked=dict(build.values_of(hyperparameters).values),
        hyperparameters=hp.get_config(),
        started=started.isoformat(timespec="milliseconds"),
        seconds=time.perf_counter() - clock,
        **vars(trained),
    )
    place.write(state.RESULT, vars(result), trial_id)
    return result


def _train(
    run: Run,
    ready: build.Bench,
    place: state.SearchFolder,
    trial_id: str,
    hp: "keras_tuner.HyperParameters",
) -> state.Trained:
    pipeline, objective = ready.pipeline, ready.pipeline.objective
    tuner, asked, best = pipeline.tuner, dict(hp.values), BestEpoch(objective)
    overrides = (
        {"initial_epoch": hp.values["tuner/initial_epoch"]}
        if "tuner/initial_epoch" in hp.values
        else {}
    )
    begun = {
        n: ended(run, ready, place, n).checkpoints[n]
        for name, n in hp.values.items()
        if name == "tuner/trial_id"
    }
    returned, executions = list[Any](), list[dict[str, Any]]()
    for n in range(tuner.folds or tuner.executions_per_trial):
        known: dict[str, Any] = {"seed": seeds.derive_seed(run.seed, trial_id, n), "asked": asked}
        if tuner.folds and (fold := place.fold(trial_id, n, known)):
            returned.append(keras.callbacks.History())
            returned[-1].history = fold["history"]
        else:
            bench = ready.fold(n) if tuner.folds else ready
            model = bench.build(hp, known["seed"], overrides)
            for parent in begun:
                _load(model, place.checkpoint(parent))
            callbacks = build.new_callbacks(
                pipeline.callbacks,
                "callbacks",
                trial_id,
                place.trial(trial_id) / CALLBACKS / str(n),
                n,
            )
            callbacks += [best, build.Epochs(place.trial(trial_id), n)]
            returned.append(bench.train(model, hp, callbacks, overrides))
        executions.append({"seed": known["seed"], "history": build.curves(returned[-1])})
        if tuner.folds:
            executions[-1]["metrics"] = oracles.measured(returned[-1:], objective)[0]
            place.write(state.FOLD.format(n), known | executions[-1], trial_id)
    metrics, best_step = oracles.measured(returned, objective)
    if not np.isfinite(metrics[objective.name]):
        return state.Trained(
            status="FAILED",
            message=f"the objective {objective.name} is {metrics[objective.name]}",
            executions=executions,
        )
    if not tuner.folds:
        place.write(state.CHECKPOINT, best.saved(model), trial_id)
        begun[trial_id] = place.stated(trial_id)
    return state.Trained(
        status="COMPLETED",
        metrics=metrics,
        best_step=best_step,
        executions=executions,
        checkpoints=begun,
    )


def ended(
    run: Run, ready: build.Bench, place: state.SearchFolder, trial_id: str
) -> state.TrialResult:
    """Return the result of a trial whose checkpoint is needed. One that is not what it wrote is
    made again: it seemed to be needed no more, or is damaged.
    """
    result = place.result(trial_id)
    assert result is not None  # it was told before
    if place.stated(trial_id) != result.checkpoints.get(trial_id):
        log.warning(
            "%s has changed since it was written; it is made again", place.checkpoint(trial_id)
        )
        made = _train(run, ready, place, trial_id, build.values_of(result.hyperparameters))
        result = replace(result, executions=made.executions, checkpoints=made.checkpoints)
        place.write(state.RESULT, vars(result), trial_id)
    return result


def _load(model: "keras.Model", path: Path) -> None:
    """Load the weights of a checkpoint."""
    with warnings.catch_warnings():  # the checkpoint has no optimizer state, on purpose
        warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
        model.load_weights(path)


def keep(
    run: Run,
    pipeline: Pipeline,
    given: Loaded,
    place: state.SearchFolder,
    trial_id: str,
    folder: Path,
) -> validated.Refit:
    """Evaluate and store a trial's own model, as its best epoch left it, in place of a refit.

    Args:
        run, pipeline, given: as in the search.
        place: of the search.
        trial_id: of the trial.
        folder: where the artefacts go.
    """
    clock, ready, objective = time.perf_counter(), build.bench(pipeline, given), pipeline.objective
    result = ended(run, ready, place, trial_id)
    best = max(  # the first of equals, as BestEpoch takes it
        result.executions,
        key=lambda each: max(
            (merit(value, objective.sense) for value in each["history"].get(objective.name, [])),
            default=-np.inf,
        ),
    )
    model = ready.build(build.values_of(result.hyperparameters), best["seed"])
    _load(model, place.checkpoint(trial_id))
    if model.optimizer is not None:  # or Keras, which builds it when it loads the file, would warn
        model.optimizer.build(model.trainable_variables)
    return refit.stored(ready, model, best["seed"], best["history"], clock, folder)


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
