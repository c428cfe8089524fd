"""A table in a file as rows, to train on or to predict: which columns are features and of what
kind, and what becomes of missing values. Or as windows over a series: the rows are split by time
first, so that no window reaches from one part into another.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas
from pydantic import AliasPath, BaseModel, Field, PositiveInt

from runner.config.schema import PARTS, TableData, WindowData
from runner.data import dataset, files, log, split
from runner.errors import DataError, Faults, gathered

WORDS = 100  # different texts in a column that are taken for categories without being asked for


def read(settings: TableData, task: str) -> dataset.Rows:
    """Return the rows of a table; each part's file is read as the first one's columns are.

    Raises:
        DataError: a file cannot be read, or its columns are not as they must be; the column and the
            row are named.
    """
    by = settings.split.column
    # but those that are named as features
    beside = {settings.target, by} - {n for n, kind in settings.columns.items() if kind != "ignore"}
    faults, kinds, parts = Faults(), dict[str, str](), dict[str, dataset.Part]()
    for part in sorted(settings.paths, key=(dataset.WHOLE, *PARTS).index):
        with faults:
            table = files.open_table(
                Path(settings.paths[part]), settings.separator, settings.decimal
            )
            with faults:
                table.require(
                    {
                        **{f"data.columns.{name}": [name] for name in settings.columns},
                        "data.target": [settings.target],
                        "data.split.column": [by] if by else [],
                    }
                )
            for name in () if kinds else table.names:
                with faults:
                    kinds[name] = _kind(settings, table, name, task)
            taken = {name: kind for name, kind in kinds.items() if kind != "ignore"}
            table.require({"": taken})
            columns = table.columns(
                taken,
                {"error": taken, "fill": beside, "drop": ()}[settings.missing],
                "; fill it in, or say data.missing: drop",
            )
            if faults:
                continue
            lacking = np.logical_or.reduce([*map(files.missing, columns.values())])
            if settings.missing == "drop" and lacking.any():
                if lacking.all():
                    raise DataError(
                        f"all {len(lacking)} {part and f'{part} '}rows of {table.path} lack a "
                        "value; fill some in, or leave columns out (ignore)",
                        "data.missing",
                    )
                log.info(
                    "%s: %d of %d rows are left out, for lack of a value",
                    table.path,
                    lacking.sum(),
                    len(lacking),
                )
                columns = {name: column[~lacking] for name, column in columns.items()}
            used = {name: column for name, column in columns.items() if name not in beside}
            if not used:
                raise DataError("no column is left for the features", "data.columns")
            parts[part] = dataset.Part(as_features(used), columns[settings.target])
    faults.tell()
    return dataset.Rows(
        parts, columns={name: kinds[name] for name in used}, by=columns[by] if by else None
    )


class StoredData(BaseModel):
    """What the section `data` of an entry says of its rows; see Dataset.describe."""

    shape: list[PositiveInt] = Field(validation_alias=AliasPath("shapes", "train"), min_length=2)
    columns: dict[str, str] | None = None  # the features' kinds
    classes: tuple[str, ...] | None = None
    separator: str = Field(",", validation_alias=AliasPath("source", "separator"))
    decimal: str = Field(".", validation_alias=AliasPath("source", "decimal"))
    missing: object = Field("", validation_alias=AliasPath("source", "missing"))


def read_new(path: Path, stored: StoredData) -> tuple[dataset.Features, list[str]]:
    """Return new rows for a stored model, and the names of the columns that were left out.

    Args:
        path: a file of one of files.FORMATS; a CSV has a header. Columns are taken by name where
            their names are known; those of a window, which has each once a step, in order.
        stored: what the model's entry says of its rows.

    Raises:
        DataError: the file cannot be read, or does not hold such rows; the first wrong value is
            named.
    """
    shape = tuple(stored.shape[1:])
    if path.suffix.lower() == ".npz":
        arrays = files.load_arrays(path)
        rows = arrays.popitem()[1] if len(arrays) == 1 else files.load_arrays(path, "x")["x"]
        if rows.shape[1:] != shape:
            raise DataError(
                f"{path}: its rows are of shape {rows.shape[1:]}; those of the model of {shape}"
            )
        return dataset.features(rows, str(path)), []
    table = files.open_table(path, stored.separator, stored.decimal)
    kinds = stored.columns if len(shape) == 1 else None
    if kinds is None:
        kinds = dict.fromkeys(table.names, "number")
        named = pandas.to_numeric(pandas.Series(table.names), errors="coerce").isna()
        if table.lines is not None and not named.all():
            raise DataError(f"{path}: line 1 holds numbers; it must be texts that name the columns")
    table.require({"": kinds})
    if len(kinds) != np.prod(shape):
        raise DataError(f"{path} has {len(kinds)} columns; the model takes {np.prod(shape)}")
    x = as_features(
        table.columns(
            kinds,
            [n for n, kind in kinds.items() if kind == "number" and stored.missing != "fill"],
        )
    )
    return (
        x if isinstance(x, dict) else x.reshape(-1, *shape),
        [name for name in table.names if name not in kinds],
    )


def as_features(columns: Mapping[str, dataset.Array]) -> dataset.Features:
    """Return what a model takes of columns: one array of numbers or, where some are words, each by
    itself.
    """
    x = {name: c if dataset.is_text(c) else c.astype("float32") for name, c in columns.items()}
    return x if any(map(dataset.is_text, x.values())) else np.stack(list(x.values()), axis=1)


def _kind(settings: TableData, table: files.Table, name: str, task: str) -> str:
    """Return number, category or ignore: how a column is to be read."""
    told, _, is_word = table.parsed(name)
    if name == settings.target:
        return "number" if told == "number" or task == "regression" else "category"
    asked = settings.columns.get(name)
    if name == settings.split.column and asked in (None, "ignore"):
        return told if (told, settings.split.kind) == ("number", "chronological") else "category"
    if asked or (name and told == "number"):
        return asked or told
    if not name:
        raise DataError(
            "a column has no name (an index?): give it one, or say columns: {'': ignore}"
        )
    if told not in ("category", "mixed"):
        raise DataError(
            f"column '{name}' is of type {told}: say columns: {{{name}: ignore}}, or store it as "
            "numbers or text"
        )
    # texts that nobody called categories must look like some: few, and no numbers among which one
    # is mistyped
    column = table.columns({name: "category"})[name]
    words, say = np.flatnonzero(is_word), f"say columns: {{{name}: category}}"
    points = pandas.Series(column[words]).astype(str).str.replace(",", ".")
    commas = words[pandas.to_numeric(points, errors="coerce").notna()]
    if 2 * len(commas) > np.count_nonzero(column[words] != ""):
        raise DataError(
            f"{table.place(commas[0], name)}: {column[commas[0]]!r:.60} has a comma; is another "
            f"data.decimal meant? If not, {say}"
        )
    if 2 * len(words) < len(column):
        raise DataError(
            f"{table.place(words[0], name)}: {column[words[0]]!r:.60} stands among numbers: "
            f"mend it, or {say}"
        )
    different = len(set(column))
    if different > WORDS or different == len(column):
        raise DataError(
            f"{table.path}: column '{name}' has {different} different texts in {len(column)} "
            f"rows: {say}, or ignore"
        )
    return "category"


def read_windows(settings: WindowData, task: str) -> dataset.Rows:
    """Return windows of shape (windows, steps, features) with their targets, by part.

    Raises:
        DataError: the file cannot be read, a column is missing or holds what is no number, a part
            has too few rows.
    """
    table = files.open_table(Path(settings.path), settings.separator, settings.decimal)
    table.require({"data.target": [settings.target], "data.features": settings.features or []})
    kinds = {name: table.parsed(name)[0] for name in table.names}
    # texts some of which are numbers are a column of numbers, in which a cell is mistyped
    features = settings.features or [
        name
        for name, kind in kinds.items()
        if kind in ("number", "mixed") and (name != settings.target or settings.horizon)
    ]
    if not features:
        raise DataError(
            f"{table.path} has no column of numbers beside the target '{settings.target}'",
            "data.features",
        )
    numbers = dict.fromkeys(features, "number")
    target = "number" if task == "regression" or kinds[settings.target] == "number" else "category"
    columns = table.columns({settings.target: target} | numbers, table.names)
    rows = np.stack([columns[name] for name in features], axis=1).astype("float32")
    dataset.must_fit(
        rows.nbytes * settings.sequence_length // settings.sequence_stride,
        "the windows",
        "larger sequence_stride",
    )
    steps = np.arange(settings.sequence_length) * settings.sampling_rate - settings.reach
    chosen = split.by_time(len(rows), settings.split)

    def windows(part: str) -> dataset.Part:
        # as Keras' timeseries_dataset_from_array makes them
        ends = chosen[part][settings.reach :: settings.sequence_stride]
        if not len(ends):
            raise DataError(
                f"the {part} part has {len(chosen[part])} rows; one window and its target reach "
                f"over {settings.reach + 1}. Give it a larger share in data.split, or a shorter "
                "sequence_length"
            )
        return dataset.Part(rows[ends[:, np.newaxis] + steps], columns[settings.target][ends])

    return dataset.Rows(gathered(windows, chosen), columns=numbers, comparable=False)
