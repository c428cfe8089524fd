"""A config-driven experiment runner for hyperparameter search over Keras models."""

import signal
from typing import ClassVar

__version__ = "0.3.0"

STOPS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))  # end a run


class Interrupted(BaseException):
    """A signal arrived: stop cleanly, at once. It is no Exception, so that nobody's `except
    Exception` keeps a run alive that was asked to stop.
    """

    by: ClassVar[int] = 0  # the signal's number, whatever has become of the exception
