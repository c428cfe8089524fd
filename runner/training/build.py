"""Builds models: from a section `model` to a keras_tuner.HyperModel."""

import copy
import dataclasses
import inspect
import sys
import time
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner

from runner.config.check import plain_config
from runner.config.schema import Pipeline, Target
from runner.config.space import declare, hyperparameters, sample
from runner.config.targets import check_arguments, locate, wanted
from runner.data.dataset import Dataset
from runner.data.sources import load
from runner.data.streams import Stream
from runner.errors import ConfigError, ModelError, Problem

DEFAULT_EPOCHS = 10
_policies: dict[
    str, str
] = {}  # the dtype policy that importing a module of models left behind, by its name
_usual = keras.config.dtype_policy().name
KEPT = 2 * 10**9  # bytes of data that stay loaded for pipelines to come

_datasets: dict[str, Dataset] = {}
_makers: dict[str, Any] = {}


class ConfigHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]  # keras_tuner has no types
    """Calls the target of a config with its arguments, each hyperparameter replaced by its
    value.
    """

    def __init__(self, target: Any, pipeline: Pipeline, offered: Mapping[str, Any]) -> None:
        super().__init__()
        self.target, self.offered = target, offered
        self.sections = {"fit": plain_config(pipeline.fit), "model": pipeline.model.args}

    def build(self, hp: Any) -> Any:
        declare(self.sections, hp)
        filled = wanted(self.target, {"hp": hp, **self.offered})
        return self.target(**filled, **sample(self.sections["model"], hp, "model"))


def hypermodel(pipeline: Pipeline, dataset: Dataset) -> Any:
    """The pipeline's HyperModel: the user's own, or one that calls a model function.

    Facts of the data that the target names among its parameters are passed by name: `input_shape`,
    `num_classes` and `classes` (None for regression), `columns` (None without names), `task`,
    `facts`.

    Raises:
        ConfigError: the target does not exist or does not take its arguments.
    """
    target, dtype = _located(pipeline.model.target)
    facts = dataset.facts
    offered = {
        "facts": facts,
        "input_shape": facts.input_shape,
        "num_classes": facts.num_classes,
        "classes": dataset.classes,
        "columns": facts.columns,
        "task": pipeline.task.kind,
    }
    offered = {name: value for name, value in offered.items() if name not in pipeline.model.args}
    check_arguments(target, pipeline.model.args, "model", filled=["hp", *offered])
    if not (inspect.isclass(target) and issubclass(target, keras_tuner.HyperModel)):
        made = ConfigHyperModel(target, pipeline, offered)
        made.runner_dtype = dtype
        return made
    for path, _ in hyperparameters(pipeline.model.args, "model"):
        raise ConfigError(
            [
                Problem(
                    path, "a HyperModel declares its hyperparameters itself; pass it plain values"
                )
            ]
        )
    own: Any = target(**wanted(target, offered), **pipeline.model.args)
    own.runner_dtype = dtype
    return own


def _located(path: str) -> tuple[Any, str]:
    """A model's target, and the dtype policy that its module set when it was imported: a module's
    choice is its own, not that of pipelines that come after it.
    """
    module = path.rpartition(".")[0]
    if module not in _policies and module not in sys.modules:
        keras.config.set_dtype_policy(_usual)
    target = locate(path, "model._target_")
    _policies.setdefault(module, keras.config.dtype_policy().name)
    return target, _policies[module]


def bench(pipeline: Pipeline) -> tuple[Dataset, Any]:
    """Data and HyperModel of a pipeline, prepared once in each process.

    Pipelines with the same data share them. Data that no longer fits beside newer data is loaded
    again.
    """
    key = repr((pipeline.task.kind, pipeline.data))
    if key not in _datasets:
        clock = time.perf_counter()
        loaded = load(pipeline.data, pipeline.task.kind)
        _datasets[key] = dataclasses.replace(loaded, seconds=time.perf_counter() - clock)
        while len(_datasets) > 1 and sum(dataset.bytes for dataset in _datasets.values()) > KEPT:
            _datasets.pop(next(iter(_datasets)))
    maker = repr((key, pipeline.model, pipeline.fit))
    if maker not in _makers:
        _makers[maker] = hypermodel(pipeline, _datasets[key])
    return _datasets[key], _makers[maker]


def has_own_fit(model: Any) -> bool:
    """Whether a HyperModel trains in its own way."""
    return type(model).fit is not keras_tuner.HyperModel.fit


def build(maker: Any, hp: Any, seed: int) -> Any:
    """A compiled model from a HyperModel, in a session of its own, so that nothing that happened
    before it counts.

    Raises:
        ModelError: what was built is no Keras model, or is not compiled and not trained in its own
        way.
    """
    keras.backend.clear_session(
        free_memory=False
    )  # the collection it would trigger costs more than the training
    keras.config.set_dtype_policy(maker.runner_dtype)  # a new session forgets it
    keras.utils.set_random_seed(seed)
    built = maker.build(hp)
    if not isinstance(built, keras.Model):
        raise ModelError(
            f"built a {type(built).__name__}, not a Keras model; is a `return` missing?"
        )
    if not built.compiled and not has_own_fit(maker):
        raise ModelError("built a model that is not compiled; compile it with a loss and metrics")
    return built


def values_of(config: dict[str, Any]) -> Any:
    """Keras Tuner's HyperParameters from their config, which reading would change."""
    return keras_tuner.HyperParameters.from_config(copy.deepcopy(config))


def train(maker: Any, hp: Any, model: Any, dataset: Dataset, **arguments: Any) -> Any:
    """Trains a model as its HyperModel does it, and returns what that returned."""
    rows, held_out = dataset.train.given(), dataset.validation.given()
    with warnings.catch_warnings():  # that shuffle=True, which is the default, is not for streams
        warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
        return maker.fit(hp, model, *rows, validation_data=held_out, verbose=0, **arguments)


def fit_arguments(pipeline: Pipeline, dataset: Dataset, model: Any, hp: Any) -> dict[str, Any]:
    """Keras' fit arguments of a trial, its own values in place of the hyperparameters.

    Raises:
        ConfigError: a class to weigh does not exist, or a batch size is given to data that comes in
        batches.
    """
    for section, own in (("fit", pipeline.fit), ("validation", pipeline.validation)):
        if isinstance(dataset.train, Stream) and own.batch_size is not None:
            what = "the data comes in batches of its own; set it to null here, and batch in the data function"
            raise ConfigError([Problem(f"{section}.batch_size", what)])
    fit = plain_config(pipeline.fit)
    declare({"fit": fit}, hp)
    arguments = {k: v for k, v in sample(fit, hp, "fit").items() if v is not None}
    if not has_own_fit(model):
        arguments.setdefault("epochs", DEFAULT_EPOCHS)
    if "tuner/epochs" in hp.values:
        arguments["epochs"] = hp.values["tuner/epochs"]
    if "class_weight" in arguments:
        arguments["class_weight"] = _class_weight(arguments["class_weight"], dataset)
    return arguments


def callbacks(section: Mapping[str, Target | None], where: str) -> list[Any]:
    """New callbacks from a section `callbacks`; one that is null is left out."""
    made = []
    for name, target in section.items():
        if target is not None:
            kind = locate(target.target, f"{where}.{name}._target_")
            check_arguments(kind, target.args, f"{where}.{name}")
            made.append(kind(**target.args))
    return made


def _class_weight(weights: Mapping[str, float], dataset: Dataset) -> dict[int, float]:
    classes = dataset.classes or ()
    unknown = [name for name in weights if name not in classes]
    if unknown:
        what = f"no class is called '{unknown[0]}' (classes: {', '.join(classes) or 'none, this is a regression'})"
        raise ConfigError([Problem("fit.class_weight", what)])
    return {classes.index(name): weight for name, weight in weights.items()}


def curves(returned: Any) -> dict[str, list[float]]:
    """The metrics of every epoch, where a fit returned them."""
    history = getattr(returned, "history", {})
    return {name: [float(v) for v in values] for name, values in history.items()}
