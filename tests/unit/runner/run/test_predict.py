"""Applying a stored model: what is read, what is refused before anything heavy is loaded, what is
written.
"""

import importlib
import json
import logging
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import keras
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import history
from foundation.errors import IntegrityError, UnknownEntry, UntrustedCode
from history.entry import Entry
from history.manager import COMMON_ARTEFACTS
from runner.config import schema
from runner.data import files as tables
from runner.data.new_rows import StoredData, read_new
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

    def make(content: Any, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        if path.suffix == ".npz":
            np.savez(path, **content)
        elif path.suffix == ".parquet":
            parquet.write_table(pyarrow.table(content), path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def read(path: Path, shape: tuple[int, ...], columns: Any) -> tuple[Any, list[str]]:
    """The rows as whatever they are, so that each test may say what."""
    known = {"shapes": {"train": [9, *shape]}, "columns": columns}
    return read_new(path, StoredData.model_validate(known))


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
    """Row by row into the features' shape."""
    found, ignored = read(write("a,b,c,d\n1,2,3,4\n5,6,7,8\n"), (2, 2, 1), None)
    assert found.tolist() == [[[[1], [2]], [[3], [4]]], [[[5], [6]], [[7], [8]]]]
    assert ignored == []


def test_new_rows_are_read_as_those_that_the_model_was_trained_on(write: Write) -> None:
    """A unit, separators of thousands that one row cannot prove, and a date."""
    path = write("age,sold,bmi (kg)\n$7.209,2026-03-02,3\n12,,4\n")
    known = {
        "shapes": {"train": [9, 6]},
        "columns": {"age": "number", "sold": "date", "bmi (kg)": "number"},
        "styles": {"age": {"decimal": ",", "thousands": ".", "unit": "$"}},
        "since": {"sold": "2026-03-01"},
        "source": {"missing": "fill"},
    }
    found: Any = read_new(path, StoredData.model_validate(known))[0]
    expected: Any = [[7209, 2026, 3, 0, 1, 3], [12, *[np.nan] * 4, 4]]
    assert np.array_equal(found, expected, equal_nan=True)
    path = write("age,sold,bmi (kg)\n€7,2026-03-02,3\n")
    with pytest.raises(DataError, match="column 'age': '€7' is not a finite"):
        read_new(path, StoredData.model_validate(known))


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
        found, _ = read(write(arrays, "rows.npz"), (2, 2), None)
        assert (found.dtype, found.tolist()) == (np.dtype("float32"), x.tolist())


def test_an_npz_holds_several_inputs_by_name(write: Write) -> None:
    """Those of the model, in their shapes; nothing else will do."""
    shapes = {"a": [2, 2], "b": [1], "word": [1]}
    stored = StoredData.model_validate({"shapes": {"train": [9, 3]}, "inputs": shapes})
    arrays = {"a": np.ones((3, 2, 2)), "b": np.arange(3), "word": np.array(["x", "y", "z"])}
    found: Any = read_new(write({**arrays, "y": np.arange(3)}, "rows.npz"), stored)[0]
    assert {name: each.tolist() for name, each in found.items()} == {
        name: each.tolist() for name, each in arrays.items()
    }
    for wrong, words in (
        (write({"a": arrays["a"], "b": arrays["b"]}, "rows.npz"), "unknown array 'word'"),
        (write({**arrays, "a": np.ones((3, 4))}, "wide.npz"), r"have the shapes .*'a': \[4\]"),
        (write(CSV), "use an .npz file with the arrays a, b, word"),
    ):
        with pytest.raises(DataError, match=words):
            read_new(wrong, stored)


# --- files of other content


CSVS: list[Any] = [
    ("", "rows.csv is empty"),
    ("\n\n", "rows.csv is empty"),
    ("age,bmi (kg)\n", "holds no rows"),
    ("age,bmi (kg)\n1,2\n3\n", r"row 2 \(line 3\) has 1 values; the first line has 2"),
    ("age,bmi (kg)\n1,2,3\n", r"row 1 \(line 2\) has 3 values"),
    ("age,bmi (kg)\n1,2\n\n3,4\n", r"row 2 \(line 3\) has 0 values"),
    (
        "age,bmi (kg)\n1,2\n3,x\n",
        r"row 2 \(line 3\), column 'bmi \(kg\)': 'x' is not a finite",
    ),
    ('age,bmi (kg),t\n1,2,"a\nb"\n3,x,c\n', r"row 2 \(line 4\), column 'bmi \(kg\)': 'x'"),
    (
        "age,bmi (kg)\n1,\n",
        r"row 1 \(line 2\), column 'bmi \(kg\)': a number is missing",
    ),
    ("age,bmi (kg)\nNA,1\n", "column 'age': a number is missing"),
    ("age,bmi (kg)\nnan,1\n", "column 'age': a number is missing"),
    ("age,bmi (kg)\n1,-inf\n", r"column 'bmi \(kg\)': '-inf'"),
    ("age,bmi (kg)\ninf,-inf\n", "column 'age': 'inf'"),
    (
        "age,bmi (kg)\n1,1e39\n",
        r"column 'bmi \(kg\)': '1e\+39' is not a finite single-precision number",
    ),
    ("age,bmi (kg)\n1e308,1e308\n", r"column 'age': '1e\+308'"),
    ("age,bmi (kg)\n1,2_0\n", "'2_0'"),
    ('age,bmi (kg)\n"1,5",2\n', "'1,5'"),
    ("age,bmi (kg)\nTrue,2\n", "'True'"),
    (f"age,bmi (kg)\n{'z' * 500},2\n", r"'z{50,60}\.\.\. is no"),
    ("age,age,bmi (kg)\n1,2,3\n", "several columns 'age'"),
    (
        "age,bmi kg\n1,2\n",
        r"has no column 'bmi \(kg\)'; did you mean 'bmi kg'\? \(it has: age, bmi kg\)",
    ),
    (
        "Age,Bmi\n1,2\n",
        r"has no column 'age', 'bmi \(kg\)'; did you mean 'Age'\? \(it has: Age, Bmi\)",
    ),
    ("1.5,2.5\n3,.25\n", r"has no column 'age', 'bmi \(kg\)' \(it has: 1.5, 2.5\)"),
    ("age;bmi (kg)\n1;2\n", r"has no column 'age', 'bmi \(kg\)' \(it has: age;bmi"),
    (
        'age,bmi (kg)\n1,"2\n',
        "line 2: unexpected end of data; it is not a CSV file, or was cut off",
    ),
    ("age,bmi (kg)\n1,2\n3,ä\n".encode("latin-1"), "line 3 is not UTF-8"),
    ("age,bmi (kg)\n1,2\n".encode("utf-16"), "line 1 is not UTF-8"),
    (b"age,bmi (kg)\n1,\x00\n", "column 'bmi"),
]
UNNAMED_CSVS: list[Any] = [  # a row that was taken for a header would be missing from the output
    ("a,b,c\n1,2,3\n", "has 3 columns; the model takes 2"),
    ("a;b\n1;2\n", "has 1 columns; the model takes 2"),
    ("a,2\n3,4\n", "line 1 contains numbers; it must name the columns"),
    ("a,b\n3,x\n", r"row 1 \(line 2\), column 'b': 'x'"),
]
TABLES: list[Any] = [
    (
        {"age": [1.0, 2.0], "bmi (kg)": [1.0, float("nan")]},
        r"row 2, column 'bmi \(kg\)': a number is missing",
    ),
    (
        {"age": [1.0, 1e300], "bmi (kg)": [1.0, float("nan")]},
        r"row 2, column 'age': '1e\+300' is not a finite",
    ),
    ({"age": [1, None], "bmi (kg)": [1, 2]}, "row 2, column 'age': a number is missing"),
    ({"age": ["1", "2"], "bmi (kg)": [1, 2]}, r"row 1, column 'age': '1' is not a finite"),
    ({"age": [[1], [2]], "bmi (kg)": [1, 2]}, "row 1, column 'age': "),
    ({"age": [1, 2], "bmi kg": [1, 2]}, "did you mean 'bmi kg'"),
    ({"a": [1, 2], "b": [1, 2]}, "has no column 'age', 'bmi \\(kg\\)' "),
    (
        {"age": pyarrow.array([], "int8"), "bmi (kg)": pyarrow.array([], "int8")},
        "holds no rows",
    ),
]
ARRAYS: list[Any] = [  # nothing is unpickled
    ({"x": np.ones((3, 4))}, r"its rows have the shape \(4,\); the model expects \(2, 2\)"),
    ({"x": np.float64(1)}, r"have the shape \(\); the model expects"),
    ({"a": np.ones((3, 2, 2)), "b": np.ones(3)}, r"unknown array 'x' \(known: a, b\)"),
    ({}, "unknown array 'x'.*known: none"),
    ({"x": np.ones((0, 2, 2))}, r"the shape \(0, 2, 2\); they need rows"),
    ({"x": np.full((1, 2, 2), "a")}, "have type <U1"),
    (
        {"x": np.array([[[1, 2], [3, np.inf]]])},
        r"1 of the features of .* are NaN or infinite, the first in row 1, place \[1, 1\]",
    ),
    ({"x": np.array([[[object()] * 2] * 2])}, "cannot read .* as an .npz file of plain arrays"),
]


@pytest.mark.parametrize(
    ("name", "content", "shape", "columns", "words"),
    [
        *(("rows.csv", text, (2,), COLUMNS, words) for text, words in CSVS),
        *(("rows.csv", text, (2,), None, words) for text, words in UNNAMED_CSVS),
        *(("rows.parquet", table, (2,), COLUMNS, words) for table, words in TABLES),
        *(("rows.npz", arrays, (2, 2), None, words) for arrays, words in ARRAYS),
        *(
            ("rows.pq", content, (2,), None, r"cannot read .* as a table: ")
            for content in (b"a,b\n1,2\n", b"PAR1", b"")
        ),
    ],
)
def test_a_file_of_other_content_is_refused(
    name: str, content: Any, shape: tuple[int, ...], columns: Any, words: str, write: Write
) -> None:
    """The first wrong value is named, with its row, line and column."""
    with pytest.raises(DataError, match=words):
        read(write(content, name), shape, columns)


# --- the plan


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
        files["model"] = tmp_path / "model.keras"
        registered = {"module": module, "registered_name": None if module else name}
        with zipfile.ZipFile(files["model"], "w") as made:
            config = {**registered, "class_name": name, "config": {"name": "m"}}
            made.writestr("config.json", json.dumps(config))
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


def planned(root: Path, **keys: Any) -> Any:
    keys = {"predict": "@-1", "input": "rows.csv", "output": "out.csv", **keys}
    return plan(schema.Run(paths=schema.Paths(root=str(root)), **keys))


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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"input": "rows.txt"},
            r"rows\.txt is not a table; its name must end in \.csv",
        ),
        (
            {"input": "none.csv"},
            r"cannot read none\.csv as a table: .* No such file",
        ),
        (
            {"input": "folder.csv"},
            "folder.csv is not a regular file",
        ),
        ({"output": "out"}, "output: out has an unknown format"),
        (
            {"output": "none/out.csv"},
            "output: none/out.csv must be a file in a folder that exists",
        ),
        (
            {"output": "rows.csv/out.csv"},
            "output: rows.csv/out.csv must be a file in",
        ),
        (
            {"output": "./folder.csv/../rows.csv"},
            r"output: .*rows\.csv is the input; choose another",
        ),
        ({"output": "folder.csv"}, "output: folder.csv must be a file in"),
        ({"output": "results/entries/out.csv"}, "belongs to the history"),
        ({"output": "pipe.csv"}, "output: pipe.csv must be a file in"),
        ({"input": "pipe.csv"}, r"pipe\.csv is not a regular file"),
        ({"output": "/proc/out.csv"}, "output: cannot write to /proc: "),
    ],
)
def test_what_is_given_wrongly_is_said(
    given: dict[str, Any], words: str, rows: Path, add: Add, root: Path, tmp_path: Path
) -> None:
    """As wrong input, with what to do."""
    add()
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match=words):
        planned(root, **given)
    assert rows.read_text() == CSV


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"status": "failed"}, "entry mlp-.*: unknown artefact 'model'"),
        ({"data": {"classes": ["a", "b"]}}, "does not record the shape of its rows"),
        (
            {"data": {"shapes": {"train": [9, 3]}, "columns": COLUMNS, "classes": ["a", "b"]}},
            "has 2 columns; the model takes 3",
        ),
        (
            {"data": {"shapes": {"train": [9, 2]}, "columns": 2}},
            "does not record the shape of its rows",
        ),
        (
            {"data": {"shapes": {"train": [9, 2]}}},
            "the shape of its rows, or its classes",
        ),
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
        IntegrityError, match=r"artefact 'model' of entry mlp-.* has changed since it was stored"
    ):
        planned(root)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("module", "target", "names", "maker"),
    [
        ("my_layers", "my_models.build", ("my_layers.Custom>Scale",), ""),
        (None, "my_models.build", ("Custom>Scale", "my_models.build"), "my_models.build"),
        (None, "runner.models.mlp", ("Custom>Scale",), ""),
        (None, None, ("Custom>Scale",), ""),
    ],
)
def test_foreign_code_needs_trust_and_is_listed(
    module: str | None,
    target: str | None,
    names: tuple[str, ...],
    maker: str,
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
        monkeypatch.setattr("history.model_file.load_model", lambda path, trust: model)
        assert predict.predict(planned(root, output=output)) == 3
        assert model.seen.tolist() == ROWS.tolist()
        return Path(output)

    return predicted


PROBABILITIES = np.array([[0.1, 0.9], [0.75, 0.25], [1 / 3, 2 / 3]])
GUESSES = ['y, "s"', "no", 'y, "s"']


def written(path: Path) -> dict[str, list[Any]]:
    """The columns of a file, or its arrays, which load without pickle."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name].tolist() for name in arrays}
    if path.suffix == ".pq":
        found: dict[str, list[Any]] = parquet.read_table(path).to_pydict()
        return found
    columns = pd.read_csv(path, dtype=object).items()
    return {str(name): [*map(float, c)] if name != "class" else [*c] for name, c in columns}


COLUMNS_OUT = {
    "class": GUESSES,
    "probability_no": PROBABILITIES[:, 0].tolist(),
    'probability_y, "s"': PROBABILITIES[:, 1].tolist(),
}
ARRAYS_OUT = {
    "class": GUESSES,
    "classes": ["no", 'y, "s"'],
    "probabilities": PROBABILITIES.tolist(),
}


@pytest.mark.parametrize(
    ("output", "expected"),
    [("out.csv", COLUMNS_OUT), ("out.pq", COLUMNS_OUT), ("out.npz", ARRAYS_OUT)],
)
def test_classes_and_probabilities_are_written(output: str, expected: Any, run: Run) -> None:
    """In the input's order, with every digit."""
    assert written(run(Model(PROBABILITIES), output)) == expected


def test_a_class_is_no_formula_in_a_spreadsheet(run: Run) -> None:
    """It gets an apostrophe in front; only there, as another format is not read by one."""
    names = ["=cmd|' /C calc'!A0", "-1"]
    data = {"shapes": {"train": [90, 2]}, "columns": COLUMNS, "classes": names}
    for output, first in (("out.csv", f"'{names[0]}"), ("out.pq", names[0])):
        found = written(run(Model(PROBABILITIES), output, data=data))
        assert found["class"] == ["-1", first, "-1"]


@pytest.mark.parametrize("output", ["out.csv", "out.pq", "out.npz"])
def test_a_regression_writes_its_values(output: str, run: Run) -> None:
    """One column or array, that may be read again as it was written."""
    values = np.array([[152.13348], [1e-30], [-3.0]], "float32")
    data = {"shapes": {"train": [90, 2]}, "columns": COLUMNS}
    found = written(run(Model(values), output, task="regression", data=data))
    assert found == {"prediction": values[:, 0].astype("float64").tolist()}


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
    with np.load(
        run(Model(predicted, keras.layers.Dense(1, activation=activation)), "out.npz")
    ) as arrays:
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

    def full(frame: Any, path: Path, **_: Any) -> None:
        path.write_text("class")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pandas.DataFrame.to_csv", full)
    words = r"cannot write out\.csv: No space left on device; it is unchanged"
    with pytest.raises(ExperimentError, match=words):
        run(Model(PROBABILITIES), "out.csv")
    assert Path("out.csv").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if "out.csv" in path.name] == ["out.csv"]


def test_ignored_columns_are_said_in_one_line(
    run: Run, rows: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When the run has begun, whose log they belong to."""
    rows.write_text(CSV.replace("\n", ",0\n").replace(",0", ",id", 1))
    with caplog.at_level(logging.INFO, "runner"):
        run(Model(PROBABILITIES), "out.csv")
    assert caplog.messages == ["ignored columns of the input that the model does not use: id"]


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

    monkeypatch.setattr("history.model_file.load_model", loaded)
    with pytest.raises(UntrustedCode):
        planned(root)
    assert "users_own_builder" not in sys.modules
    assert predict.predict(planned(root, trust=True)) == 3
