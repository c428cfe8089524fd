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

Curves = dict[str, list[float]]  # the value of each metric after each epoch

DEFAULT_EPOCHS = 10
MOMENT = 0.3  # seconds, for which nobody is told of another epoch
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
        self.target, self.offered = target, offered
        self.sections = {"fit": pipeline.fit.model_dump(), "model": pipeline.model.args}

    def build(self, hp: "keras_tuner.HyperParameters", steps: int = 1) -> object:
        space.declare(self.sections, hp)
        return self.target(
            **targets.wanted(self.target, {"hp": hp, "steps": steps, **self.offered}),
            **space.sample(self.sections["model"], hp, "model"),
        )


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
        if isinstance(self.hypermodel, ConfigHyperModel):
            batch = train.at_hand if isinstance(train := self.dataset.train, Stream) else 32
            fit = {"batch_size": batch, "initial_epoch": 0, **self.fit_arguments(hp), **overrides}
            steps = math.ceil(len(self.dataset.train) / fit["batch_size"])
            built = self.hypermodel.build(hp, steps * (fit["epochs"] - fit["initial_epoch"]))
        else:
            built = self.hypermodel.build(hp)
        _left[:] = [keras.config.dtype_policy().name]
        if not isinstance(built, keras.Model):
            raise ModelError(
                f"did not build a Keras model, but {built!r:.60}; is a `return` missing?"
            )
        if built.compiled and built.loss == ONE_HOT:
            built.compile_from_config({**built.get_compile_config(), "loss": f"sparse_{ONE_HOT}"})
        if not built.compiled and not self.has_own_fit:
            raise ModelError("built a model that is not compiled; give it a loss and metrics")
        evaluate.must_suit(built, self.dataset.classes)
        return built

    def fit_arguments(self, hp: "keras_tuner.HyperParameters") -> dict[str, Any]:
        """Return Keras' fit arguments, with the values of `hp` in place of hyperparameters.

        Raises:
            ConfigError: a class to weigh does not exist.
        """
        fit = self.pipeline.fit.model_dump()
        space.declare({"fit": fit}, hp)
        arguments = {k: v for k, v in space.sample(fit, hp, "fit").items() if v is not None}
        if not self.has_own_fit:
            own = models.trained(self.pipeline.model.target, self.dataset.facts)
            held_out = self.dataset.parts.get("validation")
            if own and held_out and self.dataset.facts.past is not None:
                own["callbacks"].append(LastValue(held_out))
            if isinstance(self.dataset.train, Stream):
                own.pop("batch_size", None)
            arguments = {"epochs": DEFAULT_EPOCHS, **own, **arguments}
        if "tuner/epochs" in hp.values:
            arguments["epochs"] = hp.values["tuner/epochs"]
        if weights := arguments.get("class_weight"):
            classes = self.dataset.classes or ()
            for name in sorted({*weights} - {*classes}):
                raise ConfigError(errors.unknown("class", name, classes), "fit.class_weight")
            arguments["class_weight"] = {classes.index(name): weights[name] for name in weights}
        return arguments

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
        held_out = self.dataset.parts.get("validation")
        arguments = {
            "callbacks": [],
            "validation_data": held_out and self._given(held_out),
            **self.fit_arguments(hp),
            **overrides,
        }
        arguments["callbacks"] = [
            each
            for each in (*arguments["callbacks"], *callbacks)
            # nothing is there to watch
            if arguments["validation_data"]
            or not str(getattr(each, "monitor", "")).startswith("val_")
        ]
        if not self.has_own_fit:
            _spare(model, self.dataset.train)
        return self.hypermodel.fit(
            hp,
            model,
            *self._given(self.dataset.train),
            verbose=0,
            **arguments,
        )

    def _given(self, part: Part) -> tuple[object, ...]:
        """Return what `fit` takes of a part. TensorFlow would copy each array, unless it is a
        tensor that lies over it.
        """
        given = part.given()
        if self.has_own_fit or keras.backend.backend() != "tensorflow":
            return given
        return keras.tree.map_structure(_over, given)  # type: ignore[no-any-return]


class Epochs(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Writes down how far a training is, for whoever looks on, a few times a second at most."""

    def __init__(self, folder: Path, execution: int = 0) -> None:
        super().__init__()
        self.path, self.due = folder / schema.EPOCH, 0.0
        self.which = f" of training {execution + 1}" * bool(execution)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + MOMENT
            with suppress(OSError):  # it is no reason to fail
                files.make_folder(self.path.parent)
                total = (self.params or {}).get("epochs", "?")  # none, of a loop of the user's own
                self.path.write_text(f"{epoch + 1}/{total}{self.which}")


class LastValue(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Goes back to what a model of changes predicts before it is trained, the last value, unless
    what training made of it is better on the validation rows by more than a parameter that tells
    nothing would be by chance (Akaike's criterion).
    """

    monitor = "val_loss"

    def __init__(self, held_out: Part) -> None:
        super().__init__()
        self.held_out = held_out

    def _loss(self) -> float:
        return float(
            self.model.evaluate(*self.held_out.given(), verbose=0, return_dict=True)["loss"]
        )

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self.first = self.model.get_weights(), self._loss()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        if not self._loss() * math.exp(2 / len(self.held_out)) < self.first[1]:
            self.model.set_weights(self.first[0])


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
    given = shared.loaded(dataset, time.perf_counter() - clock, path)
    _keep(pipeline, given, dataset if given.path is None else shared.adopted(given))
    return given


def _keep(pipeline: schema.Pipeline, given: shared.Loaded, dataset: Dataset) -> None:
    """Keep data for pipelines to come, as far as it fits beside newer data."""
    gc.collect()  # what loading has left behind may be as large as the data
    _datasets[_source(pipeline, given)] = dataset
    while len(_datasets) > 1 and sum(each.bytes for each in _datasets.values()) > shared.KEPT:
        _datasets.pop(next(iter(_datasets)))


def _source(pipeline: schema.Pipeline, given: shared.Loaded) -> str:
    return repr((pipeline.task.kind, pipeline.data, given.content))


def bench(pipeline: schema.Pipeline, given: shared.Loaded) -> Bench:
    """Return a pipeline's data and HyperModel, prepared once in each process.

    Args:
        pipeline: the settings.
        given: its data, as it was loaded before, here or in another process.

    Raises:
        ConfigError: the model's target does not exist or does not take its arguments, or a batch
            size is given to data that comes in batches; or its code is not what it was.
        DataError: the data cannot be read, or is not what it was.
    """
    source = _source(pipeline, given)
    if source not in _datasets:
        if given.path is not None:
            _keep(pipeline, given, shared.adopted(given))
        elif load_data(pipeline, None).content != given.content:
            raise DataError(
                f"the data on {platform.node()} has changed since the run was planned; run the "
                "same command again"
            )
    dataset = _datasets[source]
    for section, own in (("fit", pipeline.fit), ("validation", pipeline.validation)):
        if isinstance(dataset.train, Stream) and own.batch_size is not None:
            raise ConfigError(
                "the data is already in batches; set this to null, and set the size of batches "
                "there",
                f"{section}.batch_size",
            )
    key = repr((source, pipeline.model, pipeline.fit, given.code))
    if key not in _hypermodels:
        if given.code is not None and code.code_of(pipeline) != given.code:
            raise ConfigError(
                "its code has changed since the run began; re-run the same command to search anew",
                "model._target_",
            )
        _hypermodels[key] = new_hypermodel(pipeline, dataset)
    return Bench(pipeline, dataset, *_hypermodels[key])


def new_hypermodel(
    pipeline: schema.Pipeline, dataset: Dataset
) -> tuple["keras_tuner.HyperModel", str]:
    """Return a new HyperModel of the pipeline and the dtype policy that its module set when it was
    imported: a module's choice is its own, not that of pipelines that come after it.

    Facts of the data that the target names among its parameters are passed by name.
    """
    settings, facts = pipeline.model, dataset.facts
    module = settings.target.rpartition(".")[0]
    if module not in _policies and (
        [keras.config.dtype_policy().name] == _left or module not in sys.modules
    ):
        keras.config.set_dtype_policy(_usual)
    target = targets.locate(settings.target, "model._target_")
    dtype = _policies.setdefault(module, keras.config.dtype_policy().name)
    # whose parameters they are: a class may have inherited them
    author = (target.__init__ if inspect.isclass(target) else target).__module__ or ""
    offered = {
        name: value
        for name, value in {
            "facts": facts,
            "input_shape": facts.input_shape,
            "num_classes": facts.num_classes,
            "classes": facts.num_classes if author.startswith(KERAS) else dataset.classes,
            "columns": facts.columns,
            "task": pipeline.task.kind,
        }.items()
        if name not in settings.args
    }
    targets.check_arguments(target, settings.args, "model", filled=["hp", *offered])
    if not (inspect.isclass(target) and issubclass(target, keras_tuner.HyperModel)):
        return ConfigHyperModel(target, pipeline, offered), dtype
    for path, _ in space.hyperparameters(settings.args, "model"):
        raise ConfigError("a HyperModel declares its own; pass it plain values", path)
    return target(**targets.wanted(target, offered), **settings.args), dtype


def new_callbacks(
    section: Mapping[str, schema.Target | None],
    where: str,
    of: str,
    folder: Path,
    execution: int = 0,
) -> list["keras.callbacks.Callback"]:
    """Return new callbacks from a section `callbacks`; one that is null is left out.

    Args:
        section: the targets by name.
        where: the section's dotted path, for messages.
        of: the id of the trial or refit.
        folder: for what they write; those that have been told of it find it empty.
        execution: the number of the training in its trial.

    Raises:
        ConfigError: a callback does not exist or does not take its arguments.
    """
    known = {"id": of, "folder": folder, "execution": execution}
    made, given = [], {name: target for name, target in section.items() if target is not None}
    if "folder" in schema.SAID.findall(str([target.args for target in given.values()])):
        if folder.resolve() == folder:  # behind a link it may be anybody's
            shutil.rmtree(folder, ignore_errors=True)
        files.make_folder(folder)
    for name, target in given.items():
        kind = targets.locate(target.target, f"{where}.{name}._target_")
        targets.check_arguments(kind, target.args, f"{where}.{name}")
        told = trees.texts(
            target.args, lambda text: schema.SAID.sub(lambda s: str(known[s[1]]), text)
        )
        made.append(kind(**told))
    return made


def values_of(config: Mapping[str, object]) -> "keras_tuner.HyperParameters":
    """Return Keras Tuner's HyperParameters from their config, which reading would change."""
    return keras_tuner.HyperParameters.from_config(copy.deepcopy(dict(config)))


def dtype_of(pipeline: schema.Pipeline, given: shared.Loaded) -> str:
    """Return the dtype policy that a pipeline's model is built with."""
    return bench(pipeline, given).dtype


def rows_of(pipeline: schema.Pipeline, given: shared.Loaded) -> bytes:
    """Return the .npz file of the row numbers of each part, if the data has one source."""
    return split_file(bench(pipeline, given).dataset.rows)


def readable(config: Mapping[str, object]) -> None:
    """Raise an error unless it is a config of hyperparameters."""
    values_of(config)


def curves(returned: object) -> Curves:
    """Return the metrics of every epoch, where a fit returned them."""
    return {
        name: [float(value) for value in values]
        for name, values in getattr(returned, "history", {}).items()
    }
