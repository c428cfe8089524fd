"""Executes one trial: from plain settings to a plain result, wherever the executor runs it."""

import datetime
import logging
import re
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras_tuner.src.engine import tuner_utils  # how what a fit returned becomes metrics

from history.ranking import merit
from runner.config.schema import CALLBACKS, EPOCH, Objective, Pipeline, Run
from runner.data.shared import Loaded
from runner.errors import ConfigError, SearchError, machine_is_at_fault, message_of
from runner.training import build, ledger, regimes, seeds
from runner.training.callbacks import BestEpoch, Epochs

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
    data: Loaded,
    folder: ledger.SearchFolder,
    trial_id: str,
    hyperparameters: Mapping[str, Any],
) -> ledger.TrialResult:
    """Run a trial's executions and write what they returned to its folder.

    Args:
        run, pipeline, data: the settings, and the data.
        folder: of the search.
        trial_id: of the trial.
        hyperparameters: as Keras Tuner's config.

    Raises:
        ConfigError, SearchError: the trial cannot run for a reason that no other would escape.
        OSError: the disk is full or read-only; the trial has not ended.
    """
    started = datetime.datetime.now(datetime.UTC)
    clock = time.perf_counter()
    hp = build.values_of(hyperparameters)
    try:
        trained = _train(run, build.bench(pipeline, data), folder, trial_id, hp)
    except ConfigError:
        raise
    except keras_tuner.errors.FatalError as error:
        raise SearchError(message_of(error)) from error
    except (Exception, SystemExit) as error:
        if machine_is_at_fault(error):
            raise
        trace = traceback.format_exc()
        again = bool(OUT_OF_MEMORY.search(trace))
        trained = ledger.Trained(status="FAILED", message=trace, again=again)
    (folder.trial(trial_id) / EPOCH).unlink(missing_ok=True)
    result = ledger.TrialResult(
        trial_id=trial_id,
        asked=dict(hyperparameters["values"]),
        hyperparameters=hp.get_config(),
        started=started.isoformat(timespec="milliseconds"),
        seconds=time.perf_counter() - clock,
        **vars(trained),
    )
    folder.write(ledger.RESULT, vars(result), trial_id)
    return result


def _train(
    run: Run,
    ready: build.Bench,
    folder: ledger.SearchFolder,
    trial_id: str,
    hp: "keras_tuner.HyperParameters",
) -> ledger.Trained:
    """Train a trial's executions; a fold that ended in an earlier start is not trained again."""
    objective = ready.pipeline.objective
    regime = regimes.of(ready.pipeline)
    asked = dict(hp.values)
    checkpoints: dict[str, ledger.FileStamp] = {}
    parent = hp.values.get("tuner/trial_id")
    if parent is not None:
        checkpoints[parent] = ended(run, ready, folder, parent).checkpoints[parent]
    best = BestEpoch(objective)
    returned: list[Any] = []
    executions: list[dict[str, Any]] = []
    for number in range(regime.executions):
        seed = seeds.derive_seed(run.seed, trial_id, number)
        arguments = {"seed": seed, "asked": asked}
        fold = folder.fold(trial_id, number, arguments)
        if fold:
            answer = keras.callbacks.History()
            answer.history = fold["history"]
        else:
            bench = ready.fold(number)
            model, answer = _execute(bench, folder, trial_id, hp, number, seed, best)
        returned.append(answer)
        execution = {"seed": seed, "history": build.curves(answer)}
        if regime.folds:
            execution["metrics"] = measured([answer], objective)[0]
            folder.write(ledger.FOLD.format(number), arguments | execution, trial_id)
        executions.append(execution)
    metrics, best_step = measured(returned, objective)
    value = metrics[objective.name]
    if not np.isfinite(value):
        message = f"the objective {objective.name} is {value}"
        return ledger.Trained(status="FAILED", message=message, executions=executions)
    if not regime.folds:
        folder.write(ledger.CHECKPOINT, best.saved(model), trial_id)
        checkpoints[trial_id] = folder.stated(trial_id)
    return ledger.Trained(
        status="COMPLETED",
        metrics=metrics,
        best_step=best_step,
        executions=executions,
        checkpoints=checkpoints,
    )


def _execute(
    bench: build.Bench,
    folder: ledger.SearchFolder,
    trial_id: str,
    hp: "keras_tuner.HyperParameters",
    number: int,
    seed: int,
    best: BestEpoch,
) -> tuple["keras.Model", object]:
    """Train one execution, from its parent's checkpoint if it has one, and return the model and
    what its training returned.
    """
    overrides = {}
    if "tuner/initial_epoch" in hp.values:
        overrides["initial_epoch"] = hp.values["tuner/initial_epoch"]
    model = bench.build(hp, seed, overrides)
    if "tuner/trial_id" in hp.values:
        _load(model, folder.checkpoint(hp.values["tuner/trial_id"]))
    path = folder.trial(trial_id)
    callbacks = build.new_callbacks(
        bench.pipeline.callbacks, "callbacks", trial_id, path / CALLBACKS / str(number), number
    )
    callbacks += [best, Epochs(path, number)]
    return model, bench.train(model, hp, callbacks, overrides)


def measured(returned: Sequence[object], objective: Objective) -> tuple[dict[str, float], int]:
    """Return what the trainings of a trial come to as Keras Tuner counts it: the metrics at the
    best epoch, mean over the trainings, and that epoch, from 0.

    Args:
        returned: by each training: a History, a dict of metrics, or the objective's value.
        objective: its name must be among the metrics.

    Raises:
        keras_tuner.errors.FatalError: it is something else.
    """
    results, sought = list(returned), keras_tuner.Objective(objective.name, objective.sense)
    tuner_utils.validate_trial_results(results, sought, "HyperModel.fit()")
    metrics = tuner_utils.convert_to_metrics_dict(results, sought)
    best_epoch = tuner_utils.get_best_step(results, sought)
    return {name: float(value) for name, value in metrics.items()}, int(best_epoch)


def ended(
    run: Run, ready: build.Bench, folder: ledger.SearchFolder, trial_id: str
) -> ledger.TrialResult:
    """Return the result of a trial whose checkpoint is needed. One that is not what it wrote is
    made again: it seemed to be needed no more, or is damaged.
    """
    result = folder.result(trial_id)
    assert result is not None  # it was told before
    if folder.stated(trial_id) != result.checkpoints.get(trial_id):
        log.warning(
            "%s has changed since it was written; it is made again", folder.checkpoint(trial_id)
        )
        hp = build.values_of(result.hyperparameters)
        trained = _train(run, ready, folder, trial_id, hp)
        result = replace(result, executions=trained.executions, checkpoints=trained.checkpoints)
        folder.write(ledger.RESULT, vars(result), trial_id)
    return result


def _load(model: "keras.Model", path: Path) -> None:
    """Load the weights of a checkpoint."""
    with warnings.catch_warnings():  # the checkpoint has no optimizer state, on purpose
        warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
        model.load_weights(path)


def own_model(
    run: Run, ready: build.Bench, folder: ledger.SearchFolder, trial_id: str
) -> tuple["keras.Model", int, build.Curves]:
    """Return a trial's own model, as its best epoch left it, and the seed and curves of the
    execution that this was in.
    """
    result = ended(run, ready, folder, trial_id)
    objective = ready.pipeline.objective

    def highest(execution: dict[str, Any]) -> float:
        values = execution["history"].get(objective.name, [])
        return max((merit(value, objective.sense) for value in values), default=-np.inf)

    best = max(result.executions, key=highest)  # the first of equals, as BestEpoch takes it
    model = ready.build(build.values_of(result.hyperparameters), best["seed"])
    _load(model, folder.checkpoint(trial_id))
    if model.optimizer is not None:  # or Keras, which builds it when it loads the file, would warn
        model.optimizer.build(model.trainable_variables)
    return model, best["seed"], best["history"]
