"""A user's folder in which ordinary experiments have run: the shipped ones, README's, and some with
models, data and failures of the user's own. It is made once, for all tests and the processes that
they run in; they read it, and copy what they change.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd
from documentation import block
from e2e_samples import Document, Done, Process, documents, finish, start, start_inline, write
from sklearn.datasets import load_iris

SHORT = ("fit.epochs=2", "tuner.max_trials=2")
PLAIN = (*SHORT, "baselines=none")
TWICE = "validation.repeats=2"
LABELS = ("+tags=[paper, try]", "name=first", "+note='as it was'")
# The experiments, each with the rest of its command; the first runs in workers of its own.
RUNS = {
    "digits": (*SHORT, TWICE, "pipelines.cnn.tuner.max_epochs=3"),
    "diabetes": (*SHORT, TWICE, *LABELS),
    "mixed": SHORT,
    "houses": (*PLAIN, TWICE),
    "flowers": PLAIN,
    "functions": PLAIN,
    "pair": (),
    "scores": (),
    "searched": (),
    "failing": (),
}

HEAD = """# @package _global_
defaults: [/task: classification, /tuner: random, _self_]
"""
IRIS = "data: {kind: sklearn, name: iris, split: {test: 0}}"
EXPERIMENTS = {
    # a pipeline of own code and one of ours, whose trial data stays
    "pair": f"""{HEAD}
baselines: none
tuner: {{max_trials: 3}}
fit: {{epochs: 2}}
validation: {{repeats: 2}}
hooks: {{purge: null}}
pipelines:
  own:
    data: {{_target_: my_code.rows, split: {{test: 0.2}}}}
    model: {{_target_: my_code.build}}
    fingerprint: {{files: [base.txt]}}
  shipped:
    data: {{kind: sklearn, name: iris, split: {{test: 0.2}}}}
    model:
      _target_: runner.models.mlp
      hidden: {{h1: {{hp: Int, min_value: 4, max_value: 16}}}}
      learning_rate: 0.01
    tuner: {{kind: hyperband, max_epochs: 3, start_from: [best, {{model.hidden.h1: 9}}]}}
""",
    # folds, and a trial's own weights
    "scores": f"""{HEAD}
data: {{_target_: my_scores.rows, split: {{test: 0.2}}}}
fit: {{epochs: 3}}
model:
  _target_: my_scores.build
  units: {{hp: Int, min_value: 4, max_value: 8}}
  rate: {{hp: Float, min_value: 1e-3, max_value: 1e-1, sampling: log}}
callbacks: {{stop: {{_target_: keras.callbacks.EarlyStopping, patience: 3}}}}
hooks: {{purge: null}}
pipelines:
  folds: {{tuner: {{max_trials: 2, folds: 3}}, validation: {{repeats: 2}}}}
  kept:
    tuner: {{kind: hyperband, max_epochs: 3}}
    validation: {{weights: trial}}
""",
    # a build function with conditional scopes, a HyperModel with a fit of its own
    "searched": f"""{HEAD}{IRIS}
baselines: none
hooks: {{purge: null}}
fit: {{epochs: 1}}
tuner: {{max_trials: 6}}
pipelines:
  scopes: {{model: {{_target_: my_searches.conditional}}}}
  maker:
    model: {{_target_: my_searches.Maker, units: 5}}
    fit: {{epochs: null}}
""",
    "failing": f"""{HEAD}{IRIS}
baselines: none
fit: {{epochs: 1}}
tuner: {{max_trials: 4}}
pipelines:
  bad: {{model: {{_target_: my_searches.raises, units: {{hp: Int, min_value: 2, max_value: 999}}}}}}
  good: {{model: {{_target_: my_searches.works, units: {{hp: Int, min_value: 2, max_value: 9}}}}}}
  wild:
    model:
      _target_: my_searches.diverges
      units: 4
      loss: {{hp: Choice, values: [sparse_categorical_crossentropy, inf]}}
    tuner: {{max_trials: 6, max_consecutive_failed_trials: 6}}
""",
}

CODE = """
from pathlib import Path

import keras
import numpy as np

Path("imported.txt").write_text("yes")


def build(hp, num_classes):
    from my_helpers import activation  # which a change of this file alone does not show

    assert Path("base.txt").read_text()
    layers = [keras.layers.Dense(hp.Int("first", 4, 8), activation=activation)]
    deep = hp.Boolean("deep")
    with hp.conditional_scope("deep", [True]):
        if deep:
            layers.append(keras.layers.Dropout(hp.Float("dropout", 0.1, 0.4)))
    model = keras.Sequential([*layers, keras.layers.Dense(num_classes, activation="softmax")])
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    return model


def rows():
    with np.load("rows.npz") as arrays:
        return arrays["x"], arrays["y"]
"""
SCORES = """
import keras
import numpy as np


def rows():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(90, 3))
    return x, (x.sum(axis=1) + draw.normal(size=90) > 0).astype(int)


def build(units, rate):
    layers = [keras.layers.Dense(units, "relu"), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((3,)), *layers])
    optimizer = keras.optimizers.Adam(rate)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"], run_eagerly=True)
    return model
"""
SEARCHES = """
import keras
import keras_tuner


def _compiled(units, rate, outputs, loss="sparse_categorical_crossentropy"):
    hidden = keras.layers.Dense(units, activation="relu")
    model = keras.Sequential([hidden, keras.layers.Dense(outputs, activation="softmax")])
    optimizer = keras.optimizers.SGD(rate)
    model.compile(optimizer, loss, metrics=["accuracy"], run_eagerly=True)
    return model


def works(num_classes, units, rate=0.01):
    return _compiled(units, rate, num_classes)


def raises(num_classes, units):
    if units > 2:  # the default builds: it is the trials that fail
        raise RuntimeError(f"no {units} units today")
    return _compiled(units, 0.01, num_classes)


def _infinite(truth, predicted):
    return keras.ops.mean(predicted) + float("inf")


def diverges(num_classes, units, loss):
    return _compiled(units, 0.01, num_classes, _infinite if loss == "inf" else loss)


def conditional(hp, num_classes):
    deep = hp.Boolean("deep")
    layers = [keras.layers.Dense(hp.Int("first", 4, 8), activation="relu")]
    with hp.conditional_scope("deep", [True]):
        if deep:
            layers.append(keras.layers.Dense(hp.Int("second", 16, 24), activation="relu"))
    model = keras.Sequential([*layers, keras.layers.Dense(num_classes, activation="softmax")])
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    return model


class Maker(keras_tuner.HyperModel):
    def __init__(self, num_classes, units):
        super().__init__()
        self.num_classes, self.units = num_classes, units

    def build(self, hp):
        return _compiled(self.units, hp.Float("rate", 1e-3, 1e-1, sampling="log"), self.num_classes)

    def fit(self, hp, model, *args, **kwargs):
        size = hp.Choice("batch_size", [8, 30, 45])
        history = model.fit(*args, batch_size=size, epochs=2, **kwargs)
        history.history["updates"] = [float(model.optimizer.iterations.numpy())] * 2
        return history
"""
# A model with a loss and a layer of the user's own, which is in another module.
PARTS = """
import keras
import my_layers

print("imported my_parts")


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


@dataclass(frozen=True)
class World:
    """The folder, and how each experiment's run ended."""

    folder: Path
    done: dict[str, Done]

    @cached_property
    def entries(self) -> dict[tuple[str, str], Document]:
        """By experiment and pipeline."""
        stored = documents(self.folder)
        return {(entry["experiment"], entry["pipeline"]): entry for entry in stored}

    def of(self, experiment: str) -> dict[str, Document]:
        """An experiment's entries, by pipeline."""
        return {name: entry for (of, name), entry in self.entries.items() if of == experiment}

    def copy(self, folder: Path, *without: str) -> Path:
        """A copy that a test may change, without files of these names."""
        ignored = shutil.ignore_patterns("trials", "imported.txt", *without)
        return shutil.copytree(self.folder, folder, ignore=ignored)


def made(folder: Path) -> World:
    """The world, which is made unless another process has done so, or is at it."""
    ended = folder / "done.json"
    with filelock.FileLock(f"{folder}.lock"):
        if not ended.exists():
            ended.write_text(json.dumps(_make(folder)))
    done = {name: Done(**each) for name, each in json.loads(ended.read_bytes()).items()}
    for name, each in done.items():
        assert each.exit_code == (1 if name == "failing" else 0), f"{name}: {each.err}"
    return World(folder, done)


def _make(folder: Path) -> dict[str, dict[str, Any]]:
    functions = block("# conf/experiment/flowers.yaml")
    head, _, rest = functions.partition("model:\n")
    own_parts = "pipelines: {function: {}, own: {model: {_target_: my_parts.build}}}\n"
    experiments = EXPERIMENTS | {
        "houses": block("# conf/experiment/houses.yaml"),
        "flowers": head + block("model: {_target_: wide.Wide}") + rest[rest.index("fit:") :],
        "functions": functions + own_parts,
    }
    write(
        folder,
        **{f"conf__experiment__{name}_yaml": text for name, text in experiments.items()},
        my_code_py=CODE,
        my_helpers_py="activation = 'relu'",
        base_txt="then",
        my_scores_py=SCORES,
        my_searches_py=SEARCHES,
        my_project_py=block("# my_project.py"),
        wide_py=block("# wide.py"),
        my_parts_py=PARTS,
        my_layers_py=LAYERS,
    )
    make_rows(folder, 1)
    houses().to_csv(folder / "houses.csv", index=False, na_rep="NA")
    flowers().to_csv(folder / "flowers.csv", index=False)
    started: dict[str, Process] = {}
    for name, arguments in RUNS.items():
        begin = start_inline if started else start
        started[name] = begin(folder, f"+experiment={name}", *arguments)
    return {name: asdict(finish(process, None)) for name, process in started.items()}


def make_rows(folder: Path, seed: int) -> None:
    """What `my_code.rows` reads."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 3, 150)
    np.savez(folder / "rows.npz", x=draw.normal(size=(150, 4)) + y[:, None], y=y)


def houses() -> pd.DataFrame:
    """README's table, with gaps."""
    draw = np.random.default_rng(5)
    numbers = np.arange(240)
    factors = {"Bern": 1.0, "Basel": 1.2, "Genève": 1.5, "Zürich": 1.8}
    city = draw.choice([*factors], len(numbers))
    rooms = draw.integers(1, 7, len(numbers)).astype(float)
    area = rooms * 25 + draw.normal(0, 5, len(numbers))
    price = area * 9000 * np.array([factors[name] for name in city])
    rooms[numbers % 50 == 8] = np.nan
    area[numbers % 50 == 9] = np.nan
    return pd.DataFrame(
        {
            "id": [f"h{n}" for n in numbers],
            "sold": [f"202{n // 100}-{n % 12 + 1:02}-01" for n in numbers],
            "city": np.where(numbers % 50 == 7, "", city),
            "rooms": rooms,
            "area": area.round(1),
            "price": price.round(),
        }
    )


def flowers() -> pd.DataFrame:
    """README's other table."""
    iris = load_iris(as_frame=True)
    table: pd.DataFrame = iris.data.assign(species=iris.target_names[iris.target])
    return table
