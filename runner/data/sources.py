"""Where rows come from: scikit-learn's tables, .npz files, the user's function."""

import importlib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from history.errors import unknown
from runner.check import plain
from runner.data import Array, Dataset, Part
from runner.data.split import split
from runner.errors import DataError
from runner.settings import Data, FunctionData, NpzData, SklearnData, Split
from runner.targets import check_arguments, locate


def load(settings: Data, task: str) -> Dataset:
    """The data of a pipeline, split.

    Args:
        settings: the section `data`.
        task: classification or regression.

    Raises:
        DataError: the source is missing, unreadable or does not suit the task.
    """
    names: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    if isinstance(settings, SklearnData):
        x, y, names, columns = _sklearn(settings, task)
    elif isinstance(settings, NpzData):
        x, y = _npz(settings)
    else:
        given = _function(settings)
        if isinstance(given, Mapping):
            return _given(given, settings, task)
        x, y = given
    x, y = _features(x), _flat(y, len(x))
    classes = None
    if task == "classification":
        y, classes = _classes(y, names)
    else:
        y = _numbers(y)
    source = plain(settings)
    source.pop("split")
    train, validation, test = split(x, y, settings.split, stratify=_stratified(settings.split, task))
    return Dataset(train, validation, test, classes, source, columns=columns)


def _stratified(settings: Split, task: str) -> bool:
    return task == "classification" if settings.stratify is None else settings.stratify


def _sklearn(settings: SklearnData, task: str) -> tuple[Array, Array, tuple[str, ...] | None, tuple[str, ...] | None]:
    """Features, targets, and the names of the classes and of the columns, where there are any."""
    datasets = importlib.import_module("sklearn.datasets")
    bunch = getattr(datasets, f"load_{settings.name}")()
    is_table_of_classes = "target_names" in bunch
    if is_table_of_classes != (task == "classification"):
        its = "classification" if is_table_of_classes else "regression"
        raise DataError(f"data.name: the table '{settings.name}' is for {its}, the task of this pipeline is {task}")
    x = bunch.images[..., np.newaxis] if "images" in bunch else bunch.data
    names = tuple(str(name) for name in bunch.target_names) if is_table_of_classes else None
    columns = tuple(str(name) for name in bunch.feature_names) if x.ndim == 2 else None
    return x, bunch.target, names, columns


def _npz(settings: NpzData) -> tuple[Array, Array]:
    path = Path(settings.path)
    try:
        with _opened(path) as arrays:
            for key, name in (("x", settings.x), ("y", settings.y)):
                if name not in arrays:
                    raise DataError(f"data.{key}: {path}: {unknown('array', name, arrays)}")
            return arrays[settings.x], arrays[settings.y]
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"data.path: cannot read {path} as an .npz file of plain arrays: {error}") from error


def _opened(path: Path) -> Any:
    arrays = np.load(path, allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise ValueError("it holds a single array without a name")
    return arrays


def _function(settings: FunctionData) -> Any:
    function = locate(settings.target, "data._target_")
    check_arguments(function, settings.args, "data")
    given = function(**settings.args)
    if isinstance(given, Mapping) or (isinstance(given, tuple) and len(given) == 2):
        return given
    raise DataError(
        f"data._target_: {settings.target} returned {type(given).__name__}; "
        "it must return (x, y), or a mapping of train, validation and perhaps test to such pairs"
    )


def _given(parts: Mapping[str, Any], settings: FunctionData, task: str) -> Dataset:
    """Parts that were split by the user."""
    for name in parts:
        if name not in ("train", "validation", "test"):
            raise DataError(f"data._target_: {unknown('part', str(name), ('train', 'validation', 'test'))}")
    for name in ("train", "validation"):
        if name not in parts:
            raise DataError(f"data._target_: {settings.target} returned no '{name}' part")
    for name, pair in parts.items():
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
            raise DataError(f"data._target_: {settings.target} returned a '{name}' part that is no pair (x, y)")
    pairs = {name: (_features(x), _flat(y, len(x))) for name, (x, y) in parts.items()}
    shapes = {name: x.shape[1:] for name, (x, _) in pairs.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"data._target_: {settings.target} returned rows of different shapes: {shapes}")
    classes = None
    if task == "classification":
        joined, classes = _classes(np.concatenate([y for _, y in pairs.values()]), None)
        ends = np.cumsum([len(y) for _, y in pairs.values()])[:-1]
        targets = dict(zip(pairs, np.split(joined, ends), strict=True))
    else:
        targets = {name: _numbers(y) for name, (_, y) in pairs.items()}
    found = {name: Part(x, targets[name]) for name, (x, _) in pairs.items()}
    source = plain(settings) | {"split": "given"}
    return Dataset(found["train"], found["validation"], found.get("test"), classes, source)


def _features(x: Any) -> Array:
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise DataError(f"data: the features are no array of rows of one shape: {error}") from error
    if array.ndim == 0 or len(array) == 0:
        raise DataError("data: there are no rows")
    if array.dtype.kind not in "fiub":
        raise DataError(f"data: the features are of type {array.dtype}; a model takes numbers")
    if array.ndim < 2:
        raise DataError(f"data: the features have the shape {array.shape}; they need rows and at least one column")
    array = array.astype("float32")
    if not np.isfinite(array).all():
        raise DataError(f"data: {int((~np.isfinite(array)).sum())} feature values are NaN or infinite")
    return array


def _flat(y: Any, rows: int) -> Array:
    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or len(array) != rows:
        raise DataError(
            f"data: {rows} rows of features, but targets of shape {array.shape}; one target a row is needed"
        )
    return array


def _classes(y: Array, names: tuple[str, ...] | None) -> tuple[Array, tuple[str, ...]]:
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError("data: some targets are NaN or infinite")
    try:
        values, numbers = np.unique(y, return_inverse=True)
    except TypeError as error:
        raise DataError("data: the targets are of several kinds, or some are missing (None)") from error
    if len(values) < 2:
        raise DataError(f"data: classification needs at least two classes; there is only {values.tolist()}")
    if y.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        raise DataError(f"data: the targets are fractions ({values[:3].tolist()} ...); is this a regression?")
    return numbers.astype("int64"), names or tuple(str(value) for value in values.tolist())


def _numbers(y: Array) -> Array:
    if y.dtype.kind not in "fiu":
        raise DataError(f"data: regression needs numbers as targets, not {y.dtype}; is this a classification?")
    numbers = y.astype("float32")
    if not np.isfinite(numbers).all():
        raise DataError(f"data: {int((~np.isfinite(numbers)).sum())} targets are NaN or infinite")
    return numbers
