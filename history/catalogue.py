"""The history under one root: all entries of all tasks, and how to name one."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from history import folders, registry
from history.entry import ID, Entry, select
from history.errors import HistoryError, UnknownEntry, suggest
from history.manager import HistoryManager
from history.store import open_store

if TYPE_CHECKING:
    import pandas


class History:
    """The history under `root`; opening it touches no file."""

    def __init__(self, root: Path | str, store: str = "tinydb") -> None:
        self.root = Path(root).resolve()
        self.store = open_store(store, self.root)

    def entries(self, **wanted: str | None) -> list[Entry]:
        """Return the entries that have every value asked for (as `select` takes them), oldest
        first.
        """
        return select(self.store.all(), self.root, **wanted)

    def get(self, reference: str) -> Entry:
        """Return the entry named by its id, a unique prefix of it, or its position.

        Positions: `@0` is the oldest, `@-1` the newest. Raises UnknownEntry when none or several
        match.
        """
        entries = self.entries()
        if not entries:
            raise UnknownEntry(
                f"no entry {reference!r}: {self.root} holds no history; name another root with --root "
                f"(runner: paths.root=...)"
            )
        if re.fullmatch(r"@-?[0-9]+", reference):
            return self._at(entries, int(reference[1:]))
        matches = [entry for entry in entries if reference and entry.id.startswith(reference)]
        exact = [entry for entry in matches if entry.id == reference]
        if len(exact or matches) == 1:
            return (exact or matches)[0]
        if matches:
            candidates = ", ".join(entry.id for entry in matches)
            raise UnknownEntry(f"{reference!r} names several entries of {self.root}: {candidates}")
        hint = suggest(reference, [entry.id for entry in entries])
        raise UnknownEntry(
            f"no entry {reference!r} in {self.root}{hint} (see `python -m history list`)"
        )

    def remove(self, entry: Entry) -> None:
        """Forget the entry and delete its folder; raises UnknownEntry when it is gone, or
        HistoryError.

        A kill in between leaves the entry whole or gone: the folder loses its name first, and comes
        back by `doctor` as long as the document is there.
        """
        try:
            with folders.changing(self.root) as entries:
                if self.store.get(entry.id) is None:
                    raise UnknownEntry(f"no entry {entry.id!r} in {self.root}; nothing was removed")
                if not ID.fullmatch(entry.id):  # somebody else's row, whose id may name any folder
                    return self.store.remove(entry.id)
                aside = folders.set_aside(entries, entry.id)
                try:
                    self.store.remove(entry.id)
                except HistoryError:
                    if aside.exists():
                        aside.rename(entries / entry.id)
                    raise
                folders.delete(aside)
        except OSError as error:
            raise HistoryError(
                f"entry {entry.id} is not wholly removed: {error}; see `history doctor`"
            ) from error

    def to_frame(self, **wanted: str | None) -> "pandas.DataFrame":
        """Return the entries as a table, a row each; nested keys are joined by dots (as
        `frame.to_frame` says).
        """
        from history.view.frame import to_frame

        return to_frame(self.entries(**wanted))

    def manager_of(self, entry: Entry) -> HistoryManager:
        """Return the history manager that stored the entry; raises RegistryError if it is not
        installed.
        """
        return registry.manager(entry.manager or entry.task, self.root, self.store)

    def _at(self, entries: list[Entry], position: int) -> Entry:
        if not -len(entries) <= position < len(entries):
            raise UnknownEntry(
                f"no entry @{position} in {self.root}: it holds {len(entries)}, from @0 (the oldest) "
                f"to @{len(entries) - 1} (also @-1)"
            )
        return entries[position]
