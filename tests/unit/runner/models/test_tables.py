"""`model: tabular`: what it does with rows as a table has them, and how it is trained."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from runner_samples import from_files, from_hydra, pipeline
from training_samples import bench

from runner.config.schema import Pipeline
from runner.training.preflight import preflight

TABULAR = {"_target_": "runner.models.tabular"}
ROWS = 48
ALONE = """
import keras, numpy, sys
model = keras.models.load_model("model.keras")
rows = {
    "size": numpy.array([3.5, numpy.nan, 1e6], "float32"),
    "flat": numpy.array([2, 2, 7], "float32"),
    "empty": numpy.array([numpy.nan, numpy.nan, 1], "float32"),
    "city": numpy.array(["Ulm", "", "Atlantis"], "object"),
}
numpy.save("found.npy", model.predict(rows, verbose=0))
assert not any(name.partition(".")[0] in ("runner", "history") for name in sys.modules)
"""


def table(folder: Path, **sections: Any) -> Pipeline:
    """A regression of a table with words, empty cells, a column of one value and an empty one."""
    lines = [
        f"{n % 7 if n % 5 else ''},2,,{['Ulm', 'Bonn', ''][n % 3]},{n % 7 + n % 3}"
        for n in range(ROWS)
    ]
    path = folder / "rows.csv"
    path.write_text("\n".join(["size,flat,empty,city,price", *lines]))
    data = {"kind": "table", "path": str(path), "target": "price", "columns": {"empty": "number"}}
    return pipeline(task={"kind": "regression"}, data=data, model=TABULAR, **sections)


def test_the_stored_model_takes_empty_and_unknown_cells_in_an_interpreter_of_its_own(
    tmp_path: Path,
) -> None:
    """Which has Keras and TensorFlow, and nothing of this project."""
    ready = bench(table(tmp_path, fit={"epochs": 2}))
    hp = keras_tuner.HyperParameters()
    model = ready.build(hp, seed=1)
    ready.train(model, hp, [], {})
    model.save(tmp_path / "model.keras")
    subprocess.run([sys.executable, "-P", "-c", ALONE], cwd=tmp_path, check=True)
    found = np.load(tmp_path / "found.npy")
    assert np.isfinite(found).all()
    rows = {
        "size": np.array([3.5, np.nan, 1e6], "float32"),
        "flat": np.array([2, 2, 7], "float32"),
        "empty": np.array([np.nan, np.nan, 1], "float32"),
        "city": np.array(["Ulm", "", "Atlantis"], "object"),
    }
    np.testing.assert_allclose(found, model.predict(rows, verbose=0), rtol=1e-5)


def test_unless_told_it_trains_long_and_keeps_its_best_epoch(tmp_path: Path) -> None:
    """What `fit` says goes before; a stream's batches are its own."""
    told = bench(table(tmp_path, fit={"epochs": 12, "batch_size": 5}))
    hp = keras_tuner.HyperParameters()
    assert told.fit_arguments(hp).items() >= {"epochs": 12, "batch_size": 5}.items()
    ready = bench(table(tmp_path))
    assert ready.fit_arguments(hp).items() >= {"epochs": 64, "batch_size": 16}.items()
    model = told.build(hp, seed=1)
    curve: Any = told.train(model, hp, [], {})
    kept = model.evaluate(*told.dataset.validation.given(), verbose=0, return_dict=True)
    assert len(curve.history["val_loss"]) == 12
    assert kept["loss"] == pytest.approx(min(curve.history["val_loss"]), rel=1e-5)


@pytest.mark.parametrize(
    ("values", "overrides", "epochs"),
    [
        ({}, {}, 64),
        ({}, {"epochs": 32}, 32),
        ({"tuner/epochs": 9, "tuner/initial_epoch": 3}, {"initial_epoch": 3}, 6),
        ({"tuner/epochs": 9, "tuner/initial_epoch": 3}, {}, 9),
    ],
)
def test_its_schedule_ends_with_the_training(
    tmp_path: Path, values: dict[str, int], overrides: dict[str, int], epochs: int
) -> None:
    """That of a trial, of a refit over fewer epochs, and of a round of Hyperband's."""
    ready = bench(table(tmp_path))
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    schedule = ready.build(hp, 1, overrides).optimizer._learning_rate
    steps = -(-len(ready.dataset.train) // 16) * epochs
    assert schedule.first_decay_steps == steps // 15


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_it_takes_any_rows_of_columns(name: str) -> None:
    """Without names and words; its first trial is the recipe, with the learning rate of the
    task.
    """
    task = "regression" if name == "diabetes" else "classification"
    experiment = from_hydra(f"task={task}", f"data={name}", "model=tabular", "tuner=random")
    made = experiment.pipelines["main"]
    _, _, hp = preflight(bench(made))
    rate = {"classification": 0.01, "regression": 0.03}[task]
    assert hp.values == {
        "model.width": 128,
        "model.depth": 2,
        "model.dropout": 0.15,
        f"model.learning_rate.{task}": rate,
    }
    schedule = bench(made).build(hp, 1).optimizer._learning_rate
    assert isinstance(schedule, keras.optimizers.schedules.CosineDecayRestarts)
    assert schedule.initial_learning_rate == rate


def test_a_table_without_a_model_gets_it_and_four_refits(tmp_path: Path) -> None:
    """What is said beside that goes before; the command line reaches into it."""
    (tmp_path / "rows.csv").touch()
    files = {
        "task": {"kind": "regression"},
        "data": {"kind": "table", "path": str(tmp_path / "rows.csv"), "target": "price"},
        "tuner": {"kind": "random"},
    }
    (made,) = from_files(files, "model.dropout=0.1").pipelines.values()
    assert made.model.target == "runner.models.tabular"
    assert (made.model.args["dropout"], made.model.args["depth"]["default"]) == (0.1, 2)
    assert made.model.args["learning_rate"].keys() == {"classification", "regression"}
    assert made.validation.repeats == 4
    (told,) = from_files({**files, "validation": {"repeats": 2}}).pipelines.values()
    assert told.validation.repeats == 2
    (own,) = from_files({**files, "model": {"_target_": "runner.models.linear"}}).pipelines.values()
    assert (own.model.target, own.validation.repeats) == ("runner.models.linear", 1)


def test_images_are_none_of_its_rows() -> None:
    """It says so, and of what shape they are."""
    with pytest.raises(Exception, match="tabular takes rows of columns"):
        bench(pipeline(data={"kind": "sklearn", "name": "digits"}, model=TABULAR)).build(
            keras_tuner.HyperParameters(), 1
        )
