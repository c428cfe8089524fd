"""The history under one root: all entries of all tasks, and how to name one."""

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from history import errors, registry, store
from history.entry import Entry, select
from history.manager import HistoryManager

if TYPE_CHECKING:
    import pandas


class History:
    """The history under `root`; opening it touches no file."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()
        self.store = store.Store(self.root)

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
        if re.fullmatch(r"@-?[0-9]{1,9}", reference):
            with suppress(IndexError):
                return entries[int(reference[1:])]
        ids = {entry.id: entry for entry in entries}
        matches = [id for id in ids if reference and id.startswith(reference)]
        if reference in ids or len(matches) == 1:
            return ids.get(reference) or ids[matches[0]]
        if matches:
            raise errors.UnknownEntry(f"{reference!r} names several entries: {', '.join(matches)}")
        raise errors.UnknownEntry(
            f"no entry {reference!r} among the {len(ids)} in {self.root}"
            f"{errors.suggest(reference, ids)} (see `python -m history list`; --root DIR, or "
            f"paths.root=DIR, names another root)"
        )

    def remove(self, entry: Entry) -> None:
        """Forget the entry and delete its folder; raises UnknownEntry when it is gone,
        HistoryError, or OSError.

        A kill in between leaves the entry gone, or its folder whole, which `doctor` puts back.
        """
        self.store.remove(entry.id)

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
        return registry.manager(entry.manager or entry.task, self.root)
