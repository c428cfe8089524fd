"""Imports what a config names with `_target_` and calls it with its arguments."""

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from foundation.errors import suggest
from runner.errors import ConfigError, Problem


def locate(path: str, where: str) -> Callable[..., Any]:
    """Return the object at a dotted path.

    Args:
        path: such as `my_package.my_module.build`.
        where: the config key that names it, for messages.

    Raises:
        ConfigError: no such module or name in it. An error inside the module keeps its own trace.
    """
    target: Any = None
    owner = ""
    for part in path.split("."):
        name = f"{owner}.{part}" if owner else part
        # A package may have a function of the name of the module that it stands in.
        if name == path and hasattr(target, part):
            target = getattr(target, part)
            break
        try:
            target = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module is there, but something that it imports is not
            if not hasattr(target, part):
                what = f"cannot import '{part}': no such module on the path or in this folder"
                if owner:
                    what = f"'{owner}' has no '{part}'{suggest(part, dir(target))}"
                raise ConfigError(what, where) from None
            target = getattr(target, part)
        owner = name
    if not callable(target):
        raise ConfigError(f"'{path}' is a {type(target).__name__}, which cannot be called", where)
    return target  # type: ignore[no-any-return]


def check_arguments(
    target: Callable[..., Any], given: Iterable[str], where: str, *, filled: Iterable[str] = ()
) -> None:
    """Raise ConfigError where a callable does not take the arguments given, or lacks one that
    nobody fills.

    Args:
        target: the callable.
        given: names of the arguments in the config.
        where: the config section, for messages.
        filled: names that the runner fills in by itself where the callable wants them.
    """
    parameters = _parameters(target)
    called = getattr(target, "__qualname__", repr(target))
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    names = [p.name for p in named]
    problems = []
    if all(p.kind != p.VAR_KEYWORD for p in parameters):
        for name in given:
            if name not in names:
                what = (
                    f"{called} takes no argument '{name}'{suggest(name, names)} "
                    f"(it takes: {', '.join(names)})"
                )
                problems.append(Problem(f"{where}.{name}", what))
    for p in named:
        if p.default is p.empty and p.name not in (*given, *filled):
            what = f"{called} needs the argument '{p.name}'"
            if "hp" in filled and "hp" not in names:
                what += "; if it is the hyperparameters, rename it to 'hp'"
            problems.append(Problem(where, what))
    if problems:
        raise ConfigError(problems)


def wanted(target: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the offered arguments that a callable names among its parameters."""
    return {p.name: offered[p.name] for p in _parameters(target) if p.name in offered}


def _parameters(target: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a callable; of a built-in without a signature, that it takes
    anything: the call itself will tell.
    """
    try:
        return list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        return [inspect.Parameter("others", inspect.Parameter.VAR_KEYWORD)]
