"""What can be known of a model before its first trial: the default one is built, trained on a few
rows, stored, loaded back and compared, as trials and refits will do it.
"""

import math
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import keras
import keras_tuner
import numpy as np

from foundation import errors
from history import registry
from runner.config import check, schema
from runner.data.dataset import Dataset, Stream
from runner.errors import ConfigError, ModelError
from runner.training import build, evaluate, refit, regimes

# That the default model is tried on, up to twice as many: by Keras' own fit, and by another, which
# may count whole steps of rows; of none, Keras trains without end.
ROWS, OF_OWN_FIT = 32, 512
NOTHING: object = object()  # what a fit returned that raised; one that is wrong may return None


def preflight(bench: build.Bench) -> tuple[int, int, "keras_tuner.HyperParameters"]:
    """Try the default model, and return how many parameters it has, the bytes that they take, and
    all hyperparameters that it, and its `fit`, asked for.

    Raises:
        ConfigError: no model is built that could be trained, evaluated, stored and loaded back; a
            callback does not exist or does not take its arguments; or the objective is not among
            what the training reports.
        Exception: whatever the user's own code raises.
    """
    pipeline = bench.pipeline
    target = pipeline.model.target
    _check_callbacks(pipeline)
    tried = _with_few_rows(bench)
    hp = keras_tuner.HyperParameters()
    try:
        # of another model: Keras keeps what it compiled to predict, though a layer is adapted then
        _check_outputs(tried, tried.build(hp, seed=1))
        model = tried.build(hp, seed=1)
        # A stream cannot be cut short, and a fit of one's own may want nothing else.
        if not (bench.has_own_fit and isinstance(bench.dataset.train, Stream)):
            # its author may call the default values a failed trial; others may do
            with suppress(keras_tuner.errors.FailedTrialError):
                _train(tried, model, hp, bench.dataset)
        _check_outputs(tried, model)  # of one that `fit` had to prepare
        _check_ranking(tried, model)
        _check_storing(tried, model)
    except ModelError as error:
        raise ConfigError(f"{target}: {error}", "model._target_") from error
    except (TypeError, ValueError, AttributeError) as error:
        if target.rpartition(".")[0] != check.OURS:
            raise  # the user's own code keeps its trace
        raise ConfigError(f"an argument is invalid: {error}".partition("\n")[0], "model") from error
    parameters = size = 0
    for weights in model.weights:
        count = math.prod(weights.shape)
        parameters += count
        size += count * np.dtype(weights.dtype).itemsize
    return parameters, size, hp


def _check_callbacks(pipeline: schema.Pipeline) -> None:
    """Make callbacks as trainings do, and use none: one may write files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / schema.CALLBACKS
        build.new_callbacks(pipeline.callbacks, "callbacks", "0000", path)
        own = pipeline.validation.callbacks or {}
        build.new_callbacks(own, "validation.callbacks", "0000", path)


def _with_few_rows(bench: build.Bench) -> build.Bench:
    """Return what a model is tried on: rows from all over each part, so that all classes are likely
    to be among them.
    """
    most = OF_OWN_FIT if bench.has_own_fit else ROWS
    parts = {}
    for name, part in bench.dataset.parts.items():
        step = max(1, part.at_hand // most)
        parts[name] = part.take(np.arange(0, part.at_hand, step))  # copies: `fit` may change them
    # it may keep what it is told of these rows: it is another one than the search's
    hypermodel, _ = build.new_hypermodel(bench.pipeline, bench.dataset)
    return replace(bench, dataset=replace(bench.dataset, parts=parts), hypermodel=hypermodel)


def _check_ranking(bench: build.Bench, model: "keras.Model") -> None:
    """Raise ConfigError where entries are to be ranked by a metric that none of them will have."""
    task = bench.pipeline.task
    known = [*registry.manager_class(task.kind).metrics]
    if task.rank_by is None or task.rank_by in known:
        return
    known += refit.own_metrics(bench, model, bench.dataset.validation, known)
    if task.rank_by not in known:
        raise ConfigError(errors.unknown("metric", task.rank_by, known), "task.rank_by")


def _check_storing(bench: build.Bench, model: "keras.Model") -> None:
    """Raise ModelError where a model, or the mean of such models, cannot be stored."""
    rows = bench.dataset.validation
    with tempfile.TemporaryDirectory() as folder:
        stored = refit.store(model, Path(folder, "model.keras"), rows)
        if bench.pipeline.is_ensemble:
            is_classification = bench.dataset.classes is not None
            mean = refit.mean([stored, stored], is_classification=is_classification)
            refit.store(mean, Path(folder, "mean.keras"), rows)


def _check_outputs(bench: build.Bench, model: "keras.Model") -> None:
    """Raise ModelError where a model predicts something else than its task."""
    try:
        predicted = model.predict(bench.dataset.validation.x, verbose=0)
    except Exception:
        if bench.has_own_fit:  # which may have to prepare the model first
            return
        raise
    if not isinstance(predicted, np.ndarray):
        raise ModelError(
            f"the model predicts a {type(predicted).__name__} of {len(predicted)} outputs; it must "
            "predict one array"
        )
    rows = np.zeros(predicted.shape)  # its shape alone
    evaluate.normalised(rows, len(bench.dataset.validation), bench.dataset.classes)


def _train(
    bench: build.Bench, model: "keras.Model", hp: "keras_tuner.HyperParameters", whole: Dataset
) -> None:
    """Train a model as trials do it, but for the epochs, and look at what that reports."""
    objective = bench.pipeline.objective.name
    before = bench.dataset.fingerprint
    has_epochs = regimes.of(bench.pipeline).continues or "epochs" in bench.fit_arguments(hp)
    overrides = {"epochs": 1} if has_epochs else {}
    returned = NOTHING
    with suppress(Exception):  # a fit of one's own may need more rows: for whole steps, say
        returned = bench.train(model, hp, [], overrides)
    if bench.dataset.fingerprint != before:
        raise ModelError("its `fit` changes the rows that it is given; it must work on copies")
    if returned is NOTHING:
        returned = replace(bench, dataset=whole).train(model, hp, [], overrides)
    reported = getattr(returned, "history", returned)
    if isinstance(reported, Mapping):
        if objective not in reported:
            raise ConfigError(errors.unknown("metric", objective, reported), "objective.name")
        if f"val_{objective}" in reported:
            raise ConfigError(check.OF_TRAINING.format(objective), "objective.name")
    elif not isinstance(reported, int | float | np.floating | list):
        raise ModelError(
            f"its `fit` returned {reported!r:.60}; it must return the objective's value, a mapping "
            "of metrics, or what model.fit returned"
        )
