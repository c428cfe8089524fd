"""Applying a stored model: what is read, what is refused before anything heavy is loaded, what is
written.
"""

import csv
import importlib
import json
import logging
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from runner_samples import REPOSITORY

import history
from history.entry import Entry
from history.errors import IntegrityError, UnknownEntry, UntrustedCode
from history.manager import COMMON_ARTEFACTS
from runner.config.schema import SklearnData
from runner.data import files as tables
from runner.data import inputs
from runner.data.sources import load
from runner.errors import DataError, ExperimentError, InputError, ModelError
from runner.run import predict
from runner.run.predict import plan

pyarrow: Any = importlib.import_module("pyarrow")  # has no types
parquet: Any = importlib.import_module("pyarrow.parquet")

COLUMNS = {"age": "number", "bmi (kg)": "number"}
ROWS = np.array([[1.5, -2.0], [3.0, 0.25], [1e-9, 1e20]], "float32")
CSV = "age,bmi (kg)\n1.5,-2\n3,.25\n1e-9,+1E20\n"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Makes a file of rows, by its suffix: text or bytes; arrays; columns."""

    def make(content: Any, name: str = "rows.csv", **arrays: Any) -> Path:
        path = tmp_path / name
        if path.suffix == ".npz":
            np.savez(path, **arrays)
        elif path.suffix == ".parquet":
            parquet.write_table(pyarrow.table(content), path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def read(*arguments: Any) -> tuple[Any, list[str]]:
    """The rows as whatever they are, so that each test may say what."""
    return inputs.read(*arguments)


# --- CSV


@pytest.mark.parametrize(
    "text",
    [
        CSV,
        f"\ufeff{CSV}",
        CSV.replace("\n", "\r\n"),
        CSV.rstrip("\n"),
        f"{CSV}\n\n",
        CSV.replace("1.5", '" 1.5 "').replace("bmi (kg)", '" bmi (kg)"'),
    ],
)
def test_a_csv_of_the_recorded_columns_is_read(text: str, write: Write) -> None:
    """With any line ends, a mark of UTF-8, quotes, blank lines at the end."""
    found, ignored = read(write(text), (2,), COLUMNS)
    assert (found.dtype, found.tolist(), ignored) == (np.dtype("float32"), ROWS.tolist(), [])


def test_columns_are_chosen_by_name(write: Write) -> None:
    """Whatever their order; what others hold does not matter, and they are told."""
    text = 'id,bmi (kg),note,age\nA7,-2,"a, b\nc",1.5\n,.25,?,3\nx,1e20,NA,1e-9\n'
    found, ignored = read(write(text), (2,), COLUMNS)
    assert (found.tolist(), ignored) == (ROWS.tolist(), ["id", "note"])


def test_without_recorded_columns_all_are_taken_in_order(write: Write) -> None:
    """With a header or without, row by row into the features' shape."""
    for text in ("a,b,c,d\n1,2,3,4\n5,6,7,8\n", "1,2,3,4\n5,6,7,8\n"):
        found, ignored = read(write(text), (2, 2, 1), None)
        assert (found.tolist(), ignored) == (
            [[[[1], [2]], [[3], [4]]], [[[5], [6]], [[7], [8]]]],
            [],
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "rows.csv is empty"),
        ("\n\n", "rows.csv is empty"),
        ("age,bmi (kg)\n", "holds no rows"),
        ("age,bmi (kg)\n1,2\n3\n", r"row 2 \(line 3\) has 1 values; the first line has 2"),
        ("age,bmi (kg)\n1,2,3\n", r"row 1 \(line 2\) has 3 values"),
        ("age,bmi (kg)\n1,2\n\n3,4\n", "line 3 is blank"),
        (
            "age,bmi (kg)\n1,2\n3,x\n",
            r"row 2 \(line 3\), column 'bmi \(kg\)': 'x' is no finite number",
        ),
        ('age,bmi (kg),t\n1,2,"a\nb"\n3,x,c\n', r"row 2 \(line 4\), column 'bmi \(kg\)': 'x'"),
        (
            "age,bmi (kg)\n1,\n",
            r"row 1 \(line 2\), column 'bmi \(kg\)': nothing, where a number must be",
        ),
        ("age,bmi (kg)\nNA,1\n", "column 'age': nothing"),
        ("age,bmi (kg)\nnan,1\n", "column 'age': nothing"),
        ("age,bmi (kg)\n1,-inf\n", r"column 'bmi \(kg\)': '-inf'"),
        ("age,bmi (kg)\ninf,-inf\n", "column 'age': 'inf'"),
        (
            "age,bmi (kg)\n1,1e39\n",
            r"column 'bmi \(kg\)': '1e\+39' is no finite number of single precision",
        ),
        ("age,bmi (kg)\n1e308,1e308\n", r"column 'age': '1e\+308'"),
        ("age,bmi (kg)\n1,2_0\n", "'2_0'"),
        ('age,bmi (kg)\n"1,5",2\n', "'1,5'"),
        ("age,bmi (kg)\nTrue,2\n", "'True'"),
        (f"age,bmi (kg)\n{'z' * 500},2\n", r"'z{50,60}\.\.\. is no"),
        ("age,age,bmi (kg)\n1,2,3\n", "several columns 'age'"),
        (
            "age,bmi kg\n1,2\n",
            r"has no column 'bmi \(kg\)'; did you mean 'bmi kg'\? \(others: bmi kg\)",
        ),
        (
            "Age,Bmi\n1,2\n",
            r"names none of the columns of the model; its header must be age,bmi \(kg\)$",
        ),
        ("1.5,2.5\n3,.25\n", r"its header must be age,bmi \(kg\)$"),
        ("age;bmi (kg)\n1;2\n", r"must be age,bmi \(kg\); columns are separated by commas"),
        ('age,bmi (kg)\n1,"2\n', "line 2: unexpected end of data; it is no CSV, or was cut off"),
        ("age,bmi (kg)\n1,2\n3,ä\n".encode("latin-1"), "line 3 is not UTF-8"),
        ("age,bmi (kg)\n1,2\n".encode("utf-16"), "line 1 is not UTF-8"),
        (b"age,bmi (kg)\n1,\x00\n", "column 'bmi"),
    ],
)
def test_a_csv_of_other_content_is_refused(text: str | bytes, words: str, write: Write) -> None:
    """The first wrong value is named, with its row, line and column."""
    with pytest.raises(DataError, match=words):
        read(write(text), (2,), COLUMNS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3\n", "has 3 columns; the model takes 2"),
        ("a\n1\n", "has 1 columns; the model takes 2"),
        ("1;2\n", "takes 2; columns are separated by commas"),
        ("a,a\n1,2\n", "several columns 'a'"),
        ("1,NA\n3,4\n", r"line 1 holds both numbers and other text \('NA'\)"),
        ("0,1\n3,4\n", "line 1 counts from 0: name the columns"),
        ("1,2\n3,x\n", r"row 2 \(line 2\), column '2': 'x'"),
        ("nan,2\n", r"row 1 \(line 1\), column '1': nothing"),
        ("a,b\n3,x\n", r"row 1 \(line 2\), column 'b': 'x'"),
    ],
)
def test_where_no_names_are_known_the_first_line_is_not_guessed(
    text: str, words: str, write: Write
) -> None:
    """A row that is taken for a header would be missing from the output, and nobody would
    notice.
    """
    with pytest.raises(DataError, match=words):
        read(write(text), (2,), None)


# --- Parquet


def test_a_parquet_table_is_read(write: Write) -> None:
    """Of any numeric types; by name, or in order."""
    table = {
        "bmi (kg)": pyarrow.array([2, -3], "int8"),
        "on": [True, False],
        "age": np.array([0.5, 1.5], "float32"),
    }
    path = write(table, "rows.parquet")
    found, ignored = read(path, (2,), COLUMNS)
    assert (found.dtype, found.tolist(), ignored) == (
        np.dtype("float32"),
        [[0.5, 2.0], [1.5, -3.0]],
        ["on"],
    )
    assert read(path, (3, 1), None)[0].tolist() == [[[2.0], [1.0], [0.5]], [[-3.0], [0.0], [1.5]]]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            {"age": [1.0, 2.0], "bmi (kg)": [1.0, float("nan")]},
            r"row 2, column 'bmi \(kg\)': nothing, where",
        ),
        (
            {"age": [1.0, 1e300], "bmi (kg)": [1.0, float("nan")]},
            r"row 2, column 'age': '1e\+300' is no finite",
        ),
        ({"age": [1, None], "bmi (kg)": [1, 2]}, "row 2, column 'age': nothing, where"),
        ({"age": ["1", "2"], "bmi (kg)": [1, 2]}, r"row 1, column 'age': '1' is no finite"),
        ({"age": [[1], [2]], "bmi (kg)": [1, 2]}, "row 1, column 'age': "),
        ({"age": [1, 2], "bmi kg": [1, 2]}, "did you mean 'bmi kg'"),
        ({"a": [1, 2], "b": [1, 2]}, "its header must be age"),
        (
            {"age": pyarrow.array([], "int8"), "bmi (kg)": pyarrow.array([], "int8")},
            "holds no rows",
        ),
    ],
)
def test_a_parquet_table_of_other_content_is_refused(table: Any, words: str, write: Write) -> None:
    """As a CSV is."""
    with pytest.raises(DataError, match=words):
        read(write(table, "rows.parquet"), (2,), COLUMNS)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    """Text, or a torn one."""
    for content in (b"a,b\n1,2\n", b"PAR1", b""):
        (tmp_path / "rows.pq").write_bytes(content)
        with pytest.raises(DataError, match=r"cannot read .* as Parquet"):
            read(tmp_path / "rows.pq", (2,), None)


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before TensorFlow is loaded, for input and output alike."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(
        InputError, match=r"parquet: needs pyarrow: pip install 'keras-experiment-runner\[parquet"
    ):
        tables.parquet(tmp_path / "rows.parquet")


# --- .npz


def test_an_npz_holds_rows_in_their_shape(write: Write) -> None:
    """As `x`, or as its only array; of any numeric type."""
    x = np.arange(12).reshape(3, 2, 2)
    for arrays in (
        {"x": x, "y": np.arange(3)},
        {"features": x.astype("uint8")},
        {"x": x.astype("float16")},
    ):
        found, _ = read(write(None, "rows.npz", **arrays), (2, 2), None)
        assert (found.dtype, found.tolist()) == (np.dtype("float32"), x.tolist())


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.ones((3, 4))}, r"its rows are of shape \(4,\); those of the model of \(2, 2\)"),
        ({"x": np.float64(1)}, r"of shape \(\); those of the model"),
        ({"a": np.ones((3, 2, 2)), "b": np.ones(3)}, r"unknown array 'x' \(known: a, b\)"),
        ({}, "unknown array 'x'.*known: none"),
        ({"x": np.ones((0, 2, 2))}, "there are no rows"),
        ({"x": np.full((1, 2, 2), "a")}, "are of type <U1"),
        (
            {"x": np.array([[[1, 2], [3, np.inf]]])},
            r"1 of the features are NaN or infinite, the first in row 1, place \[1, 1\]",
        ),
        ({"x": np.array([[[object()] * 2] * 2])}, "cannot read .* as an .npz file of plain arrays"),
    ],
)
def test_an_npz_of_other_content_is_refused(
    arrays: dict[str, Any], words: str, write: Write
) -> None:
    """Nothing is unpickled."""
    with pytest.raises(DataError, match=words):
        read(write(None, "rows.npz", **arrays), (2, 2), None)


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    """Text, a single array, nothing, a torn file."""
    path = tmp_path / "rows.npz"
    np.savez(path, x=np.ones((9, 2)))
    torn = path.read_bytes()[:-40]
    with path.open("wb") as file:
        np.save(file, np.ones((9, 2)))
    for content in (path.read_bytes(), torn, b"x,y\n", b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"as an \.npz file of plain arrays"):
            read(path, (2,), None)


# --- what is recorded of a table's columns


@pytest.mark.parametrize(
    ("name", "task", "first"),
    [
        ("iris", "classification", "sepal length (cm)"),
        ("diabetes", "regression", "age"),
        ("digits", "classification", None),
    ],
)
def test_a_tables_columns_are_recorded(name: Any, task: str, first: str | None) -> None:
    """Those of images, which are pixels, are not; an identity of the data does not depend on
    them.
    """
    data = load(SklearnData(name=name), task)
    described = data.describe("f")
    assert next(iter(described.get("columns", [None]))) == first
    assert (data.columns is None) == ("columns" not in described)
    if data.columns:
        assert len(data.columns) == data.train.shape[1]


# --- the plan


def model_file(folder: Path, module: str | None, name: str) -> Path:
    registered = None if module else name
    config = {
        "module": module,
        "class_name": name,
        "config": {"name": "m"},
        "registered_name": registered,
    }
    with zipfile.ZipFile(folder / "model.keras", "w") as made:
        made.writestr("config.json", json.dumps(config))
    return folder / "model.keras"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


Add = Callable[..., Entry]


@pytest.fixture
def add(root: Path, tmp_path: Path) -> Add:
    """Stores an entry whose model is a file without weights: nobody loads it."""

    def store(
        module: str | None = "keras", name: str = "Sequential", data: Any = None, **keys: Any
    ) -> Entry:
        manager = history.open(root).manager_of(
            Entry({"task": keys.pop("task", "classification")}, root)
        )
        files = {}
        for artefact in (*COMMON_ARTEFACTS, *manager.artefacts):
            files[artefact] = tmp_path / f"{artefact}.txt"
            files[artefact].write_text(artefact)
        files["model"] = model_file(tmp_path, module, name)
        known = {"shapes": {"train": [90, 2]}, "columns": COLUMNS, "classes": ["no", 'y, "s"']}
        document = {
            "pipeline": "mlp",
            "status": "complete",
            "experiment": "e",
            "run_id": "r",
            "data": data or known,
        }
        kept = files if keys.get("status") != "failed" else {}
        return manager.add({**document, **keys}, kept)

    return store


@pytest.fixture
def rows(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(CSV)


def planned(
    root: Path, output: str | None = "out.csv", input: str | None = "rows.csv", trust: bool = False
) -> Any:
    return plan(history.open(root), "@-1", input, output, trust=trust)


@pytest.mark.usefixtures("rows")
def test_a_plan_holds_the_rows_and_leaves_nothing(add: Add, root: Path, tmp_path: Path) -> None:
    """The output's folder was tried."""
    entry = add()
    before = sorted(tmp_path.iterdir())
    found = planned(root)
    assert (found.entry.id, found.rows.tolist(), found.classes) == (
        entry.id,
        ROWS.tolist(),
        ("no", 'y, "s"'),
    )
    assert (found.model, found.output) == (entry.artefact("model"), Path("out.csv"))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("rows", "add")
def test_planning_imports_nothing_heavy(add: Add, root: Path, tmp_path: Path) -> None:
    """The rows are checked before TensorFlow takes its seconds."""
    add()
    code = (
        "import sys, history\nfrom runner.run.predict import plan\n"
        f"assert len(plan(history.open({str(root)!r}), 'mlp', 'rows.csv', 'out.csv', trust=False).rows) == 3\n"
        "heavy = 'keras tensorflow keras_tuner sklearn matplotlib'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"input": None}, r"input: predict needs input=FILE \(\.csv, \.parquet, \.pq, \.npz\)"),
        (
            {"input": "rows.txt"},
            r"input: rows\.txt is of no known format; its name must end in \.csv",
        ),
        (
            {"input": "none.csv"},
            r"input: there is no file /.*none\.csv; paths count from the current folder",
        ),
        ({"input": "folder.csv"}, "input: there is no file"),
        ({"output": None}, "output: predict needs output=FILE"),
        ({"output": ""}, "output: predict needs output=FILE"),
        ({"output": "out"}, "output: out is of no known format"),
        ({"output": "none/out.csv"}, "output: there is no folder /.*/none; make it"),
        ({"output": "rows.csv/out.csv"}, "output: there is no folder"),
        (
            {"output": "./folder.csv/../rows.csv"},
            r"output: .*rows\.csv is the input; name another file",
        ),
        ({"output": "folder.csv"}, r"output: folder\.csv is no file; name another file"),
        ({"output": "/proc/out.csv"}, "output: cannot write in /proc"),
        ({"output": "results/entries/out.csv"}, "belongs to the history"),
    ],
)
def test_what_is_given_wrongly_is_said(
    given: dict[str, Any], words: str, rows: Path, add: Add, root: Path, tmp_path: Path
) -> None:
    """As wrong input, with what to do."""
    add()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=words):
        planned(root, **given)
    assert rows.read_text() == CSV


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"status": "failed"}, r"entry mlp-.* \(failed\) holds no model"),
        ({"data": {"classes": ["a", "b"]}}, "does not say which shape its rows have"),
        (
            {"data": {"shapes": {"train": [9, 3]}, "columns": COLUMNS}},
            "does not say which shape its rows have",
        ),
        (
            {"data": {"shapes": {"train": [9, 2]}, "columns": 2}},
            "does not say which shape its rows have",
        ),
        ({"data": {"shapes": {"train": [9, 2]}}}, "nor a classification that names its classes"),
    ],
)
def test_an_entry_that_does_not_tell_enough_is_refused(
    keys: Any, words: str, add: Add, root: Path
) -> None:
    """A failed one, or one that came from elsewhere."""
    add(**keys)
    with pytest.raises(InputError, match=words):
        planned(root)


@pytest.mark.usefixtures("rows")
def test_windows_are_read_without_the_names_of_their_columns(
    add: Add, root: Path, tmp_path: Path
) -> None:
    """Each stands in a window once a step."""
    add(data={"shapes": {"train": [90, 3, 2]}, "columns": COLUMNS, "classes": ["no", "yes"]})
    np.savez(tmp_path / "windows.npz", x=np.arange(12).reshape(2, 3, 2))
    assert planned(root, input="windows.npz").rows.shape == (2, 3, 2)


@pytest.mark.usefixtures("rows")
def test_an_entry_that_is_not_there_or_damaged_is_named(add: Add, root: Path) -> None:
    """Its model is hashed before it is opened."""
    with pytest.raises(UnknownEntry):
        planned(root)
    model = add().artefact("model")
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    with pytest.raises(
        IntegrityError, match=r"artefact 'model' of entry mlp-.* is not what was stored"
    ):
        planned(root)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("module", "target", "names", "maker"),
    [
        ("my_layers", "my_models.build", ("my_layers.Custom>Scale",), None),
        (None, "my_models.build", ("Custom>Scale", "my_models.build"), "my_models.build"),
        (None, "runner.models.mlp", ("Custom>Scale",), None),
        (None, None, ("Custom>Scale",), None),
    ],
)
def test_foreign_code_needs_trust_and_is_listed(
    module: str | None,
    target: str | None,
    names: tuple[str, ...],
    maker: str | None,
    add: Add,
    root: Path,
) -> None:
    """Where the model does not say where its code is, what built the model is to be imported, and
    so is listed.
    """
    name = "Custom>Scale" if module is None else "Scale"
    add(module, name, identity={"model": {"_target_": target}})
    with pytest.raises(UntrustedCode) as caught:
        planned(root)
    assert caught.value.names == tuple(
        text.replace("Custom>Scale", "Scale") if module else text for text in names
    )
    assert planned(root, trust=True).maker == maker


# --- predicting, by a model that stands in for Keras'


class Model:
    """Predicts fixed rows, whatever it is given."""

    def __init__(self, predicted: Any, layer: Any = None) -> None:
        self.predicted, self.seen = np.array(predicted), np.empty(0)
        operation = SimpleNamespace(operation=layer)
        self.outputs = [SimpleNamespace(_keras_history=operation)] if layer else None

    def predict(self, x: NDArray[Any], **options: Any) -> NDArray[Any]:
        assert options == {"batch_size": 256, "verbose": 0}
        self.seen = x
        return self.predicted


Run = Callable[..., Path]


@pytest.fixture
def run(rows: Path, add: Add, root: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Predicts with a stand-in, for three rows."""

    def predicted(model: Model, output: str, **keys: Any) -> Path:
        add(**keys)
        monkeypatch.setattr(predict, "load_model", lambda path, trust: model)
        assert predict.predict(planned(root, output)) == 3
        assert model.seen.tolist() == ROWS.tolist()
        return Path(output)

    return predicted


PROBABILITIES = np.array([[0.1, 0.9], [0.75, 0.25], [1 / 3, 2 / 3]])
GUESSES = ['y, "s"', "no", 'y, "s"']


def test_classes_and_probabilities_are_written_as_csv(run: Run) -> None:
    """In the input's order, with every digit."""
    with run(Model(PROBABILITIES), "out.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["class", "probability_no", 'probability_y, "s"']
    assert [line[0] for line in lines] == GUESSES
    assert [[float(text) for text in line[1:]] for line in lines] == PROBABILITIES.tolist()


def test_classes_and_probabilities_are_written_as_parquet(run: Run) -> None:
    """The same columns."""
    table = parquet.read_table(run(Model(PROBABILITIES), "out.parquet"))
    assert table.column_names == ["class", "probability_no", 'probability_y, "s"']
    assert table.column("class").to_pylist() == GUESSES
    assert table.column("probability_no").to_pylist() == PROBABILITIES[:, 0].tolist()


def test_classes_and_probabilities_are_written_as_npz(run: Run) -> None:
    """As arrays that load without pickle."""
    with np.load(run(Model(PROBABILITIES), "out.npz"), allow_pickle=False) as arrays:
        assert sorted(arrays) == ["class", "classes", "probabilities"]
        assert arrays["class"].tolist() == GUESSES
        assert arrays["classes"].tolist() == ["no", 'y, "s"']
        assert arrays["probabilities"].tolist() == PROBABILITIES.tolist()


@pytest.mark.parametrize("output", ["out.csv", "out.pq", "out.npz"])
def test_a_regression_writes_its_values(output: str, run: Run) -> None:
    """One column or array, that may be read again as it was written."""
    values = np.array([[152.13348], [1e-30], [-3.0]], "float32")
    path = run(Model(values), output, task="regression")
    if output.endswith("npz"):
        found = np.load(path)["prediction"].tolist()
    elif output.endswith("pq"):
        found = parquet.read_table(path).column("prediction").to_pylist()
    else:
        header, *lines = path.read_text().splitlines()
        assert header == "prediction"
        found = [float(line) for line in lines]
    assert found == values[:, 0].astype("float64").tolist()


class Dense:
    """Named as Keras' layer is."""

    def __init__(self, activation: str) -> None:
        self.activation = SimpleNamespace(__name__=activation)


@pytest.mark.parametrize(
    ("predicted", "activation", "first"),
    [
        ([[0.25], [0.5], [0.75]], "sigmoid", [0.25, 0.5, 0.75]),
        ([[0.25], [0.5], [0.75]], "linear", [0.5621765, 0.6224593, 0.6791787]),
        ([[-800.0], [0.0], [800.0]], "linear", [0.0, 0.5, 1.0]),
        ([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]], "softmax", [0.5, 0.75, 0.0]),
        ([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]], "linear", [0.5, 0.6224593, 0.2689414]),
    ],
)
def test_a_linear_output_is_logits_also_where_the_rows_look_like_probabilities(
    predicted: Any, activation: str, first: list[float], run: Run
) -> None:
    """A row's class does not depend on the other rows of the file."""
    with np.load(run(Model(predicted, Dense(activation)), "out.npz")) as arrays:
        assert arrays["probabilities"][:, 1] == pytest.approx(first, abs=1e-6)
        assert arrays["probabilities"].sum(axis=1) == pytest.approx([1, 1, 1])


def test_predictions_that_are_not_finite_are_no_result(run: Run) -> None:
    """The row is named, and an output that was there stays."""
    Path("out.csv").write_text("mine")
    with pytest.raises(ModelError, match="predicts NaN or infinity for row 2"):
        run(Model([[0.5, 0.5], [np.nan, 0.5], [0.5, np.inf]]), "out.csv")
    assert Path("out.csv").read_text() == "mine"


def test_an_output_is_replaced_whole_or_not_at_all(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A disk that is full midway leaves the old file and no other."""
    Path("out.csv").write_text("mine")
    with monkeypatch.context() as patch:

        def full(frame: Any, path: Path, **_: Any) -> None:
            path.write_text("class")
            raise OSError(28, "No space left on device")

        patch.setattr("pandas.DataFrame.to_csv", full)
        with pytest.raises(
            ExperimentError,
            match=r"cannot write out\.csv: No space left on device; it is as it was",
        ):
            run(Model(PROBABILITIES), "out.csv")
    assert Path("out.csv").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if "out.csv" in path.name] == ["out.csv"]
    assert run(Model(PROBABILITIES), "out.csv").read_text().startswith("class,")


def test_ignored_columns_are_said_in_one_line(
    run: Run, rows: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the run has begun, whose log they belong to."""
    lines = [
        f"{prefix},{line}" for prefix, line in zip(("id", 1, 2, 3), CSV.splitlines(), strict=True)
    ]
    rows.write_text("\n".join(lines))
    with caplog.at_level(logging.INFO, "runner"):
        run(Model(PROBABILITIES), "out.csv")
    assert caplog.messages == ["columns of the input that the model does not take are ignored: id"]


def test_what_built_the_model_is_imported_where_that_is_needed(
    rows: Path, add: Add, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before the model is loaded, with trust only."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "users_own_builder.py").write_text("def build(): pass\n")
    add(None, "Custom>Scale", identity={"model": {"_target_": "users_own_builder.build"}})

    def loaded(path: Path, trust: bool) -> Any:
        assert "users_own_builder" in sys.modules
        assert trust
        return cast(Any, Model(PROBABILITIES))

    monkeypatch.setattr(predict, "load_model", loaded)
    with pytest.raises(UntrustedCode):
        planned(root)
    assert "users_own_builder" not in sys.modules
    assert predict.predict(planned(root, trust=True)) == 3
