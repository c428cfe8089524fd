"""History managers by name: built-ins, the entry-point group "history.managers", and
`@register("name")`.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypeVar

from history.errors import RegistryError, unknown
from history.manager import HistoryManager
from history.store import Store
from history.tasks import ClassificationManager, RegressionManager

GROUP = "history.managers"

M = TypeVar("M", bound=type[HistoryManager])

_classes: dict[str, type[HistoryManager]] = {
    manager.task: manager for manager in (ClassificationManager, RegressionManager)
}


def register(name: str) -> Callable[[M], M]:
    """Return a decorator that registers a history manager class under `name`.

    The same class may be registered again, so that its module can be reloaded.
    Raises RegistryError when another class has the name, or when the class is no history manager.
    """

    def add(manager: M) -> M:
        _check(name, manager)
        if name in _classes and _origin(_classes[name]) != _origin(manager):
            raise _clash(name, _origin(manager), _origin(_classes[name]))
        _classes[name] = manager
        return manager

    return add


def names() -> list[str]:
    """Return the names of all history managers; raises RegistryError on a clash of entry points."""
    return sorted({*_classes, *_plugins()})


def manager_class(name: str) -> type[HistoryManager]:
    """Return the class that is registered under that name.

    Raises RegistryError for an unknown name, a clash, or an entry point that does not lead to a
    manager.
    """
    if plugin := _plugins().get(name):
        register(name)(_load(plugin))
    if name not in _classes:
        raise RegistryError(unknown("history manager", name, names()))
    return _classes[name]


def manager(name: str, root: Path, store: Store) -> HistoryManager:
    """Return the history manager of that name on `root` and `store`; raises as `manager_class`
    does.
    """
    made = manager_class(name)(root, store)
    made.name = name
    return made


@cache
def _plugins() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for plugin in entry_points(group=GROUP):
        if plugin.name in found and found[plugin.name].value != plugin.value:
            raise _clash(plugin.name, plugin.value, found[plugin.name].value)
        found[plugin.name] = plugin
    return found


def _load(plugin: EntryPoint) -> type[HistoryManager]:
    try:
        loaded: type[HistoryManager] = plugin.load()
    except Exception as error:  # a plug-in's import can fail in any way
        raise RegistryError(
            f"the history manager {plugin.name!r} cannot be loaded from {plugin.value}: {type(error).__name__}: {error}"
        ) from error
    return loaded


def _check(name: str, manager: object) -> None:
    if not (isinstance(manager, type) and issubclass(manager, HistoryManager)):
        raise RegistryError(
            f"history manager {name!r} is no subclass of HistoryManager: {manager!r}"
        )
    lacking = [key for key in ("task", "metrics", "ranking") if not hasattr(manager, key)]
    if lacking:
        raise RegistryError(
            f"history manager {name!r} ({_origin(manager)}) does not set {', '.join(lacking)}"
        )
    if manager.ranking not in manager.metrics:
        raise RegistryError(
            f"history manager {name!r} ranks by {manager.ranking!r}, which is not in its metrics"
        )


def _origin(manager: type[HistoryManager]) -> str:
    return f"{manager.__module__}:{manager.__qualname__}"


def _clash(name: str, new: str, old: str) -> RegistryError:
    registered = ", ".join(f"{key} = {_origin(value)}" for key, value in sorted(_classes.items()))
    return RegistryError(
        f"history manager {name!r} is registered twice, as {old} and as {new}; rename one. Registered: {registered}"
    )
