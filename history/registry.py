"""History managers by name: built-ins, the entry-point group "history.managers", and
`@register("name")`.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypeVar

from foundation import errors
from history import tasks
from history.entry import Entry
from history.manager import HistoryManager
from history.records import Direction

GROUP = "history.managers"

M = TypeVar("M", bound=type[HistoryManager])

# An entry point stands for its class until that is asked for.
_classes: dict[str, type[HistoryManager] | EntryPoint] = {
    manager.task: manager for manager in (tasks.ClassificationManager, tasks.RegressionManager)
}


def register(name: str) -> Callable[[M], M]:
    """Return a decorator that registers a history manager class under `name`.

    The same class may be registered again, so that its module can be reloaded.
    Raises RegistryError when another class has the name, or when the class is no history manager.
    """

    def add(manager: M) -> M:
        if (
            not isinstance(manager, type)
            or not issubclass(manager, HistoryManager)
            or not hasattr(manager, "task")
            or getattr(manager, "ranking", None) not in getattr(manager, "metrics", ())
        ):
            raise errors.RegistryError(
                f"history manager {name!r}, {manager!r}, must be a subclass of HistoryManager that "
                f"sets task, metrics, and ranking, which is one of the metrics"
            )
        _put(name, manager)
        return manager

    return add


def names() -> list[str]:
    """Return the names of all history managers; raises RegistryError on a clash of entry points."""
    _find_plugins()
    return sorted(_classes)


def manager_class(name: str) -> type[HistoryManager]:
    """Return the class that is registered under that name.

    Raises RegistryError for an unknown name, a clash, or an entry point that does not lead to a
    manager.
    """
    if name not in names():
        raise errors.RegistryError(errors.unknown("history manager", name, names()))
    registered = _classes[name]
    if not isinstance(registered, EntryPoint):
        return registered
    try:
        loaded: type[HistoryManager] = registered.load()
    except Exception as error:  # a plug-in's import can fail in any way
        raise errors.RegistryError(
            f"the history manager {name!r} cannot be loaded from {registered.value}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return register(name)(loaded)


def manager(name: str, root: Path) -> HistoryManager:
    """Return the history manager of that name on `root`; raises as `manager_class` does."""
    manager = manager_class(name)(root)
    manager.name = name
    return manager


def ranked_by(entry: Entry) -> tuple[str, Direction]:
    """Return the metric that entries like this one are ranked by and its direction: its manager's
    or, where it lacks that or the manager is not installed, the first it has.
    """
    metrics = entry.validation.metrics
    try:
        own = manager_class(entry.manager)
    except errors.RegistryError:
        return next(iter(metrics), ""), "max"
    metric = own.ranking
    if metric not in metrics:
        metric = next(iter(metrics), metric)
    return metric, own.metrics.get(metric, "max")


def direction(entry: Entry, metric: str) -> Direction | None:
    """Return which way a metric of the entry's task is better; None where that is not known."""
    try:
        return manager_class(entry.manager).metrics.get(metric)
    except errors.RegistryError:
        return None


@cache
def _find_plugins() -> None:
    for plugin in entry_points(group=GROUP):
        _put(plugin.name, plugin)


def _put(name: str, new: type[HistoryManager] | EntryPoint) -> None:
    old = _classes.get(name, new)
    if _origin(old) != _origin(new):
        registered = [f"{key} = {_origin(_classes[key])}" for key in sorted(_classes)]
        raise errors.RegistryError(
            f"history manager {name!r} is registered twice, as {_origin(old)} and as "
            f"{_origin(new)}; rename one. Registered: {', '.join(registered)}"
        )
    _classes[name] = new


def _origin(manager: type[HistoryManager] | EntryPoint) -> str:
    if isinstance(manager, EntryPoint):
        return manager.value
    return f"{manager.__module__}:{manager.__qualname__}"
