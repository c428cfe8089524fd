"""A CSV file and an experiment as README shows it make a tuned, saved, reproducible model."""

import csv
import json
import random
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from e2e_samples import REPOSITORY, Done, finish, history, run, run_both, start, write
from sklearn.datasets import load_iris

pytestmark = pytest.mark.e2e

CITIES = {"Bern": 1.0, "Basel": 1.2, "Genève": 1.5, "Zürich": 1.8}
SMALL = ("tuner.max_trials=2", "fit.epochs=8")


def example(name: str) -> str:
    """The block of README that shows that file."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(
        rf"^```\w+\n((?:# @[^\n]*\n)?# {re.escape(name)}\n.*?)^```",
        readme,
        re.DOTALL | re.MULTILINE,
    )
    return str(found)


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both of README's examples, with their files."""
    folder = tmp_path_factory.mktemp("tables")
    for name, rows in (("houses.csv", houses()), ("flowers.csv", flowers())):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    files = {
        "my_project_py": "my_project.py",
        "conf__experiment__houses_yaml": "conf/experiment/houses.yaml",
    }
    files["conf__experiment__flowers_yaml"] = "conf/experiment/flowers.yaml"
    write(folder, **{key: example(name) for key, name in files.items()})
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> tuple[Done, Done]:
    one, other = (start(folder, f"+experiment={name}", *SMALL) for name in ("houses", "flowers"))
    done = run_both(one, other)
    assert [process.exit_code for process in done] == [0, 0], done
    return done


@pytest.fixture(scope="module")
def documents(folder: Path, ran: tuple[Done, Done]) -> dict[str, dict[str, Any]]:
    """The entry of each experiment."""
    assert ran
    listed = finish(start(folder, "list", "--json", module="history"))
    assert listed.exit_code == 0
    return {document["experiment"]: document for document in json.loads(listed.out)}


@pytest.mark.parametrize(("name", "most"), [("houses", 15), ("flowers", 10)])
def test_the_examples_are_short(name: str, most: int) -> None:
    """A CSV file needs fifteen lines of YAML, a HyperModel ten."""
    assert len(example(f"conf/experiment/{name}.yaml").splitlines()) <= most


def test_a_table_gives_a_model_that_takes_raw_rows(
    folder: Path, documents: dict[str, dict[str, Any]]
) -> None:
    """It loads with Keras alone, takes gaps and words that it has never seen, and predicts what
    `predict` writes.
    """
    entry = documents["houses"]
    assert (entry["status"], entry["data"]["columns"]) == (
        "complete",
        {"city": "category", "rooms": "number", "area": "number"},
    )
    assert entry["data"]["shapes"] == {"train": [150, 3], "validation": [42, 3], "test": [48, 3]}
    model = keras.models.load_model(folder / "results" / entry["artefacts"]["model"]["path"])
    cities = np.array(["Bern", "Zürich", "", "Chur"], dtype=object)
    rooms, area = np.array([3.0, 3.0, np.nan, 2.0]), np.array([75.0, 75.0, 50.0, np.nan])
    expected = model.predict({"city": cities, "rooms": rooms, "area": area}, verbose=0)
    assert np.isfinite(expected).all()
    assert len({*expected[:, 0].tolist()}) == 4
    (folder / "new.csv").write_text(
        "area,city,rooms\n75,Bern,3\n75.0,Zürich,3\n50,,NA\n,Chur,2\n", encoding="utf-8"
    )
    done = run(folder, f"predict={entry['id']}", "input=new.csv", "output=out.csv")
    assert done.exit_code == 0, done
    written = (folder / "out.csv").read_text().splitlines()
    assert written[0] == "prediction"
    assert np.allclose([float(line) for line in written[1:]], expected[:, 0], rtol=1e-5)


def test_metrics_are_in_the_targets_units(documents: dict[str, dict[str, Any]]) -> None:
    """Prices are hundreds of thousands, and a model of eight epochs misses them by as much."""
    assert 1e3 < documents["houses"]["validation"]["metrics"]["mae"] < 1e7


def test_a_hypermodel_gets_what_the_table_tells(documents: dict[str, dict[str, Any]]) -> None:
    """Its shapes and classes, by name; its own space is searched."""
    entry = documents["flowers"]
    assert entry["status"] == "complete"
    assert set(entry["best"]["values"]) == {"units", "activation", "batch_size"}
    assert entry["data"]["classes"] == ["setosa", "versicolor", "virginica"]


def test_a_function_takes_arguments_that_are_searched(folder: Path, ran: tuple[Done, Done]) -> None:
    """As README shows it, over the same table."""
    assert ran
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (model,) = re.findall(
        r"^```yaml\n(model:\n  _target_: my_project\.build\n.*?)^```",
        readme,
        re.DOTALL | re.MULTILINE,
    )
    flowers = example("conf/experiment/flowers.yaml")
    assert "model: {_target_: my_project.Wide}\n" in flowers
    write(
        folder,
        conf__experiment__function_yaml=flowers.replace(
            "model: {_target_: my_project.Wide}\n", model
        ),
    )
    done = run(folder, "+experiment=function", "tuner.max_trials=1", "fit.epochs=1")
    assert done.exit_code == 0, done
    [entry] = [
        e for e in history(folder, "list", "--experiment", "function") if e["status"] == "complete"
    ]
    assert {"layers", "units_0", "model.learning_rate"} <= set(entry["best"]["values"])


def test_a_table_reproduces_bit_for_bit(folder: Path, documents: dict[str, dict[str, Any]]) -> None:
    """Text columns included; a cell that has changed is said."""
    done = run(folder, f"reproduce={documents['houses']['id']}")
    assert (done.exit_code, f"{documents['houses']['id']}: identical" in done.out) == (0, True), (
        done
    )
    changed = (
        (folder / "houses.csv")
        .read_text(encoding="utf-8")
        .replace("h0,2020-01-01,", "h0,2020-01-01,New")
    )
    (folder / "changed.csv").write_text(changed, encoding="utf-8")
    done = run(folder, f"reproduce={documents['houses']['id']}", "data.path=changed.csv")
    assert "first difference: repeat 1, epoch 1" in done.out
    assert "data.content" in done.err
