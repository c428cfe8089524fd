"""What can go wrong, as one tree.

ExperimentError                exit code 1: something failed while running; what was done is kept
├── HistoryError               the history cannot be read or written
│   └── IntegrityError         an artefact is missing, or is not what was stored
│       └── NewerSchema        an entry was written by a later release
└── InputError                 exit code 2: the user's input is wrong; nothing was started
    ├── UnknownEntry           a reference names no entry, or several
    ├── RegistryError          a history manager's name is unknown, or taken
    └── UntrustedCode          a stored config or model names code that nobody has allowed
"""

import sys
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from foundation.escape import printable


class ExperimentError(Exception):
    """Any failure that is reported in one message: what is wrong, where, and what to do.

    Names in it came from files and folders: as text it holds only characters to print.
    """

    exit_code: int = 1

    def __str__(self) -> str:
        return printable(super().__str__(), newlines=True)


class HistoryError(ExperimentError):
    """The history cannot be read or written: a damaged database, a full disk."""


class IntegrityError(HistoryError):
    """An artefact is missing, or its size or hash differs from what was stored."""


class NewerSchema(IntegrityError):  # noqa: N818 - reads as what it says
    """An entry was written by a later release, which alone can read it."""


class InputError(ExperimentError):
    """The user's input is wrong; nothing was started."""

    exit_code = 2


class UnknownEntry(InputError):  # noqa: N818 - reads as what it says
    """A reference names no entry of the history, or more than one."""


class RegistryError(InputError):
    """A history manager's name is unknown, taken twice, or does not lead to a manager."""


class UntrustedCode(InputError):  # noqa: N818 - reads as what it says
    """What came from elsewhere, or from the past, names code; `names` are its dotted paths."""

    def __init__(self, what: str, names: Iterable[str]) -> None:
        self.what = what
        self.names = tuple(printable(name) for name in names)
        listed = "".join(f"\n  {name}" for name in self.names)
        super().__init__(
            f"{what} would import and run:{listed}\n"
            "Read that code first; if you trust it, add trust=true"
        )


def program() -> str:
    """Return what the history's command is called where this process was started."""
    scripts = ("runner", "runner-history")
    return scripts[1] if Path(sys.argv[0]).stem in scripts else "python -m history"


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a "did you mean" clause for a misspelt word, empty when nothing is near."""
    near = get_close_matches(word, list(known))
    near.sort(key=lambda other: sorted(other) != sorted(word))  # swapped letters come first
    return f"; did you mean '{near[0]}'?" if near else ""


def unknown(noun: str, word: str, known: Iterable[str]) -> str:
    """Return the message for a word that is not among the known ones: suggestion first, then the
    whole list.
    """
    words = list(known)
    return f"unknown {noun} '{word}'{suggest(word, words)} (known: {', '.join(words) or 'none'})"
