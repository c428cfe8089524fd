"""Where trials run, behind the interface of concurrent.futures.Executor."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from runner.config.schema import InlineExecutor

P = ParamSpec("P")
T = TypeVar("T")


class Inline(Executor):
    """Runs what is submitted at once, in this thread: signals and interrupts reach it as they
    are.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def executor(settings: InlineExecutor) -> Executor:
    """The executor of a run."""
    made: dict[str, Callable[[], Any]] = {"inline": Inline}
    return made[settings.kind]()  # type: ignore[no-any-return]
