"""Where rows come from: each kind of the section `data` read, checked and split."""

import dataclasses
import functools
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from history.errors import unknown
from runner.config.check import plain_config
from runner.config.schema import (
    PARTS,
    Data,
    FunctionData,
    ImageData,
    NpzData,
    SklearnData,
    Split,
    TableData,
    WindowData,
)
from runner.config.targets import check_arguments, locate
from runner.data import columns, images, streams, windows
from runner.data.dataset import Dataset, Part, take
from runner.data.files import load_arrays
from runner.data.rows import Rows, class_numbers, features, joined, one_each, target_values
from runner.data.split import refuse_leaks, split
from runner.errors import DataError


def load(settings: Data, task: str) -> Dataset:
    """The data of a pipeline, split.

    Args:
        settings: the section `data`.
        task: classification or regression.

    Raises:
        DataError: the source is missing, unreadable or does not suit the task, or the split is
        empty or leaks.
    """
    if isinstance(settings, SklearnData):
        rows = _sklearn(settings)
    elif isinstance(settings, FunctionData):
        given = _call(settings)
        if isinstance(given, Mapping) and any(map(streams.is_stream, given.values())):
            return _streamed(settings, given, task)
        rows = _function(settings, given)
    else:
        rows = _files(settings, task)
    y, classes = (
        class_numbers(rows.y, rows.classes)
        if task == "classification"
        else (target_values(rows.y), None)
    )
    how = Split(kind="given", column="its part") if rows.given else settings.split
    chosen = split(y, how, task, rows.by, classes)
    parts = {name: Part(take(rows.x, numbers), y[numbers]) for name, numbers in chosen.items()}
    if not isinstance(
        settings, WindowData
    ):  # what repeats itself in time has like windows in every part
        refuse_leaks(parts, given=how.kind == "given")
    source = plain_config(settings) | {"split": "given"}
    if not rows.given:
        source.pop("split")
    return Dataset(
        parts["train"],
        parts["validation"],
        parts.get("test"),
        classes,
        source,
        columns=rows.columns,
    )


def _sklearn(settings: SklearnData) -> Rows:
    datasets = importlib.import_module("sklearn.datasets")
    bunch = getattr(datasets, f"load_{settings.name}")()
    x = bunch.images[..., np.newaxis] if "images" in bunch else bunch.data
    names = tuple(str(name) for name in bunch.target_names) if "target_names" in bunch else None
    named = {str(name): "number" for name in bunch.feature_names} if x.ndim == 2 else None
    return Rows(features(x), bunch.target, names, named)


def _files(settings: TableData | NpzData | ImageData | WindowData, task: str) -> Rows:
    try:
        if isinstance(settings, TableData):
            return columns.read(settings, task)
        if isinstance(settings, NpzData):
            return _npz(settings)
        if isinstance(settings, WindowData):
            parts, names = windows.read(settings, task)
            return dataclasses.replace(
                joined(parts, "data.path"), columns=dict.fromkeys(names, "number")
            )
        parts = images.read(settings, task)
        return Rows(*parts[""]) if "" in parts else joined(parts, "data.path")
    except DataError as error:
        if error.problem.where:
            raise
        raise DataError(f"data.path: {error}") from error


def _npz(settings: NpzData) -> Rows:
    if isinstance(settings.path, dict):
        pairs = {
            name: load_arrays(Path(path), settings.x, settings.y)
            for name, path in settings.path.items()
        }
        return joined(pairs, "data.path")
    column = [settings.split.column] if settings.split.column else []
    x, y, *by = load_arrays(Path(settings.path), settings.x, settings.y, *column)
    x = features(x)
    by = [one_each(values, len(x)) for values in by]
    if settings.split.kind == "chronological":
        by = [columns.times(values) for values in by]
    return Rows(x, one_each(y, len(x)), by=by[0] if by else None)


def _call(settings: FunctionData) -> Any:
    """What the user's function returns: parts by name, or something else."""
    function = locate(settings.target, "data._target_")
    check_arguments(function, settings.args, "data")
    given = function(**settings.args)
    says = f"data._target_: {settings.target} returned"
    if isinstance(given, Mapping):
        for name in given:
            if name not in PARTS:
                raise DataError(f"{says} what is no part: {unknown('part', str(name), PARTS)}")
        for name in PARTS[:2]:
            if name not in given:
                raise DataError(f"{says} no '{name}' part")
    return given


def _streamed(settings: FunctionData, given: Mapping[str, Any], task: str) -> Dataset:
    parts, classes = streams.read(functools.partial(_call, settings), given, settings.target, task)
    return Dataset(
        parts["train"],
        parts["validation"],
        parts.get("test"),
        classes,
        plain_config(settings) | {"split": "given"},
    )


def _function(settings: FunctionData, given: Any) -> Rows:
    says = f"data._target_: {settings.target} returned"
    if isinstance(given, Mapping):
        for name, pair in given.items():
            if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
                raise DataError(f"{says} a '{name}' part that is no pair (x, y)")
        return joined(given, f"data._target_: {settings.target}")
    if isinstance(given, tuple) and len(given) == 2:
        x = features(given[0])
        return Rows(x, one_each(given[1], len(x)))
    raise DataError(
        f"{says} {type(given).__name__}; "
        "it must return (x, y), or a mapping of train, validation and perhaps test to such pairs or to streams"
    )
