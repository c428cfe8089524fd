"""Tables in files as data: columns by kind, missing values, targets, splits that go by a column."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.config.check import Reader
from runner.config.schema import Data, TableData
from runner.data.dataset import Dataset
from runner.data.sources import load
from runner.errors import DataError, Problem

CSV = (
    "id,city,rooms,zip,price\na1,Bern,3,01,100\na2,Basel,4,02,200\na3,Bern,,01,300\na4,,5,02,150\n"
)
Load = Callable[..., Dataset]


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Loads a table from text (or columns, as Parquet), with the keys of a section `data`."""

    def make(
        content: Any = CSV, task: str = "regression", name: str = "rows.csv", **keys: Any
    ) -> Dataset:
        path = tmp_path / name
        if path.suffix == ".parquet":
            pyarrow: Any = importlib.import_module("pyarrow")
            importlib.import_module("pyarrow.parquet").write_table(pyarrow.table(content), path)
        else:
            path.write_text(content, encoding="utf-8")
        given = {
            "kind": "table",
            "path": str(path),
            "target": "price",
            "columns": {"id": "ignore"},
        } | keys
        reader = Reader()
        settings = reader.read(given, Data, "data")
        assert reader.problems == []
        return load(settings, task)

    return make


def joined(data: Dataset, name: str | None = None) -> list[Any]:
    """A column (None: the target) of all parts, in the order of the target."""
    parts = data.parts().values()
    targets = np.concatenate([part.y for part in parts])
    columns = [part.y if name is None else part.x[name] for part in parts]
    found: list[Any] = np.concatenate(columns)[np.argsort(targets)].tolist()
    return found


def test_columns_are_read_by_their_content_or_as_they_are_called(loaded: Load) -> None:
    """Numbers as float32, words as they are written; a missing number is NaN, a missing word the
    empty one.
    """
    data = loaded(columns={"id": "ignore", "zip": "category"})
    assert data.columns == {"city": "category", "rooms": "number", "zip": "category"}
    assert joined(data) == [100, 150, 200, 300]
    assert joined(data, "city") == ["Bern", "", "Basel", "Bern"]
    assert joined(data, "zip") == ["01", "02", "02", "01"]
    assert np.array_equal(joined(data, "rooms"), [3, 5, 4, np.nan], equal_nan=True)
    assert data.train.shape == (3, 3)
    assert data.describe("f")["columns"] == data.columns


def test_a_table_of_numbers_is_one_array(loaded: Load) -> None:
    """As any model takes it, in the order of the columns."""
    data = loaded("b,a,price\n1,2,3\n4,5,6\n7,8,9\n", columns={})
    rows: NDArray[Any] = np.concatenate([part.x for part in data.parts().values()])
    assert sorted(rows.tolist()) == [[1, 2], [4, 5], [7, 8]]
    assert data.facts.input_shape == (2,)
    assert (data.facts.columns, data.facts.categories, data.facts.may_miss) == (
        ("b", "a"),
        {},
        True,
    )


def test_facts_are_those_of_the_training_rows(loaded: Load) -> None:
    """Without the missing numbers; words in their order."""
    data = loaded(split={"kind": "chronological", "validation": 0.25})
    assert data.facts.categories == {"city": ["Basel", "Bern"]}
    assert data.facts.feature_mean == [3.5, pytest.approx(4 / 3)]
    assert (data.facts.target_mean, data.facts.columns) == (200.0, ("city", "rooms", "zip"))


def test_classes_are_the_words_or_whole_numbers_of_the_target(loaded: Load) -> None:
    """In their order, numbers by size."""
    text = "a,price\n" + "".join(f"{n},{('no', 'yes')[n % 2]}\n" for n in range(20))
    assert loaded(text, "classification", columns={}).classes == ("no", "yes")
    text = "a,price\n" + "".join(f"{n},{(10, 9)[n % 2]}\n" for n in range(20))
    assert loaded(text, "classification", columns={}).classes == ("9", "10")


def test_a_parquet_file_is_read_like_a_csv(loaded: Load) -> None:
    """By its types; what is a category is text."""
    table = {"city": ["Bern", None, "Bern", "Basel"], "rooms": [3, 4, None, 5], "zip": [1, 2, 2, 1]}
    data = loaded(
        table | {"price": [1.0, 2.0, 3.0, 4.0]}, name="rows.parquet", columns={"zip": "category"}
    )
    assert data.columns == {"city": "category", "rooms": "number", "zip": "category"}
    assert (joined(data, "city"), joined(data, "zip")) == (
        ["Bern", "", "Bern", "Basel"],
        ["1", "2", "2", "1"],
    )
    assert np.array_equal(joined(data, "rooms"), [3, 4, np.nan, 5], equal_nan=True)


def test_rows_that_lack_something_may_be_left_out(
    loaded: Load, caplog: pytest.LogCaptureFixture
) -> None:
    """Those without a target among them; how many is said."""
    caplog.set_level("INFO", "runner")
    data = loaded(CSV + "a5,Bern,1,01,\na6,Bern,2,01,400\n", missing="drop")
    assert joined(data) == [100, 200, 400]
    assert "3 of 6 rows are left out" in caplog.text


def test_files_may_be_the_parts(loaded: Load, tmp_path: Path) -> None:
    """Read as the training file is, whatever their order in the config."""
    other = CSV.replace("00\n", "99\n").replace("150", "250")
    (tmp_path / "other.csv").write_text(other)
    paths = {"validation": str(tmp_path / "other.csv"), "train": str(tmp_path / "rows.csv")}
    data = loaded(path=paths, columns={"id": "ignore", "zip": "category"})
    assert (data.train.y.tolist(), data.validation.y.tolist()) == (
        [100, 200, 300, 150],
        [199, 299, 399, 250],
    )
    assert data.source["split"] == "given"
    (tmp_path / "other.csv").write_text(CSV)
    with pytest.raises(DataError, match=r"4 of the 4 validation rows are train rows too"):
        loaded(path=paths)


@pytest.mark.parametrize(
    ("split", "parts"),
    [
        ({"kind": "grouped", "column": "city", "validation": 0.4}, None),
        (
            {"kind": "chronological", "column": "when", "validation": 0.5},
            {"train": [30, 40], "validation": [10, 20]},
        ),
        (
            {"kind": "given", "column": "part"},
            {"train": [20, 40], "validation": [10], "test": [30]},
        ),
    ],
)
def test_a_split_may_go_by_a_column(
    split: dict[str, Any], parts: dict[str, list[int]] | None, loaded: Load
) -> None:
    """Which is then no feature."""
    text = "a,city,when,part,price\n1,Bern,2026-02-01,validation,10\n2,Rom,2026-02-01T01:00:00,train,20\n"
    text += "3,Bern,2025-12-31,test,30\n4,Rom,2026-01-15,train,40\n5,Bonn,2024-01-01,train,40\n"
    text = text if parts is None else text.replace("5,Bonn,2024-01-01,train,40\n", "")
    kinds = {name: "ignore" for name in ("city", "when", "part") if name != split["column"]}
    data = loaded(text, columns=kinds, split=split)
    assert data.columns == {"a": "number"}
    if parts is not None:
        assert {name: sorted(part.y.tolist()) for name, part in data.parts().items()} == parts


def test_a_column_without_a_name_may_be_left_out(loaded: Load) -> None:
    """Such as the index that pandas writes; it has no part in the split."""
    text = ",a,price\n" + "".join(f"{n},{n % 7},{('no', 'yes')[n % 2]}\n" for n in range(40))
    data = loaded(text, "classification", columns={"": "ignore"})
    assert data.columns == {"a": "number"}
    assert np.bincount(data.validation.y).tolist() == [4, 4]


def test_numbers_may_have_a_decimal_comma(loaded: Load) -> None:
    """As in files of most of Europe; a mistyped one is found all the same."""
    data = loaded("a;price\n1,5;10,25\n;3\n-0,5;2\n", columns={}, separator=";", decimal=",")
    assert joined(data) == [2, 3, 10.25]
    with pytest.raises(DataError, match=r"row 3 \(line 4\), column 'a': 'x' stands among numbers"):
        loaded("a;price\n1,5;10,25\n2,5;3\nx;2\n", columns={}, separator=";", decimal=",")


def test_a_class_with_too_few_rows_is_called_by_its_name(loaded: Load) -> None:
    """Where every part is to have its share."""
    text = "a,price\n" + "".join(f"{n},{('no', 'yes')[n % 2]}\n" for n in range(40)) + "1,perhaps\n"
    with pytest.raises(
        DataError, match=r"data\.split: the class 'perhaps' has 1 row, and there are 3 parts: give"
    ):
        loaded(text, "classification", columns={}, split={"test": 0.2})


def test_every_file_must_have_the_columns(loaded: Load, tmp_path: Path) -> None:
    """Those that are read of the training file."""
    (tmp_path / "other.csv").write_text("id,city,rooms,price\nb1,Bern,3,1\n")
    with pytest.raises(DataError, match=r"data\.path: .*other\.csv: unknown column 'zip'"):
        loaded(
            path={"train": str(tmp_path / "rows.csv"), "validation": str(tmp_path / "other.csv")}
        )


@pytest.mark.parametrize(
    ("message", "where", "what"),
    [
        ("data.columns.a: no such", "data.columns.a", "no such"),
        ("data.split: too few: give more", "data.split", "too few: give more"),
        ("data: there are no rows", "data", "there are no rows"),
        ("data.csv: needs pyarrow", "", "data.csv: needs pyarrow"),
        ("data/rows.csv holds no rows", "", "data/rows.csv holds no rows"),
    ],
)
def test_an_error_of_the_data_knows_its_key(message: str, where: str, what: str) -> None:
    """A file may be called data too."""
    assert DataError(message).problem == Problem(where, what)


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        (
            CSV,
            {"target": "prise"},
            r"data\.target: .*rows\.csv: unknown column 'prise'; did you mean 'price'",
        ),
        (
            CSV,
            {"columns": {"idd": "ignore"}},
            r"data\.columns\.idd: .*unknown column 'idd'; did you mean 'id'",
        ),
        (CSV.replace(",", ";"), {}, r"unknown column 'price'.*is another data\.separator meant\?"),
        (CSV, {"target": "city"}, r"column 'city': 'Bern' is no finite number"),
        (
            CSV + "a5,Bern,x,01,1\n",
            {},
            r"data\.path: .*row 5 \(line 6\), column 'rooms': 'x' stands among",
        ),
        (
            CSV + "a5,Bern,x,01,1\n",
            {"columns": {"rooms": "number"}},
            r"column 'rooms': 'x' is no finite number",
        ),
        (
            CSV,
            {"missing": "error"},
            r"column 'city' lacks 1 values, the first in row 4 \(line 5\); fill them in, or say",
        ),
        (
            CSV + "a5,Bern,1,01,\n",
            {},
            r"data\.path: .*column 'price' lacks 1 values, the first in row 5",
        ),
        (
            "a,price\n" + "".join(f"w{n},{n}\n" for n in range(101)),
            {"columns": {}},
            "101 different texts in 101 rows",
        ),
        (
            "a,b,price\n1,,2\n2,,3\n",
            {"columns": {}},
            r"data\.path: .*column 'b' is empty; say columns: \{b: ignore\}",
        ),
        ("price\n1\n2\n", {"columns": {}}, "no column is left for the features"),
        (
            "a,price\n" + "".join(f"w{n},{n}\n" for n in range(9)),
            {"columns": {}},
            r"say columns: \{a: category\}, or",
        ),
        ("a,,price\n1,0,2\n2,1,3\n", {"columns": {}}, "a column has no name"),
        (
            "a;b;price\n1,5;2,5;3\n",
            {"columns": {}},
            r"the first line has 1; is another separator meant\?",
        ),
        (
            "a;price\n1,5;2\n2,5;3\n",
            {"columns": {}, "separator": ";"},
            r"row 1 \(line 2\), column 'a': '1,5' has a comma; is another data\.decimal meant",
        ),
        (
            CSV,
            {"split": {"kind": "chronological", "column": "id"}},
            r"data\.split\.column: row 1: 'a1' is neither a number nor",
        ),
        (
            CSV,
            {"split": {"kind": "grouped", "column": "town"}},
            r"data\.split\.column: .*unknown column 'town'",
        ),
        (CSV, {"split": {"kind": "given", "column": "city"}}, "lacks 1 values"),
        ("a,price\n1,2\n", {"columns": {}}, r"data\.split"),
        ("a,price\n", {"columns": {}}, "holds no rows"),
        ("", {}, "is empty"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(
    text: str, keys: dict[str, Any], words: str, loaded: Load
) -> None:
    """With the key or the file, the row and the column, and what to do."""
    with pytest.raises(DataError, match=words):
        loaded(text, **keys)


def test_a_column_of_dates_must_be_left_out(loaded: Load) -> None:
    """Parquet has such a type."""
    when = np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "datetime64[ms]")
    with pytest.raises(
        DataError, match=r"column 'when' is of type datetime64: say columns: \{when: ignore\}"
    ):
        loaded({"when": when, "a": [1, 2, 3], "price": [1, 2, 3]}, name="rows.parquet", columns={})


@pytest.mark.parametrize(
    ("keys", "where", "words"),
    [
        ({"columns": {"price": "number"}}, "data.columns.price", "is the target"),
        (
            {"columns": {"a": "text"}},
            "data.columns.a",
            "unknown value 'text' (known: number, category, ignore)",
        ),
        ({"path": "no.csv"}, "data.path", "there is no file"),
        ({"path": {"train": __file__}}, "data.path.validation", "is required"),
        (
            {"path": {"train": __file__, "valid": __file__}},
            "data.path.valid",
            "did you mean 'validation'",
        ),
        (
            {"path": {"train": __file__, "validation": __file__}, "split": {"kind": "random"}},
            "data.split.kind",
            "parts already",
        ),
        ({"separator": ", "}, "data.separator", "one character"),
        ({"split": {"kind": "grouped"}}, "data.split.column", "the group of each row"),
        ({"split": {"column": "a"}}, "data.split.column", "only a grouped"),
    ],
)
def test_a_wrong_section_is_said_by_key(keys: dict[str, Any], where: str, words: str) -> None:
    """Before any file is read."""
    reader = Reader()
    reader.read({"kind": "table", "path": __file__, "target": "price"} | keys, TableData, "data")
    assert [problem.where for problem in reader.problems if words in problem.what] == [where]
