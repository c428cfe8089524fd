"""Storing and reading the entries of one task: all that the tasks have in common."""

import csv
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import ClassVar

import orjson

from foundation import errors
from foundation.files import Json, JsonObject, link, to_json
from history import schema, store
from history.entry import Entry, new_id, select
from history.ranking import Direction, Ranked, rank

COMMON_ARTEFACTS = ("model", "config", "trials", "oracle")


@dataclass(frozen=True)
class Report:
    """A table to show: its title, the columns' names, and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


class HistoryManager:
    """Stores and reads the entries of one task. A subclass sets the class attributes, and may
    override `report`.

    Attributes: `task`, its name; `metrics`, name to direction in the order of display; `ranking`,
    the metric to rank by unless told; `artefacts`, the names that an entry of this task must have
    beside COMMON_ARTEFACTS; `figures`, how a page draws what was predicted: keys of
    history.report.figures.HELD; `name`, the one that this manager was asked for under (the registry
    sets it).
    """

    task: ClassVar[str]
    metrics: ClassVar[Mapping[str, Direction]]
    ranking: ClassVar[str]
    artefacts: ClassVar[tuple[str, ...]] = ()
    figures: ClassVar[tuple[str, ...]] = ()

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = store.Store(root)
        self.name = self.task

    def report(self, entry: Entry) -> Report:
        """Return what this task reports of the entry: here the CSV file that is its artefact
        `<task>_report`, a line of names and then the rows. Raises ExperimentError.
        """
        path = entry.artefact(f"{self.task}_report")
        try:
            with path.open(encoding="utf-8", newline="") as file:
                header, *rows = (tuple(row) for row in csv.reader(file))
        except (OSError, ValueError, csv.Error) as error:
            raise errors.IntegrityError(f"cannot read the report in {path}: {error}") from error
        return Report(f"{self.task} report", header, rows)

    def add(self, document: Mapping[str, Json], files: Mapping[str, Path]) -> Entry:
        """Store an entry: its files are moved into its folder, then its document is inserted.

        Arguments: `document`, the keys of an entry but those given here (id, schema_version,
        created, task, manager, artefacts); `files`, artefact name to file, moved under the file's
        own name. Returns the entry as stored: once this returns, it is there whatever happens. The
        same result of the same run takes the place of what a kill before that has left.
        Raises HistoryError when the document or a file is not as it must be, or when storing fails;
        the files are where they were then.
        """
        plain: JsonObject = orjson.loads(to_json(document))
        pipeline = str(plain.get("pipeline"))
        id = self._free_id(plain, pipeline)

        def fill(_: JsonObject, folder: Path) -> None:
            for path in files.values():
                link(path, folder / path.name)

        try:
            own: JsonObject = {
                "id": id,
                "schema_version": schema.SCHEMA_VERSION,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "task": self.task,
                "manager": self.name,
                "artefacts": {name: store.facts(path, id) for name, path in files.items()},
            }
            # Our own keys stand first, and win.
            stored = own | {"origin": {"kind": "run"}} | plain | own
            entry = Entry(schema.read_document(stored, "it"), self.root)
            self._check(entry)
            if len({store.DOCUMENT, *(path.name for path in files.values())}) <= len(files):
                raise errors.HistoryError("two of its files share a name")
            self.store.add([stored], fill)
        except (OSError, errors.HistoryError) as error:
            raise errors.HistoryError(
                f"the entry of pipeline {pipeline!r} was not stored: {error}; its files are "
                "untouched"
            ) from error
        for path in files.values():
            with suppress(OSError):  # a name that is left does no harm
                path.unlink()
        return entry

    def entries(self, **wanted: str | None) -> list[Entry]:
        """Return this task's entries that have the values asked for (as `select` takes them),
        oldest first.
        """
        return select(self.store.all(), self.root, **{"task": self.task} | wanted)

    def verify(self, entry: Entry) -> None:
        """Compare what the database says of the entry now with every artefact on disk.

        Raises IntegrityError naming the first artefact that is missing or differs in size or hash.
        """
        stored = self.entries(id=entry.id)
        if not stored:
            raise errors.IntegrityError(
                f"the history in {self.root} does not hold the entry {entry.id}"
            )
        self._check(stored[0])
        stored[0].verify()

    def directions(self, entries: Iterable[Entry]) -> dict[str, Direction | None]:
        """Return which way each metric is better: the task's, then those of the entries' models,
        where that may not be known.
        """
        directions: dict[str, Direction | None] = dict(self.metrics)
        for entry in entries:
            directions |= entry.validation.own_metrics
        directions |= self.metrics  # whatever a model says of them
        return directions

    def rank(self, entries: Iterable[Entry], metric: str | None = None) -> list[Ranked]:
        """Return the entries best first by `metric` (None: the task's own); raises InputError for
        one that neither the task nor a model has, or of which it is not known what is better.
        """
        chosen = metric or self.ranking
        entries = list(entries)
        directions = {name: way for name, way in self.directions(entries).items() if way}
        if chosen not in directions:
            raise errors.InputError(errors.unknown(f"metric of {self.task}", chosen, directions))
        return rank(entries, chosen, directions[chosen])

    def _free_id(self, document: JsonObject, pipeline: str) -> str:
        """Return an id that no entry has: the same again for the same result of a run."""
        taken = {row["id"] for row in self.store.all()}
        result = [document.get(key) for key in ("run_id", "fingerprint", "pipeline", "status")]
        for number in count():
            id = new_id(pipeline, f"{result} {number}" if all(result) else "")
            if id not in taken:
                break
        return id

    def _check(self, entry: Entry) -> None:
        """Raise IntegrityError when an artefact is missing that an entry of a run must have."""
        missing = set(COMMON_ARTEFACTS).union(self.artefacts) - entry.artefacts.keys()
        if missing and entry.status != "failed" and not entry.imported:
            raise errors.IntegrityError(f"entry {entry.id} lacks {', '.join(sorted(missing))}")
