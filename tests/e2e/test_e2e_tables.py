"""A CSV file and an experiment as README shows them make a tuned, saved, reproducible model, which
is applied to new rows; no code runs unasked.
"""

import csv
import json
import os
import random
import re
from dataclasses import dataclass
from pathlib import Path
from subprocess import run as run_process
from sys import executable
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from documentation import block
from e2e_samples import REPOSITORY, finish, history, run_inline, start, start_inline, write
from sklearn.datasets import load_iris

pytestmark = pytest.mark.e2e

CITIES = {"Bern": 1.0, "Basel": 1.2, "Genève": 1.5, "Zürich": 1.8}
SMALL = ("tuner.max_trials=2", "fit.epochs=2", "baselines=none")


def houses() -> list[list[Any]]:
    chance = random.Random(5)
    rows: list[list[Any]] = [["id", "sold", "city", "rooms", "area", "price"]]
    for number in range(240):
        city, rooms = chance.choice(list(CITIES)), chance.randint(1, 6)
        area = rooms * 25 + chance.gauss(0, 5)
        price = round(area * 9000 * CITIES[city])
        gap = {7: ("", rooms, area), 8: (city, "", area), 9: (city, "NA", "")}
        when = f"202{number // 100}-{number % 12 + 1:02}-01"
        rows.append(
            [f"h{number}", when, *gap.get(number % 50, (city, rooms, round(area, 1))), price]
        )
    return rows


def flowers() -> list[list[Any]]:
    table = load_iris()
    rows = [
        [*row, table.target_names[target]]
        for row, target in zip(table.data.tolist(), table.target, strict=True)
    ]
    return [["sepal length", "sepal width", "petal length", "petal width", "species"], *rows]


OWN = "pipelines: {function: {}, own: {model: {_target_: my_models.build}}}\n"

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
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
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
from foundation.errors import ExperimentError
from runner.run import predict
from runner.training import environment
from runner.config.schema import Run

done = []
for reference, source, target, trust in json.loads(sys.argv[1]):
    try:
        plan = predict.plan(history.open("results"), reference, source, target, trust=trust)
        heavy = sorted({"keras", "tensorflow", "sklearn", "matplotlib"} & set(sys.modules))
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


@dataclass(frozen=True)
class Made:
    """The examples' folder, the entry of each experiment, or of each of its pipelines, and what
    the table's run printed.
    """

    folder: Path
    entries: dict[str, dict[str, Any]]
    out: str


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
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """README's examples, and a pipeline whose model has parts of its own, over the same table."""
    folder = tmp_path_factory.mktemp("tables")
    for name, rows in (("houses.csv", houses()), ("flowers.csv", flowers())):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    functions, wide = block("# conf/experiment/flowers.yaml"), block("model: {_target_: wide.Wide}")
    searched, replaced = re.subn(r"model:\n(?:  .*\n)+", wide, functions)
    assert replaced == 1
    write(
        folder,
        my_project_py=block("# my_project.py"),
        wide_py=block("# wide.py"),
        my_models_py=MODELS,
        my_layers_py=LAYERS,
        conf__experiment__houses_yaml=block("# conf/experiment/houses.yaml"),
        conf__experiment__flowers_yaml=searched,
        conf__experiment__functions_yaml=f"{functions}{OWN}",
    )
    real = start(folder, "+experiment=houses", *SMALL, "validation.repeats=2")
    others = [start_inline(folder, f"+experiment={n}", *SMALL) for n in ("flowers", "functions")]
    done = [finish(real), *map(finish, others)]
    assert [process.exit_code for process in done] == [0, 0, 0], done
    found = history(folder, "list")
    names = [e["experiment"] if e["pipeline"] == "main" else e["pipeline"] for e in found]
    assert sorted(names) == ["flowers", "function", "houses", "own"]
    return Made(folder, dict(zip(names, found, strict=True)), done[0].out)


@pytest.fixture(scope="module")
def predicted(made: Made) -> dict[str, Any]:
    """What came of each call, all made in one process."""
    rows = pd.read_csv(made.folder / "flowers.csv")
    rows[rows.columns[::-1]].to_csv(made.folder / "turned.csv", index_label="id")
    np.savez(made.folder / "rows.npz", x=rows.drop(columns="species"))
    (made.folder / "new.csv").write_text(
        "area,city,rooms\n75,Bern,3\n75.0,Zürich,3\n50,,NA\n,Chur,2\n", encoding="utf-8"
    )
    ids = {name: entry["id"] for name, entry in made.entries.items()}
    calls = {
        "refused": (ids["own"], "turned.csv", "refused.csv", False),
        "flowers": (ids["flowers"], "turned.csv", "flowers.out.csv", False),
        "again": (ids["flowers"], "rows.npz", "flowers.out.npz", False),
        "own": (ids["own"], "rows.npz", "own.out.npz", True),
    }
    *printed, last = python(made.folder, PREDICT, json.dumps(list(calls.values())))
    return {**dict(zip(calls, json.loads(last), strict=True)), "printed": printed}


def test_the_examples_are_short() -> None:
    """A CSV file needs fifteen lines of YAML, a model of one's own as well."""
    lines = [len(block(f"# conf/experiment/{n}.yaml").splitlines()) for n in ("houses", "flowers")]
    assert max(lines) <= 15


def test_a_table_gives_a_model_that_takes_raw_rows(made: Made, predicted: dict[str, Any]) -> None:
    """It loads with Keras alone, takes gaps and words that it has never seen, and predicts what
    `predict` writes; metrics are in the target's units, hundreds of thousands.
    """
    entry = made.entries["houses"]
    kinds = {"city": "category", "rooms": "number", "area": "number"}
    assert (entry["status"], entry["data"]["columns"]) == ("complete", kinds)
    assert entry["data"]["shapes"] == {"train": [150, 3], "validation": [42, 3], "test": [48, 3]}
    assert 1e3 < entry["validation"]["metrics"]["mae"] < 1e7
    cities = np.array(["Bern", "Zürich", "", "Chur"], dtype=object)
    rooms, area = np.array([3.0, 3.0, np.nan, 2.0]), np.array([75.0, 75.0, 50.0, np.nan])
    x = {"city": cities, "rooms": rooms, "area": area}
    model = keras.models.load_model(made.folder / "results" / entry["artefacts"]["model"]["path"])
    expected = model.predict(x, verbose=0)[:, 0]
    assert len({*expected.tolist()}) == 4
    done = run_inline(made.folder, f"predict={entry['id']}", "input=new.csv", "output=new.out.csv")
    assert done.exit_code == 0, done
    header, *written = (made.folder / "new.out.csv").read_text().splitlines()
    assert header == "prediction"
    assert np.allclose([*map(float, written)], expected, rtol=1e-5)


def test_the_stored_model_is_the_mean_of_the_refits(made: Made) -> None:
    """Its metrics stand beside those of the single refits, and are not mixed up with them."""
    entry = made.entries["houses"]
    assert (entry["validation"]["repeats"], entry["validation"]["kept"]) == (2, None)
    assert {part: {*found} for part, found in entry["ensemble"].items()} == {
        part: {*entry[part]["metrics"]} for part in ("validation", "test")
    }
    model = keras.models.load_model(made.folder / "results" / entry["artefacts"]["model"]["path"])
    assert [f"refit_{n}" in {layer.name for layer in model.layers} for n in range(1, 4)] == [
        *[True] * 2,
        False,
    ]
    single, joined = entry["validation"]["metrics"]["rmse"], entry["ensemble"]["validation"]["rmse"]
    page = finish(start(made.folder, "show", entry["id"], module="history")).out
    (row,) = [line for line in page.splitlines() if re.match(r"rmse .* ± ", line)]
    assert f"{single:.4f} ± " in row
    assert f" {joined:.4f} " in row
    assert re.search(r"^  mean of 2 ", made.out, re.MULTILINE)
    compared = history(made.folder, "compare", entry["id"], made.entries["flowers"]["id"])
    assert compared["ensemble"] == {"a": entry["ensemble"], "b": {}}


def test_a_users_model_gets_what_the_table_tells(made: Made) -> None:
    """Shapes and classes, by name; the space of a HyperModel is searched, and the arguments of a
    function with it.
    """
    assert {entry["status"] for entry in made.entries.values()} == {"complete"}
    values = {name: set(entry["best"]["values"]) for name, entry in made.entries.items()}
    assert values["flowers"] == {"units", "activation", "batch_size"}
    assert {"layers", "units_0", "model.learning_rate"} <= values["function"]
    assert made.entries["flowers"]["data"]["classes"] == ["setosa", "versicolor", "virginica"]


@pytest.mark.nightly
def test_a_table_reproduces_bit_for_bit(made: Made) -> None:
    """Text columns included; a cell that has changed is said."""
    name = made.entries["houses"]["id"]
    done = run_inline(made.folder, f"reproduce={name}")
    assert (done.exit_code, f"{name}: identical" in done.out) == (0, True), done
    assert "every epoch and metric of 2 refits and of their mean" in done.out
    table = (made.folder / "houses.csv").read_text(encoding="utf-8")
    changed = table.replace("h0,2020-01-01,", "h0,2020-01-01,New")
    (made.folder / "changed.csv").write_text(changed, encoding="utf-8")
    other = "data.path=changed.csv", "validation.repeats=1"
    done = run_inline(made.folder, f"reproduce={name}", *other)
    assert "first difference: repeat 1, epoch 1" in done.out
    assert "data.content" in done.out


@pytest.mark.nightly
def test_a_result_stands_beside_baselines(tmp_path: Path) -> None:
    """Over the same rows, in the entry and in the table; one that does not beat them is told so. No
    identity depends on them, and they can be left out.
    """
    chance = np.random.default_rng(0)
    x = pd.DataFrame(chance.normal(size=(300, 3)), columns=["a", "b", "c"])
    word = chance.choice(["left", "right", ""], 300)
    y = np.where((x.a > 0) ^ (word == "left"), 10, -10) + x.c
    x.assign(word=word, y=y).to_csv(tmp_path / "crossed.csv", index=False)
    given = [
        *("task=regression", "data=table", "data.path=crossed.csv", "data.target=y"),
        *("data.split.test=0.2", "model=linear", "tuner=random", "tuner.max_trials=1"),
        *("fit.epochs=2", "validation.repeats=2"),
    ]
    labels = "+tags=[paper, try]", "name=first", "+note='as it was'"
    done = run_inline(tmp_path, *given, *labels)
    assert done.exit_code == 0, done
    (entry,) = history(tmp_path, "list", "--tag", "try")
    assert [entry[key] for key in ("name", "tags", "note")] == [
        "first",
        ["paper", "try"],
        "as it was",
    ]
    found = entry["baselines"]
    assert [*found] == ["mean", "ridge", "hgb"]
    assert all([*found[name]] == ["validation", "test"] for name in found)
    assert all(found["hgb"][part].keys() == entry[part]["metrics"].keys() for part in found["hgb"])
    rmse = {name: parts["validation"]["rmse"] for name, parts in found.items()}
    assert rmse["hgb"] < rmse["ridge"] < entry["validation"]["metrics"]["rmse"]
    said = "main does not beat the baseline hgb: rmse "
    assert re.search(f"WARNING +{said}", done.err), done.err
    assert f"\n{said}" in done.out
    (row,) = [line for line in done.out.splitlines() if entry["id"] in line]
    assert f" {rmse['hgb']:.4f} hgb " in row
    reused = run_inline(tmp_path, *given, "baselines=none", "reuse=true")
    assert (reused.exit_code, entry["id"] in reused.out) == (0, True), reused
    without = run_inline(tmp_path, *given, "baselines=none")
    assert (without.exit_code, "baseline" in without.out + without.err) == (0, False), without
    *_, last = history(tmp_path, "list")
    assert (last["fingerprint"], "baselines" in last) == (entry["fingerprint"], False)
    assert last["config_hash"] == entry["config_hash"]


def test_a_classifiers_output_is_what_its_model_predicts(
    made: Made, predicted: dict[str, Any]
) -> None:
    """Row by row, whatever the order of the input's columns, bit for bit, from any format; nothing
    heavy was loaded for the plan.
    """
    assert (predicted["flowers"], predicted["again"][0]) == ([150, []], 150)
    names = ["setosa", "versicolor", "virginica"]
    written = pd.read_csv(made.folder / "flowers.out.csv")
    assert [*written] == ["class", *(f"probability_{name}" for name in names)]
    found = written.iloc[:, 1:].to_numpy()
    expected = np.load(made.folder / "flowers.out.csv.npy").astype("float64")
    assert np.array_equal(found, expected / expected.sum(axis=1, keepdims=True))
    assert [*written["class"]] == [names[place] for place in expected.argmax(axis=1)]
    with np.load(made.folder / "flowers.out.npz") as arrays:
        assert arrays["class"].tolist() == [*written["class"]]
        assert np.array_equal(arrays["probabilities"], found)


@pytest.mark.nightly
def test_a_file_as_people_write_it_is_read_as_it_is_meant(tmp_path: Path) -> None:
    """Units, separators of thousands and dates; what was read is said by the check, the log and
    the entry; what could be meant in two ways was refused; and new rows are read likewise, one by
    one.
    """
    chance = random.Random(2)
    rows = [["first name", "sold", "use", "km", "price"]]
    for _ in range(80):
        day, km = chance.randint(1, 28), chance.randint(500, 200_000)
        name, use = chance.choice(["Ann", "Bob", "Eve"]), chance.randint(40, 90) / 10
        rows.append([name, f"2024-02-{day:02}", f"{use} l", f"{km:,}", f"${20_000 - km / 20:,.2f}"])
    with (tmp_path / "cars.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    choices = "task=regression", "data=table", "model=linear", "tuner=random", "tuner.max_trials=1"
    keys = "data.path=cars.csv", "data.target=price", "fit.epochs=1", "validation.epochs=1"
    names = 'data.columns={"first name": ignore}', "baselines=none"
    done = run_inline(tmp_path, *choices, *keys, "mode=check")
    assert done.exit_code == 2
    assert re.search(r"column 'km': '\d+,\d+' may be \d+ or \d+.\d+: set data.thousands", done.err)
    read = "read 2 numbers (use in l, km with thousands ','), 1 date (sold); "
    read += "target price in $ with thousands ','; ignored first name"
    told = *choices, *keys, *names, "data.thousands=','"
    done = run_inline(tmp_path, *told, "mode=check")
    assert (done.exit_code, f"main: {read}" in " ".join(done.out.split())) == (0, True), done
    done = run_inline(tmp_path, *told)
    assert (done.exit_code, f"main: {read}" in done.err) == (0, True), done
    (entry,) = history(tmp_path, "list")
    data = entry["data"]
    assert (data["read"], data["columns"]) == (
        read,
        {"sold": "date", "use": "number", "km": "number"},
    )
    (tmp_path / "new.csv").write_text('km,use,sold\n"7,209",5.5 l,2024-03-01\n', encoding="utf-8")
    done = run_inline(tmp_path, f"predict={entry['id']}", "input=new.csv", "output=out.csv")
    assert done.exit_code == 0, done
    first = np.datetime64(data["since"]["sold"])
    days = (np.datetime64("2024-03-01") - first) / np.timedelta64(1, "D")
    model = keras.models.load_model(tmp_path / "results" / entry["artefacts"]["model"]["path"])
    x = np.array([[2024, 3, 4, days, 5.5, 7209]], "float32")
    expected = float(model.predict(x, verbose=0)[0, 0])
    written = (tmp_path / "out.csv").read_text().splitlines()[1]
    assert np.isclose(float(written), expected, rtol=1e-5)


def test_code_of_ones_own_runs_only_when_it_is_trusted(
    made: Made, predicted: dict[str, Any]
) -> None:
    """It is listed before: the layer by its place, the loss by its registered name, and what built
    the model.
    """
    name, exit_code, message = predicted["refused"]
    assert (name, exit_code) == ("UntrustedCode", 2)
    listed = [line.strip() for line in message.splitlines()[1:-1]]
    assert listed == ["mine>loss", "my_layers.Scale", "my_models.build"]
    assert not (made.folder / "refused.csv").exists()
    assert predicted["printed"] == ["imported my_layers", "imported my_models"]
    assert predicted["own"][0] == 150


@pytest.mark.nightly
def test_parts_of_keras_are_known_and_nothing_else(tmp_path: Path) -> None:
    """Of the installed release: a model of many kinds of parts names no foreign code, and loads,
    but not without its weights; a lambda within one is named. Parts that run what they hold are
    refused; functions that do more are never let in.
    """
    printed = python(tmp_path, REAL + NAMES, str(tmp_path / "model.keras"))
    whole, torn, *lambdas, names = printed
    assert whole == "[] Functional"
    assert torn.startswith(
        f"{tmp_path / 'torn.keras'} cannot be loaded, although it was stored like this. Keras: "
    )
    assert lambdas == ["['__lambda__', 'keras.layers.Lambda']"]
    found = json.loads(names)
    assert found["let in"] == []
    carriers = ("FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper")
    # in modules that hold more than parts
    rare = {"keras.distillation.Distiller", "keras.utils.FeatureSpace"}
    refused = {name for name in found["refused parts"] if not name.startswith("keras._legacy.")}
    assert refused <= {f"keras.layers.{name}" for name in carriers} | rare
