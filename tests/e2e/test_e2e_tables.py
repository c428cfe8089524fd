"""A CSV file and an experiment as README shows them make a tuned, saved model, which is applied to
new rows; no code runs unasked.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from e2e_samples import python, refused, run, run_inline
from world import World, flowers

pytestmark = pytest.mark.e2e


def test_a_table_gives_a_model_that_takes_raw_rows(world: World, tmp_path: Path) -> None:
    """It loads with Keras alone, takes gaps and words that it has never seen, and predicts what
    `predict` writes; metrics are in the target's units, hundreds of thousands.
    """
    entry = world.entries["houses", "main"]
    kinds = {"city": "category", "rooms": "number", "area": "number"}
    assert (entry["status"], entry["data"]["columns"]) == ("complete", kinds)
    assert entry["data"]["shapes"] == {"train": [150, 3], "validation": [42, 3], "test": [48, 3]}
    assert 1e3 < entry["validation"]["metrics"]["mae"] < 1e7
    read = "read 2 numbers, 1 category (city 4 words); target price; split by sold; ignored id"
    assert f"main: {read}" in world.done["houses"].err
    x = {
        "city": np.array(["Bern", "Zürich", "", "Chur"], dtype=object),
        "rooms": np.array([3.0, 3.0, np.nan, 2.0]),
        "area": np.array([75.0, 75.0, 50.0, np.nan]),
    }
    expected = entry.model().predict(x, verbose=0)[:, 0]
    assert len({*expected.tolist()}) == 4
    folder = world.copy(tmp_path / "again")
    pd.DataFrame(x)[["area", "city", "rooms"]].to_csv(folder / "new.csv", index=False, na_rep="NA")
    run_inline(folder, f"predict={entry['id']}", "input=new.csv", "output=out.csv")
    written = pd.read_csv(folder / "out.csv")
    assert [*written] == ["prediction"]
    assert np.allclose(written["prediction"], expected, rtol=1e-5)


def test_the_stored_model_is_the_mean_of_the_refits(world: World) -> None:
    """Its metrics stand beside those of the single refits, and are not mixed up with them."""
    entry = world.entries["houses", "main"]
    assert (entry["validation"]["repeats"], entry["validation"]["kept"]) == (2, None)
    for part, metrics in entry["ensemble"].items():
        assert metrics.keys() == entry[part]["metrics"].keys()
    layers = {layer.name for layer in entry.model().layers}
    assert {name for name in layers if name.startswith("refit_")} == {"refit_1", "refit_2"}
    page = run(world.folder, "show", entry["id"], module="history").out
    [row] = [line for line in page.splitlines() if re.match(r"rmse .* ± ", line)]
    assert f"{entry['validation']['metrics']['rmse']:.4f} ± " in row
    assert f" {entry['ensemble']['validation']['rmse']:.4f} " in row
    assert re.search(r"^  mean of 2 ", world.done["houses"].out, re.MULTILINE)


def test_a_users_model_gets_what_the_table_tells(world: World) -> None:
    """Shapes and classes, by name; the space of a HyperModel is searched, and the arguments of a
    function with it.
    """
    model, function = world.entries["flowers", "main"], world.entries["functions", "function"]
    assert (model["status"], function["status"]) == ("complete", "complete")
    assert model["best"]["values"].keys() == {"units", "activation", "batch_size"}
    assert {"layers", "units_0", "model.learning_rate"} <= function["best"]["values"].keys()
    assert model["data"]["classes"] == ["setosa", "versicolor", "virginica"]


def test_a_classifiers_output_is_what_its_model_predicts(world: World, tmp_path: Path) -> None:
    """Row by row, whatever the order of the input's columns."""
    entry, table = world.entries["flowers", "main"], flowers()
    folder = world.copy(tmp_path / "again")
    table[table.columns[::-1]].to_csv(folder / "turned.csv", index_label="id")
    run_inline(folder, f"predict={entry['id']}", "input=turned.csv", "output=out.csv")
    written = pd.read_csv(folder / "out.csv")
    names = ["setosa", "versicolor", "virginica"]
    assert [*written] == ["class", *(f"probability_{name}" for name in names)]
    x = table.drop(columns="species").to_numpy("float32")
    expected = entry.model().predict(x, verbose=0)
    assert np.allclose(written.iloc[:, 1:], expected, rtol=1e-4, atol=1e-6)
    assert [*written["class"]] == [names[index] for index in expected.argmax(axis=1)]


# The command, and which large packages it has loaded by then.
DOOR = """
import runpy, sys
try:
    runpy.run_module("runner", run_name="__main__", alter_sys=True)
except SystemExit as end:
    print(end.code, {"keras", "tensorflow", "sklearn", "matplotlib"} & {*sys.modules})
"""


def test_code_of_ones_own_runs_only_when_it_is_trusted(world: World, tmp_path: Path) -> None:
    """It is listed before, and before anything large is loaded: the layer by its place, the loss by
    its registered name, and what built the model.
    """
    folder = world.copy(tmp_path / "again")
    command = [f"predict={world.entries['functions', 'own']['id']}", "input=flowers.csv"]
    message = refused(folder, *command, "output=refused.csv")
    assert python(folder, DOOR, *command, "output=refused.csv") == ["2 set()"]
    listed = [line.strip() for line in message.splitlines()[1:-1]]
    assert listed == ["mine>loss", "my_layers.Scale", "my_parts.build"]
    assert "imported" not in message
    assert not (folder / "refused.csv").exists()
    done = run_inline(folder, *command, "output=own.csv", "trust=true")
    assert {"imported my_layers", "imported my_parts"} <= {*(done.out + done.err).splitlines()}
    assert len(pd.read_csv(folder / "own.csv")) == 150
