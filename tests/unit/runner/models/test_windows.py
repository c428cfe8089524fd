"""`model: series` and `lstm`: what they make of windows over a series."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pandas as pd
import pytest
from runner_samples import from_files, pipeline
from training_samples import bench

from runner.config.schema import Pipeline, RandomTuner
from runner.data.dataset import Array
from runner.training import build

SERIES = {"_target_": "runner.models.series"}
LSTM = {"_target_": "runner.models.lstm", "units": [4]}
ALONE = """
import keras, numpy, sys
model = keras.models.load_model("model.keras")
numpy.save("found.npy", model.predict(numpy.load("rows.npy"), verbose=0))
assert not any(name.partition(".")[0] in ("runner", "history") for name in sys.modules)
"""


def windows(
    folder: Path, model: dict[str, Any], columns: dict[str, Array], **section: Any
) -> Pipeline:
    """The pipeline of a series: what `t` will be, from six rows unless told."""
    path = folder / "series.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    data = {"kind": "windows", "path": str(path), "target": "t", "sequence_length": 6, **section}
    data["split"] = {"validation": 0.2, "test": 0.2}
    return pipeline(task={"kind": "regression"}, data=data, model=model)


def walk(rows: int = 120) -> dict[str, Array]:
    """A random walk far from 0, with a column that stands still and one that swings."""
    steps = np.random.default_rng(0).normal(size=rows)
    return {
        "flat": np.full(rows, 3.0),
        "t": 5000 + np.cumsum(steps),
        "swing": np.sin(np.arange(rows)),
    }


def errors(ready: build.Bench, made: Array, part: str = "test") -> float:
    """The root mean squared error of predictions."""
    return float(np.sqrt(np.mean((made.ravel() - ready.dataset.parts[part].y) ** 2)))


@pytest.mark.parametrize("model", [SERIES, {**SERIES, "hidden": {"a": 8, "b": 0}}, LSTM])
@pytest.mark.parametrize("length", [1, 6])
def test_before_it_is_trained_it_predicts_the_last_value(
    tmp_path: Path, model: dict[str, Any], length: int
) -> None:
    """Of the target, among columns before and behind it, in a window of one row too."""
    ready = bench(windows(tmp_path, model, walk(), sequence_length=length))
    rows: Any = ready.dataset.validation.x
    made = ready.build(keras_tuner.HyperParameters(), seed=1)
    assert made.predict(rows, verbose=0).ravel().tolist() == rows[:, -1, 1].tolist()


def test_a_window_without_the_targets_past_tells_the_value_itself(tmp_path: Path) -> None:
    """From other columns, of the same row."""
    columns = {"a": np.sin(np.arange(200.0)), "t": 1000 + 50 * np.sin(np.arange(200.0))}
    model = {**SERIES, "learning_rate": 0.1}
    ready = bench(windows(tmp_path, model, columns, horizon=0))
    hp = keras_tuner.HyperParameters()
    made = ready.build(hp, seed=1)
    ready.train(made, hp, [], {})
    assert ready.dataset.facts.past is None
    assert errors(ready, made.predict(ready.dataset.parts["test"].x, verbose=0)) < 25


@pytest.mark.parametrize("model", [{**SERIES, "hidden": [8]}, LSTM])
def test_the_stored_model_loads_in_an_interpreter_of_its_own(
    tmp_path: Path, model: dict[str, Any]
) -> None:
    """Which has Keras, and nothing of this project."""
    ready = bench(windows(tmp_path, model, walk()))
    hp = keras_tuner.HyperParameters()
    made = ready.build(hp, seed=1)
    ready.train(made, hp, [], {"epochs": 2})
    made.save(tmp_path / "model.keras")
    rows: Any = ready.dataset.validation.x
    np.save(tmp_path / "rows.npy", rows)
    subprocess.run([sys.executable, "-P", "-c", ALONE], cwd=tmp_path, check=True)
    expected = made.predict(rows, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, rtol=1e-6)


def swings(rows: int = 300) -> Array:
    """A season of twelve on a trend that grows."""
    noise, when = np.random.default_rng(1).normal(0, 0.3, rows), np.arange(rows)
    return np.asarray(300 + 0.001 * when**2 + 3 * np.sin(when * np.pi / 6) + noise)


def spots(rows: int = 300) -> Array:
    """A damped cycle, driven by noise: an autoregression of order two."""
    made, noise = [40.0, 50.0], np.random.default_rng(2).normal(0, 8, rows)
    for step in noise[2:]:
        made.append(12 + 1.4 * made[-1] - 0.7 * made[-2] + step)
    return np.array(made)


@pytest.mark.parametrize(
    ("column", "at_most"),
    [(walk(300)["t"], 1.00001), (-walk(200)["t"], 1.00001), (swings(), 0.5), (spots(), 0.8)],
)
def test_it_keeps_up_with_the_last_value(tmp_path: Path, column: Array, at_most: float) -> None:
    """Far better of a season and a cycle; of a random walk nothing is, and it is no worse."""
    settings = windows(tmp_path, SERIES, {"t": column}, sequence_length=14)
    ready = bench(settings)
    hp = keras_tuner.HyperParameters()
    model = ready.build(hp, seed=1)
    curve: Any = ready.train(model, hp, [], {})
    rows: Any = ready.dataset.parts["test"].x
    assert len(curve.history["val_loss"]) <= 100
    last = errors(ready, rows[:, -1, 0])
    assert errors(ready, model.predict(rows, verbose=0)) <= at_most * last


def test_its_batches_are_of_equal_size(tmp_path: Path) -> None:
    """No last one of a row or two, which Keras with a seed may have alike in each epoch: 65 rows
    are not 32, 32 and 1.
    """
    ready = bench(windows(tmp_path, SERIES, walk(119)))
    assert len(ready.dataset.train) == 65
    assert ready.fit_arguments(keras_tuner.HyperParameters())["batch_size"] == 22


def test_windows_without_a_model_get_it_and_the_mean_of_four_refits(tmp_path: Path) -> None:
    """Its first trial is linear."""
    (tmp_path / "rows.csv").touch()
    files = {
        "task": {"kind": "regression"},
        "data": {
            "kind": "windows",
            "path": str(tmp_path / "rows.csv"),
            "target": "t",
            "sequence_length": 3,
        },
        "tuner": {"kind": "random"},
    }
    (made,) = from_files(files).pipelines.values()
    assert (made.model.target, made.validation.repeats) == ("runner.models.series", 4)
    assert made.is_ensemble
    assert [units["default"] for units in made.model.args["hidden"].values()] == [0, 0]


def test_folds_of_a_series_are_blocks_that_share_no_row(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Each is told by those before it; what a window of one holds, none of another does. Trained on
    all, no callback looks for validation rows.
    """
    columns = {"t": np.arange(120.0)}  # its rows tell their numbers
    made = windows(tmp_path, SERIES, columns, horizon=2)
    ready, last = bench(made.model_copy(update={"tuner": RandomTuner(folds=3)})), -1
    for number in range(3):
        x, y = (ready.fold(number).dataset.parts[name] for name in ("train", "validation"))
        first = y.numbers.min()
        assert first > max(x.y.max(), last)
        assert len(y) > 10
        last = y.y.max()
    assert last < ready.dataset.parts["test"].numbers.min()
    whole, hp = ready.fold(None), keras_tuner.HyperParameters()
    told: Any = whole.train(whole.build(hp, 1), hp, [], {"epochs": 1})
    assert [name for name in told.history if name.startswith("val_")] == []
    assert [each for each in recwarn if "conditioned on metric" in str(each.message)] == []
