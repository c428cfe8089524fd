"""The kinds of the section `data`, each with its reader; and the way from any of them to a Dataset.

A kind of data is a class in config/schema.py, a reader, and a line in READERS.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from runner.config import schema, targets
from runner.data import arrays, columns, images, split, streams, windows
from runner.data.dataset import Dataset, Part
from runner.data.npz import load_arrays
from runner.data.rows import WHOLE, Rows, unchecked
from runner.errors import DataError, Problem, gathered

SHOWN = 20  # problems of one source


def load(settings: schema.Data, task: str) -> Dataset:
    """Return the data of a pipeline, split; nobody checks it again.

    Args:
        settings: the section `data`.
        task: classification or regression.

    Raises:
        DataError: the source is missing, unreadable or does not suit the task, or the split is
            empty or leaks.
    """
    key, read = READERS[type(settings)]
    try:
        rows = read(settings, task).checked(task)
    except DataError as error:
        problems = [replace(problem, where=problem.where or key) for problem in error.problems]
        more = len(problems) - SHOWN
        if more > 0:
            problems[SHOWN:] = [Problem(key, f"{more} more problems like these")]
        raise DataError(problems) from error
    rows.say_what_is_alike()
    source = settings.model_dump()
    parts = {name: rows.parts[name] for name in (WHOLE, *schema.PARTS) if name in rows.parts}
    data = Dataset(parts, rows.classes, source, rows.columns, rows.notes, rows.rows)
    is_given = WHOLE not in parts
    if is_given:
        source["split"] = "given"
    else:
        del source["split"]
        data = _divided(data, settings.split, rows.by)
    if rows.comparable:
        split.refuse_leaks(data.parts, given=is_given or settings.split.kind == "given")
    return data


def _divided(data: Dataset, settings: schema.Split, by: arrays.Array | None) -> Dataset:
    """Return all rows divided into parts, by their values in `by` if the split needs them."""
    whole = data.parts[WHOLE]
    numbers = data.rows.get(WHOLE, np.arange(len(whole)))
    parts = {}
    rows = {}
    by_part = {}
    for name, places in split.split(whole.y, settings, by, data.classes or ()).items():
        parts[name] = whole.take(places)
        rows[name] = numbers[places]
        if by is not None:
            by_part[name] = by[places]
    return replace(data, parts=parts, rows=rows, by=by_part)


def _sklearn(settings: schema.SklearnData, task: str) -> Rows:
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{settings.name}")()
    x = bunch.data
    columns = {str(name): "number" for name in bunch.feature_names}
    if "images" in bunch:
        x = bunch.images[..., np.newaxis]
        columns = {}
    classes = tuple(str(name) for name in bunch.get("target_names", ()))
    parts = {WHOLE: unchecked(x, bunch.target)}
    return Rows(parts, settings.name, classes or None, columns or None)


def _npz(settings: schema.NpzData, task: str) -> Rows:
    paths = settings.paths
    by = settings.split.column
    names = {settings.x, settings.y, by or settings.y}
    files = gathered(lambda part: load_arrays(Path(paths[part]), *names), paths)
    return Rows(
        {part: unchecked(file[settings.x], file[settings.y]) for part, file in files.items()},
        ", ".join(paths.values()),
        by=files[WHOLE][by] if by else None,
    )


def _function(settings: schema.FunctionData, task: str) -> Rows:
    """Return what the user's function returns.

    Raises:
        ConfigError: there is no such function, or it takes other arguments.
        DataError: it returned something else, or rows that no model can be trained on.
    """
    target = settings.target
    call = functools.partial(targets.locate(target, "data._target_"), **settings.args)
    targets.check_arguments(call.func, settings.args, "data")
    returned = call()
    if isinstance(returned, tuple) and len(returned) == 2:
        return Rows({WHOLE: _pair(target, *returned)}, target)
    parts = returned if isinstance(returned, Mapping) else {}
    if {"train", "validation"} <= set(parts) <= set(schema.PARTS):
        if all(streams.is_stream(part) for part in parts.values()):
            return streams.read(call, target, task)
        if all(isinstance(part, (tuple, list)) and len(part) == 2 for part in parts.values()):
            return Rows({name: _pair(target, *pair) for name, pair in parts.items()}, target)
    kinds = {name: type(part).__name__ for name, part in parts.items()}
    raise DataError(
        f"{target} returned {kinds or type(returned).__name__}; it must return (x, y), or a "
        "mapping of train, validation and optionally test to such pairs, or to streams"
    )


def _pair(target: str, x: Any, y: Any) -> Part:
    """Return the arrays of a part; raises DataError if there are several unnamed inputs."""
    rows = len(y) if hasattr(y, "__len__") else 0
    inputs = x if isinstance(x, (tuple, list)) and len(x) != rows else ()
    if inputs and all(getattr(array, "shape", ())[:1] == (rows,) for array in inputs):
        raise DataError(f"{target} returned {len(inputs)} inputs; {arrays.UNNAMED}")
    return unchecked(x, y)


READERS: Mapping[type[object], tuple[str, Callable[[Any, str], Rows]]] = {
    # kind: the key that names the source, and what reads it
    schema.SklearnData: ("data.name", _sklearn),
    schema.TableData: ("data.path", columns.read),
    schema.NpzData: ("data.path", _npz),
    schema.ImageData: ("data.path", images.read),
    schema.WindowData: ("data.path", windows.read),
    schema.FunctionData: ("data._target_", _function),
}
