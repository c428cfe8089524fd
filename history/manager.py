"""Storing and reading the entries of one task: all that the tasks have in common."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import orjson

from history import folders
from history.entry import STATUSES, Entry, new_id, select
from history.errors import HistoryError, InputError, IntegrityError, unknown
from history.files import to_json
from history.ranking import Direction, Ranked, rank
from history.schema import SCHEMA_VERSION, upgrade
from history.store import Store

COMMON_ARTEFACTS = ("model", "config", "trials", "oracle")


@dataclass(frozen=True)
class Report:
    """A table to show: its title, the columns' names, and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


class HistoryManager(ABC):
    """Stores and reads the entries of one task. A subclass sets the class attributes and `report`.

    Attributes: `task`, its name; `metrics`, name to direction in the order of display; `ranking`,
    the metric to rank by unless told; `artefacts`, the names that an entry of this task must have
    beside COMMON_ARTEFACTS; `name`, the one that this manager was asked for under (the registry
    sets it).
    """

    task: ClassVar[str]
    metrics: ClassVar[Mapping[str, Direction]]
    ranking: ClassVar[str]
    artefacts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, root: Path, store: Store) -> None:
        self.root = root
        self.store = store
        self.name = self.task

    @abstractmethod
    def report(self, entry: Entry) -> Report:
        """Return what this task reports of the entry, from its artefacts; raises
        ExperimentError.
        """

    def add(self, document: Mapping[str, Any], files: Mapping[str, Path]) -> Entry:
        """Store an entry: move its files into its folder, put them on disk, then insert the
        document.

        Arguments: `document`, the keys of an entry but those given here (id, schema_version,
        created, task, manager, artefacts); `files`, artefact name to file, moved under the file's
        own name. Returns the entry as stored: once this returns, it is there whatever happens.
        Raises HistoryError when the document or a file is not as it must be (nothing was moved
        then), or when storing fails; the message says where each file is then.
        """
        plain: dict[str, Any] = orjson.loads(to_json(document))
        self._check(plain, files)
        id = new_id(plain["pipeline"])
        part = folders.part(self.root / "entries", id)
        try:
            with folders.changing(self.root):
                part.mkdir()
                for path in files.values():
                    shutil.move(path, part / path.name)
                facts = folders.facts(part, {name: path.name for name, path in files.items()}, id)
                created = datetime.now(UTC).isoformat(timespec="seconds")
                given = {"id": id, "schema_version": SCHEMA_VERSION, "created": created}
                ours = {"task": self.task, "manager": self.name, "artefacts": facts}
                stored = (
                    given | {"origin": {"kind": "run"}} | plain | given | ours
                )  # `given` stands first, and wins
                folders.complete(part, stored)
                self.store.insert(stored)
        except (OSError, HistoryError) as error:
            raise HistoryError(
                f"the entry of pipeline {plain['pipeline']!r} was not stored: {error}. "
                f"{_whereabouts(files, part, part.with_name(id))}"
            ) from error
        return Entry(stored, self.root)

    def entries(self, **wanted: str | None) -> list[Entry]:
        """Return this task's entries that have the values asked for (as `select` takes them),
        oldest first.
        """
        return select(self.store.all(), self.root, **{"task": self.task, **wanted})

    def verify(self, entry: Entry) -> None:
        """Compare what the database says of the entry now with every artefact on disk.

        Raises IntegrityError naming the first artefact that is missing or differs in size or hash.
        """
        document = self.store.get(entry.id)
        if document is None:
            raise IntegrityError(f"the history in {self.root} does not hold the entry {entry.id}")
        stored = Entry(upgrade(document), self.root)
        if missing := self._missing(stored.document, stored.value("artefacts", {})):
            raise IntegrityError(f"entry {entry.id} lacks the artefact {missing[0]!r}")
        stored.verify()

    def rank(self, entries: Iterable[Entry], metric: str | None = None) -> list[Ranked]:
        """Return the entries best first by `metric` (None: the task's own); raises InputError for
        another.
        """
        chosen = metric or self.ranking
        if chosen not in self.metrics:
            raise InputError(unknown(f"metric of {self.task}", chosen, self.metrics))
        return rank(entries, chosen, self.metrics[chosen])

    def _missing(self, document: Mapping[str, Any], names: Iterable[str]) -> list[str]:
        lenient = (
            document["status"] == "failed" or document.get("origin", {}).get("kind", "run") != "run"
        )
        required = () if lenient else COMMON_ARTEFACTS + self.artefacts
        return [name for name in required if name not in set(names)]

    def _check(self, document: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        pipeline, status = document.get("pipeline"), document.get("status")
        if not isinstance(pipeline, str) or not pipeline:
            raise HistoryError(
                f"an entry needs the name of its pipeline; nothing was stored: {pipeline!r}"
            )
        where = f"the entry of pipeline {pipeline!r} was not stored and its files were not moved"
        if status not in STATUSES:
            raise HistoryError(f"{where}: status {status!r} is none of {', '.join(STATUSES)}")
        if document.get("task", self.task) != self.task:
            raise HistoryError(
                f"{where}: its task is {document['task']!r}, its manager's is {self.task!r}"
            )
        if missing := self._missing(document, files):
            raise HistoryError(
                f"{where}: a {status} entry must have the artefacts {', '.join(missing)}"
            )
        for name, path in files.items():
            if path.is_symlink() or not path.is_file():
                raise HistoryError(f"{where}: artefact {name!r} is not a file: {path}")
        if len({folders.DOCUMENT, *(path.name for path in files.values())}) <= len(files):
            paths = ", ".join(map(str, files.values()))
            raise HistoryError(
                f"{where}: two files share a name, or one is called {folders.DOCUMENT}: {paths}"
            )


def _whereabouts(files: Mapping[str, Path], part: Path, folder: Path) -> str:
    """Say where each file is; a source that is still there was not moved, as its removal ends a
    move.
    """
    place = folder if folder.is_dir() else part
    now = (path.absolute() if path.exists() else place / path.name for path in files.values())
    return f"Its files are now: {', '.join(map(str, now)) or 'none'}"
