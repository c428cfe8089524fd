"""Entries and trials as the rows of a table: the columns that a user may name, and their cells."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import ClassVar, TypeVar

from foundation import errors, escape, files, trees
from foundation.files import Json, JsonObject
from history import Entry, registry, schema
from history.records import Trial
from history.view.text import brief, duration, local_time, measured, number, pairs

COLUMNS = (
    "id",
    "created",
    "experiment",
    "pipeline",
    "task",
    "status",
    "metric",
    "trials",
    "search",
)


class Row:
    """A row of a table, whose columns are the dotted keys of its document.

    Attributes: `noun`, what it is a row of; `columns`, those with a name of their own; `others`,
    what else may be named.
    """

    noun: ClassVar[str]
    columns: ClassVar[Sequence[str]]
    others: ClassVar[str]

    def __init__(self, document: JsonObject) -> None:
        self.document = document

    def value(self, column: str) -> Json:
        """Return what the row has in a column, as a program reads it and rows are sorted; None for
        nothing.
        """
        return trees.lookup(self.document, column)

    def cell(self, column: str) -> str:
        """Return what the row has in a column, as a person reads it."""
        return brief(self.value(column))

    def cells(self, columns: Iterable[str]) -> list[str]:
        """Return what the row has in columns, as a person reads it."""
        return [self.cell(column) for column in columns]


class EntryRow(Row):
    """An entry; `metric` is the one that it is judged by."""

    noun = "entry"
    columns = (*COLUMNS, *schema.LABELS)
    others = "the dotted keys of entries, such as search.tuner"

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry.document)
        self.entry = entry

    @cached_property
    def metric(self) -> str:
        """The metric that entries like this one are ranked by, unless another was set."""
        return registry.ranked_by(self.entry)[0]

    def value(self, column: str) -> Json:
        """Return what the entry has in a column."""
        match column:
            case "metric":
                return self.entry.metric(self.metric)
            case "trials":
                trials = self.entry.search.trials
                return None if trials.total is None else trials.completed
            case "search":
                return self.entry.search.seconds
        return super().value(column)

    def cell(self, column: str) -> str:
        """Return what a person reads in a column: a time as local time, a metric with its name."""
        if column == "metric":
            text = measured(self.entry, "validation", self.metric)
            return text if text == "-" else f"{text} {self.metric}"
        value = self.value(column)
        match column:
            case "created":
                return local_time(value)
            case "status" if self.entry.imported:
                return f"{value} (imported)"
            case "trials" if value is not None:
                return f"{value}/{self.entry.search.trials.total}"
            case "search" if value is not None:
                return duration(value)
        return number(value) if isinstance(value, float) else pairs(value)


class TrialRow(Row):
    """A trial of a search."""

    noun = "trial"
    columns = ("trial_id", "status", "score", "best_epoch", "seconds", "started", "message")
    others = "values"

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial.row())
        self.trial = trial

    def cell(self, column: str) -> str:
        """Return what a person reads in a column: without a score, how the trial ended."""
        if column == "score" and self.trial.score is None:
            return self.trial.status
        return super().cell(column)


AnyRow = TypeVar("AnyRow", bound=Row)


def check_columns(rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Raise InputError for a column that none of these rows has."""
    for column in columns if rows else ():
        known = rows[0].columns
        if column in known or any(row.value(column) is not None for row in rows):
            continue
        keys = trees.columns_of([trees.flat(row.document) for row in rows[-100:]])
        raise errors.InputError(
            f"no {rows[0].noun} has a column {column!r}{errors.suggest(column, [*known, *keys])} "
            f"(known: {', '.join(known)}, and {rows[0].others})"
        )


def in_order(rows: Sequence[AnyRow], column: str, reverse: bool) -> list[AnyRow]:
    """Return rows sorted by a column, numbers before texts; those without a value last, either way.

    Raises InputError for a column that none of them has.
    """
    check_columns(rows, [column])
    with_value = []
    without = []
    for row in rows:
        value = row.value(column)
        if value is None:
            without.append(row)
        else:
            with_value.append((_sort_key(value), row))
    with_value.sort(key=lambda keyed: keyed[0], reverse=reverse)
    return [row for _, row in with_value] + without


def _sort_key(value: Json) -> tuple[bool, Json]:
    is_text = not isinstance(value, int | float)
    return is_text, pairs(value) if is_text else value


def to_csv(rows: Sequence[Row], columns: Sequence[str] = ()) -> bytes:
    """Return rows as CSV in UTF-8 (RFC 4180) with a header: the columns named or, without, all keys
    of their documents; what a row lacks is empty. A spreadsheet runs nothing of it.

    Raises InputError for a column that none of the rows has.
    """
    check_columns(rows, columns)
    table = []
    for row in rows:
        if columns:
            table.append({column: _plain(row.value(column)) for column in columns})
        else:
            table.append(trees.flat(row.document))
    header = columns or trees.columns_of(table)
    lines = [header] + [[line.get(column) for column in header] for line in table]
    return files.to_csv(map(escape.spreadsheet_cell, line) for line in lines).encode()


def _plain(value: Json) -> Json:
    """Return a value as one number or text."""
    return value if value is None or isinstance(value, int | float) else pairs(value)
