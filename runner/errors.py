"""The runner's errors. Their root is the history's, because imports go one way.

    ExperimentError              exit code 1
    ├── InputError               exit code 2: the user's input is wrong, nothing was started
    │   ├── ConfigError          one or more problems of the config, all of them listed
    │   └── DataError            a data source is missing, unreadable or unusable
    ├── SearchError              a search ended without a usable trial
    └── ModelError               a trained model cannot be saved, or not loaded back

`Interrupted` stands apart: it derives from BaseException, like KeyboardInterrupt, so that nobody's
`except Exception` keeps a run alive that was asked to stop.
"""

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass

from history.errors import ExperimentError as ExperimentError
from history.errors import InputError as InputError

_DATA_KEY = re.compile(r"data(\.(path|target|columns|split|features|name|_target_)\b.*)?")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the config: where (a dotted key) and what, with what to do; and
    the place that says so, a line of a file or an argument, once provenance.py has looked for
    it.
    """

    where: str
    what: str
    place: str | None = None

    def __str__(self) -> str:
        named = self.place is not None and self.place.lstrip("+").startswith(f"{self.where}=")
        return ": ".join(
            part for part in (self.place, "" if named else self.where, self.what) if part
        )


class ConfigError(InputError):
    """The config is wrong; the message lists every problem that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class DataError(InputError):
    """A data source is missing, unreadable or unusable. The message may begin with the key that is
    at fault.
    """

    @property
    def problem(self) -> Problem:
        """That key, if any, and the rest of the message."""
        key, _, what = str(self).partition(": ")
        return Problem(key, what) if _DATA_KEY.fullmatch(key) else Problem("", str(self))


class SearchError(ExperimentError):
    """A search ended without a trial to refit."""


class ModelError(ExperimentError):
    """A trained model cannot be saved, or does not load back as it was."""


def short(value: object) -> str:
    """A value in a message, cut where it is long."""
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def machine_is_at_fault(error: Exception) -> bool:
    """Whether an error is a full or read-only disk: nobody's code is wrong, and nothing that was
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
