"""The runner's errors. Their root is the history's, because imports go one way.

ExperimentError              exit code 1
├── InputError               exit code 2: the user's input is wrong, nothing was started
│   └── ConfigError          one or more problems of the config, all of them listed
│       └── DataError        a data source is missing, unreadable or unusable
├── SearchError              a search ended without a usable trial
├── WorkerDied               a task was the end of several workers
└── ModelError               a trained model cannot be saved, or not loaded back
"""

import errno
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from foundation.errors import ExperimentError as ExperimentError
from foundation.errors import InputError as InputError
from foundation.escape import printable
from runner import Interrupted

V = TypeVar("V")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the config: where (a dotted key) and what, with what to do; and
    the place that says so, a line of a file or an argument, once arguments.py has looked.
    """

    where: str
    what: str
    place: str | None = None

    def __str__(self) -> str:
        parts = [self.where, self.what]
        if self.place:
            is_named = self.place.startswith(f"{self.where}=")
            parts = [self.place, "" if is_named else self.where, self.what]
        return printable(": ".join(filter(None, parts)), newlines=True)


class ConfigError(InputError):
    """The config is wrong; the message lists every problem that was found.

    Args:
        what: is wrong, and what to do; or several problems.
        key: of the config, dotted, that is at fault; "" where none is known.
        place: that says so.
    """

    def __init__(
        self, what: str | Sequence[Problem], key: str = "", place: str | None = None
    ) -> None:
        self.problems = (Problem(key, what, place),) if isinstance(what, str) else tuple(what)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,)


class DataError(ConfigError):
    """A data source is missing, unreadable or unusable."""


class Faults(list[Problem]):
    """Gathers what is wrong with a config or a source, so that it is reported at once: what is done
    `with` it may fail, and the next thing is done all the same.
    """

    def __enter__(self) -> None:
        """Begin something that may be wrong."""

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        if isinstance(error, ConfigError):
            self.extend(error.problems)
        return isinstance(error, ConfigError)

    def tell(self, kind: type[ConfigError] = DataError) -> None:
        """Raise an error of that kind if anything was wrong, each thing once."""
        if self:
            raise kind(list(dict.fromkeys(self)))


def gathered(make: Callable[[str], V], items: Iterable[str]) -> dict[str, V]:
    """Return what is made of each item; raises one DataError of all that is wrong with them."""
    faults = Faults()
    results = {}
    for item in items:
        with faults:
            results[item] = make(item)
    faults.tell()
    return results


class SearchError(ExperimentError):
    """A search ended without a trial to refit."""


class WorkerDied(ExperimentError):  # noqa: N818 - what happened
    """A task was the end of several workers, or took too long several times."""


class ModelError(ExperimentError):
    """A trained model cannot be saved, or does not load back as it was."""


def short(value: object, most: int = 60) -> str:
    """Return a value as a message shows it, cut where it is longer."""
    text = "nothing" if value is None else str(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def message_of(error: BaseException) -> str:
    """Return an error's message, or what there is in its place: an exception of the user's may have
    one that is empty, or that cannot be made. That of a full disk says what to do.
    """
    message = str(traceback.TracebackException(type(error), error, None)) or type(error).__name__
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        message += "; free some space and run the same command again"
    return message


def machine_is_at_fault(error: BaseException) -> bool:
    """Say whether an error is a full, read-only or damaged disk: no code is wrong, and nothing that
    was tried has failed. After a signal, no error is to be believed.

    Raises:
        Interrupted: a signal arrived, of which compiled code has made this error.
    """
    if Interrupted.by:
        raise Interrupted from error
    return isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EIO,
    )
