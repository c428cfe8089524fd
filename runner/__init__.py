"""A config-driven experiment runner for hyperparameter search over Keras models."""

import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from history import Entry

__version__ = "0.3.0"

STOPS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))  # end a run


class Interrupted(BaseException):
    """A signal arrived: stop cleanly, at once. It is no Exception, so that nobody's `except
    Exception` keeps a run alive that was asked to stop.
    """

    by: ClassVar[int] = 0  # the signal's number, whatever has become of the exception


import runner.run  # noqa: E402, F401 - before the function, whose name a later import would take


def run(experiment: str | None = None, overrides: Sequence[str] = ()) -> dict[str, "Entry"]:
    """Run an experiment as the command line does, with the same checks, conf and results.

    Args:
        experiment: the name of a file in conf/experiment; None: the overrides say it all.
        overrides: what the command line takes: `["tuner.max_trials=5", "only=[mlp]"]`.

    Returns:
        The entries, by pipeline; none of a check.

    Raises:
        history.errors.InputError: the input is wrong; nothing was started.
        history.errors.ExperimentError: something failed; what was done is kept.
    """
    from runner.python import run

    return run(experiment, overrides)
