"""What is taken for granted of the installed Keras and Keras Tuner: their projects are read as they
tell them, their searches score as ours do, and their parts are known from foreign code.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from e2e_samples import entries, python, run_inline, write

from history.exchange.keras_tuner import read_project

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]


# --- projects

SEARCH = """
import json

import keras
import keras_tuner
import numpy as np

keras.utils.set_random_seed(1)
x = np.random.default_rng(1).normal(size=(60, 4))
y = (x.sum(axis=1) > 0).astype(int)


def build(hp):
    units = hp.Int("units", 4, 16)
    layers = [keras.layers.Dense(units), keras.layers.Dense(2, activation="softmax")]
    model = keras.Sequential(layers)
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    return model


plain = {"objective": "val_accuracy", "max_trials": 3, "executions_per_trial": 2}
bands = {"objective": "val_loss", "max_epochs": 3}
shared = {"directory": "projects", "seed": 1}
tuners = {
    "plain": keras_tuner.RandomSearch(build, project_name="plain", **plain, **shared),
    "bands": keras_tuner.Hyperband(build, project_name="bands", **bands, **shared),
}
told = {}
for name, tuner in tuners.items():
    tuner.search(x, y, validation_split=0.3, epochs=2, verbose=0)
    [best] = tuner.oracle.get_best_trials(1)
    objective = {"name": tuner.oracle.objective.name, "direction": tuner.oracle.objective.direction}
    values = best.hyperparameters.values
    told[name] = {
        "objective": objective,
        "space": tuner.oracle.get_space().get_config()["space"],
        "best": {"trial_id": best.trial_id, "score": float(best.score), "values": values},
        "trials": list(tuner.oracle.end_order),
    }
print(json.dumps(told))
"""


def test_a_project_is_read_as_keras_tuner_itself_tells_it(tmp_path: Path) -> None:
    """Objective, space, best trial and trials, of a random search and of Hyperband."""
    projects = json.loads(python(tmp_path, SEARCH)[-1])
    for name, expected in projects.items():
        folder = tmp_path / "projects" / name
        project = read_project(folder)
        document, count = project.document, len(expected["trials"])
        search = document["search"]
        assert document["best"] == expected["best"]
        assert (search["objective"], search["space"]) == (expected["objective"], expected["space"])
        assert search["tuner"] == ("hyperband" if name == "bands" else None)
        assert search["trials"] == {"total": count, "completed": count, "failed": 0}
        assert [trial.trial_id for trial in project.trials] == expected["trials"]
        names = document["experiment"], document["pipeline"], document["task"]
        assert names == ("projects", name, "classification")
        best = folder / f"trial_{expected['best']['trial_id']}"
        assert project.files == {
            "oracle": folder / "oracle.json",
            "weights": best / "checkpoint.weights.h5",
            "build_config": best / "build_config.json",
        }


# --- scores

TUNERS: dict[str, dict[str, Any]] = {
    "random": {"max_trials": 3},
    "grid": {"max_trials": 3},
    "hyperband": {"max_epochs": 3, "factor": 3},
}
AT_A_TIME = {"hyperband": {"parallel": 1}}  # as Keras Tuner does it

MODELS = """
import keras


def build(hp):
    hidden = keras.layers.Dense(hp.Int("units", 4, 16, step=4), activation="relu")
    rate = hp.Float("dropout", 0.1, 0.5, step=0.2)
    layers = [hidden, keras.layers.Dropout(rate), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((10,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    return model
"""

EXPERIMENT = """# @package _global_
defaults: [/task: regression, _self_]
data: {kind: sklearn, name: diabetes}
model: {_target_: my_models.build}
objective: {name: val_loss, direction: min}
fit: {epochs: 2, batch_size: 256}
baselines: none
"""

PLAIN = """
import contextlib, io, json, sys
import keras, keras_tuner
import tensorflow as tf
from my_models import build
from runner.config.schema import SklearnData
from runner.data.sources import load
from runner.training.seeds import derive_seed

tf.config.threading.set_intra_op_parallelism_threads(2)
data = load(SklearnData(name="diabetes"), "regression")


class Seeded(keras_tuner.Tuner):
    def run_trial(self, trial, *args, **kwargs):
        self.name = f"{int(trial.trial_id):04}"
        return super().run_trial(trial, *args, **kwargs)

    def _build_hypermodel(self, hp):
        if hasattr(self, "name"):
            keras.utils.set_random_seed(derive_seed(0, self.name, 0))
        return super()._build_hypermodel(hp)


class SeededHyperband(Seeded, keras_tuner.Hyperband):
    pass


def tuner(name, arguments):
    given = {"objective": keras_tuner.Objective("val_loss", "min"),
             "seed": derive_seed(0, "oracle"), **arguments}
    place = {"directory": "plain", "project_name": name}
    if name == "hyperband":
        return SeededHyperband(build, **given, **place)
    oracle = {"random": keras_tuner.oracles.RandomSearchOracle,
              "grid": keras_tuner.oracles.GridSearchOracle}[name]
    return Seeded(oracle(**given), build, **place)


found = {}
for name, arguments in json.loads(sys.argv[1]).items():
    made = tuner(name, arguments)
    with contextlib.redirect_stdout(io.StringIO()):
        made.search(*data.train.given(), validation_data=data.validation.given(),
                    epochs=2, batch_size=256, verbose=0)
    ended = [made.oracle.trials[trial_id] for trial_id in made.oracle.end_order]
    found[name] = [
        [trial.hyperparameters.values["units"], trial.hyperparameters.values["dropout"],
         trial.score, trial.best_step] for trial in ended
    ]
print(json.dumps(found))
"""


def test_scores_are_those_of_keras_tuner_itself_under_the_same_seeds(tmp_path: Path) -> None:
    """Bit for bit: values, scores and best epochs, in order. Keras Tuner's side is its own tuners
    and oracles; only the seed is set before each build. Bayesian optimisation chooses others.
    """
    pipelines = {
        name: {"tuner": {"kind": name, **own, **AT_A_TIME.get(name, {})}}
        for name, own in TUNERS.items()
    }
    experiment = f"{EXPERIMENT}pipelines: {json.dumps(pipelines)}\n"
    write(tmp_path, conf__experiment__plain_yaml=experiment, my_models_py=MODELS)
    run_inline(tmp_path, "experiment=plain", "validation.repeats=1", "threads=2")
    ours = {}
    for name, entry in entries(tmp_path).items():
        ours[name] = [
            [row["values"]["units"], row["values"]["dropout"], row["score"], row["best_epoch"]]
            for row in entry.trials()
        ]
    assert ours == json.loads(python(tmp_path, PLAIN, json.dumps(TUNERS))[-1])


# --- parts of models

REAL = """
import sys, zipfile
from pathlib import Path
import keras
from foundation.errors import IntegrityError
from keras import layers as k
from history.model_file import foreign_code, load_model

entry = keras.Input((8, 8, 1))
x = k.Normalization(mean=0.5, variance=2.0)(k.Rescaling(1 / 255)(entry))
x = k.RandomRotation(0.1)(k.RandomFlip()(x))
x = k.Conv2D(4, 3, activation="relu", kernel_regularizer="l2",
             kernel_constraint=keras.constraints.MaxNorm(2),
             kernel_initializer=keras.initializers.HeNormal(seed=1))(x)
x = k.Reshape((6, 24))(k.BatchNormalization()(x))
x = k.Bidirectional(k.LSTM(3, return_sequences=True))(x)
x = k.RNN([k.GRUCell(3), k.LSTMCell(3)], return_sequences=True)(x)
x = k.MultiHeadAttention(2, 2)(x, x)
x = k.TimeDistributed(k.Dense(3, activation=keras.activations.tanh))(x)
x = keras.ops.relu(k.Flatten()(x) + 1.0) * 2
x = keras.ops.concatenate([x, x])[:, :5]
x = keras.Sequential([k.Dense(3), k.Activation("gelu"), k.Dropout(0.1)])(x)
x = k.SpectralNormalization(k.Dense(4, activation=k.LeakyReLU(), dtype="mixed_float16"))(x)
outputs = {"one": k.Dense(3, activation="softmax", name="one")(x), "two": k.Dense(1, name="two")(x)}
model = keras.Model(entry, outputs)
model.compile(
    keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10)),
    loss={"one": keras.losses.SparseCategoricalCrossentropy(name="named"),
          "two": keras.losses.mean_squared_error},
    metrics={"one": ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
             "two": [keras.metrics.MeanMetricWrapper(keras.metrics.mean_absolute_error, "odd")]},
)
path = Path(sys.argv[1])
model.save(path)
print(foreign_code(path), type(load_model(path)).__name__)
with zipfile.ZipFile(path) as whole, zipfile.ZipFile(path.with_name("torn.keras"), "w") as torn:
    torn.writestr("config.json", whole.read("config.json"))
try:
    load_model(path.with_name("torn.keras"))
except IntegrityError as error:
    print(error)
keras.Sequential([keras.Input((2,)), k.Lambda(lambda x: x + 1)]).save(path)
print(foreign_code(path))
"""

# Every name that Keras gives to a config, by kind: is it taken for a part of a model?
NAMES = """
import inspect, json
import keras
from keras.src.api_export import REGISTERED_NAMES_TO_OBJS
from keras.src.saving.serialization_lib import NON_MODELING_APIS
from history.model_file import is_keras

parts = (keras.Layer, keras.Loss, keras.Metric, keras.Optimizer, keras.Initializer,
         keras.Regularizer, keras.constraints.Constraint, keras.DTypePolicy,
         keras.optimizers.schedules.LearningRateSchedule)
functions = ("activations", "losses", "metrics")
found = {"refused parts": [], "let in": []}
for name, value in REGISTERED_NAMES_TO_OBJS.items():
    module, _, last = name.rpartition(".")
    let_in = any(is_keras(name, function=function) for function in (True, False))
    if inspect.isclass(value) and issubclass(value, parts) and not let_in:
        found["refused parts"].append(name)
    if let_in and (name in NON_MODELING_APIS or last in ("get", "deserialize", "serialize")):
        found["let in"].append(name)
    if let_in and not inspect.isclass(value) and module.split(".")[1] not in functions:
        found["let in"].append(name)
print(json.dumps(found))
"""


def test_parts_of_keras_are_known_and_nothing_else(tmp_path: Path) -> None:
    """A model of many kinds of parts names no foreign code, and loads, but not without its weights;
    a lambda within one is named. Parts that run what they hold are refused; functions that do more
    are never let in.
    """
    whole, torn, in_lambda, last = python(tmp_path, REAL + NAMES, str(tmp_path / "model.keras"))
    assert whole == "[] Functional"
    words = "cannot be loaded, although it was stored like this. Keras: "
    assert torn.startswith(f"{tmp_path / 'torn.keras'} {words}")
    assert in_lambda == "['__lambda__', 'keras.layers.Lambda']"
    names = json.loads(last)
    assert names["let in"] == []
    carriers = ("FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper")
    # in modules that hold more than parts
    rare = {"keras.distillation.Distiller", "keras.utils.FeatureSpace"}
    refused = {name for name in names["refused parts"] if not name.startswith("keras._legacy.")}
    assert refused <= {f"keras.layers.{name}" for name in carriers} | rare
