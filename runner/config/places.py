"""Where a key of the config was set: the file and line, or the argument of the command line, that
said it last.

Runs only when something is wrong, so it costs a checked run nothing. Hydra knows which files a
config is made of and under which package each one stands; the YAML nodes of these files know their
lines.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException
from hydra.types import RunMode
from omegaconf.errors import GrammarParseError

from history.errors import unknown
from runner.config.check import key_text
from runner.config.choices import choices, groups
from runner.config.compose import IDENTITY, parse
from runner.config.jobs import Composer
from runner.config.schema import SECTIONS
from runner.errors import ConfigError, InputError, Problem

Steps = tuple[str, ...]  # a dotted path, taken apart: `a.b[0]` is ("a", "b", "0")
LOADER = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # libyaml, where it is there: ten times faster
TEXT = "tag:yaml.org,2002:str"
SHOWN = 80  # characters of an argument that are repeated to its author


def problems(error: Exception, composer: Composer, arguments: Sequence[str]) -> list[Problem]:
    """What an error says is wrong, each mistake with its place; an inherited one once, where it was
    made.

    Args:
        error: ours, or one that Hydra raised.
        composer: of the configs.
        arguments: of the command line.
    """
    if isinstance(error, ConfigError):
        return _placed(error.problems, composer, arguments)
    if isinstance(error, InputError):
        return [Problem("", str(error))]
    if isinstance(error, yaml.MarkedYAMLError):
        return [_of_yaml(error)]
    return _of_hydra(error, composer.folders, arguments)


def _placed(
    found: Sequence[Problem], composer: Composer, arguments: Sequence[str]
) -> list[Problem]:
    try:
        chosen = composer.chosen(arguments)
        lines = _lines(composer, chosen)
        # An argument that chooses a file leaves it to the file to say what there is to say.
        places = Places(
            lines, [o for o in parse(arguments) if o.is_delete() or o.input_line not in chosen]
        )
    except Exception:  # a place is a courtesy: without one, the mistake itself must still be told
        return list(found)
    return sorted(dict.fromkeys(map(places.of, found)), key=_order)


def _order(problem: Problem) -> tuple[str, int]:
    """Arguments first, then file by file, from the top down."""
    file, _, line = (problem.place or "").rpartition(":")
    return (file, int(line)) if line.isdigit() else ("", 0)


@functools.lru_cache(maxsize=64)  # the jobs of a sweep have many files in common
def _lines(composer: Composer, chosen: tuple[str, ...]) -> dict[Steps, str]:
    """Where files say what: each path with the line that says it last, or brings a file to it."""
    said: dict[Steps, str] = {}
    mentioned: dict[Steps, str] = {}
    for default in composer.loader.compute_defaults_list(
        composer.name, list(chosen), RunMode.RUN
    ).defaults:
        file, parent = (
            find(str(config), composer.folders) for config in (default.config_path, default.parent)
        )
        if file is None:
            continue
        package = _steps(default.package or "")
        for choice in _defaults(parent) if parent else ():
            if parent and choice.package == package:
                for depth in range(1, len(package) + 1):
                    mentioned.setdefault(package[:depth], f"{relative(parent)}:{choice.line}")
        root = _tree(file)
        if package or not default.primary:
            said[package] = f"{relative(file)}:{root.start_mark.line + 1 if root else 1}"
        for path, _, key in _keys(root):
            said[package + path] = f"{relative(file)}:{key.start_mark.line + 1}"
    return mentioned | said


class _Found(NamedTuple):
    depth: int  # how many steps of the path it stands for
    given: bool  # on the command line
    place: str


class Places:
    """The places of all keys of one composed config.

    Args:
        lines: that its files have.
        given: the arguments that set a value or take one away.
    """

    def __init__(self, lines: Mapping[Steps, str], given: Sequence[Override]) -> None:
        self.lines, self.given = lines, given

    def of(self, problem: Problem) -> Problem:
        """A problem with its place, and at the root section where a pipeline has inherited it."""
        steps = _steps(problem.where)
        own, where = self._find(steps), problem.where
        if steps[:1] == ("pipelines",) and len(steps) > 2:
            root = self._find(steps[2:])
            if not own or (root and (root.depth + 2 > own.depth or (root.given and not own.given))):
                own, where = root, ".".join(problem.where.split(".")[2:])
        return replace(problem, where=where, place=own.place if own else self.lines.get(()))

    def _find(self, steps: Steps) -> _Found | None:
        """The place of a path, or of the nearest mapping around it that is written somewhere."""
        for depth in range(len(steps), 0, -1):
            path = steps[:depth]
            for override in reversed(self.given):
                if _sets(override, path, within=depth == len(steps)):
                    return _Found(depth, True, on_command_line(str(override.input_line)))
            if path in self.lines:
                return _Found(depth, False, self.lines[path])
        return None


def _of_hydra(error: Exception, folders: Sequence[Path], arguments: Sequence[str]) -> list[Problem]:
    """Hydra's own complaint in words: what is wrong, where, what is known, what was probably
    meant.
    """
    text = str(error) or str(error.__cause__ or type(error).__name__)
    if said := _of_an_argument(error, text, folders, arguments):
        return [said]
    parent = re.search(r"In '([^']+)': ", text)
    file = find(parent[1], folders) if parent else None
    if "Could not find '" in text and (missing := list(_unknown_choices(file, folders, arguments))):
        return missing
    if file is not None and "while composing config" in text and (clash := _clash(file, folders)):
        return [clash]
    if isinstance(error.__cause__, GrammarParseError):
        return [_broken(text, folders)]
    if header := re.search(
        r"(?:Expected header format: KEY VALUE, got|Too many components in) '(.*)'", text
    ):
        what = f"'{header[1]}' names no package; write: # @package _global_"
        return [Problem("", what, _line_with(header[1], folders))]
    return [Problem("", " ".join(text.split()), relative(file) if file else None)]


def _of_an_argument(
    error: Exception, text: str, folders: Sequence[Path], arguments: Sequence[str]
) -> Problem | None:
    """What Hydra says of one argument of the command line; None where it speaks of something
    else.
    """
    if isinstance(error, OverrideParseException):
        stuck = re.search(r"input '(.*?)'", text)
        what = (
            f"cannot be read at '{stuck[1]}'; is a bracket or a quote missing?"
            if stuck
            else "write KEY=VALUE"
        )
        if find(f"experiment/{error.override}", folders):
            what = f"an experiment is chosen by +experiment={error.override}"
        return Problem("", what, on_command_line(error.override))
    if several := re.search(r"Ambiguous value for argument '(.*)'", text):
        key, _, values = several[1].partition("=")
        what = f"several values: -m runs a job with each; a list is {key}=[{values}]"
        return Problem("", what, on_command_line(several[1]))
    if there := re.search(r"An item is already at '([^']+)'", text):
        argument = next((a for a in arguments if a.startswith(f"+{there[1]}=")), there[1])
        return Problem(
            "", f"'{there[1]}' has a value already; leave out the +", on_command_line(argument)
        )
    if over := re.match(r"Error merging override (.*=\[.*)", text):
        what = "a list cannot lie over the mapping that is there; write a mapping"
        return Problem("", what, on_command_line(over[1]))
    if gone := re.search(r"Could not delete (?:from config\. )?'([^']+)'", text):
        return Problem(
            "", "there is nothing of that name to leave out", on_command_line(f"~{gone[1]}")
        )
    if "Config group override must be a string" in text:
        for group, choice, argument in _choices(arguments):
            if choices(group, folders) and find(f"{group}/{choice}", folders) is None:
                return Problem(
                    "", f"choose one by its name: {', '.join(choices(group, folders))}", argument
                )
    return None


def _of_yaml(error: yaml.MarkedYAMLError) -> Problem:
    """What a YAML parser says, in words, with file and line."""
    mark = error.problem_mark or error.context_mark
    what = f"this is no YAML: {error.problem}"
    for found, words in _YAML:
        if match := re.search(found, str(error.problem)):
            what = match.expand(words)
    return Problem("", what, f"{relative(Path(mark.name))}:{mark.line + 1}" if mark else None)


_YAML = (
    (r"found duplicate key (.*)", r"the key '\1' stands here a second time; write it once"),
    (r"character '\\t'", "YAML takes no tabs; indent with spaces"),
    (r"but found '\?'", "this is no YAML here; a missing value is written '???', in quotes"),
    (
        r"mapping values are not allowed",
        "this is no YAML; is the line indented like its neighbours, and its text quoted?",
    ),
    (
        r"expected <block end>, but found",
        "this is no YAML; is the line indented like its neighbours?",
    ),
    (r"expected ',' or '[\]}]'", "this is no YAML; is a comma or a closing bracket missing?"),
)


def on_command_line(argument: str) -> str:
    """An argument as the place of what it says; whether it needed a `+` is beside the point."""
    argument = argument.lstrip("+")
    return f"{argument if len(argument) <= SHOWN else argument[: SHOWN - 3] + '...'} on the command line"


def find(config: str, folders: Sequence[Path]) -> Path | None:
    """The file of a config such as `experiment/digits`, in the first folder that has it."""
    files = (folder / f"{config.removesuffix('.yaml')}.yaml" for folder in folders)
    return next((file for file in files if file.is_file()), None)


def relative(file: Path) -> str:
    """A path from the current folder, where it lies below it."""
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


@functools.cache  # a sweep asks for the same files again and again
def _tree(file: Path) -> yaml.Node | None:
    with file.open(encoding="utf-8") as text:
        return yaml.compose(text, Loader=LOADER)


def _keys(node: yaml.Node | None, path: Steps = ()) -> Iterator[tuple[Steps, yaml.Node, yaml.Node]]:
    """(path, value, the node that names it) of all that a file says, but for its defaults list."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "<<":
                yield from _keys(value, path)
            elif isinstance(key, yaml.ScalarNode) and (path or key.value != "defaults"):
                inner = (
                    *path,
                    key.value if key.tag == TEXT else key_text(yaml.safe_load(key.value)),
                )
                yield inner, value, key
                yield from _keys(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, str(index)), item, item
            yield from _keys(item, (*path, str(index)))


class _Choice(NamedTuple):
    """What an item of a defaults list chooses."""

    group: str  # as it is written, without its package
    package: Steps
    choice: str
    line: int


def _defaults(file: Path) -> Iterator[_Choice]:
    root = _tree(file)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        for item in (
            value.value if key.value == "defaults" and isinstance(value, yaml.SequenceNode) else ()
        ):
            for written, choice in item.value if isinstance(item, yaml.MappingNode) else ():
                group, _, package = written.value.split(" ")[-1].partition("@")
                steps = _steps(package or group.strip("/").replace("/", "."))
                yield _Choice(group, steps, str(choice.value), written.start_mark.line + 1)


def _steps(path: str) -> Steps:
    return tuple(re.findall(r"[^.\[\]]+", path))


def _sets(override: Override, path: Steps, *, within: bool) -> bool:
    """Whether an argument sets a path, or something within it."""
    own = _steps(override.key_or_group)
    if own == path or (within and own[: len(path)] == path):
        return True
    return path[: len(own)] == own and _says(override.value(), path[len(own) :])


def _says(value: Any, path: Steps) -> bool:
    """Whether a value given as an argument has a path in it, or replaces what could have it."""
    if not path:
        return True
    if isinstance(value, Mapping):
        inner = {str(key): content for key, content in value.items()}
        return (
            _says(inner[path[0]], path[1:])
            if path[0] in inner
            else any(key in inner for key in IDENTITY)
        )
    if isinstance(value, list) and path[0].isdigit() and int(path[0]) < len(value):
        return _says(value[int(path[0])], path[1:])
    return False


def _choices(arguments: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(group, choice, place) of each argument that may choose a file."""
    for argument in arguments:
        key, _, choice = argument.lstrip("+").partition("=")
        yield key.partition("@")[0], choice, on_command_line(argument)


def _unknown_choices(
    file: Path | None, folders: Sequence[Path], arguments: Sequence[str]
) -> Iterator[Problem]:
    """Every choice of a file that is not there: on the command line, in the file at fault and in
    the experiment's.
    """
    made = [
        (group, choice, place)
        for group, choice, place in _choices(arguments)
        if choices(group, folders)
    ]
    experiment = next((choice for group, choice, _ in made if group == "experiment"), "")
    for written in dict.fromkeys(filter(None, (file, find(f"experiment/{experiment}", folders)))):
        within = "" if written.parent in folders else f"{written.parent.name}/"
        for group, _, choice, line in _defaults(written):
            group = group.lstrip("/") if group.startswith("/") else within + group
            made.append((group, choice, f"{relative(written)}:{line}"))
    for group, choice, place in made:
        if choice not in ("null", "???", "_self_") and find(f"{group}/{choice}", folders) is None:
            yield Problem("", _unknown_choice(group, choice, folders), place)


def _unknown_choice(group: str, choice: str, folders: Sequence[Path]) -> str:
    if options := choices(group, folders):
        return unknown(group, choice, options)
    known = groups(folders)
    *outer, inner = group.split("/")
    if outer and inner in known:
        return f"no group '{group}'; a group of the top is written with a slash: /{inner}: {choice}"
    return unknown("group", group, known)


def _clash(file: Path, folders: Sequence[Path]) -> Problem | None:
    """The key at which a file has a list and the config a mapping: Hydra merges neither into the
    other.
    """
    sections = {*groups(folders), *SECTIONS, "pipelines"}
    lists = {
        path: value
        for path, value, key in _keys(_tree(file))
        if isinstance(value, yaml.SequenceNode)
    }
    lines = {path: key.start_mark.line + 1 for path, _, key in _keys(_tree(file))}
    for path in lists:
        place = f"{relative(file)}:{lines[path]}"
        if len(path) == 1 and path[0] in sections:
            return Problem(path[0], "must be a mapping, not a list", place)
        for group, steps, choice, _ in _defaults(file):
            below = (
                find(f"{group.strip('/')}/{choice}", folders)
                if path[: len(steps)] == steps
                else None
            )
            for other, value, key in _keys(_tree(below)) if below else ():
                if other == path[len(steps) :] and isinstance(value, yaml.MappingNode):
                    where = f"{relative(below)}:{key.start_mark.line + 1}" if below else ""
                    return Problem(
                        ".".join(path),
                        f"a list cannot lie over the mapping in {where}; write a mapping",
                        place,
                    )
    return None


def _broken(message: str, folders: Sequence[Path]) -> Problem:
    """A `${` that begins no interpolation, and where it stands."""
    key = re.search(r"full_key: (\S+)", message)
    text = re.search(r"input '(.*)'", message.splitlines()[0])
    if text is None:
        return Problem(key[1] if key else "", message.splitlines()[0])
    what = f"'{text[1]}' is no interpolation such as ${{seed}}; is a '}}' missing?"
    return Problem(key[1] if key else "", what, _line_with(text[1], folders))


def _line_with(text: str, folders: Sequence[Path]) -> str | None:
    """The line of a config file that has a text in it, and no more of the same word."""
    for file in (file for folder in folders for file in sorted(folder.glob("**/*.yaml"))):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if re.search(rf"{re.escape(text)}(?!\s*\w)", line):
                return f"{relative(file)}:{number}"
    return None
