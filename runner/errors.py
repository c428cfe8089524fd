"""The runner's errors. Their root is the history's, because imports go one way.

    ExperimentError              exit code 1
    ├── InputError               exit code 2: the user's input is wrong, nothing was started
    │   └── ConfigError          one or more problems of the config, all of them listed
    │       └── DataError        a data source is missing, unreadable or unusable
    ├── SearchError              a search ended without a usable trial
    └── ModelError               a trained model cannot be saved, or not loaded back

`Interrupted` stands apart: it derives from BaseException, like KeyboardInterrupt, so that nobody's
`except Exception` keeps a run alive that was asked to stop.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from history.errors import ExperimentError as ExperimentError
from history.errors import InputError as InputError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the config: where (a dotted key) and what, with what to do; and
    the place that says so, a line of a file or an argument, once arguments.py has looked.
    """

    where: str
    what: str
    place: str | None = None

    def __str__(self) -> str:
        named = self.place is not None and self.place.startswith(f"{self.where}=")
        parts = (self.place, "" if named else self.where, self.what)
        return ": ".join(part for part in parts if part)


class ConfigError(InputError):
    """The config is wrong; the message lists every problem that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))

    @classmethod
    def at(cls, where: str, what: str) -> "ConfigError":
        """Return the error of one problem."""
        return ConfigError([Problem(where, what)])


class DataError(ConfigError):
    """A data source is missing, unreadable or unusable.

    Args:
        what: is wrong, where in the source, and what to do.
        key: of the config, dotted, that is at fault; "" where none is known.
    """

    def __init__(self, what: str, key: str = "") -> None:
        super().__init__([Problem(key, what)])


class SearchError(ExperimentError):
    """A search ended without a trial to refit."""


class ModelError(ExperimentError):
    """A trained model cannot be saved, or does not load back as it was."""


def short(value: object) -> str:
    """Return a value as a message shows it, cut where it is long."""
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def machine_is_at_fault(error: Exception) -> bool:
    """Say whether an error is a full or read-only disk: no code is wrong, and nothing that was
    tried has failed.
    """
    return isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
    )


class Interrupted(BaseException):
    """SIGTERM arrived: stop cleanly, at once."""
