"""What two executions came to, compared number by number, and array by array."""

import functools
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foundation.errors import IntegrityError
from history.view.terminal import render
from runner.run.comparison import CAUSES, compare, compare_causes, weights
from runner.run.reproduce import Verdict
from runner.run.reproduce import page as verdict_page

MODULES = CAUSES["code"]


THEN = {"repeat 1": {"epoch 1": {"loss": 0.5}, "test": {"f1": 0.9}}, "weights": {"a": "x"}}


@pytest.mark.parametrize(
    ("now", "kind", "said"),
    [
        ({}, "identical", None),
        ({"weights": {"a": "y"}}, "within tolerance", "weights, a: x → y"),
        (
            {"repeat 1": {"epoch 1": {"loss": 0.4}, "test": {"f1": 0.9}}},
            "within tolerance",
            "repeat 1, epoch 1, loss: 0.5 → 0.4",
        ),
        (
            {"repeat 1": {"epoch 1": {"loss": 0.4, "new": 1}, "test": {"f1": 0.8}}},
            "diverged",
            "repeat 1, epoch 1, loss: 0.5 → 0.4",
        ),
        (
            {"repeat 1": {"epoch 1": {"loss": 0.5}, "test": {"new": 0.9}}},
            "diverged",
            "repeat 1, test, f1: 0.9 → nothing",
        ),
        (
            {"repeat 1": {"epoch 1": {"loss": 0.5}, "test": None}},
            "diverged",
            "repeat 1, test, f1: 0.9 → nothing",
        ),
        ({"repeat 2": {"test": {"f1": 0.9}}}, "diverged", "repeat 2, test, f1: nothing → 0.9"),
    ],
)
def test_the_first_difference_is_told_with_its_place(
    now: dict[str, Any], kind: str, said: str | None
) -> None:
    """In the order of time; what is on one side only is a difference too. Metrics of the held-out
    rows decide whether it is within tolerance.
    """
    assert compare(THEN, {**THEN, **now})[:2] == (kind, said)


def test_metrics_of_one_side_only_are_named_and_decide_nothing() -> None:
    """So that entries of before the next metric is added, or one is dropped, still reproduce."""
    more = {"epoch 1": {"loss": 0.5, "rate": 1}, "test": {"f1": 0.9, "auc": 0.8}}
    assert compare(THEN, {**THEN, "repeat 1": more}) == ("identical", None, ["auc", "rate"])
    assert compare({**THEN, "repeat 1": more}, THEN) == ("identical", None, ["auc", "rate"])
    verdict = Verdict("a", "identical", "all", None, ["auc"], [("test", "auc", None, 0.8)], [], {})
    shown = render(verdict_page(verdict))
    assert "metrics that only one side has (ignored): auc" in shown


def test_only_what_was_compared_is_said_to_be_as_then() -> None:
    """Of an entry of another release or of unknown making, that is what both have."""
    new = {"model": {"a": 1}, "data": {"content": "d"}, "code": {"own": "x"}, "files": {}}
    assert compare_causes(new, new) == (["the model's settings", "the data's rows", MODULES], {})
    old: dict[str, Any] = {"sources": 3, "model": [1], "data": None, "code": "x", "unknown": {}}
    same, differs = compare_causes(old, new)
    assert same == []
    assert list(differs) == ["model", "data", "code"]
    assert compare_causes({}, new) == ([], {})
    shown = render(verdict_page(Verdict("a", "diverged", "all", None, [], [], [], {})))
    assert "unchanged: nothing" in shown


@pytest.mark.parametrize(
    ("then", "now", "near"),
    [
        (100.0, 101.0, True),
        (100.0, 101.1, False),
        (-1.0, -1.009, True),
        (0.0, 1e-6, True),
        (0.0, 2e-6, False),
        (None, 0.5, False),
        (10**400, 0.5, False),
        (0.5, None, False),
    ],
)
def test_within_tolerance_is_one_per_cent(then: object, now: object, near: bool) -> None:
    """Of what was stored, or a millionth; a metric that only one side has never is."""
    trees = [{"repeat 1": {"test": {"rmse": value}}} for value in (then, now)]
    assert compare(*trees)[0] == ("within tolerance" if near else "diverged")


def archived(path: Path, fill: Callable[[h5py.File], object]) -> Path:
    """A .keras file with these weights."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", content.getvalue())
    return path


def virtual(file: h5py.File) -> None:
    """An array whose numbers are in another file."""
    layout = h5py.VirtualLayout((9,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hosts", "x", (9,))
    file.create_virtual_dataset("other", layout)


def test_weights_are_told_apart_by_every_bit(tmp_path: Path) -> None:
    """By their values, types and shapes, under their names."""
    ones = np.ones((2, 3), "float32")
    nearly = np.where(np.eye(2, 3), np.nextafter(ones, np.float32(2)), ones)
    found = []
    for array in (ones, ones.copy(), nearly, ones.astype("float64"), ones.T):
        put = functools.partial(h5py.File.create_dataset, name="a/b", data=array)
        found.append(weights(archived(tmp_path / "m.keras", put)))
    assert found[0] == found[1]
    assert [list(each) for each in found] == [["a/b"]] * 5
    assert len({str(each) for each in found}) == 4


@pytest.mark.parametrize(
    ("fill", "end"),
    [
        (lambda file: file.create_dataset("big", (10**10,), "uint8", chunks=(10**6,)), None),
        (lambda file: file.create_dataset("unwritten", (10**10,), "uint8"), None),
        (
            lambda file: file.create_dataset("out", (9,), "uint8", external=[("/etc/hosts", 0, 9)]),
            None,
        ),
        (lambda file: file.create_dataset("null", data=h5py.Empty("f4")), None),
        (lambda file: file.create_dataset("texts", data=["a"], dtype=h5py.string_dtype()), None),
        (lambda file: file.create_dataset("links", data=[file.ref], dtype=h5py.ref_dtype), None),
        (lambda file: file.create_group("/a" * 200).create_dataset("x", data=[1.0]), None),
        (virtual, None),
        (lambda file: None, -60),
    ],
)
def test_weights_that_are_not_in_the_file_are_refused(
    tmp_path: Path, fill: Callable[[h5py.File], object], end: int | None
) -> None:
    """Neither gigabytes that nobody wrote nor other files are read; nor is what was cut off."""
    path = archived(tmp_path / "m.keras", fill)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(IntegrityError, match=r"m\.keras has no weights"):
        weights(path)


def test_weights_that_are_many_times_the_same_bytes_are_refused(tmp_path: Path) -> None:
    """A small file could take for ever to read: its arrays may not be more than it holds."""
    content, numbers = io.BytesIO(), np.ones(1000)
    with h5py.File(content, "w") as file:
        arrays = [file.create_dataset(f"a{n}", (1000,), "float64") for n in range(40)]
        for array in arrays:
            array[...] = numbers
        first, *others = [int(array.id.get_offset() or 0) for array in arrays]
    raw = content.getvalue()
    for offset in others:
        raw = raw.replace(offset.to_bytes(8, "little"), first.to_bytes(8, "little"))
    end = first + numbers.nbytes
    raw = raw[:40] + end.to_bytes(8, "little") + raw[48:end]  # what a superblock says of its end
    with h5py.File(io.BytesIO(raw), "r") as file:
        assert all((file[name][...] == 1).all() for name in file)
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("model.weights.h5", raw)
    with pytest.raises(IntegrityError, match=r"is not stored as Keras stores weights"):
        weights(tmp_path / "m.keras")
