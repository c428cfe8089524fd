"""The history under one root: all entries of all tasks, and how to name one."""

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from foundation import errors, trees
from history import manager, registry, store
from history.entry import Entry, frame, select

if TYPE_CHECKING:
    import pandas


class History:
    """The history under `root`; opening it touches no file."""

    _repr_html_: ClassVar[Callable[..., str]]  # for notebooks; the package sets it

    def __init__(self, root: Path | str = "results") -> None:
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
        return ids[self.one_of("entry", reference, ids)]

    def one_of(self, noun: str, reference: str, names: Collection[str]) -> str:
        """Return the one of these names that is meant, by itself, a unique prefix of it, or its two
        ends as a narrow table has them, `…` between; raises UnknownEntry where none or several are.
        """
        if reference in names:
            return reference
        head, _, tail = reference.partition("…")
        matches = [name for name in names if head and name.startswith(head) and name.endswith(tail)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise errors.UnknownEntry(f"{reference!r} matches several: {', '.join(matches)}")
        raise errors.UnknownEntry(
            f"no {noun} {reference!r} among the {len(names)} in {self.root}"
            f"{errors.suggest(reference, names)} (see `{errors.program()} list`; --root DIR, or "
            f"paths.root=DIR, names another root)"
        )

    def remove(self, entry: Entry) -> None:
        """Forget the entry and delete its folder; raises UnknownEntry when it is gone,
        HistoryError, or OSError.

        A kill in between leaves the entry gone, or its folder whole, which `doctor` puts back.
        """
        self.store.remove(entry.id)

    def to_frame(self, **wanted: str | None) -> "pandas.DataFrame":
        """Return the entries as a table, a row each; nested keys are joined by dots, as in the CSV,
        and `created` is a time in UTC.
        """
        rows = [trees.flat(entry.document) for entry in self.entries(**wanted)]
        return frame(rows, "created", trees.columns_of(rows))

    def manager_of(self, entry: Entry) -> manager.HistoryManager:
        """Return the history manager that stored the entry; raises RegistryError if it is not
        installed.
        """
        return registry.manager(entry.manager, self.root)
