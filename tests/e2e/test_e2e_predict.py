"""Stored models applied to new rows: what is written is what the model predicts, and no code runs
unasked.
"""

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path
from subprocess import run as run_process
from sys import executable
from typing import Any

import numpy as np
import pytest
from e2e_samples import REPOSITORY, entries, run, write
from sklearn.datasets import load_diabetes, load_iris

pytestmark = pytest.mark.e2e

EXPERIMENT = """# @package _global_
defaults:
  - /tuner: random
  - /model: mlp
  - /task@pipelines.iris.task: classification
  - /data@pipelines.iris.data: iris
  - /task@pipelines.diabetes.task: regression
  - /data@pipelines.diabetes.data: diabetes
  - /task@pipelines.own.task: classification
  - /data@pipelines.own.data: iris
  - _self_
tuner: {max_trials: 1}
fit: {epochs: 2}
pipelines:
  own: {model: {_target_: my_models.build}}
"""

MODELS = """
import keras
import my_layers

print("imported my_models")


@keras.saving.register_keras_serializable("mine")
def loss(truth, predicted):
    return keras.losses.sparse_categorical_crossentropy(truth, predicted)


def build(num_classes):
    layers = [my_layers.Scale(), keras.layers.Dense(num_classes, activation="softmax")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("adam", loss, metrics=["accuracy"])
    return model
"""

LAYERS = """
import keras

print("imported my_layers")


@keras.saving.register_keras_serializable("mine")
class Scale(keras.layers.Layer):
    def call(self, x):
        return x * 0.5
"""

# The command line's part: the entry, the files and `trust` of each call; then what Keras says of
# the same rows.
PREDICT = """
import json, sys
import numpy as np
import history
from history.errors import ExperimentError
from runner.run import predict
from runner.training import environment
from runner.config.schema import Run

done = []
for reference, source, target, trust in json.loads(sys.argv[1]):
    try:
        plan = predict.plan(history.open("results"), reference, source, target, trust=trust)
        heavy = sorted({"keras", "tensorflow"} & set(sys.modules))
        environment.prepare(Run())
        count = predict.predict(plan)
        import keras
        model = keras.models.load_model(plan.model)
        np.save(target + ".npy", model.predict(plan.rows, batch_size=256, verbose=0))
        done.append([count, heavy])
    except ExperimentError as error:
        done.append([type(error).__name__, error.exit_code, str(error)])
print(json.dumps(done))
"""

REAL = """
import sys, zipfile
from pathlib import Path
import keras
from history.errors import IntegrityError
from keras import layers as k
from history.model_file import foreign_code, load_model

entry = keras.Input((8, 8, 1))
x = k.Normalization(mean=0.5, variance=2.0)(k.Rescaling(1 / 255)(entry))
x = k.RandomRotation(0.1)(k.RandomFlip()(x))
x = k.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(2),
             kernel_initializer=keras.initializers.HeNormal(seed=1))(x)
x = k.Reshape((6, 24))(k.BatchNormalization()(x))
x = k.Bidirectional(k.LSTM(3, return_sequences=True))(x)
x = k.RNN([k.GRUCell(3), k.LSTMCell(3)], return_sequences=True)(x)
x = k.TimeDistributed(k.Dense(3, activation=keras.activations.tanh))(k.MultiHeadAttention(2, 2)(x, x))
x = keras.ops.relu(k.Flatten()(x) + 1.0) * 2
x = keras.Sequential([k.Dense(3), k.Activation("gelu"), k.Dropout(0.1)])(keras.ops.concatenate([x, x])[:, :5])
x = k.SpectralNormalization(k.Dense(4, activation=k.LeakyReLU(), dtype="mixed_float16"))(x)
model = keras.Model(entry, {"one": k.Dense(3, activation="softmax", name="one")(x), "two": k.Dense(1, name="two")(x)})
model.compile(
    keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10)),
    loss={"one": keras.losses.SparseCategoricalCrossentropy(name="named"), "two": keras.losses.mean_squared_error},
    metrics={"one": ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
             "two": [keras.metrics.MeanMetricWrapper(keras.metrics.mean_absolute_error, name="odd")]},
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
from history.model_file import _is_keras

parts = (keras.Layer, keras.Loss, keras.Metric, keras.Optimizer, keras.Initializer, keras.Regularizer,
         keras.constraints.Constraint, keras.optimizers.schedules.LearningRateSchedule, keras.DTypePolicy)
found = {"refused parts": [], "let in": []}
for name, value in REGISTERED_NAMES_TO_OBJS.items():
    module, _, last = name.rpartition(".")
    let_in = any(_is_keras(module, last, function=function) for function in (True, False))
    if inspect.isclass(value) and issubclass(value, parts) and not let_in:
        found["refused parts"].append(name)
    if let_in and (name in NON_MODELING_APIS or last in ("get", "deserialize", "serialize")):
        found["let in"].append(name)
    if let_in and not inspect.isclass(value) and module.split(".")[1] not in ("activations", "losses", "metrics"):
        found["let in"].append(name)
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Trained:
    folder: Path
    ids: dict[str, str]


def python(folder: Path, code: str, *arguments: str) -> list[str]:
    """The lines that a process prints."""
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{folder}"}
    command = [executable, "-c", code, *arguments]
    done = run_process(
        command, capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("predict")
    write(folder, conf__experiment__three_yaml=EXPERIMENT, my_models_py=MODELS, my_layers_py=LAYERS)
    done = run(folder, "+experiment=three")
    assert done.exit_code == 0, done.err
    return Trained(folder, {name: entry["id"] for name, entry in entries(folder).items()})


@pytest.fixture(scope="module")
def predicted(trained: Trained) -> dict[str, Any]:
    """What came of each call, all made in one process."""
    iris, diabetes = load_iris(), load_diabetes()
    _table(trained.folder / "iris.csv", iris.feature_names[::-1], iris.data[:, ::-1])
    _table(trained.folder / "diabetes.csv", diabetes.feature_names, diabetes.data)
    np.savez(trained.folder / "iris.npz", x=iris.data)
    calls = {
        "refused": (trained.ids["own"], "iris.csv", "refused.csv", False),
        "iris": (trained.ids["iris"], "iris.csv", "iris-out.csv", False),
        "diabetes": (trained.ids["diabetes"], "diabetes.csv", "diabetes-out.csv", False),
        "again": (trained.ids["iris"], "iris.npz", "iris-out.npz", False),
        "own": (trained.ids["own"], "iris.npz", "own-out.npz", True),
    }
    *printed, last = python(trained.folder, PREDICT, json.dumps(list(calls.values())))
    return {**dict(zip(calls, json.loads(last), strict=True)), "printed": printed}


def _table(path: Path, names: list[str], rows: Any) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", *names], *([number, *row] for number, row in enumerate(rows.tolist()))]
        )


def test_a_classifiers_output_is_what_its_model_predicts(
    trained: Trained, predicted: dict[str, Any]
) -> None:
    """Row by row, whatever the order of the input's columns; TensorFlow was not loaded for the
    plan.
    """
    assert predicted["iris"][0] == 150
    with (trained.folder / "iris-out.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    names = ["setosa", "versicolor", "virginica"]
    assert header == ["class", *(f"probability_{name}" for name in names)]
    found = np.array([[float(text) for text in line[1:]] for line in lines])
    expected = np.load(trained.folder / "iris-out.csv.npy").astype("float64")
    assert np.abs(found - expected / expected.sum(axis=1, keepdims=True)).max() == 0
    assert [line[0] for line in lines] == [names[place] for place in expected.argmax(axis=1)]


def test_a_regressions_output_is_in_the_targets_units(
    trained: Trained, predicted: dict[str, Any]
) -> None:
    """With every digit."""
    assert predicted["diabetes"][0] == 442
    header, *lines = (trained.folder / "diabetes-out.csv").read_text().splitlines()
    assert header == "prediction"
    expected = np.load(trained.folder / "diabetes-out.csv.npy")[:, 0].astype("float64")
    assert [float(line) for line in lines] == expected.tolist()
    assert abs(expected.mean() - load_diabetes().target.mean()) < 80


def test_the_same_rows_from_another_format_give_the_same(
    trained: Trained, predicted: dict[str, Any]
) -> None:
    """Bit for bit."""
    assert predicted["again"][0] == 150
    with (trained.folder / "iris-out.csv").open(newline="") as file:
        lines = list(csv.reader(file))[1:]
    with np.load(trained.folder / "iris-out.npz") as arrays:
        assert arrays["class"].tolist() == [line[0] for line in lines]
        assert arrays["probabilities"].tolist() == [
            [float(text) for text in line[1:]] for line in lines
        ]


def test_code_of_ones_own_runs_only_when_it_is_trusted(
    trained: Trained, predicted: dict[str, Any]
) -> None:
    """It is listed before: the layer by its place, the loss by its registered name, and what built
    the model.
    """
    name, exit_code, message = predicted["refused"]
    assert (name, exit_code) == ("UntrustedCode", 2)
    assert [line.strip() for line in message.splitlines()[1:-1]] == [
        "mine>loss",
        "my_layers.Scale",
        "my_models.build",
    ]
    assert not (trained.folder / "refused.csv").exists()
    assert predicted["printed"] == ["imported my_layers", "imported my_models"]
    assert predicted["own"][0] == 150
    with np.load(trained.folder / "own-out.npz") as arrays:
        expected = np.load(trained.folder / "own-out.npz.npy").astype("float64")
        assert (
            np.abs(arrays["probabilities"] - expected / expected.sum(axis=1, keepdims=True)).max()
            == 0
        )


def test_planning_loads_no_tensorflow(predicted: dict[str, Any]) -> None:
    """The first call that got through says what was loaded before it predicted."""
    assert predicted["iris"][1] == []


def test_a_model_of_many_kinds_of_parts_names_no_foreign_code(tmp_path: Path) -> None:
    """And loads, but not without its weights; a lambda within one is named."""
    whole, torn, *lambdas = python(tmp_path, REAL, str(tmp_path / "model.keras"))
    assert whole == "[] Functional"
    assert torn.startswith(
        f"{tmp_path / 'torn.keras'} does not load, although it was stored so. Keras: "
    )
    assert lambdas == ["['__lambda__', 'keras.layers.Lambda']"]


def test_all_parts_of_keras_are_known_and_nothing_else(tmp_path: Path) -> None:
    """Of the installed release: parts that run what they hold are refused; functions that do more
    are never let in.
    """
    found = json.loads(python(tmp_path, NAMES)[-1])
    assert found["let in"] == []
    carriers = {
        f"keras.layers.{name}"
        for name in ("FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper")
    }
    rare = {
        "keras.distillation.Distiller",
        "keras.utils.FeatureSpace",
    }  # in modules that hold more than parts
    refused = {name for name in found["refused parts"] if not name.startswith("keras._legacy.")}
    assert refused <= carriers | rare
