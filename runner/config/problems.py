"""What is wrong with a config, each problem with its place: the argument of the command line, or
the line of a file, that set it last.

Places are looked for only when something is wrong, so they cost a checked run nothing. Hydra knows
which files a config is made of and under which package each one stands; the YAML nodes of these
files know their lines.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import hydra
import yaml
from hydra.core import global_hydra
from omegaconf import errors

from foundation.errors import unknown
from history.config import LOADER
from runner.config import arguments, bounds, check
from runner.errors import ConfigError, InputError, Problem

Steps = tuple[str, ...]  # a dotted path, taken apart: `a.b[0]` is ("a", "b", "0")

# What Hydra raises over a config; ValueError: over a group.
COMPLAINTS = (
    yaml.YAMLError,
    hydra.errors.HydraException,
    errors.OmegaConfBaseException,
    ValueError,
)
# Plugins that Hydra's own project ships, each in a package of its own.
PLUGINS = {
    "hydra/launcher": ("joblib", "ray", "rq", "submitit"),
    "hydra/sweeper": ("ax", "nevergrad", "optuna"),
}


def of(error: Exception, name: str = "config", typed: Sequence[str] = ()) -> list[Problem]:
    """Return the problems of an error: of ours, each with its place, an inherited one once, at the
    root section; of Hydra's or YAML's, its message in one line.

    Args:
        error: what composing or checking a config raised.
        name: the name of the primary config.
        typed: the arguments of the command line.
    """
    if isinstance(error, ConfigError):
        return _placed(error.problems, name, typed)
    if isinstance(error, InputError):
        return [Problem("", str(error))]
    place, text = None, str(error) or str(error.__cause__)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark, text = error.problem_mark, str(error.problem)
        place = f"{bounds.relative(Path(mark.name))}:{mark.line + 1}"
    elif isinstance(error, hydra.errors.OverrideParseException):
        place = arguments.typed_at(error.override)
    elif isinstance(error, hydra.errors.MissingConfigException) and error.options:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        text = f"{text.splitlines()[0]}: {unknown(group, choice, error.options)}"
        plugin = choice.partition("_")[0]
        if plugin in PLUGINS.get(group, ()):
            text += f"; pip install hydra-{plugin}-{group.removeprefix('hydra/')}"
    return [Problem("", arguments.as_typed(" ".join(text.split())), place)]


def _placed(problems: Sequence[Problem], name: str, typed: Sequence[str]) -> list[Problem]:
    """Return problems with their places, without duplicates, sorted by place."""
    try:
        in_files, in_arguments = _in_files(name, typed), _in_arguments(typed)
    except Exception:  # a place is a courtesy: the error itself must still be reported
        return list(problems)
    placed = [each if each.place else _at(each, in_files, in_arguments) for each in problems]
    return sorted(dict.fromkeys(placed), key=_order)


def _order(problem: Problem) -> tuple[str, int]:
    """Return a key that puts arguments first, then file by file, from the top down."""
    file, _, line = (problem.place or "").rpartition(":")
    return (file, int(line)) if line.isdigit() else ("", 0)


def _in_files(name: str, typed: Sequence[str]) -> dict[Steps, str]:
    """Return the file and line that set each path last, in the files that arguments choose."""
    loader = global_hydra.GlobalHydra.instance().config_loader()
    folders = [source.path for source in loader.get_sources() if source.scheme() == "file"]
    composed = loader.compute_defaults_list(name, list(typed), hydra.types.RunMode.RUN)
    places = {}
    for default in composed.defaults:
        paths = [Path(folder, f"{default.config_path}.yaml") for folder in folders]
        file = next(filter(Path.is_file, paths), None)
        if file is None:
            continue
        root = yaml.compose(file.read_text(encoding="utf-8"), LOADER)
        package, shown = _steps(default.package or ""), bounds.relative(file)
        if package or not default.primary:
            first = root.start_mark.line + 1 if root else 1
            places[package] = f"{shown}:{first}"
        for path, line in _lines(root, package):
            places[path] = f"{shown}:{line}"
    return places


def _in_arguments(typed: Sequence[str]) -> list[tuple[Steps, str]]:
    """Return the path and the place of each argument that sets a value, the winning one first."""
    return [
        (_steps(override.key_or_group), arguments.typed_at(str(override.input_line)))
        for override in reversed(arguments.by_precedence(typed))
        if arguments.effect(override) != "choice"
    ]


def _lines(node: yaml.Node | None, path: Steps) -> Iterator[tuple[Steps, int]]:
    """Yield each path that a file sets, except its defaults list, and its line."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != "defaults":
            is_text = key.tag.endswith(":str")
            name = key.value if is_text else check.key_text(yaml.safe_load(key.value))
            yield (*path, name), key.start_mark.line + 1
            yield from _lines(value, (*path, name))


def _at(
    problem: Problem, in_files: Mapping[Steps, str], in_arguments: list[tuple[Steps, str]]
) -> Problem:
    """Return a problem with its place; where a pipeline inherited it, that of the root section."""
    steps = _steps(problem.where)
    root_steps = steps[2:] if steps[:1] == ("pipelines",) else ()
    at_root = replace(problem, where=problem.where.split(".", 2)[2]) if root_steps else problem
    for path, place in in_arguments:
        sets_part_of_it = bool(steps) and steps not in in_files and steps == path[: len(steps)]
        if sets_part_of_it or path == steps[: len(path)]:
            return replace(problem, place=place)
        if path == root_steps[: len(path)]:
            return replace(at_root, place=place)
    own, inherited = _written(steps, in_files), _written(root_steps, in_files)
    is_inherited = not own or (inherited and len(inherited) + 2 > len(own))
    if root_steps and is_inherited:
        return replace(at_root, place=in_files.get(inherited))
    return replace(problem, place=in_files.get(own))


def _written(steps: Steps, in_files: Mapping[Steps, str]) -> Steps:
    """Return the path, or the nearest one around it, that a file sets."""
    while steps and steps not in in_files:
        steps = steps[:-1]
    return steps


def _steps(path: str) -> Steps:
    return tuple(re.findall(r"[^.\[\]]+", path))
