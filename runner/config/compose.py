"""From Hydra's composed config to a checked experiment: inheritance, overrides, one list of all
mistakes.

A pipeline inherits each root section key by key. The merge works on the unresolved config, so that
relative interpolations follow the pipeline they end up in.
"""

import re
import tempfile
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from history.errors import unknown
from history.exchange.config import literal_yaml
from runner.config.check import (
    Reader,
    Unresolved,
    at_home,
    is_schema,
    keys,
    plain_config,
    tag_of,
    takes_rest,
)
from runner.config.choices import choices, folders
from runner.config.rules import cross_problems
from runner.config.schema import SECTIONS, Experiment, Pipeline, Run, pipeline_name_problem
from runner.config.secrets import redact
from runner.config.space import settled
from runner.errors import ConfigError, Problem

IDENTITY = (
    "kind",
    "_target_",
    "hp",
)  # a mapping that differs in one of these replaces the one it lies over
PRESET = "debug"  # the root key whose sections lie over those of every pipeline
WHOLE = (
    "objective",
)  # sections that are replaced, not merged: half an objective has the other's direction


def is_value(override: Override) -> bool:
    """Whether an override sets a section or a pipeline, or a key within one; those are applied
    here, not by Hydra. Where a section has a group, a word chooses from it, which is Hydra's
    work.
    """
    section, _, rest = override.key_or_group.partition(".")
    if override.is_delete() or section not in (*SECTIONS, "pipelines"):
        return False
    return bool(rest) or isinstance(override.value(), Mapping) or not choices(section, folders())


def parse(overrides: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Command-line overrides as Hydra reads them; its loader knows what a `glob(*)` stands for."""
    return OverridesParser.create(loader).parse_overrides(list(overrides))


def experiment(
    config: DictConfig, base: DictConfig, overrides: Sequence[str], name: str
) -> Experiment:
    """The checked experiment.

    Args:
        config: what Hydra composed, every command-line override included.
        base: the same without the overrides that `is_value` names: what the files alone say.
        overrides: the command-line overrides, as given.
        name: the experiment's name.

    Raises:
        ConfigError: with every mistake that was found.
    """
    raw: Any = OmegaConf.to_container(config, resolve=False)
    files: Any = OmegaConf.to_container(base, resolve=False)
    if raw.get("experiment") is not None:
        raise ConfigError(
            [Problem("experiment", f"the first line of {name}.yaml must be: # @package _global_")]
        )
    problems: list[Problem] = []
    given = [override for override in parse(overrides) if is_value(override)]
    declared = dict(files.get("pipelines") or {})
    added = [
        o.key_or_group.split(".")[1]
        for o in given
        if o.is_add() and o.key_or_group.startswith("pipelines.")
    ]
    files["pipelines"] = declared | {name: {} for name in added if name not in declared}
    pipelines = _inherit(files, problems)
    _lay_over(pipelines, raw.get(PRESET) or {}, problems)
    _apply_overrides(pipelines, given, raw.get("only"), problems)
    merged = {key: value for key, value in raw.items() if key != "pipelines"} | {
        "pipelines": pipelines
    }
    resolved = _resolved(OmegaConf.create(merged))
    reader = Reader(_homes())
    run = _read_run(resolved, reader)
    sections = _read_pipelines(resolved["pipelines"], reader)
    problems += reader.problems
    chosen = sections
    if run is not None:
        chosen = _only(sections, run, problems)
        problems += root_problems(Path(run.paths.root))
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return Experiment(name, run, chosen, tuple(overrides))


def run_settings(config: DictConfig) -> Run:
    """The root keys alone, of a command that takes its pipelines from the history or needs none.

    Raises:
        ConfigError: with every mistake that was found.
    """
    reader = Reader()
    run: Run = _read_run(_resolved(config), reader)
    if reader.problems:
        raise ConfigError(reader.problems)
    return run


def stored_experiment(
    name: str, root_keys: Mapping[str, Any], pipelines: dict[str, Any], overrides: Sequence[str]
) -> Experiment:
    """A checked experiment from stored plain data, in which nothing is resolved again.

    Args:
        name: the experiment's.
        root_keys, pipelines: as a config has them.
        overrides: of sections, from the command line, which lie over what was stored.

    Raises:
        ConfigError: with every mistake that was found.
    """
    problems: list[Problem] = []
    _apply_overrides(pipelines, parse(overrides), None, problems)
    reader = Reader(_homes())
    run: Run = reader.read(root_keys, Run, "")
    sections = _read_pipelines(pipelines, reader)
    if problems + reader.problems:
        raise ConfigError(list(dict.fromkeys(problems + reader.problems)))
    return Experiment(name, run, sections, tuple(overrides))


def _read_run(config: Mapping[str, Any], reader: Reader) -> Run:
    """The root keys that are of no pipeline; whatever else stands at the root is a mistake."""
    known = root_keys()
    for key in config:
        if isinstance(key, str) and key not in known:
            reader.fail(
                key, unknown("key", key, [*known, "defaults"]) + at_home(key, "", reader.homes)
            )
    of_the_run = {
        key: value for key, value in config.items() if key in keys(Run) or not isinstance(key, str)
    }
    run: Run = reader.read(of_the_run, Run, "")
    return run


def root_keys() -> list[str]:
    """All keys that may stand at the root."""
    return [*keys(Run), *SECTIONS, "pipelines", "experiment", PRESET]


def _homes() -> dict[str, list[str]]:
    """The sections that take a key, the root among them."""
    found = {key: ["the root"] for key in keys(Run)}
    for section in SECTIONS:
        for key in sorted(_keys(None, section)):
            found.setdefault(key, []).append(section)
    return found


def _read_pipelines(pipelines: Mapping[str, Any], reader: Reader) -> dict[str, Pipeline]:
    sections: dict[str, Pipeline] = {}
    for name, content in pipelines.items():
        where, content = f"pipelines.{name}", settled(content)
        problem = pipeline_name_problem(name)
        if problem:
            reader.fail(where, problem)
        sections[name] = reader.read(content, Pipeline, where)
        for crossing in cross_problems(content):
            reader.fail(f"{where}.{crossing.where}", crossing.what)
    return sections


def overlay(base: Any, top: Any) -> Any:
    """`top` laid over `base`, key by key; a mapping of another kind, target or hyperparameter
    replaces it.
    """
    if not (isinstance(base, Mapping) and isinstance(top, Mapping)):
        return top
    if any(key in top and key in base and top[key] != base[key] for key in IDENTITY):
        return dict(top)
    if any(key in top and key not in base for key in IDENTITY) and any(
        key in base for key in IDENTITY
    ):
        return dict(top)  # a `_target_` over a `kind`, or the other way round
    result = dict(base)
    for key, value in top.items():
        result[key] = overlay(base[key], value) if key in base else value
    return result


def _inherit(files: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """Each pipeline with the root sections below its own; without pipelines, one: `main`."""
    result = {}
    for name, content in (files.get("pipelines") or {"main": {}}).items():
        if content is not None and not isinstance(content, Mapping):
            problems.append(Problem(f"pipelines.{name}", "must be a mapping of sections"))
            continue
        merged = dict(content or {})
        for section in SECTIONS:
            base = files.get(section)
            if base in (None, {}):
                continue
            if merged.get(section) in (None, {}):
                merged[section] = base
            elif section not in WHOLE:
                merged[section] = overlay(base, merged[section])
        result[str(name)] = merged
    return result


def _lay_over(
    pipelines: dict[str, Any], preset: Mapping[str, Any], problems: list[Problem]
) -> None:
    """A preset's values reach each pipeline whose section has the key, also where the pipeline sets
    its own. A null of `fit` stays: it keeps the key from a HyperModel whose own fit sets it.
    """
    for section, values in preset.items():
        if section not in SECTIONS or not isinstance(values, Mapping):
            what = (
                unknown("section", str(section), SECTIONS)
                if section not in SECTIONS
                else "must be a mapping"
            )
            problems.append(Problem(f"{PRESET}.{section}", what))
            continue
        for key, value in values.items():
            if not _has(None, section, key) and not any(map(takes_rest, _schemas(None, section))):
                what = unknown("key", str(key), sorted(_keys(None, section)))
                problems.append(Problem(f"{PRESET}.{section}.{key}", what))
            for pipeline in pipelines.values():
                own = pipeline.get(section) or {}
                kept = section == "fit" and own.get(key, value) is None
                if len(_schemas(own, section)) == 1 and _has(own, section, key) and not kept:
                    _set(pipeline, [section, key], value)


def _apply_overrides(
    pipelines: dict[str, Any], overrides: Sequence[Override], only: Any, problems: list[Problem]
) -> None:
    """Root overrides reach each pipeline whose section has the key, also where the pipeline sets
    its own; overrides of one pipeline come after them. One that reaches none of those that will run
    is a mistake.
    """
    declared = list(pipelines)
    for override in overrides:
        section, *path = override.key_or_group.split(".")
        if section == "pipelines":
            continue
        if not path:
            for pipeline in pipelines.values():
                whole = section in WHOLE or section not in pipeline
                pipeline[section] = (
                    override.value() if whole else overlay(pipeline[section], override.value())
                )
            continue
        taking = {
            n: p
            for n, p in pipelines.items()
            if override.is_add() or _has(p.get(section), section, path[0])
        }
        takers = list(taking.values())
        if (
            taking
            and isinstance(only, list)
            and set(only) & set(pipelines)
            and not set(taking) & set(only)
        ):
            what = f"only {', '.join(taking)} would take it, which `only` leaves out"
            problems.append(Problem(override.key_or_group, what))
        if not takers:
            known = sorted({k for p in pipelines.values() for k in _keys(p.get(section), section)})
            open_ended = any(
                takes_rest(s) for p in pipelines.values() for s in _schemas(p.get(section), section)
            )
            hint = f"; +{override.key_or_group}=... adds an argument" if open_ended else ""
            home = at_home(path[0], section, _homes())
            what = f"{unknown('key', path[0], known)}{home or '; no pipeline takes it'}{hint}"
            problems.append(Problem(override.key_or_group, what))
        for pipeline in takers:
            _set(pipeline, [section, *path], override.value())
    for override in overrides:
        section, *rest = override.key_or_group.split(".")
        if section != "pipelines":
            continue
        if not rest:
            problems.append(
                Problem(section, "set keys of one of them: pipelines.NAME.fit.epochs=3")
            )
            continue
        name, *path = rest
        if name not in declared:
            what = f"{unknown('pipeline', name, declared)}; +pipelines.{name}... adds one"
            problems.append(Problem(f"pipelines.{name}", what))
        elif path:
            _set(pipelines.setdefault(name, {}), path, override.value())
            if (
                path[0] in SECTIONS
                and path[0] != "manager"
                and path[1:] == []
                and isinstance(override.value(), str)
            ):
                what = f"is a section, not a word; {path[0]}@{override.key_or_group}={override.value()} chooses one"
                problems.append(Problem(override.key_or_group, what))
        else:
            pipelines[name] = overlay(pipelines.get(name, {}), override.value())


def _set(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        inner = tree.get(key)
        tree[key] = (
            dict(inner) if isinstance(inner, Mapping) else {}
        )  # a copy: pipelines share the root's mappings
        tree = tree[key]
    tree[path[-1]] = overlay(tree.get(path[-1]), value)


def _schemas(content: Any, section: str) -> list[type]:
    """The dataclasses that a section may be read into, narrowed by its tag where it has one."""
    annotation = typing.get_type_hints(Pipeline)[section]
    members = [m for m in (typing.get_args(annotation) or (annotation,)) if is_schema(m)]
    if not isinstance(content, Mapping):
        return members
    named = [m for m in members if (tag := tag_of(m)) and content.get(tag[0]) == tag[1]]
    return named or [m for m in members if "_target_" in content and takes_rest(m)] or members


def _keys(content: Any, section: str) -> set[str]:
    """The keys that a section takes (by its schema) or has (arguments of a target)."""
    named = {key for schema in _schemas(content, section) for key in keys(schema)}
    return named | {str(key) for key in (content if isinstance(content, Mapping) else ())}


def _has(content: Any, section: str, key: str) -> bool:
    return key in _keys(content, section)


def _resolved(node: Any) -> Any:
    """A config without interpolations; one that leads nowhere is Unresolved in its place."""

    def value(key: Any) -> Any:
        try:
            return _resolved(node[key])
        except OmegaConfBaseException as error:
            if OmegaConf.is_missing(node, key):
                return "???"
            text = OmegaConf.to_container(node, resolve=False)[key]  # type: ignore[index]
            return Unresolved(_unresolved(str(text), error))

    if isinstance(node, ListConfig):
        return [value(index) for index in range(len(node))]
    return {key: value(key) for key in node} if isinstance(node, DictConfig) else node


def _unresolved(text: str, error: Exception) -> str:
    reason = str(error).splitlines()[0]
    reason = re.sub(r"^\w+ raised while resolving interpolation: \"?(.*?)\"?$", r"\1", reason)
    reason = re.sub(r"^Interpolation key '(.*)' not found$", r"there is no key '\1'", reason)
    return f"the interpolation {text} leads nowhere: {reason}"


def _only(sections: dict[str, Pipeline], run: Run, problems: list[Problem]) -> dict[str, Pipeline]:
    if run.only is None:
        return sections
    for name in run.only:
        if name not in sections:
            problems.append(Problem("only", unknown("pipeline", name, sections)))
    if not run.only:
        problems.append(Problem("only", f"names no pipeline (known: {', '.join(sections)})"))
    return {name: sections[name] for name in run.only if name in sections}


def root_problems(root: Path) -> list[Problem]:
    """Why the root cannot be written to, if so: tried for real in the nearest folder that is there,
    since permission bits do not tell (root, read-only mounts). Leaves nothing behind.
    """
    nearest = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return []
    except OSError as error:
        reason = error.strerror or str(error)
        return [
            Problem(
                "paths.root",
                f"cannot write to {root.resolve()}: {reason}; name a folder that you may write to",
            )
        ]


def effective(experiment: Experiment, only: Sequence[str] = ()) -> str:
    """The config as it was understood, as YAML: merged for each pipeline (or those named),
    resolved, defaults filled in, without secrets.
    """
    pipelines = {
        name: plain_config(experiment.pipelines[name]) for name in only or experiment.pipelines
    }
    return literal_yaml(
        redact(
            {**plain_config(experiment.run), "experiment": experiment.name, "pipelines": pipelines}
        )
    )
