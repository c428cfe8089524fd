"""A source becomes a Dataset: splits, arrays, the user's function, tables in files."""

import importlib
import io
import itertools
import os
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from runner_samples import data, read

from runner import models
from runner.config.schema import PARTS, Data, Split
from runner.data import limits
from runner.data.dataset import Dataset, Part
from runner.data.npz import split_file
from runner.data.split import folded, refuse_leaks, split
from runner.errors import ConfigError, DataError

pyarrow: Any = importlib.import_module("pyarrow")  # has no types
parquet: Any = importlib.import_module("pyarrow.parquet")

DICTIONARY = pyarrow.array([b"x", b"y"]).dictionary_encode()
X = np.arange(200, dtype="float32").reshape(100, 2)
Y = np.repeat([0, 1], [80, 20])
CLASSES = ("a", "b")


def rows(part: Part | None) -> list[int]:
    """The numbers of a part's rows, which X holds."""
    assert part is not None
    x: Any = part.x
    return [int(value) // 2 for value in x[:, 0]]


@pytest.mark.parametrize(
    ("settings", "classes", "sizes"),
    [
        (Split(), (), (80, 20, None)),
        (Split(validation=0.1, test=0.3), (), (60, 10, 30)),
        (Split(validation=0.25, test=0.25), CLASSES, (50, 25, 25)),
        (Split(validation=0.1, test=0.1), CLASSES, (80, 10, 10)),
    ],
)
def test_the_parts_have_the_sizes_asked_for_and_are_together_all_rows(
    settings: Split, classes: tuple[str, ...], sizes: tuple[int, int, int | None]
) -> None:
    """Each a share of all rows, in another order than they came; of a classification, with the
    shares of the classes.
    """
    parts = split(Y, settings, classes=classes)
    assert tuple(len(parts[name]) if name in parts else None for name in PARTS) == sizes
    numbers = np.concatenate(list(parts.values())).tolist()
    assert sorted(numbers) == list(range(100)) != numbers
    ones = [5 * Y[found].sum() == len(found) for found in parts.values()]
    assert all(ones) or not classes


def test_the_splits_seed_alone_decides_the_rows() -> None:
    """The same seed draws the same rows, another one others."""
    one, same, other = (split(Y, Split(seed=seed, test=0.2), classes=CLASSES) for seed in (1, 1, 2))
    assert {name: found.tolist() for name, found in one.items()} == {
        name: same[name].tolist() for name in one
    }
    assert one["validation"].tolist() != other["validation"].tolist()


def test_a_split_that_cannot_be_made_is_an_error_of_the_data() -> None:
    """A class too small to stand in every part, called by its name; a part without rows."""
    with pytest.raises(DataError, match=r"data\.split: the class 'b' has fewer rows than"):
        split(np.repeat([0, 1], [99, 1]), Split(test=0.2), classes=CLASSES)
    with pytest.raises(DataError, match=r"data\.split"):
        split(Y[:1], Split())


def test_a_group_stands_in_one_part_alone() -> None:
    """The shares are of groups; the seed draws them."""
    groups = np.array(list("aabbbccddddeeffgghhiijj"), dtype=object)
    parts = split(
        np.arange(23),
        Split(kind="grouped", column="g", validation=0.2, test=0.2),
        groups,
    )
    found = {name: set(groups[numbers]) for name, numbers in parts.items()}
    assert {name: len(names) for name, names in found.items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    assert set().union(*found.values()) == set(groups)
    assert sum(map(len, found.values())) == len(set(groups))


def test_a_chronological_split_tests_on_the_newest_rows() -> None:
    """By the column, or by the order of the rows; rows of one time stay together."""
    times = np.array([5, 1, 4, 4, 2, 3, 4, 6, 7, 8])
    parts = split(np.arange(10), Split(kind="chronological", validation=0.3, test=0.2), times)
    assert {name: sorted(times[numbers].tolist()) for name, numbers in parts.items()} == {
        "train": [1, 2, 3, 4, 4, 4],
        "validation": [5, 6],
        "test": [7, 8],
    }
    in_order = split(np.arange(10), Split(kind="chronological", validation=0.3))
    assert [numbers.tolist() for numbers in in_order.values()] == [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9]]
    with pytest.raises(DataError, match=r"10 rows leave none for validation"):
        split(np.arange(10), Split(kind="chronological"), np.repeat([1, 2], [2, 8]))


def test_a_column_may_say_which_rows_are_which() -> None:
    """Test rows are not needed, validation rows are; another word is an error."""
    column = np.array(["validation", "train", "train"], dtype=object)
    given = Split(kind="given", column="part")
    parts = split(np.arange(3), given, column)
    assert {name: numbers.tolist() for name, numbers in parts.items()} == {
        "train": [1, 2],
        "validation": [0],
    }
    with pytest.raises(DataError, match=r"row 2: unknown part 'valid'; did you mean 'validation'"):
        split(np.arange(3), given, np.array(["train", "valid", "test"], dtype=object))
    with pytest.raises(DataError, match="leave none for validation"):
        split(np.arange(3), given, np.array(["train", "test", "test"], dtype=object))


def test_given_parts_that_overlap_are_refused_and_a_few_equal_rows_are_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Features and target must both be equal; a missing number is equal to a missing one."""
    x = np.array([[1.0, np.nan], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]], "float32")
    train, other = (
        Part(x, np.array([0.0, 1.0, 2.0, 3.0], "float32")),
        Part(x[:3], np.array([0.0, 5.0, 5.0], "float32")),
    )
    refuse_leaks({"train": train, "validation": other}, given=True)
    assert "1 of the 3 validation rows are also train rows" in caplog.text
    with pytest.raises(DataError, match="2 of the 2 test rows are also train rows"):
        refuse_leaks(
            {"train": train, "validation": other, "test": train.take(slice(2))}, given=True
        )
    words = Part({"a": np.array(["x", "y"], dtype=object), "b": x[:2, 1]}, np.array([0, 1]))
    with pytest.raises(DataError, match="1 of the 1 validation rows"):
        refuse_leaks({"train": words, "validation": words.take(slice(1))}, given=True)


def test_equal_rows_that_chance_explains_are_said(caplog: pytest.LogCaptureFixture) -> None:
    """Of few coarse columns; the very rows of another part are refused all the same."""
    drawn = np.random.default_rng(0).integers(0, 3, (200, 3)).astype("float32")
    parts = {
        "train": Part(drawn[:150, :2], drawn[:150, 2]),
        "validation": Part(drawn[150:, :2], drawn[150:, 2]),
    }
    refuse_leaks(parts, given=True)
    assert "of the 50 validation rows are also train rows" in caplog.text
    with pytest.raises(DataError, match="150 of the 150 validation rows are also train rows"):
        refuse_leaks(parts | {"validation": parts["train"]}, given=True)
    fine = Part(np.arange(1, 301, dtype="float32").reshape(150, 2), drawn[:150, 2])
    half: Any = Part(np.array(fine.x)[:40], fine.y[:40])
    half.x[20:] *= -1
    with pytest.raises(DataError, match="20 of the 40 validation rows"):
        refuse_leaks({"train": fine, "validation": half}, given=True)


# --- tables of scikit-learn


@pytest.mark.parametrize(
    ("name", "task", "shape", "classes", "sizes", "column"),
    [
        (
            "iris",
            "classification",
            (4,),
            ("setosa", "versicolor", "virginica"),
            (90, 30, 30),
            "sepal length (cm)",
        ),
        ("digits", "classification", (8, 8, 1), tuple("0123456789"), (1077, 360, 360), None),
        ("diabetes", "regression", (10,), None, (264, 89, 89), "age"),
    ],
)
def test_a_shipped_table_has_rows_facts_and_names(
    name: str,
    task: str,
    shape: tuple[int, ...],
    classes: tuple[str, ...] | None,
    sizes: tuple[int, int, int],
    column: str | None,
) -> None:
    """Images keep their shape, classes and columns their names; pixels have none."""
    made = data(task, kind="sklearn", name=name, split={"test": 0.2})
    assert tuple(len(part) for part in made.parts.values()) == sizes
    assert (made.facts.input_shape, made.classes) == (shape, classes)
    assert made.facts.num_classes == (len(classes) if classes else None)
    described = made.describe("f")
    shapes = ([size, *shape] for size in sizes)
    assert described["shapes"] == dict(zip(PARTS, shapes, strict=True))
    assert next(iter(described.get("columns", [None]))) == column
    assert len(described.get("columns", ())) == (shape[0] if column else 0)


def test_the_fingerprint_is_that_of_the_content() -> None:
    """The same rows give the same one; another value, type, split or class name another one."""
    part, other = Part(X[:50], Y[:50]), Part(X[50:], Y[50:])

    def fingerprint(source: str = "x", classes: Any = CLASSES, **parts: Part) -> str:
        given = {"train": part, "validation": other, **parts}
        return Dataset(given, classes, {"kind": source}, None).fingerprint

    base = fingerprint()
    assert fingerprint("y", train=Part(X[:50].copy(), Y[:50])) == base
    different = {
        fingerprint(classes=("a", "c")),
        fingerprint(train=Part(X[:50] + 1, Y[:50])),
        fingerprint(train=Part(X[:50].astype("float64"), Y[:50])),
        fingerprint(validation=Part(X[50:], Y[50:][::-1])),
        fingerprint(test=other),
    }
    assert len({base, *different}) == 6


# --- .npz files


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Writes arrays and names them."""

    def write(**arrays: Any) -> dict[str, Any]:
        np.savez(tmp_path / "rows.npz", **arrays)
        return {"kind": "npz", "path": str(tmp_path / "rows.npz")}

    return write


def test_an_npz_file_is_read(npz: Callable[..., dict[str, Any]]) -> None:
    """A column of targets is flattened, features become float32, labels become numbers."""
    made = data(**npz(x=X.astype("int64"), y=np.where(Y, "no", "yes")[:, np.newaxis]))
    x: Any = made.train.x
    kinds = (made.classes, str(x.dtype), str(made.train.y.dtype))
    assert kinds == (("no", "yes"), "float32", "int64")
    assert made.train.y.tolist() == [1 - int(Y[number]) for number in rows(made.train)]


def test_a_split_may_go_by_an_array(npz: Callable[..., dict[str, Any]]) -> None:
    """Also by that of the targets; it has a value a row."""
    by_target = {"split": {"kind": "chronological", "column": "y"}}
    made = data("regression", **npz(x=X, y=np.arange(100)[::-1]), **by_target)
    assert sorted(rows(made.validation)) == list(range(20))
    section = npz(x=X, y=Y, part=["train"] * 9)
    with pytest.raises(DataError, match=r"100 rows of features, but .* of shape \(9,\)"):
        data(**section, split={"kind": "given", "column": "part"})


@pytest.mark.parametrize(
    ("split", "by"),
    [
        ({}, Y),
        ({"kind": "random"}, None),
        ({"kind": "grouped", "column": "g"}, np.arange(100) // 4),
        ({"kind": "chronological", "column": "g"}, np.arange(100)[::-1] // 3),
    ],
)
def test_folds_are_drawn_as_the_split_is(
    split: dict[str, Any], by: Any, npz: Callable[..., dict[str, Any]]
) -> None:
    """Each row that is not test validates once, in shares, or whole groups; of times, a block is
    told by those before it alone. The refit sees them all.
    """
    arrays = {"x": X, "y": Y} | ({"g": by} if "column" in split else {})
    section = {**npz(**arrays), "split": {**split, "test": 0.2}}
    made, settings = data(**section), read(section, Data)[0]
    folds = [folded(made, settings, 4, number) for number in range(4)]
    whole = folded(made, settings, 4, None)
    known = sorted(rows(made.train) + rows(made.validation))
    assert sorted(rows(whole.train)) == known
    assert {*whole.parts} == {"train", "test"}
    validated = [rows(fold.validation) for fold in folds]
    if split.get("kind") == "chronological":
        for fold in folds:
            times = [{by[row] for row in rows(part)} for part in fold.parts.values()]
            assert max(times[0]) < min(times[1])
        assert [len(each) for each in validated] == pytest.approx([16] * 4, abs=3)
    else:
        assert sorted(itertools.chain(*validated)) == known
        for fold in folds:
            assert sorted(rows(fold.train) + rows(fold.validation)) == known
            assert fold.facts.feature_mean == fold.train.statistics[0]
            if by is not None and "kind" not in split:
                assert fold.validation.y.sum() == 4
            if "column" in split:
                groups = [{by[row] for row in rows(part)} for part in fold.parts.values()]
                assert not set.intersection(*groups)


def test_other_names_of_arrays_may_be_given(npz: Callable[..., dict[str, Any]]) -> None:
    """One that is not there is named, with those that are."""
    section = npz(features=X, target=Y)
    assert len(data(**section, x="features", y="target").train) == 80
    with pytest.raises(
        DataError, match=r"data\.path: .*unknown array 'x' \(known: features, target"
    ):
        data(**section)


def saved(save: Callable[..., None], *values: Any, **arrays: Any) -> bytes:
    save(file := io.BytesIO(), *values, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"x,y\n1,2\n",
        b"",
        saved(np.save, X),
        saved(np.savez, x=X, y=Y)[:300],
        saved(np.savez, x=X, y=np.array([object()] * 100)),
    ],
)
def test_a_file_that_is_no_npz_file_is_an_error_of_the_data(content: bytes, tmp_path: Path) -> None:
    """Text, nothing, a single array, a torn file, pickled objects."""
    (tmp_path / "rows.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"^data\.path: "):
        data(kind="npz", path=str(tmp_path / "rows.npz"))


def with_header(header: bytes) -> bytes:
    """An .npz file whose array `x` says of itself what is not so."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("x.npy", npy(header))
        made.writestr("y.npy", saved(np.save, Y))
    return file.getvalue()


def npy(header: bytes, content: bytes = bytes(100)) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000, 2)}\n",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2000000000, 2)}\n",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (5,)}\n",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-5, -5)}\n",
        b"{'descr': '<U0', 'fortran_order': False, 'shape': (10000000000000, 2)}\n",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"-" * 9000 + b"5,)}\n",
        b"no header",
    ],
    ids=["vast", "large", "short", "negative", "weightless", "deep", "none"],
)
def test_a_header_is_believed_if_the_array_is_as_large_as_it_says(
    header: bytes, tmp_path: Path
) -> None:
    """Before any memory is taken for it."""
    (tmp_path / "rows.npz").write_bytes(with_header(header))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"^data\.path: cannot read .*rows\.npz as an \.npz"):
        data(kind="npz", path=str(tmp_path / "rows.npz"))
    assert tracemalloc.get_traced_memory()[1] < 2e7
    tracemalloc.stop()


def test_arrays_that_do_not_fit_into_memory_are_not_read(
    npz: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the file is."""
    section = npz(x=X, y=Y)
    monkeypatch.setattr(limits, "available", lambda: 2000)
    with pytest.raises(DataError, match=r"cannot read .*rows\.npz .*: they take .* GB of memory"):
        data(**section)


def test_a_path_may_begin_at_home(
    npz: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of all rows, or of a part."""
    monkeypatch.setenv("HOME", str(tmp_path))
    npz(x=X, y=Y)
    assert len(data(kind="npz", path="~/rows.npz").train) == 80
    paths = {"train": "~/rows.npz", "validation": "~/other.npz"}
    np.savez(tmp_path / "other.npz", x=-X, y=Y)
    assert len(data(kind="npz", path=paths).validation) == 100


@pytest.mark.parametrize("missing", [np.nan, np.inf, np.datetime64("NaT")])
def test_rows_of_no_time_are_not_the_newest(
    npz: Callable[..., dict[str, Any]], missing: Any
) -> None:
    """Nor a group of their own: how many there are is said."""
    times = np.arange(100).astype("datetime64[s]" if str(missing) == "NaT" else "float64")
    times[[7, 8]] = missing
    words = r"data\.split\.column: 2 of the 100 values are missing or infinite, the first in row 8"
    for kind in ("chronological", "grouped"):
        with pytest.raises(DataError, match=words):
            data(**npz(x=X, y=Y, t=times), split={"kind": kind, "column": "t"})


@pytest.mark.parametrize("name", ["rows.npz", "rows.csv", "rows.parquet"])
def test_what_is_no_regular_file_is_not_opened(name: str, tmp_path: Path) -> None:
    """A FIFO would keep the run waiting for ever."""
    os.mkfifo(tmp_path / name)
    kind = {"kind": "npz"} if name == "rows.npz" else {"kind": "table", "target": "y"}
    with pytest.raises(DataError, match=rf"^data\.path: .*{name} is not a regular file"):
        data(**kind, path=str(tmp_path / name))


@pytest.mark.parametrize(
    ("x", "y", "task", "words"),
    [
        (
            np.where(X == 7, np.nan, X),
            Y,
            "classification",
            "1 of the features of .*rows.npz are NaN or infinite, .* in row 4, place \\[1\\]",
        ),
        (
            np.where(X < 4, np.inf, X),
            Y,
            "regression",
            "4 of the features of .* are NaN or infinite, the first in row 1",
        ),
        (X.astype("float64") * 1e300, Y, "regression", "NaN or infinite"),
        (
            X,
            np.where(Y, np.nan, 0.0),
            "classification",
            "20 of the targets are NaN or infinite, the first in row 81$",
        ),
        (
            X,
            np.where(Y, np.nan, 0.0),
            "regression",
            "20 of the targets are NaN or infinite, the first in row 81$",
        ),
        (X, np.zeros(100, int), "classification", "at least two classes; there is only \\[0\\]"),
        (X, Y + 0.5, "classification", "is this a regression"),
        (X, Y.astype(str), "regression", "is this a classification"),
        (X, Y.astype("S1"), "classification", "classes must be whole numbers or text, not \\|S1"),
        (X, Y.astype("M8[s]"), "classification", "whole numbers or text, not datetime64"),
        (X, Y[:-1], "regression", "100 rows of features, but targets of shape \\(99,\\)"),
        (X, np.stack([Y, Y], axis=1), "regression", "targets of shape \\(100, 2\\)"),
        (X[:, 0], Y, "regression", "at least one column"),
        (X[:, :0], Y, "regression", r"shape \(100, 0\); they need rows and at least one column"),
        (X.astype(str), Y, "regression", "a model needs numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_unusable_rows_are_refused(
    npz: Callable[..., dict[str, Any]], x: NDArray[Any], y: NDArray[Any], task: str, words: str
) -> None:
    """Each with what is wrong with them."""
    with pytest.raises(DataError, match=words):
        data(task, **npz(x=x, y=y))


# --- the user's function


FUNCTIONS = """
import numpy as np

def make(n, first=0): return first + np.arange(2.0 * n).reshape(n, 2), np.arange(n) % 3
def given(validation): return {"train": make(9), "validation": validation}
def pair(n=30): return make(n)
def parts(): return {"train": make(30), "validation": make(15, 100), "test": make(6, 200)}
def no_validation(): return {"train": make(9)}
def misnamed(): return {"train": make(9), "valid": make(9)}
def three(): return make(9) + (1,)
def leaking(): return given(make(4))
def nothing(): pass
def halves(): return given(make(9)[0])
def unpaired(): return given(None)
def unlike(): return given((np.ones((9, 5)), np.arange(9) % 3))
def named(n=30, **others):
    words = np.array(["up", "down"])[np.arange(n) % 2]
    a = np.arange(6 * n).reshape(n, 3, 2)
    return {"b": np.arange(n), "a": a, "word": words, **others}, np.arange(n) % 3
def named_parts(): return {"train": named(), "validation": named(9, a=np.full((9, 3, 2), -1))}
def unlike_inputs(): return {"train": named(), "validation": named(9, a=np.ones((9, 3)))}
def uneven(): return named(b=np.arange(29))
def infinite(): return named(b=np.full(30, np.inf))
def no_inputs(): return {}, np.arange(30) % 3
def unnamed(): return [np.ones((30, 2)), np.ones((30, 3))], np.arange(30) % 3
def both_targets(): return make(30)[0], (np.arange(30), np.ones((30, 2)))
def named_targets(): return make(30)[0], {"a": np.arange(30)}
def fails(): raise RuntimeError("mine")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "users_own_rows.py").write_text(FUNCTIONS)
    yield
    sys.modules.pop("users_own_rows", None)


def returned(name: str, task: str = "classification", **args: Any) -> Dataset:
    return data(task, _target_=f"users_own_rows.{name}", split={"test": 0.2}, **args)


@pytest.mark.usefixtures("module")
def test_a_function_may_return_rows_that_are_then_split() -> None:
    """With the arguments of the config."""
    made = returned("pair", n=60)
    assert [len(part) for part in made.parts.values()] == [36, 12, 12]
    assert made.classes == ("0", "1", "2")
    assert made.source == {"_target_": "users_own_rows.pair", "n": 60}


@pytest.mark.usefixtures("module")
def test_a_function_may_return_the_parts_itself() -> None:
    """They are then as it returned them, row by row."""
    made = returned("parts")
    assert [len(part) for part in made.parts.values()] == [30, 15, 6]
    x: Any = made.train.x
    assert x.tolist() == np.arange(60.0).reshape(30, 2).tolist()
    assert made.train.y.tolist() == [n % 3 for n in range(30)]
    assert made.source["split"] == "given"
    assert returned("parts", "regression").validation.y.tolist() == [n % 3 for n in range(15)]


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_validation", "users_own_rows.no_validation returned {'train': 'tuple'}; it must"),
        (
            "misnamed",
            "'valid': 'tuple'}; it must return .* validation and optionally test",
        ),
        ("three", "returned tuple; it must return \\(x, y\\)"),
        ("leaking", "4 of the 4 validation rows are also train rows"),
        ("nothing", "returned NoneType; it must return \\(x, y\\)"),
        ("halves", "users_own_rows.halves"),
        ("unpaired", "users_own_rows.unpaired"),
        ("unlike", "different shapes: .*5"),
        ("unlike_inputs", r"different shapes: .*\(3, 2\).*'validation': {'a': \(3,\)"),
        ("uneven", "the inputs have different numbers of rows: .*'b': 29"),
        ("infinite", r"30 of the features of users_own_rows.infinite\['b'\] are NaN or infinite"),
        ("no_inputs", "0 rows of features"),
        ("unnamed", 'returned 2 inputs; give several inputs by name: {"a":'),
        ("both_targets", "exactly one target per row is needed"),
        ("named_targets", "exactly one target per row is needed"),
    ],
)
def test_a_wrong_return_is_an_error_of_the_data(name: str, words: str) -> None:
    """That says what is wanted, and of whom."""
    with pytest.raises(DataError, match=words):
        returned(name)


@pytest.mark.usefixtures("module")
def test_a_function_may_return_several_inputs_by_name() -> None:
    """Arrays of any shape each, and words; whole rows of all of them are split."""
    made, given = returned("named"), returned("named_parts")
    assert made.facts.input_shape == {"a": (3, 2), "b": (1,), "word": (1,)}
    assert made.facts.categories == {"word": ["down", "up"]}
    assert [part.shape for part in made.parts.values()] == [(18, 3), (6, 3), (6, 3)]
    for x, y in ((part.x, part.y) for part in made.parts.values()):
        assert isinstance(x, dict)
        assert x["a"].dtype == x["b"].dtype == "float32"
        assert (x["a"][:, 0, 0] == 6 * x["b"]).all()
        assert x["word"].tolist() == [("up", "down")[int(b) % 2] for b in x["b"]]
        assert y.tolist() == (x["b"] % 3).tolist()
    assert made.describe("")["inputs"] == {"a": [3, 2], "b": [1], "word": [1]}
    assert [len(part) for part in given.parts.values()] == [30, 9]
    assert len({made.fingerprint, given.fingerprint, returned("named").fingerprint}) == 2


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("model", ["tabular", "linear", "mlp", "cnn", "lstm"])
def test_the_shipped_models_refuse_several_inputs(model: str) -> None:
    """In a line that says which they are."""
    target = getattr(models, model)
    sizes = {"mlp": {"hidden": [4]}, "cnn": {"filters": [4]}, "lstm": {"units": [4]}}
    with pytest.raises(ConfigError, match=r"one array|columns|images|steps") as caught:
        target(facts=returned("named").facts, **sizes.get(model, {}))
    assert "word" in str(caught.value)


@pytest.mark.usefixtures("module")
def test_an_argument_that_the_function_does_not_take_is_an_error_of_the_config() -> None:
    """Before the function is called; its own errors are its own."""
    with pytest.raises(ConfigError, match="takes no argument 'm'"):
        returned("pair", m=1)
    with pytest.raises(RuntimeError, match="mine"):
        returned("fails")


# --- tables in files: columns by kind, missing values, splits that go by a column

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
            parquet.write_table(pyarrow.table(content), path)
        else:
            path.write_text(content, encoding="utf-8")
        given = {"path": str(path), "target": "price", "columns": {"id": "ignore"}} | keys
        return data(task, kind="table", **given)

    return make


def joined(data: Dataset, name: str | None = None) -> list[Any]:
    """A column (None: the target) of all parts, in the order of the target."""
    parts = data.parts.values()
    columns = [part.y if name is None else part.x[name] for part in parts]
    order = np.argsort(np.concatenate([part.y for part in parts]))
    found: list[Any] = np.concatenate(columns)[order].tolist()
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
    rows: NDArray[Any] = np.concatenate([part.x for part in data.parts.values()])
    assert sorted(rows.tolist()) == [[1, 2], [4, 5], [7, 8]]
    assert data.facts.input_shape == (2,)
    assert (data.facts.columns, data.facts.categories, data.facts.may_miss) == (
        ("b", "a"),
        {},
        True,
    )


def test_facts_are_those_of_the_training_rows(loaded: Load) -> None:
    """Without the missing numbers; words in their order. A target that is constant deviates by 1,
    so that it can be divided by.
    """
    facts = loaded(split={"kind": "chronological", "validation": 0.25}).facts
    assert (facts.categories, facts.columns) == (
        {"city": ["Basel", "Bern"]},
        ("city", "rooms", "zip"),
    )
    assert facts.feature_mean == [3.5, pytest.approx(4 / 3)]
    assert facts.feature_variance == [0.25, pytest.approx(2 / 9)]
    assert facts.target_mean == 200.0
    assert facts.target_deviation == pytest.approx(20000**0.5 / 3**0.5)
    assert loaded("a,price\n1,5\n2,5\n3,5\n", columns={}).facts.target_deviation == 1.0


@pytest.mark.parametrize(
    ("odd", "even", "classes"), [("yes", "no", ("no", "yes")), (9, 10, ("9", "10"))]
)
def test_classes_are_the_words_or_whole_numbers_of_the_target(
    odd: Any, even: Any, classes: tuple[str, ...], loaded: Load
) -> None:
    """In their order, numbers by size."""
    text = "a,price\n" + "".join(f"{n},{(even, odd)[n % 2]}\n" for n in range(20))
    assert loaded(text, "classification", columns={}).classes == classes


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
    assert "left out 3 of 6 rows" in caplog.text


def test_the_rows_of_each_part_are_kept(loaded: Load, tmp_path: Path) -> None:
    """As an .npz file of their numbers in the source, those that were left out counted; not where
    each part has a file of its own.
    """
    text = "a,price\n" + "".join(f"{'' if n == 3 else n},{n}\n" for n in range(20))
    made = loaded(text, columns={}, missing="drop", split={"validation": 0.2, "test": 0.1})
    with np.load(io.BytesIO(split_file(made.rows))) as kept:
        assert [*kept] == ["train", "validation", "test"]
        for name, part in made.parts.items():
            assert kept[name].tolist() == part.y.tolist()
    assert split_file({}) == b""
    paths = {"train": str(tmp_path / "rows.csv"), "validation": str(tmp_path / "other.csv")}
    (tmp_path / "other.csv").write_text("a,price\n5,99\n")
    assert loaded(text, columns={}, path=paths, missing="drop").rows == {}


def test_a_part_of_which_nothing_is_left_is_an_error_that_names_it(
    loaded: Load, tmp_path: Path
) -> None:
    """One that was given, or all rows."""
    lacking = "id,city,rooms,zip,price\nb1,,3,01,100\nb2,Bern,,02,200\nb3,Basel,4,01,\n"
    (tmp_path / "other.csv").write_text(lacking)
    paths = {"train": str(tmp_path / "rows.csv"), "validation": str(tmp_path / "other.csv")}
    words = (
        r"^data\.missing: all 3 validation rows of .*other\.csv have a missing value; fill some in"
    )
    with pytest.raises(DataError, match=words):
        loaded(path=paths, missing="drop")
    with pytest.raises(
        DataError, match=r"^data\.missing: all 3 rows of .*rows\.csv have a missing value"
    ):
        loaded(lacking, missing="drop", columns={"id": "ignore", "city": "category"})


def test_files_may_be_the_parts(loaded: Load, tmp_path: Path) -> None:
    """Read as the training file is, whatever their order in the config."""
    paths = {"validation": str(tmp_path / "other.csv"), "train": str(tmp_path / "rows.csv")}

    def with_other(text: str) -> Dataset:
        (tmp_path / "other.csv").write_text(text)
        return loaded(path=paths, columns={"id": "ignore", "zip": "category"})

    made = with_other(CSV.replace("00\n", "99\n").replace("150", "250"))
    assert made.train.y.tolist() == [100, 200, 300, 150]
    assert made.validation.y.tolist() == [199, 299, 399, 250]
    assert made.source["split"] == "given"
    with pytest.raises(DataError, match=r"data\.path: .*other\.csv has no column 'rooms'"):
        with_other("id,city,zip,price\nb1,Bern,3,1\n")


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
    text = "a,city,when,part,price\n1,Bern,2026-02-01,validation,10\n"
    text += "2,Rom,2026-02-01T01:00:00,train,20\n3,Bern,2025-12-31,test,30\n"
    text += "4,Rom,2026-01-15,train,40\n5,Bonn,2024-01-01,train,40\n"
    text = text if parts is None else text.replace("5,Bonn,2024-01-01,train,40\n", "")
    kinds = {name: "ignore" for name in ("city", "when", "part") if name != split["column"]}
    data = loaded(text, columns=kinds, split=split)
    assert data.columns == {"a": "number"}
    if parts is not None:
        assert {name: sorted(part.y.tolist()) for name, part in data.parts.items()} == parts


def test_numbers_may_have_a_decimal_comma(loaded: Load) -> None:
    """As in files of most of Europe; a mistyped one is found all the same."""
    data = loaded("a;price\n1,5;10,25\n;3\n-0,5;2\n", columns={}, separator=";", decimal=",")
    assert joined(data) == [2, 3, 10.25]
    with pytest.raises(
        DataError,
        match=r"row 3 \(line 4\), column 'a': 'x' is not a number, unlike the other values",
    ):
        loaded("a;price\n1,5;10,25\n2,5;3\nx;2\n", columns={}, separator=";", decimal=",")


def table_of(*cells: str, name: str = "a") -> str:
    """A CSV of one column, quoted, beside a target."""
    return f"{name};price\n" + "".join(f'"{cell}";{n}\n' for n, cell in enumerate(cells))


@pytest.mark.parametrize(
    ("cells", "keys", "expected", "said"),
    [
        (["1,234,567", "7,209", "950"], {}, [1234567, 7209, 950], "a with thousands ','"),
        (["1.234.567,5", "7.209", "2,5"], {}, [1234567.5, 7209, 2.5], "a with thousands '.'"),
        (["1 234,5", "17", "-2"], {"decimal": ","}, [1234.5, 17, -2], "a with thousands ' '"),
        (["1'234.5", "1\u2019000\u2019000"], {}, [1234.5, 1e6], 'a with thousands "\'"'),
        (["$4.70", "-$12", "$1,000.50"], {}, [4.7, -12, 1000.5], "a in $ with thousands ','"),
        (["5.0 C", "", "-3 C"], {}, [5, np.nan, -3], "a in C"),
        (["12 %", "7%", "NA"], {}, [12, 7, np.nan], "a in %"),
        (["EUR 3", "EUR 4,5"], {"decimal": ","}, [3, 4.5], "a in EUR"),
        (["7 km/h", "8"], {"columns": {"a": "number"}}, [7, 8], "a in km/h"),
        (["7,209", "950"], {"columns": {"a": "number"}}, [7209, 950], "a with thousands ','"),
        (["7,209", "950"], {"thousands": ","}, [7209, 950], "a with thousands ','"),
        (["7,209", "950"], {"decimal": ",", "thousands": ""}, [7.209, 950], None),
        (["7,209", "0,5"], {"decimal": ","}, [7.209, 0.5], None),
        (["7.209", "950"], {}, [7.209, 950], None),
        # beside others that have commas
        (["47.5", "8.25"], {"decimal": ","}, [47.5, 8.25], None),
        (["1.234,5"], {"columns": {"a": "number"}}, [1234.5], "a with thousands '.'"),
    ],
)
def test_numbers_are_read_as_people_write_them(
    cells: list[str], keys: dict[str, Any], expected: list[float], said: str | None, loaded: Load
) -> None:
    """Where a whole column proves it, or they are asked for; and it is said."""
    made = loaded(table_of(*cells, *cells), **{"columns": {}, "separator": ";"} | keys)
    assert made.columns == {"a": "number"}
    parts = made.parts.values()
    found = np.concatenate([part.x[:, 0] for part in parts])  # type: ignore[index]
    order = np.argsort(np.concatenate([part.y for part in parts]))
    assert np.array_equal(found[order], np.array(expected * 2, "float32"), equal_nan=True)
    note = f" ({said})" if said else ""
    assert made.describe("f")["read"] == f"read 1 number{note}; target price"


@pytest.mark.parametrize(
    ("cells", "keys", "words"),
    [
        # what was read as 7.209 beside 950
        (
            ["950", "7,209"],
            {"decimal": ","},
            r"row 2 \(line 3\), column '[ab]': '7,209' may be 7209 or 7.209: set data.thousands",
        ),
        (["950", "7,209"], {}, "'7,209' may be 7209 or 7.209: .* set columns: {a: category}"),
        (["950", "1.234"], {"decimal": ","}, "'1.234' may be 1234 or 1.234"),
        (["7,209", "1.5"], {}, "'7,209' appears next to '1.5'; which is the decimal sign?"),
        (["1,5", "2.5"], {"decimal": ","}, "'1,5' appears next to '2.5'"),
        (["$1,5", "$2,5"], {}, r"'1,5' has a comma; is data.decimal right\?"),
        (["1,5", "2.5"], {"columns": {"a": "number"}}, "'1,5' appears next to '2.5'"),
        (["5 kg", "300 g"], {}, "'300 g' has a different unit from '5 kg'; use one unit"),
        (
            ["5 kg", "300 g"],
            {"columns": {"a": "number"}},
            "'300 g' has a different unit from '5 kg'",
        ),
        (
            ["5 kg", "7", "6"],
            {},
            r"row 2 .*'7' has a different unit from '5 kg'; .* declare the column a number",
        ),
        (["$5", "?", "$6", "$7"], {}, r"row 2 .*'\?' is not a number, unlike .* data.na_values"),
        (
            ["1 234", "5 678"],
            {"thousands": ","},
            "'1 234' has separators of thousands; is data.thousands",
        ),
    ],
)
def test_numbers_that_may_be_meant_in_two_ways_are_refused(
    cells: list[str], keys: dict[str, Any], words: str, loaded: Load
) -> None:
    """As features, and as the target; with what to say."""
    keys = {"columns": {}, "separator": ";"} | keys
    with pytest.raises(DataError, match=words):
        loaded(table_of(*cells), **keys)
    if not keys["columns"]:
        with pytest.raises(DataError, match=words.partition(": .*")[0]):
            loaded(table_of(*cells, name="b").replace("price", "c"), **keys | {"target": "b"})
        assert loaded(table_of(*cells, *cells), **keys | {"columns": {"a": "category"}}).columns


def test_codes_stay_words(loaded: Load) -> None:
    """Letters before a number, several units, and what only begins like a number."""
    codes = ["a1", "1A", "5+", "<5", "1-2", "12h30", "10th", "079 12"]
    text = "".join(
        f"{code},{other},{n}\n" for n, code in enumerate(codes) for other in ("1A", "2B")
    )
    made = loaded(f"a,b,price\n{text}", columns={})
    assert made.columns == {"a": "category", "b": "category"}


def test_dates_become_numbers(loaded: Load) -> None:
    """By themselves where they are unmistakable; a missing one is missing in each; the days are
    counted from the first one on.
    """
    text = "sold,built,price\n2026-03-01,2020,1\n,1999-12,2\n2026-02-27T12:00,,3\n2026-03-02,,4\n"
    made = loaded(text, columns={"built": "date"}, split={"kind": "chronological"})
    assert made.columns == {"sold": "date", "built": "date"}
    assert made.facts.columns == tuple(
        f"{name} {part}" for name in made.columns for part in ("year", "month", "weekday", "days")
    )
    x: Any = np.concatenate([part.x for part in made.parts.values()])
    gap: list[Any] = [np.nan] * 4
    assert np.array_equal(
        x[:, :4], [[2026, 3, 6, 1.5], gap, [2026, 2, 4, 0], [2026, 3, 0, 2.5]], equal_nan=True
    )
    assert np.array_equal(
        x[:, 4:], [[2020, 1, 2, 7336], [1999, 12, 2, 0], gap, gap], equal_nan=True
    )
    said = made.describe("f")
    assert said["since"] == {"sold": "2026-02-27 12:00:00", "built": "1999-12-01 00:00:00"}
    assert said["read"] == "read 2 dates (sold, built); target price"
    when = np.array(["2026-01-01", "2026-01-02", "NaT"], "datetime64[ms]")
    made = loaded({"when": when, "price": [1, 2, 3]}, columns={}, name="rows.parquet")
    assert made.columns == {"when": "date"}
    with pytest.raises(
        DataError, match="'a year' is both a column and a part of a date; rename the"
    ):
        loaded("a,a year,price\n2026-01-01,1,1\n2026-01-02,2,1\n", columns={})
    with pytest.raises(DataError, match=r"row 2 .*'1\.3\.2026' is not an ISO 8601 date such as"):
        loaded("a,price\n2026-01-01,1\n1.3.2026,2\n", columns={"a": "date"})


def test_what_was_read_is_said(loaded: Load) -> None:
    """Numbers, categories with their words, what is ignored, and what the split goes by."""
    text = "id,city,rooms,when,price\n" + "".join(
        f"h{n},{'ab'[n % 2]},{n},2026-01-{n % 9 + 1:02},€{n}\n" for n in range(20)
    )
    keys = {"split": {"kind": "chronological", "column": "when"}}
    assert loaded(text, **keys).describe("f")["read"] == (
        "read 1 number, 1 category (city 2 words); target price in €; split by when; ignored id"
    )


def test_a_category_of_many_single_words_is_asked_about(loaded: Load) -> None:
    """However many rows there are."""
    text = "a,price\n" + "".join(f"w{max(0, n - 176)},{n}\n" for n in range(200))
    words = (
        "24 distinct values in 200 rows, 23 of which occur only once: set columns: {a: category}, "
        "or text, or"
    )
    with pytest.raises(DataError, match=words):
        loaded(text, columns={})
    assert loaded(text, columns={"a": "category"}).columns == {"a": "category"}


def test_what_stands_for_nothing_may_be_named(loaded: Load) -> None:
    """Of numbers and of words."""
    text = "a,b,price\n1,x,1\n-999,?,2\n3,y,3\n4,y,4\n"
    made = loaded(text, columns={"b": "category"}, na_values=["-999", "?"])
    assert joined(made, "b") == ["x", "", "y", "y"]
    assert np.array_equal(joined(made, "a"), [1, np.nan, 3, 4], equal_nan=True)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "UTF8"])
def test_a_csv_may_have_another_encoding(encoding: str, loaded: Load, tmp_path: Path) -> None:
    """Its words are those that were written; a wrong one is said, with the byte."""
    text = "a,price\nÄ,1\nB,2\nÄ,3\n"
    path = tmp_path / "other.csv"
    path.write_bytes(text.encode(encoding))
    made = loaded(path=str(path), columns={"a": "category"}, encoding=encoding)
    assert joined(made, "a") == ["Ä", "B", "Ä"]
    if encoding == "latin-1":
        words = "line 2 is not UTF-8: byte 0xc4; .* or set data.encoding"
        with pytest.raises(DataError, match=words):
            loaded(path=str(path), columns={})


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        (
            CSV,
            {"target": "prise"},
            r"data\.target: .*rows\.csv has no column 'prise'; did you mean 'price'",
        ),
        (
            CSV,
            {"columns": {"idd": "ignore"}},
            r"data\.columns\.idd: .*has no column 'idd'; did you mean 'id'",
        ),
        (CSV.replace(",", ";"), {}, r"has no column 'id' \(it has: id;city;rooms;zip;price\)"),
        (CSV, {"target": "city"}, r"column 'city': 'Bern' is not a finite"),
        (
            CSV + "a5,Bern,x,01,1\n",
            {},
            r"data\.path: .*row 5 \(line 6\), column 'rooms': 'x' is not a number",
        ),
        (
            CSV + "a5,Bern,x,01,1\n",
            {"columns": {"id": "ignore", "rooms": "number"}},
            r"column 'rooms': 'x' is not a finite",
        ),
        (
            CSV,
            {"missing": "error"},
            r"row 4 \(line 5\), column 'city': a word is missing, the first of 1; fill it in, or ",
        ),
        (
            CSV + "a5,Bern,1,01,\n",
            {},
            r"data\.path: .*row 5 \(line 6\), column 'price': a number is missing",
        ),
        (
            "a,price\n" + "".join(f"w{n},{n}\n" for n in range(101)),
            {"columns": {}},
            "101 distinct values in 101 rows",
        ),
        (
            "a,b,price\n1,,2\n2,,3\n",
            {"columns": {}},
            r"data\.path: column 'b' has type empty: set columns: \{b: ignore\}",
        ),
        ("price\n1\n2\n", {"columns": {}}, "no columns are left as features"),
        (
            "a,price\n" + "".join(f"w{n},{n}\n" for n in range(9)),
            {"columns": {}},
            r"set columns: \{a: category\}, or",
        ),
        ("a,,price\n1,0,2\n2,1,3\n", {"columns": {}}, "a column has no name"),
        (
            "a,,price\n1,0,2\n2,1,3\n",
            {"columns": {"": "ignore", "a": "ignore"}},
            "no columns are left",
        ),
        (
            "a;b;price\n1,5;2,5;3\n",
            {"columns": {}},
            r"the first line has 1; is data.separator right\?",
        ),
        (
            "a;price\n1,5;2\n2,5;3\n",
            {"columns": {}, "separator": ";"},
            r"row 1 \(line 2\), column 'a': '1,5' has a comma; is data\.decimal right\?",
        ),
        (
            "a;price\n2;1\nx;2\n" + "1,5 ;2\n2,5;3\n" * 50,
            {"columns": {}, "separator": ";"},
            r"row 3 \(line 4\), column 'a': '1,5 ?' has a comma; .* set columns: \{a: category\}",
        ),
        (
            {"a": ["1,5", None, None, "2,5", "1,5"], "price": [1, 2, 3, 4, 5]},
            {"columns": {}, "name": "rows.parquet"},
            r"row 1, column 'a': '1,5' has a comma",
        ),
        (
            CSV,
            {"split": {"kind": "chronological", "column": "id"}},
            r"data\.split\.column: row 1: 'a1' is neither a number nor",
        ),
        (
            CSV,
            {"split": {"kind": "grouped", "column": "town"}},
            r"data\.split\.column: .*has no column 'town'",
        ),
        (CSV, {"split": {"kind": "given", "column": "city"}}, "a word is missing, the first of 1"),
        (
            {"when": np.array([5], "timedelta64[ms]"), "price": [1]},
            {"columns": {}, "name": "rows.parquet"},
            r"column 'when' has type timedelta64: set columns: \{when: ignore\}",
        ),
        *(
            ({"a": made, "price": [1, 2]}, {"name": "rows.parquet", **keys}, words)
            for made in ([[1], [2]], [{"b": 1}, None], [b"x", b"y"], DICTIONARY)
            for words, keys in (
                (r"column 'a' ", {"columns": {}}),
                (r"column 'a' holds lists, structs or bytes", {"columns": {"a": "category"}}),
                (
                    r"column 'a' holds lists, structs or bytes",
                    {"columns": {"price": "number"}, "target": "a", "task": "classification"},
                ),
            )
        ),
        ("a,price\n1,2\n", {"columns": {}}, r"data\.split"),
        ("a,price\n", {"columns": {}}, "holds no rows"),
        ("", {}, "is empty"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(
    text: Any, keys: dict[str, Any], words: str, loaded: Load
) -> None:
    """With the key or the file, the row and the column, and what to do."""
    with pytest.raises(DataError, match=words):
        loaded(text, **keys)


def test_words_that_differ_in_spaces_alone_are_said(
    loaded: Load, caplog: pytest.LogCaptureFixture
) -> None:
    """Of classes, categories and the column of a split; each is a word of its own."""
    rows = [(*row, n) for n in range(9) for row in [("Bern", "a"), ("Bern ", "a "), ("Rom", "b")]]
    text = "city,kind,n\n" + "".join(f"{city},{kind},{n}\n" for city, kind, n in rows)
    keys = {"columns": {}, "target": "kind", "task": "classification"}
    made = loaded(text, **keys)
    assert made.classes == ("a", "a ", "b")
    differ = "differ only in the spaces around them; they count as different values"
    assert caplog.messages[0] == f"the classes 'a', 'a ' {differ}"
    assert caplog.messages[1] == f"the words of column 'city' 'Bern', 'Bern ' {differ}"
    caplog.clear()
    loaded(text, **keys, split={"kind": "grouped", "column": "city", "validation": 0.5})
    assert f"the words that the split goes by 'Bern', 'Bern ' {differ}" in caplog.messages


def told(load: Callable[[], object]) -> list[str]:
    """The problems of an error of the data, with their keys."""
    with pytest.raises(DataError) as caught:
        load()
    return [str(problem) for problem in caught.value.problems]


def test_all_that_is_wrong_with_a_table_is_told_at_once(loaded: Load, tmp_path: Path) -> None:
    """Names, columns and cells, of each file."""
    text = "a,b,c,d\n" + "".join(f"{n},w{n},{n},{n}\n" for n in range(9)) + "x,w9,9,9\n"
    columns = {"d": "number", "ee": "ignore"}
    found = told(lambda: loaded(text.replace("3,3\n", "3,?\n"), columns=columns, target="cc"))
    assert [line.partition(": ")[0] for line in found] == ["data.columns.ee", "data.target"] + [
        "data.path"
    ] * 3
    assert "'x' is not a number, unlike the other values" in found[2]
    assert "column 'b' has 10 distinct values" in found[3]
    assert "column 'd': '?' is not a finite" in found[4]
    (tmp_path / "other.csv").write_text("a,b\n1,\n")
    paths = {"train": str(tmp_path / "rows.csv"), "validation": str(tmp_path / "other.csv")}
    found = told(
        lambda: loaded("a,b\n1,2\n,\n", path=paths, target="b", columns={}, missing="error")
    )
    assert ["rows.csv, row 2 (line 3), column 'a'" in found[0], "column 'b'" in found[1]] == [
        True
    ] * 2
    assert "other.csv, row 1 (line 2), column 'b': a number is missing" in found[2]


def test_all_that_is_wrong_with_arrays_is_told_at_once(
    npz: Callable[..., dict[str, Any]],
) -> None:
    """Features and targets alike; and arrays that are not there."""
    found = told(lambda: data(**npz(x=np.where(X == 7, np.nan, X), y=Y + 0.5)))
    assert ["NaN or infinite" in found[0], "the targets are fractions" in found[1]] == [True, True]
    assert told(lambda: data(**npz(xx=X, yy=Y)))[0].count("unknown array") == 2


def test_a_name_is_told_as_text(loaded: Load) -> None:
    """Whatever it would have a terminal do; in a key, a message and the list of what there is."""
    found = told(lambda: loaded("a\x1b[2J,b\n1,2\n", target="b", columns={"c\x1b[2J": "number"}))
    assert found[0].startswith(r"data.columns.c\x1b[2J: ")
    assert all(line.isprintable() for line in found)


def test_a_thousand_problems_are_counted(loaded: Load) -> None:
    """A message stays one that can be read."""
    names = [f"c{n}" for n in range(1000)]
    rows = "".join(",".join([f"w{row}"] * 1000) + f",{row}\n" for row in range(9))
    found = told(lambda: loaded(f"{','.join(names)},price\n{rows}", columns={}))
    assert len(found) == 21
    assert found[-1] == "data.path: 980 more problems like these"


HERE = str(Path(__file__).parent)
TABLE: dict[str, Any] = {"kind": "table", "path": __file__, "target": "price"}
IMAGES: dict[str, Any] = {"kind": "images", "path": HERE, "image_size": [8, 8]}
WINDOWS: dict[str, Any] = {**TABLE, "kind": "windows", "sequence_length": 1}
BOTH = {"train": __file__, "validation": __file__}
BOTH_FOLDERS = {"train": HERE, "validation": HERE}


@pytest.mark.parametrize(
    ("section", "complaints"),
    [
        (TABLE | {"columns": {"price": "number"}}, {"columns.price": "is the target"}),
        (
            TABLE | {"columns": {"a": "words"}},
            {"columns.a": "unknown value 'words' (known: number, category, date, text, ignore)"},
        ),
        (TABLE | {"path": "no.csv"}, {"path": "no.csv does not exist"}),
        (TABLE | {"path": {"train": __file__}}, {"path.validation": "is required"}),
        (
            TABLE | {"path": BOTH | {"valid": __file__}},
            {"path.valid": "did you mean 'validation'"},
        ),
        (
            TABLE | {"path": BOTH, "split": {"kind": "random"}},
            {"split.kind": "already names the parts"},
        ),
        (TABLE | {"encoding": "utf-99"}, {"encoding": "unknown encoding 'utf-99'; use one"}),
        (TABLE | {"separator": ", "}, {"separator": "at most 1 character"}),
        (TABLE | {"split": {"kind": "grouped"}}, {"split.column": "the group or part of each row"}),
        (TABLE | {"split": {"column": "a"}}, {"split.column": "only a grouped"}),
        (
            IMAGES | {"path": f"{HERE}/no", "image_size": [8]},
            {
                "path": f"{HERE}/no does not exist; paths are relative to the current folder",
                "image_size": "must hold at least 2, not [8]",
            },
        ),
        (
            IMAGES | {"path": BOTH_FOLDERS | {"test": f"{HERE}/no"}},
            {"path.test": "does not exist"},
        ),
        (
            WINDOWS | {"sequence_length": 0, "horizon": -1},
            {
                "sequence_length": "must be at least 1, not 0",
                "horizon": "must be at least 0, not -1",
            },
        ),
        (
            WINDOWS | {"features": []},
            {"features": "must hold at least 1, not []"},
        ),
        (
            WINDOWS | {"features": ["price"], "horizon": 0},
            {"features": "at horizon 0 a window would contain its own target"},
        ),
    ],
)
def test_a_wrong_section_is_said_by_key(
    section: dict[str, Any], complaints: dict[str, str]
) -> None:
    """Before any file is read, and all at once."""
    found = {problem.where: problem.what for problem in read(section, Data, "data")[1]}
    assert [*found] == [f"data.{key}" for key in complaints]
    for words, what in zip(complaints.values(), found.values(), strict=True):
        assert words in what
