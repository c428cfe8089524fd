"""The arguments of the command line, as they are typed and as Hydra takes them; and the place where
a key was said last, which is one of them, or a line of a file.

A value of a section goes to Hydra below GIVEN: what the files say and what the command line says
stay apart until compose.py lays one over the other, and Hydra expands a sweep over it all the same.

Places are looked for only when something is wrong, so they cost a checked run nothing. Hydra knows
which files a config is made of and under which package each one stands; the YAML nodes of these
files know their lines.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import hydra
import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.conf import HydraConf
from hydra.core import config_loader, global_hydra
from hydra.core.override_parser import overrides_parser, types
from omegaconf import OmegaConf, errors

from foundation.errors import unknown
from runner.config import bounds, check, choices, schema
from runner.errors import ConfigError, InputError, Problem, short

Steps = tuple[str, ...]  # a dotted path, taken apart: `a.b[0]` is ("a", "b", "0")

GIVEN = "_given_"  # a name that nobody takes for a key or a part of a text
LISTED = ("experiment", "debug")  # groups that the defaults list names without a choice
# What Hydra raises over a config; ValueError: over a group.
COMPLAINTS = (
    yaml.YAMLError,
    hydra.errors.HydraException,
    errors.OmegaConfBaseException,
    ValueError,
)
DEBUG = {"debug=true": "debug=default", "debug=false": "~debug", "debug=null": "~debug"}
HOME = re.compile(r"""(?<=[=,\[ ])~[^]},'"]*(?=[^'"]*$)""")  # what Hydra takes in quotes only
# a key in quotes, as in {"first name": category}, which Hydra takes in other words only
QUOTED = re.compile(r"""(?<=[{,])(\s*)(["'])([^"']+)\2(?=\s*:)""")
# Plugins that Hydra's own project ships, each in a package of its own.
PLUGINS = {
    "hydra/launcher": ("joblib", "ray", "rq", "submitit"),
    "hydra/sweeper": ("ax", "nevergrad", "optuna"),
}
TYPED = " on the command line"  # ends the place of what an argument says


def parse(
    arguments: Iterable[str], loader: config_loader.ConfigLoader | None = None
) -> list[types.Override]:
    """Return arguments as Hydra reads them; its loader knows what a `glob(*)` stands for."""
    return overrides_parser.OverridesParser.create(loader).parse_overrides(list(arguments))


def effect(override: types.Override) -> str:
    """Return what an argument does: set a value of a "section", which is ours to merge, or another
    "root" key, make the "choice" of a file of a group, or something "other" that Hydra knows.
    """
    if override.is_delete() or override.is_hydra_override():
        return "other"
    key = override.key_or_group
    if (override.package or choices.choices(key)) and not isinstance(override.value(), Mapping):
        return "choice"
    return "section" if key.split(".")[0] in (*schema.SECTIONS, "pipelines") else "root"


def without_plus(argument: str) -> str:
    """Return an argument without the `+` that an experiment, or a key of the run, may be added by,
    but need not.
    """
    return re.sub(rf"^\+({'|'.join([*LISTED, *schema.Run.model_fields])})=", r"\1=", argument)


def unquoted(argument: str) -> str:
    """Return an argument with the quotes of a mapping's keys put in Hydra's way."""
    key, is_mapping, rest = argument.partition("={")
    return key + QUOTED.sub(
        lambda found: found[1] + re.sub(r"[\\()\[\]{}:=, \t]", r"\\\g<0>", found[3]),
        is_mapping + rest,
    )


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
            hands them to our own checker, which reports all errors at once.
    """
    # Hydra would take these for abbreviations of its own options.
    for key in (each.lstrip("-").partition("=")[0] for each in typed if each.startswith("-")):
        if key in schema.Run.known():
            raise InputError(f"--{key}{TYPED}: keys have no dashes; write {key}=VALUE")
    lines = [
        line if line.startswith("-") else HOME.sub(r"'\g<0>'", DEBUG.get(line.lower(), line))
        for line in map(unquoted, map(without_plus, typed))
        if line != "--json" or not values  # cli.py's; where Hydra answers, it refuses that
    ]
    given = [line for line in lines if re.match("~|[^-].*=", line)]
    taken, chosen = dict[str, str](), dict[str, str]()
    for override in parse(given):
        line, kind, key = str(override.input_line), effect(override), override.get_key_element()
        bare = line.lstrip("+")
        if kind == "section" and values:
            taken[line] = f"{line.removesuffix(bare)}{GIVEN}.{bare}"
        elif (
            kind == "root"
            and values
            and override.key_or_group.split(".")[0] not in schema.Run.known()
        ):
            taken[line] = f"+{bare}"
        elif kind == "choice" and chosen.setdefault(key.lstrip("+"), bare) != bare:
            raise ConfigError(
                f"{chosen[key.lstrip('+')]} is already chosen; remove one of them (with -m there "
                "may be several)",
                "",
                typed_at(line),
            )
    changed = {line: key for key, line in chosen.items() if line in lines and key not in LISTED}
    # With another config than ours, Hydra's own rules for the `+` of a choice hold.
    if changed and not any(line.startswith(("--config-", "-cd", "-cn", "-cp")) for line in lines):
        with hydra.initialize_config_dir(str(choices.conf_folder()), version_base="1.3"):
            loader = global_hydra.GlobalHydra.instance().config_loader()
            others = parse((line for line in given if line not in changed), loader)
            known = loader.compute_defaults_list(
                "config", next(iter(by_job(others)), []), hydra.types.RunMode.RUN
            ).overrides.known_choices
        taken |= {line: f"+{line}" for line, key in changed.items() if key not in known}
    return [taken.get(line, line) for line in lines]


def of_task(hydra_config: HydraConf) -> list[str]:
    """Return the arguments of a composed config but Hydra's own; an interpolation in them is not
    theirs to resolve.
    """
    return list(map(str, OmegaConf.to_container(hydra_config.overrides.task, resolve=False) or ()))


def by_job(overrides: list[types.Override]) -> list[list[str]]:
    """Return the arguments of each job that Hydra makes of them."""
    return BasicSweeper.split_arguments(overrides, None)[0]


def jobs(hydra_config: HydraConf, loader: config_loader.ConfigLoader) -> list[list[str]]:
    """Return the arguments of each job of a sweep; none for a sweeper that makes them up as it
    goes.

    Raises:
        InputError: there is no job.
    """
    if hydra_config.runtime.choices["hydra/sweeper"] != "basic":
        return []
    given = parse(
        [
            *(f"{key}={value}" for key, value in (hydra_config.sweeper.params or {}).items()),
            *of_task(hydra_config),
        ],
        loader,
    )
    if empty := [as_typed(str(each.input_line)) for each in given if not by_job([each])]:
        raise InputError(f"the sweep has no jobs: {', '.join(empty)} has no values")
    return by_job(given)


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
            files, laid = _in_files(name, typed), _in_arguments(typed)
        except Exception:  # a place is a courtesy: the error itself must still be reported
            return list(error.problems)
        return sorted(
            dict.fromkeys(
                each if each.place else _at(each, files, laid) for each in error.problems
            ),
            key=_order,
        )
    if isinstance(error, InputError):
        return [Problem("", str(error))]
    place, text = None, str(error) or str(error.__cause__)
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
        place, text = f"{bounds.relative(Path(mark.name))}:{mark.line + 1}", str(error.problem)
    elif isinstance(error, hydra.errors.OverrideParseException):
        place = typed_at(error.override)
    elif isinstance(error, hydra.errors.MissingConfigException) and error.options:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        text = f"{text.splitlines()[0]}: {unknown(group, choice, error.options)}"
        if (plugin := choice.partition("_")[0]) in PLUGINS.get(group, ()):
            text += f"; pip install hydra-{plugin}-{group.removeprefix('hydra/')}"
    return [Problem("", as_typed(" ".join(text.split())), place)]


def _order(problem: Problem) -> tuple[str, int]:
    """Return a key that puts arguments first, then file by file, from the top down."""
    file, _, line = (problem.place or "").rpartition(":")
    return (file, int(line)) if line.isdigit() else ("", 0)


def _in_files(name: str, typed: Sequence[str]) -> dict[Steps, str]:
    """Return the line that says each path last, of the files that arguments choose."""
    loader = global_hydra.GlobalHydra.instance().config_loader()
    folders = [source.path for source in loader.get_sources() if source.scheme() == "file"]
    said: dict[Steps, str] = {}
    for default in loader.compute_defaults_list(
        name, list(typed), hydra.types.RunMode.RUN
    ).defaults:
        if file := next(
            filter(
                Path.is_file, (Path(folder, f"{default.config_path}.yaml") for folder in folders)
            ),
            None,
        ):
            root = yaml.compose(file.read_text(encoding="utf-8"), Loader=bounds.LOADER)
            package, shown = _steps(default.package or ""), bounds.relative(file)
            if package or not default.primary:
                said[package] = f"{shown}:{root.start_mark.line + 1 if root else 1}"
            said |= {path: f"{shown}:{line}" for path, line in _lines(root, package)}
    return said


def _in_arguments(typed: Sequence[str]) -> list[tuple[Steps, str]]:
    """Return the path and the place of each argument that says something itself: the one that
    wins first. One that chooses a file leaves it to the file.
    """
    return [
        (_steps(each.key_or_group), typed_at(str(each.input_line)))
        for each in sorted(
            parse(typed), key=lambda each: each.key_or_group.startswith("pipelines.")
        )
        if each.is_delete() or effect(each) != "choice"
    ][::-1]


def _lines(node: yaml.Node | None, path: Steps) -> Iterator[tuple[Steps, int]]:
    """Yield each path that a file says, but for its defaults list, and its line."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode) and key.value != "defaults":
            name = (
                key.value if key.tag.endswith(":str") else check.key_text(yaml.safe_load(key.value))
            )
            yield (*path, name), key.start_mark.line + 1
            yield from _lines(value, (*path, name))


def _at(problem: Problem, files: Mapping[Steps, str], laid: list[tuple[Steps, str]]) -> Problem:
    """Return a problem with its place, at the root section where a pipeline inherited it."""
    steps = _steps(problem.where)
    root = steps[2:] if steps[:1] == ("pipelines",) else steps
    within = root not in (steps, ())
    at_root = replace(problem, where=problem.where.split(".", 2)[2]) if within else problem
    for own, place in laid:
        if own == steps[: len(own)] or (steps not in files and () != steps == own[: len(steps)]):
            return replace(problem, place=place)
        if own == root[: len(own)]:
            return replace(at_root, place=place)
    depth, inherited = _depth(steps, files), _depth(root, files)
    if within and (not depth or (inherited and inherited + 2 > depth)):
        return replace(at_root, place=files.get(root[:inherited]))
    return replace(problem, place=files.get(steps[:depth]))


def _depth(steps: Steps, said: Mapping[Steps, str]) -> int:
    """Return how many steps of a path lead to the nearest mapping around it that is written."""
    return next((depth for depth in range(len(steps), 0, -1) if steps[:depth] in said), 0)


def typed_at(argument: str) -> str:
    """Return an argument as the place of what it says; whether it needed a `+` does not matter."""
    return f"{short(as_typed(argument).lstrip('+'))}{TYPED}"


def _steps(path: str) -> Steps:
    return tuple(re.findall(r"[^.\[\]]+", path))
