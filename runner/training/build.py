"""Builds and trains models of a pipeline: its data, and the HyperModel that `model` names."""

import copy
import gc
import inspect
import math
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import keras_tuner
import numpy as np

from foundation import errors, files, trees
from runner import models
from runner.config import code, schema, space, targets
from runner.data import shared, sources, split
from runner.data.dataset import Dataset, Part, Stream
from runner.data.npz import split_file
from runner.errors import ConfigError, DataError, ModelError
from runner.training import evaluate
from runner.training.callbacks import LastValue

Curves = dict[str, list[float]]  # the value of each metric after each epoch

DEFAULT_EPOCHS = 10
KERAS = ("keras.", "keras_tuner.")  # modules whose `classes` are a number
ONE_HOT = "categorical_crossentropy"  # a loss that is the same, of classes by number, when sparse

_datasets: dict[str, Dataset] = {}
_hypermodels: dict[str, tuple[keras_tuner.HyperModel, str]] = {}  # with its dtype policy
_policies: dict[str, str] = {}  # the dtype policy that importing a module of models left behind
_left: list[str] = []  # the policy that building a model left behind, last
_usual = keras.config.dtype_policy().name


class ConfigHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]  # keras_tuner has no types
    """Calls the target of a config with its arguments, hyperparameters replaced by values."""

    def __init__(
        self,
        target: Callable[..., object],
        pipeline: schema.Pipeline,
        offered: Mapping[str, object],
    ) -> None:
        super().__init__()
        self.target = target
        self.offered = offered
        self.sections = {"fit": pipeline.fit.model_dump(), "model": pipeline.model.args}

    def build(self, hp: "keras_tuner.HyperParameters", steps: int = 1) -> object:
        space.declare(self.sections, hp)
        offered = targets.wanted(self.target, {"hp": hp, "steps": steps, **self.offered})
        return self.target(**offered, **space.sample(self.sections["model"], hp, "model"))


@dataclass(frozen=True)
class Bench:
    """What a pipeline's models are built from and trained on."""

    pipeline: schema.Pipeline
    dataset: Dataset
    hypermodel: "keras_tuner.HyperModel"  # the user's own, or one that calls a model function
    dtype: str  # the policy that the model's module sets

    @property
    def has_own_fit(self) -> bool:
        """Say whether the HyperModel trains in its own way."""
        return type(self.hypermodel).fit is not keras_tuner.HyperModel.fit

    def fold(self, number: int | None) -> "Bench":
        """Return what models of a fold are built from and trained on or, without a number, those
        of all rows but test; itself where there are no folds.

        Raises:
            ConfigError: the data, or a `fit` of the user's own, cannot be so.
        """
        folds = self.pipeline.tuner.folds
        if not folds:
            return self
        if self.has_own_fit:
            raise ConfigError(
                "a `fit` of your own may need validation rows, but the refit on all rows has none",
                "tuner.folds",
            )
        data = split.folded(self.dataset, self.pipeline.data, folds, number)
        return Bench(self.pipeline, data, *new_hypermodel(self.pipeline, data))

    def build(
        self,
        hp: "keras_tuner.HyperParameters",
        seed: int,
        overrides: Mapping[str, Any] = MappingProxyType({}),
    ) -> "keras.Model":
        """Return a compiled model, built in a session of its own, so that nothing that happened
        before it counts.

        Args:
            hp: the values of the hyperparameters.
            seed: of all that is drawn.
            overrides: fit arguments in place of the pipeline's own, as in `train`.

        Raises:
            ModelError: what was built is no Keras model, does not suit the task, or is not compiled
            and not trained in its own way.
        """
        # the garbage collection that a new session triggers costs more than the training
        keras.backend.clear_session(free_memory=False)
        keras.config.set_dtype_policy(self.dtype)  # a new session forgets it
        keras.utils.set_random_seed(seed)
        arguments = {}
        if isinstance(self.hypermodel, ConfigHyperModel):
            arguments["steps"] = self._steps(hp, overrides)
        model = self.hypermodel.build(hp, **arguments)
        _left[:] = [keras.config.dtype_policy().name]
        if not isinstance(model, keras.Model):
            raise ModelError(
                f"did not build a Keras model, but {model!r:.60}; is a `return` missing?"
            )
        if model.compiled and model.loss == ONE_HOT:
            model.compile_from_config(model.get_compile_config() | {"loss": f"sparse_{ONE_HOT}"})
        if not model.compiled and not self.has_own_fit:
            raise ModelError("built a model that is not compiled; give it a loss and metrics")
        evaluate.must_suit(model, self.dataset.classes)
        return model

    def _steps(self, hp: "keras_tuner.HyperParameters", overrides: Mapping[str, Any]) -> int:
        """Return how many training steps a model has."""
        train = self.dataset.train
        fit = {**self.fit_arguments(hp), **overrides}
        batch_size = fit.get("batch_size", train.at_hand if isinstance(train, Stream) else 32)
        epochs = fit["epochs"] - fit.get("initial_epoch", 0)
        return int(math.ceil(len(train) / batch_size) * epochs)

    def fit_arguments(self, hp: "keras_tuner.HyperParameters") -> dict[str, Any]:
        """Return Keras' fit arguments, with the values of `hp` in place of hyperparameters.

        Raises:
            ConfigError: a class to weigh does not exist.
        """
        fit = self.pipeline.fit.model_dump()
        space.declare({"fit": fit}, hp)
        arguments = {
            name: value for name, value in space.sample(fit, hp, "fit").items() if value is not None
        }
        if not self.has_own_fit:
            arguments = self._defaults() | arguments
        if "tuner/epochs" in hp.values:
            arguments["epochs"] = hp.values["tuner/epochs"]
        weights = arguments.get("class_weight")
        if weights:
            classes = self.dataset.classes or ()
            unknown = sorted({*weights} - {*classes})
            if unknown:
                message = errors.unknown("class", unknown[0], classes)
                raise ConfigError(message, "fit.class_weight")
            arguments["class_weight"] = {classes.index(name): weights[name] for name in weights}
        return arguments

    def _defaults(self) -> dict[str, Any]:
        """Return the fit arguments where the config has none."""
        facts = self.dataset.facts
        defaults = models.trained(self.pipeline.model.target, facts)
        if defaults and facts.past is not None and "validation" in self.dataset.parts:
            defaults["callbacks"].append(LastValue(self.dataset.validation))
        if isinstance(self.dataset.train, Stream):
            defaults.pop("batch_size", None)
        return {"epochs": DEFAULT_EPOCHS, **defaults}

    def train(
        self,
        model: "keras.Model",
        hp: "keras_tuner.HyperParameters",
        callbacks: list["keras.callbacks.Callback"],
        overrides: Mapping[str, object],
    ) -> object:
        """Train a model as its HyperModel does it, and return what that returned.

        Args:
            model: built with `hp`.
            hp: the values of the hyperparameters.
            callbacks: new ones.
            overrides: fit arguments in place of the pipeline's own.
        """
        validation = self.dataset.parts.get("validation")
        arguments = {
            "validation_data": validation and self._tensors(validation),
            **self.fit_arguments(hp),
            **overrides,
        }
        callbacks = arguments.get("callbacks", []) + callbacks
        if not arguments["validation_data"]:  # there is nothing to watch
            callbacks = [
                callback
                for callback in callbacks
                if not str(getattr(callback, "monitor", "")).startswith("val_")
            ]
        arguments["callbacks"] = callbacks
        train = self.dataset.train
        if not self.has_own_fit:
            _spare(model, train)
        return self.hypermodel.fit(hp, model, *self._tensors(train), verbose=0, **arguments)

    def _tensors(self, part: Part) -> tuple[object, ...]:
        """Return what `fit` takes of a part. TensorFlow would copy each array, unless it is a
        tensor that lies over it.
        """
        rows = part.given()
        if self.has_own_fit or keras.backend.backend() != "tensorflow":
            return rows
        return keras.tree.map_structure(_over, rows)  # type: ignore[no-any-return]


def _spare(model: "keras.Model", part: Part) -> None:
    """Spare TensorFlow what costs time and memory, and changes no number. It would trace the first
    step twice, as Keras creates in it what a model has beside its weights: a third of a short
    training. And Keras would sum gradients over devices where there is one, through a gradient of
    its own, which TensorFlow keeps for ever with all that was traced: some megabytes a training.
    """
    with suppress(Exception):  # what is private to Keras, or cannot be done so, stays as it is
        if model.built and model._distribute_strategy is None:
            model.optimizer._all_reduce_sum_gradients = list
            rows = keras.tree.map_structure(
                keras.ops.convert_to_tensor, part.take(slice(1)).given()
            )
            model._symbolic_build(data_batch=rows)


def _over(array: object) -> object:
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.kind not in "fiu"
        or array.ctypes.data % shared.ALIGNED  # TensorFlow would not survive it
        or not array.flags.c_contiguous
    ):
        return array
    import tensorflow as tf

    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def load_data(pipeline: schema.Pipeline, path: Path | None) -> shared.Loaded:
    """Load a pipeline's data, and return what other processes need of it: with `path`, that is
    memory which they share.

    Raises:
        DataError: the data cannot be read.
    """
    # a data function that sets no seed draws the same rows, whatever came before it
    keras.utils.set_random_seed(1)
    clock = time.perf_counter()
    dataset = sources.load(pipeline.data, pipeline.task.kind)
    data = shared.loaded(dataset, time.perf_counter() - clock, path)
    _keep(_source(pipeline, data), dataset if data.path is None else shared.adopted(data))
    return data


def _keep(source: str, dataset: Dataset) -> None:
    """Keep data for pipelines to come, as far as it fits beside newer data."""
    gc.collect()  # what loading has left behind may be as large as the data
    _datasets[source] = dataset
    while len(_datasets) > 1 and sum(each.bytes for each in _datasets.values()) > shared.KEPT:
        oldest = next(iter(_datasets))
        del _datasets[oldest]


def _source(pipeline: schema.Pipeline, data: shared.Loaded) -> str:
    return repr((pipeline.task.kind, pipeline.data, data.content))


def bench(pipeline: schema.Pipeline, data: shared.Loaded) -> Bench:
    """Return a pipeline's data and HyperModel, prepared once in each process.

    Args:
        pipeline: the settings.
        data: its data, as it was loaded before, here or in another process.

    Raises:
        ConfigError: the model's target does not exist or does not take its arguments, or a batch
            size is given to data that comes in batches; or its code is not what it was.
        DataError: the data cannot be read, or is not what it was.
    """
    source = _source(pipeline, data)
    if source not in _datasets:
        if data.path is not None:
            _keep(source, shared.adopted(data))
        elif load_data(pipeline, None).content != data.content:
            raise DataError(
                f"the data on {platform.node()} has changed since the run was planned; run the "
                "same command again"
            )
    dataset = _datasets[source]
    if isinstance(dataset.train, Stream):
        _check_batch_sizes(pipeline)
    key = repr((source, pipeline.model, pipeline.fit, data.code))
    if key not in _hypermodels:
        if data.code is not None and code.code_of(pipeline) != data.code:
            raise ConfigError(
                "its code has changed since the run began; re-run the same command to search anew",
                "model._target_",
            )
        _hypermodels[key] = new_hypermodel(pipeline, dataset)
    return Bench(pipeline, dataset, *_hypermodels[key])


def _check_batch_sizes(pipeline: schema.Pipeline) -> None:
    """Raise ConfigError where a batch size is given to data that comes in batches."""
    sizes = {"fit": pipeline.fit.batch_size, "validation": pipeline.validation.batch_size}
    for section, size in sizes.items():
        if size is not None:
            raise ConfigError(
                "the data is already in batches; set this to null, and set the size of batches "
                "there",
                f"{section}.batch_size",
            )


def new_hypermodel(
    pipeline: schema.Pipeline, dataset: Dataset
) -> tuple["keras_tuner.HyperModel", str]:
    """Return the HyperModel that `model` names, or one that calls what it names, and the dtype
    policy that its module sets. If it is a new model in this process, its module is imported.

    Facts of the data that the target names among its parameters are passed by name.
    """
    settings = pipeline.model
    module = settings.target.rpartition(".")[0]
    is_of_a_model = [keras.config.dtype_policy().name] == _left
    if module not in _policies and (is_of_a_model or module not in sys.modules):
        keras.config.set_dtype_policy(_usual)
    target = targets.locate(settings.target, "model._target_")
    dtype = _policies.setdefault(module, keras.config.dtype_policy().name)
    offered = _offered(pipeline, dataset, target)
    targets.check_arguments(target, settings.args, "model", filled=["hp", *offered])
    if not (inspect.isclass(target) and issubclass(target, keras_tuner.HyperModel)):
        return ConfigHyperModel(target, pipeline, offered), dtype
    for path, _ in space.hyperparameters(settings.args, "model"):
        raise ConfigError("a HyperModel declares its own; pass it plain values", path)
    return target(**targets.wanted(target, offered), **settings.args), dtype


def _offered(
    pipeline: schema.Pipeline, dataset: Dataset, target: Callable[..., object]
) -> dict[str, object]:
    """Return the facts that a target may name among its parameters, but what its config gives."""
    facts = dataset.facts
    # whose parameters they are: a class may have inherited them
    function = target.__init__ if inspect.isclass(target) else target
    is_of_keras = (function.__module__ or "").startswith(KERAS)
    offered = {
        "facts": facts,
        "input_shape": facts.input_shape,
        "num_classes": facts.num_classes,
        "classes": facts.num_classes if is_of_keras else dataset.classes,
        "columns": facts.columns,
        "task": pipeline.task.kind,
    }
    return {name: fact for name, fact in offered.items() if name not in pipeline.model.args}


def new_callbacks(
    section: Mapping[str, schema.Target | None],
    where: str,
    training: str,
    folder: Path,
    execution: int = 0,
) -> list["keras.callbacks.Callback"]:
    """Return new callbacks from a section `callbacks`; one that is null is left out.

    Args:
        section: the targets by name.
        where: the section's dotted path, for messages.
        training: the id of the trial or refit.
        folder: for what they write; those that have been told of it find it empty.
        execution: the number of the training in its trial.

    Raises:
        ConfigError: a callback does not exist or does not take its arguments.
    """
    values = {"id": training, "folder": str(folder), "execution": str(execution)}
    wanted = {name: target for name, target in section.items() if target is not None}
    if "folder" in schema.SAID.findall(str([target.args for target in wanted.values()])):
        if folder.resolve() == folder:  # behind a link it may be anybody's
            shutil.rmtree(folder, ignore_errors=True)
        files.make_folder(folder)

    def filled(text: str) -> str:
        return schema.SAID.sub(lambda match: values[match[1]], text)

    callbacks = []
    for name, target in wanted.items():
        kind = targets.locate(target.target, f"{where}.{name}._target_")
        targets.check_arguments(kind, target.args, f"{where}.{name}")
        callbacks.append(kind(**trees.texts(target.args, filled)))
    return callbacks


def values_of(config: Mapping[str, object]) -> "keras_tuner.HyperParameters":
    """Return Keras Tuner's HyperParameters from their config, which reading would change."""
    return keras_tuner.HyperParameters.from_config(copy.deepcopy(dict(config)))


def dtype_of(pipeline: schema.Pipeline, data: shared.Loaded) -> str:
    """Return the dtype policy that a pipeline's model is built with."""
    return bench(pipeline, data).dtype


def rows_of(pipeline: schema.Pipeline, data: shared.Loaded) -> bytes:
    """Return the .npz file of the row numbers of each part, if the data has one source."""
    return split_file(bench(pipeline, data).dataset.rows)


def readable(config: Mapping[str, object]) -> None:
    """Raise an error unless it is a config of hyperparameters."""
    values_of(config)


def curves(returned: object) -> Curves:
    """Return the metrics of every epoch, where a fit returned them."""
    history = getattr(returned, "history", {})
    return {name: [float(value) for value in values] for name, values in history.items()}
