"""Rows: where they come from and how they are split."""

import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.config.schema import PARTS, FunctionData, NpzData, SklearnData, Split
from runner.data.dataset import Dataset, Part
from runner.data.sources import load
from runner.data.split import refuse_leaks, split
from runner.errors import ConfigError, DataError

X = np.arange(200, dtype="float32").reshape(100, 2)
Y = np.repeat([0, 1], [80, 20])


def rows(part: Part | None) -> list[int]:
    """The numbers of a part's rows, which X holds."""
    assert part is not None
    x: Any = part.x
    return [int(value) // 2 for value in x[:, 0]]


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        (Split(), (80, 20, None)),
        (Split(validation=0.1, test=0.3), (60, 10, 30)),
        (Split(validation=0.25, test=0.25), (50, 25, 25)),
        (Split(validation=0.1, test=0.1), (80, 10, 10)),
    ],
)
def test_a_split_has_the_sizes_that_its_fractions_say(
    settings: Split, sizes: tuple[int, int, int | None]
) -> None:
    """Each a share of all rows."""
    parts = split(Y, settings, "regression")
    assert tuple(len(parts[name]) if name in parts else None for name in PARTS) == sizes


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_parts_are_disjoint_and_together_all_rows(task: str) -> None:
    """In another order than they came."""
    numbers = np.concatenate(
        list(split(Y, Split(validation=0.2, test=0.2), task).values())
    ).tolist()
    assert sorted(numbers) == list(range(100))
    assert numbers != sorted(numbers)


def test_stratification_keeps_the_shares_of_the_classes() -> None:
    """80 to 20 in each part."""
    parts = split(Y, Split(validation=0.2, test=0.2), "classification")
    assert [np.bincount(Y[numbers]).tolist() for numbers in parts.values()] == [
        [48, 12],
        [16, 4],
        [16, 4],
    ]


def test_the_splits_seed_alone_decides_the_rows() -> None:
    """The same seed draws the same rows, another one others."""
    one, same, other = (
        split(Y, Split(seed=seed, test=0.2), "classification") for seed in (1, 1, 2)
    )
    assert {name: found.tolist() for name, found in one.items()} == {
        name: same[name].tolist() for name in one
    }
    assert one["validation"].tolist() != other["validation"].tolist()


def test_a_split_that_cannot_be_made_is_an_error_of_the_data() -> None:
    """A class too small to stand in every part; a part without rows."""
    with pytest.raises(DataError, match=r"data\.split"):
        split(np.repeat([0, 1], [99, 1]), Split(), "classification")
    with pytest.raises(DataError, match=r"data\.split"):
        split(Y[:1], Split(), "regression")


def test_a_group_stands_in_one_part_alone() -> None:
    """The shares are of groups; the seed draws them."""
    groups = np.array(list("aabbbccddddeeffgghhiijj"), dtype=object)
    parts = split(
        np.arange(23),
        Split(kind="grouped", column="g", validation=0.2, test=0.2),
        "regression",
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
    parts = split(
        np.arange(10), Split(kind="chronological", validation=0.3, test=0.2), "regression", times
    )
    assert {name: sorted(times[numbers].tolist()) for name, numbers in parts.items()} == {
        "train": [1, 2, 3, 4, 4, 4],
        "validation": [5, 6],
        "test": [7, 8],
    }
    in_order = split(np.arange(10), Split(kind="chronological", validation=0.3), "regression")
    assert [numbers.tolist() for numbers in in_order.values()] == [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9]]
    with pytest.raises(DataError, match=r"10 rows leave none for validation"):
        split(np.arange(10), Split(kind="chronological"), "regression", np.repeat([1, 2], [2, 8]))


def test_a_column_may_say_which_rows_are_which() -> None:
    """Test rows are not needed, validation rows are; another word is an error."""
    column = np.array(["validation", "train", "train"], dtype=object)
    given = Split(kind="given", column="part")
    parts = split(np.arange(3), given, "regression", column)
    assert {name: numbers.tolist() for name, numbers in parts.items()} == {
        "train": [1, 2],
        "validation": [0],
    }
    with pytest.raises(DataError, match=r"row 2: unknown part 'valid'; did you mean 'validation'"):
        split(np.arange(3), given, "regression", np.array(["train", "valid", "test"], dtype=object))
    with pytest.raises(DataError, match="leave none for validation"):
        split(np.arange(3), given, "regression", np.array(["train", "test", "test"], dtype=object))


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
    assert "1 of the 3 validation rows are train rows too" in caplog.text
    with pytest.raises(DataError, match="2 of the 2 test rows are train rows too"):
        refuse_leaks({"train": train, "validation": other, "test": train.head(2)}, given=True)
    words = Part({"a": np.array(["x", "y"], dtype=object), "b": x[:2, 1]}, np.array([0, 1]))
    with pytest.raises(DataError, match="1 of the 1 validation rows"):
        refuse_leaks({"train": words, "validation": words.head(1)}, given=True)


# --- tables of scikit-learn


@pytest.mark.parametrize(
    ("name", "task", "shape", "classes", "sizes"),
    [
        ("iris", "classification", (4,), ("setosa", "versicolor", "virginica"), (90, 30, 30)),
        ("digits", "classification", (8, 8, 1), tuple("0123456789"), (1077, 360, 360)),
        ("diabetes", "regression", (10,), None, (264, 89, 89)),
    ],
)
def test_a_shipped_table_has_rows_facts_and_names(
    name: Any,
    task: str,
    shape: tuple[int, ...],
    classes: tuple[str, ...] | None,
    sizes: tuple[int, int, int],
) -> None:
    """Images keep their shape, classes their names."""
    data = load(SklearnData(name=name, split=Split(test=0.2)), task)
    assert tuple(len(part) for part in data.parts().values()) == sizes
    assert (data.facts.input_shape, data.classes) == (shape, classes)
    assert data.facts.num_classes == (len(classes) if classes else None)
    assert data.describe("f")["shapes"] == dict(
        zip(("train", "validation", "test"), ([size, *shape] for size in sizes), strict=True)
    )


def test_the_facts_are_those_of_the_training_rows_alone() -> None:
    """Validation rows must not leak into a normalisation."""
    train = Part(np.array([[1.0, 10.0], [3.0, 10.0]], "float32"), np.array([2.0, 6.0], "float32"))
    other = Part(np.full((2, 2), 1e6, "float32"), np.array([1e6, 1e6], "float32"))
    facts = Dataset(train, other, other, None, {}).facts
    assert (facts.feature_mean, facts.feature_variance) == ([2.0, 10.0], [1.0, 0.0])
    assert (facts.target_mean, facts.target_deviation) == (4.0, 2.0)
    constant = Dataset(Part(train.x, np.array([5.0, 5.0], "float32")), other, None, None, {}).facts
    assert constant.target_deviation == 1.0


def test_the_fingerprint_is_that_of_the_content() -> None:
    """The same rows give the same one; another value, type, split or class name another one."""
    part, other = Part(X[:50], Y[:50]), Part(X[50:], Y[50:])
    base = Dataset(part, other, None, ("a", "b"), {"kind": "x"}).fingerprint
    assert (
        Dataset(Part(X[:50].copy(), Y[:50]), other, None, ("a", "b"), {"kind": "y"}).fingerprint
        == base
    )
    different = [
        Dataset(part, other, None, ("a", "c"), {}),
        Dataset(Part(X[:50] + 1, Y[:50]), other, None, ("a", "b"), {}),
        Dataset(Part(X[:50].astype("float64"), Y[:50]), other, None, ("a", "b"), {}),
        Dataset(part, Part(X[50:], Y[50:][::-1]), None, ("a", "b"), {}),
        Dataset(part, other, other, ("a", "b"), {}),
    ]
    assert len({base, *(data.fingerprint for data in different)}) == 6


# --- .npz files


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., NpzData]:
    """Writes arrays and names them."""

    def write(**arrays: Any) -> NpzData:
        np.savez(tmp_path / "rows.npz", **arrays)
        return NpzData(path=str(tmp_path / "rows.npz"))

    return write


def test_an_npz_file_is_read(npz: Callable[..., NpzData]) -> None:
    """A column of targets is flattened, features become float32, labels become numbers."""
    data = load(
        npz(x=X.astype("int64"), y=np.where(Y, "no", "yes")[:, np.newaxis]), "classification"
    )
    x: Any = data.train.x
    assert (data.classes, str(x.dtype), str(data.train.y.dtype)) == (
        ("no", "yes"),
        "float32",
        "int64",
    )
    assert data.train.y.tolist() == [1 - int(Y[number]) for number in rows(data.train)]


def test_other_names_of_arrays_may_be_given(npz: Callable[..., NpzData]) -> None:
    """One that is not there is named, with those that are."""
    path = npz(features=X, target=Y).path
    assert len(load(NpzData(path=path, x="features", y="target"), "classification").train) == 80
    with pytest.raises(
        DataError, match=r"data\.path: .*unknown array 'x' \(known: features, target\)"
    ):
        load(NpzData(path=path), "classification")
    with pytest.raises(DataError, match=r"data\.path: .*did you mean 'target'"):
        load(NpzData(path=path, x="features", y="targets"), "classification")


def test_a_pickled_array_is_refused(npz: Callable[..., NpzData]) -> None:
    """Unpickling runs whatever the file says."""
    with pytest.raises(
        DataError, match=r"data\.path: cannot read .* as an \.npz file of plain arrays"
    ):
        load(npz(x=X, y=np.array([object()] * 100)), "classification")


def write_text(path: Path) -> None:
    path.write_text("x,y\n1,2\n")


def write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, X)


def write_torn(path: Path) -> None:
    np.savez(path, x=X, y=Y)
    path.write_bytes(path.read_bytes()[:300])


def write_foreign_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x", "1")
        file.writestr("y", "1")


@pytest.mark.parametrize(
    "write", [write_text, Path.touch, write_npy, write_torn, write_foreign_zip]
)
def test_a_file_that_is_no_npz_file_is_an_error_of_the_data(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    """Text, nothing, a single array, a torn file, another archive: one message."""
    write(tmp_path / "rows.npz")
    with pytest.raises(DataError, match=r"^data"):
        load(NpzData(path=str(tmp_path / "rows.npz")), "classification")


@pytest.mark.parametrize(
    ("x", "y", "task", "words"),
    [
        (
            np.where(X == 7, np.nan, X),
            Y,
            "classification",
            "1 of the features are NaN or infinite, the first in row 4, place \\[1\\]",
        ),
        (
            np.where(X < 4, np.inf, X),
            Y,
            "regression",
            "4 of the features are NaN or infinite, the first in row 1",
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
        (X, Y[:-1], "regression", "100 rows of features, but targets of shape \\(99,\\)"),
        (X, np.stack([Y, Y], axis=1), "regression", "targets of shape \\(100, 2\\)"),
        (X[:, 0], Y, "regression", "at least one column"),
        (X.astype(str), Y, "regression", "a model takes numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_unusable_rows_are_refused(
    npz: Callable[..., NpzData], x: NDArray[Any], y: NDArray[Any], task: str, words: str
) -> None:
    """Each with what is wrong with them."""
    with pytest.raises(DataError, match=words):
        load(npz(x=x, y=y), task)


# --- the user's function


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "users_own_rows.py").write_text(
        "import numpy as np\n"
        "def make(n, first=0): return first + np.arange(2.0 * n).reshape(n, 2), np.arange(n) % 3\n"
        "def pair(n=30): return make(n)\n"
        "def parts(n=30): return {'train': make(n), 'validation': make(n // 2, 100), 'test': make(6, 200)}\n"
        "def no_validation(): return {'train': make(9)}\n"
        "def misnamed(): return {'train': make(9), 'valid': make(9)}\n"
        "def three(): return make(9) + (1,)\n"
        "def leaking(): return {'train': make(9), 'validation': make(4)}\n"
        "def nothing(): pass\n"
        "def halves(): return {'train': make(9), 'validation': make(9)[0]}\n"
        "def unpaired(): return {'train': make(9), 'validation': None}\n"
        "def unlike(): return {'train': make(9), 'validation': (np.ones((9, 5)), np.arange(9) % 3)}\n"
        "def fails(): raise RuntimeError('mine')\n"
    )
    yield
    sys.modules.pop("users_own_rows", None)


def function(name: str, **args: Any) -> FunctionData:
    return FunctionData(target=f"users_own_rows.{name}", args=args, split=Split(test=0.2))


@pytest.mark.usefixtures("module")
def test_a_function_may_return_rows_that_are_then_split() -> None:
    """With the arguments of the config."""
    data = load(function("pair", n=60), "classification")
    assert [len(part) for part in data.parts().values()] == [36, 12, 12]
    assert data.classes == ("0", "1", "2")
    assert data.source == {"_target_": "users_own_rows.pair", "n": 60}


@pytest.mark.usefixtures("module")
def test_a_function_may_return_the_parts_itself() -> None:
    """They are then as it returned them, row by row."""
    data = load(function("parts"), "classification")
    assert [len(part) for part in data.parts().values()] == [30, 15, 6]
    x: Any = data.train.x
    assert x.tolist() == np.arange(60.0).reshape(30, 2).tolist()
    assert data.train.y.tolist() == [n % 3 for n in range(30)]
    assert data.source["split"] == "given"
    assert load(function("parts"), "regression").validation.y.tolist() == [n % 3 for n in range(15)]


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_validation", "users_own_rows.no_validation returned no 'validation' part"),
        ("misnamed", "unknown part 'valid'; did you mean 'validation'"),
        ("three", "returned tuple; it must return \\(x, y\\)"),
        ("leaking", "4 of the 4 validation rows are train rows too"),
        ("nothing", "returned NoneType; it must return \\(x, y\\)"),
        ("halves", "users_own_rows.halves"),
        ("unpaired", "users_own_rows.unpaired"),
        ("unlike", "users_own_rows.unlike"),
    ],
)
def test_a_wrong_return_is_an_error_of_the_data(name: str, words: str) -> None:
    """That says what is wanted, and of whom."""
    with pytest.raises(DataError, match=words):
        load(function(name), "classification")


@pytest.mark.usefixtures("module")
def test_an_argument_that_the_function_does_not_take_is_an_error_of_the_config() -> None:
    """Before the function is called; its own errors are its own."""
    with pytest.raises(ConfigError, match="takes no argument 'm'"):
        load(function("pair", m=1), "classification")
    with pytest.raises(RuntimeError, match="mine"):
        load(function("fails"), "classification")
