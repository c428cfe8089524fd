"""The arguments of the command line, as they are typed and as Hydra takes them; and the place where
a key was said last, which is one of them, or a line of a file.

A value of a section goes to Hydra below GIVEN: what the files say and what the command line says
stay apart until compose.py lays one over the other, and Hydra expands a sweep over it all the same.

Places are looked for only when something is wrong, so they cost a checked run nothing. Hydra knows
which files a config is made of and under which package each one stands; the YAML nodes of these
files know their lines.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import hydra
import yaml
from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import OmegaConf, errors

from history.errors import unknown
from runner.config.check import key_text
from runner.config.choices import choices, conf_folder
from runner.config.schema import SECTIONS, Run
from runner.errors import ConfigError, InputError, Problem, short

Steps = tuple[str, ...]  # a dotted path, taken apart: `a.b[0]` is ("a", "b", "0")

GIVEN = "_given_"  # a name that nobody takes for a key or a part of a text
LISTED = ("experiment", "debug")  # groups that the defaults list names without a choice
# With one of these options, Hydra's own rules for the `+` of a choice hold.
OTHER_CONFIG = ("--config-", "-cd", "-cn", "-cp")
# What Hydra raises over a config; ValueError: over a group.
COMPLAINTS = (yaml.YAMLError, HydraException, errors.OmegaConfBaseException, ValueError)
DEBUG = {"debug=true": "debug=default", "debug=false": "~debug", "debug=null": "~debug"}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, if it is there, is much faster
TEXT = "tag:yaml.org,2002:str"
TYPED = " on the command line"  # ends the place of what an argument says
AROUND = ""  # the last step, instead of a key, for a mapping that an argument sets a key in


def parse(arguments: Iterable[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Return arguments as Hydra reads them; its loader knows what a `glob(*)` stands for."""
    return OverridesParser.create(loader).parse_overrides(list(arguments))


def effect(override: Override) -> str:
    """Return what an argument does: set a value of a "section", which is ours to merge, or another
    "root" key, make the "choice" of a file of a group, or something "other" that Hydra knows.
    """
    if override.is_delete() or override.is_hydra_override():
        return "other"
    grouped = override.package is not None or choices(override.key_or_group)
    if grouped and not isinstance(override.value(), Mapping):
        return "choice"
    sections = (*SECTIONS, "pipelines")
    return "section" if override.key_or_group.split(".")[0] in sections else "root"


def without_plus(argument: str) -> str:
    """Return an argument without the `+` that an experiment may be added by, but need not."""
    return re.sub(rf"^\+({'|'.join(LISTED)})=", r"\1=", argument)


def as_typed(text: str) -> str:
    """Return an argument, or a message about one, without the name that only Hydra sees."""
    return text.replace(f"{GIVEN}.", "")


def for_hydra(typed: Sequence[str], *, values: bool = True) -> list[str]:
    """Return the arguments of the command line, Hydra's own options among them, as Hydra takes
    them: with a `+` before each choice of a group that no defaults list names yet, because nobody
    has to know which choices an experiment spells out.

    Args:
        typed: the arguments.
        values: whether values of sections go below GIVEN, and unknown root keys get the `+` that
            hands them to our own checker, which reports all mistakes at once.
    """
    for argument in typed:  # Hydra would take these for abbreviations of its own options
        key = argument.lstrip("-").partition("=")[0]
        if argument.startswith("-") and key in Run.known():
            raise InputError(f"{argument}{TYPED}: keys have no dashes; write {key}=VALUE")
    lines = [DEBUG.get(line, line) for line in map(without_plus, typed)]
    taken: dict[str, str] = {}
    changed: dict[str, str] = {}
    others: list[str] = []
    for override in parse(line for line in lines if re.match("~|[^-].*=", line)):
        line, kind = str(override.input_line), effect(override)
        bare = line.lstrip("+")
        if kind == "section" and values:
            taken[line] = f"{line.removesuffix(bare)}{GIVEN}.{bare}"
        elif kind == "root":
            known = override.key_or_group.split(".")[0] in Run.known()
            taken[line] = line if known or not values else f"+{bare}"
        elif kind == "choice" and line == bare and override.key_or_group not in LISTED:
            changed[line] = override.get_key_element()
        elif kind in ("choice", "other"):
            others.append(line)
    if changed and not any(line.startswith(OTHER_CONFIG) for line in lines):
        with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            first = [by_job(each)[0] for each in parse(others, loader)]
            made = loader.compute_defaults_list("config", first, RunMode.RUN)
        named = made.overrides.known_choices
        taken |= {line: f"+{line}" for line, key in changed.items() if key not in named}
    return [taken.get(line, line) for line in lines]


def of_task(hydra_config: HydraConf) -> list[str]:
    """Return the arguments of a composed config but Hydra's own; an interpolation in them is not
    theirs to resolve.
    """
    held = OmegaConf.to_container(hydra_config.overrides, resolve=False)
    return [str(argument) for argument in held["task"]]  # type: ignore[index, call-overload]


def by_job(override: Override) -> list[str]:
    """Return an argument as each job of a sweep has it."""
    key = override.get_key_element()
    if override.is_sweep_override():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    return [f"{key}={override.get_value_element_as_str()}"]


def jobs(hydra_config: HydraConf, loader: ConfigLoader) -> list[list[str]]:
    """Return the arguments of each job of a sweep; none for a sweeper that makes them up as it
    goes.
    """
    if hydra_config.runtime.choices["hydra/sweeper"] != "basic":
        return []
    fixed = [f"{key}={value}" for key, value in (hydra_config.sweeper.params or {}).items()]
    overrides = parse([*fixed, *of_task(hydra_config)], loader)
    swept = {each.get_key_element(): by_job(each) for each in overrides}
    return list(map(list, itertools.product(*swept.values())))


def problems(error: Exception, name: str = "config", typed: Sequence[str] = ()) -> list[Problem]:
    """Return what an error says is wrong: ours with their places, an inherited one once, where it
    was made; or Hydra's or YAML's, in one line.

    Args:
        error: of a config.
        name: of the primary config.
        typed: the arguments of the command line.
    """
    if isinstance(error, ConfigError):
        try:
            said = _said(name, typed)
        except Exception:  # a place is a courtesy: the mistake itself must still be told
            return list(error.problems)
        return sorted(dict.fromkeys(_at(each, said) for each in error.problems), key=_order)
    if isinstance(error, InputError):
        return [Problem("", str(error))]
    place, text = None, str(error) or str(error.__cause__)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        place, text = f"{_relative(mark.name)}:{mark.line + 1}", str(error.problem)
    elif isinstance(error, OverrideParseException):
        place = _typed(error.override)
    elif isinstance(error, MissingConfigException) and error.options:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        text = f"{text.splitlines()[0]}: {unknown(group, choice, error.options)}"
    return [Problem("", as_typed(" ".join(text.split())), place)]


def _order(problem: Problem) -> tuple[str, int]:
    """Return a key that puts arguments first, then file by file, from the top down."""
    file, _, line = (problem.place or "").rpartition(":")
    return (file, int(line)) if line.isdigit() else ("", 0)


def _said(name: str, typed: Sequence[str]) -> dict[Steps, str]:
    """Return the place that says each path last: the files in their order, then the arguments."""
    given = parse(typed)
    values = [each for each in given if effect(each) in ("section", "root")]
    chosen = [str(each.input_line) for each in given if each not in values]
    loader = GlobalHydra.instance().config_loader()
    folders = [source.path for source in loader.get_sources() if source.scheme() == "file"]
    said: dict[Steps, str] = {}
    for default in loader.compute_defaults_list(name, chosen, RunMode.RUN).defaults:
        files = (Path(folder, f"{default.config_path}.yaml") for folder in folders)
        file = next((file for file in files if file.is_file()), None)
        if file is not None:
            root = yaml.compose(file.read_text(encoding="utf-8"), Loader=LOADER)
            package = _steps(default.package or "")
            if package or not default.primary:
                said[package] = f"{_relative(file)}:{root.start_mark.line + 1 if root else 1}"
            lines = _lines(root, package)
            said |= {path: f"{_relative(file)}:{line}" for path, line in lines}
    # An argument that chooses a file leaves it to the file to say what there is to say.
    laid = [each for each in given if each in values or each.is_delete()]
    for override in sorted(laid, key=lambda each: each.key_or_group.startswith("pipelines")):
        own = _steps(override.key_or_group)
        under = {path for path in said if own in (path[: len(own)], _root(path)[: len(own)])}
        said = {path: said[path] for path in said.keys() - under}
        paths = [own, *((*own[:depth], AROUND) for depth in range(1, len(own)))]
        said |= dict.fromkeys(paths, _typed(str(override.input_line)))
    return said


def _lines(node: yaml.Node | None, path: Steps) -> Iterator[tuple[Steps, int]]:
    """Yield each path that a file says, but for its defaults list, and its line."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode) and key.value != "defaults":
            name = key.value if key.tag == TEXT else key_text(yaml.safe_load(key.value))
            yield (*path, name), key.start_mark.line + 1
            yield from _lines(value, (*path, name))


def _at(problem: Problem, said: Mapping[Steps, str]) -> Problem:
    """Return a problem with its place, at the root section where a pipeline inherited it."""
    steps = _steps(problem.where)
    if (*steps, AROUND) in said and steps not in said:
        return replace(problem, place=said[*steps, AROUND])
    depth = _depth(steps, said)
    root = _root(steps)
    inherited = _depth(root, said)
    if root not in (steps, ()) and (not depth or (inherited and inherited + 2 > depth)):
        where = problem.where.split(".", 2)[2]
        return replace(problem, where=where, place=said.get(root[:inherited]))
    return replace(problem, place=said.get(steps[:depth]))


def _root(steps: Steps) -> Steps:
    """Return a path within a pipeline as one of the root, which the pipeline inherits from."""
    return steps[2:] if steps[:1] == ("pipelines",) else steps


def _depth(steps: Steps, said: Mapping[Steps, str]) -> int:
    """Return how many steps of a path lead to the nearest mapping around it that is written."""
    return next((depth for depth in range(len(steps), 0, -1) if steps[:depth] in said), 0)


def _typed(argument: str) -> str:
    """Return an argument as the place of what it says; whether it needed a `+` does not matter."""
    return f"{short(as_typed(argument).lstrip('+'))}{TYPED}"


def _relative(file: str | Path) -> str:
    """Return a path from the current folder, where it lies below it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _steps(path: str) -> Steps:
    return tuple(re.findall(r"[^.\[\]]+", path))
