"""Imports what a config names with `_target_` and calls it with its arguments."""

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from history.errors import suggest
from runner.errors import ConfigError, Problem


def locate(path: str, where: str) -> Callable[..., Any]:
    """The object at a dotted path.

    Args:
        path: such as `my_package.my_module.build`.
        where: the config key that names it, for messages.

    Raises:
        ConfigError: no such module or name in it. An error inside the module keeps its own trace.
    """
    parts = path.split(".")
    for split in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:split])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                continue  # this part of the path is no module; a name of its parent, perhaps
            raise  # the module is there, but something that it imports is not
        for part in parts[split:]:
            if not hasattr(found, part):
                what = f"'{name}' has no '{part}'{suggest(part, dir(found))}"
                raise ConfigError([Problem(where, what)])
            found = getattr(found, part)
        if not callable(found):
            raise ConfigError(
                [Problem(where, f"'{path}' is a {type(found).__name__}, which cannot be called")]
            )
        # callable() has just said so; Any cannot be narrowed
        return found  # type: ignore[no-any-return]
    what = f"cannot import '{parts[0]}': no such module on the path or in the current folder"
    raise ConfigError([Problem(where, what)])


def check_arguments(
    target: Callable[..., Any], given: Iterable[str], where: str, *, filled: Iterable[str] = ()
) -> None:
    """Raises ConfigError where a callable does not take the arguments given, or lacks one that
    nobody fills.

    Args:
        target: the callable.
        given: names of the arguments in the config.
        where: the config section, for messages.
        filled: names that the runner fills in by itself where the callable wants them.
    """
    parameters = _parameters(target)
    if parameters is None:
        return  # the call itself will tell
    names = list(given)
    problems = []
    named = [
        n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in names:
            if name not in named:
                what = f"{_name(target)} takes no argument '{name}'{suggest(name, named)} (it takes: {', '.join(named)})"
                problems.append(Problem(f"{where}.{name}", what))
    have = {*names, *filled}
    for name in named:
        if parameters[name].default is inspect.Parameter.empty and name not in have:
            problems.append(Problem(where, f"{_name(target)} needs the argument '{name}'"))
    if problems:
        raise ConfigError(problems)


def wanted(target: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the offered arguments that a callable names among its parameters."""
    return {name: value for name, value in offered.items() if name in (_parameters(target) or ())}


def _parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """None for a built-in without a signature."""
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):
        return None


def _name(target: Callable[..., Any]) -> str:
    return getattr(target, "__qualname__", repr(target))
