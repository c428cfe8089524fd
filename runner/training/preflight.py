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
    pipeline, target = bench.pipeline, bench.pipeline.model.target
    # made, not used: one may write files
    with tempfile.TemporaryDirectory() as folder:
        told = "0000", Path(folder).resolve() / schema.CALLBACKS
        build.new_callbacks(pipeline.callbacks, "callbacks", *told)
        build.new_callbacks(pipeline.validation.callbacks or {}, "validation.callbacks", *told)
    most = OF_OWN_FIT if bench.has_own_fit else ROWS
    few = {  # rows from all over a part, so that all classes are likely to be among them
        name: part.take(np.arange(0, part.at_hand, max(1, part.at_hand // most)))
        for name, part in bench.dataset.parts.items()
    }
    tried = replace(
        bench,
        dataset=replace(bench.dataset, parts=few),
        # it may keep what it is told of these rows: it is another one than the search's
        hypermodel=build.new_hypermodel(pipeline, bench.dataset)[0],
    )
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
        known, ranked = [*registry.manager_class(pipeline.task.kind).metrics], pipeline.task.rank_by
        if ranked not in (None, *known):
            known += refit.own_metrics(tried, model, tried.dataset.validation, known)
        if ranked not in (None, *known):
            raise ConfigError(errors.unknown("metric", str(ranked), known), "task.rank_by")
        with tempfile.TemporaryDirectory() as folder:
            stored = refit.store(model, Path(folder, "model.keras"), tried.dataset.validation)
            if pipeline.is_ensemble:
                refit.store(
                    refit.mean([stored] * 2, is_classification=bench.dataset.classes is not None),
                    Path(folder, "mean.keras"),
                    tried.dataset.validation,
                )
    except ModelError as error:
        raise ConfigError(f"{target}: {error}", "model._target_") from error
    except (TypeError, ValueError, AttributeError) as error:
        if target.rpartition(".")[0] != check.OURS:
            raise  # the user's own code keeps its trace
        raise ConfigError(f"an argument is invalid: {error}".partition("\n")[0], "model") from error
    counts = [(math.prod(each.shape), np.dtype(each.dtype).itemsize) for each in model.weights]
    return sum(count for count, _ in counts), sum(count * size for count, size in counts), hp


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
    evaluate.evaluate(  # its shape alone
        bench.dataset.validation.y, np.zeros(predicted.shape), bench.dataset.classes
    )


def _train(
    bench: build.Bench, model: "keras.Model", hp: "keras_tuner.HyperParameters", whole: Dataset
) -> None:
    """Train a model as trials do it, but for the epochs, and look at what that reports."""
    dataset, sought = bench.dataset, bench.pipeline.objective.name
    before = dataset.fingerprint
    has_epochs = regimes.of(bench.pipeline).continues or "epochs" in bench.fit_arguments(hp)
    overrides = {"epochs": 1} if has_epochs else {}
    returned = NOTHING
    with suppress(Exception):  # a fit of one's own may need more rows: for whole steps, say
        returned = bench.train(model, hp, [], overrides)
    if dataset.fingerprint != before:
        raise ModelError("its `fit` changes the rows that it is given; it must work on copies")
    if returned is NOTHING:
        returned = replace(bench, dataset=whole).train(model, hp, [], overrides)
    reported = getattr(returned, "history", returned)
    if isinstance(reported, Mapping):
        if sought not in reported:
            raise ConfigError(errors.unknown("metric", sought, reported), "objective.name")
        if f"val_{sought}" in reported:
            raise ConfigError(check.OF_TRAINING.format(sought), "objective.name")
    elif not isinstance(reported, int | float | np.floating | list):
        raise ModelError(
            f"its `fit` returned {reported!r:.60}; it must return the objective's value, a mapping "
            "of metrics, or what model.fit returned"
        )
