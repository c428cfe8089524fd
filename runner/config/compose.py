"""From what Hydra composed to a checked experiment: one merge of what the files, the preset and the
command line say.

A pipeline is made of layers, each laid over those before it, key by key: the root sections, its own
sections, the preset `debug`, the command line's root sections, the command line's `pipelines.NAME`.
All of it is merged unresolved, so that relative interpolations follow the pipeline they end up in.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf, errors

from foundation import secrets, trees
from foundation.errors import unknown
from history.config import literal_yaml
from runner.config import arguments, check, choices, schema
from runner.errors import ConfigError, Faults, Problem

Tree: TypeAlias = dict[str, Any]  # plain data as YAML has it
IDENTITY = ("kind", "_target_", "hp")  # mappings that differ in one of these replace each other
PRESET = "debug"  # the root key whose sections lie over those of every pipeline
# what a pipeline has that names no model, by the kind of its data: a choice of model, and sections
BY_DATA: dict[str, tuple[str, Tree]] = {
    "table": ("tabular", {"validation": {"repeats": 4}}),
    "windows": ("series", {"validation": {"repeats": 4}}),
}
# what is resolved by each training, for its callbacks, and is text until then
OF_TRIALS = re.compile(r"(?<!\\)\$\{(?=\s*trial\.)")


def said(config: DictConfig) -> Tree:
    """Return what Hydra composed as plain data, unresolved, without the command line's sections."""
    tree: Tree = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    return {key: value for key, value in tree.items() if key not in ("hydra", arguments.GIVEN)}


def experiment(
    name: str, tree: Tree, overrides: Sequence[str], *, stored: bool = False
) -> schema.Experiment:
    """Return the checked experiment.

    Args:
        name: the experiment's.
        tree: what the files say, with the command line's root keys.
        overrides: the command-line overrides, as typed; those of sections lie over the tree.
        stored: it comes from the history, where nothing is resolved again.

    Raises:
        ConfigError: with every error that was found.
    """
    if tree.get("experiment") is not None and not stored:
        raise ConfigError(
            f"the first line of {name}.yaml must be: # @package _global_", "experiment"
        )
    faults = Faults()
    tree = {**tree, "pipelines": _merged(tree, overrides, faults)}
    if not stored:
        tree["pipelines"] = trees.texts(tree["pipelines"], partial(OF_TRIALS.sub, r"\\\g<0>"))
    with faults:
        made = check.read_experiment(
            name, tree if stored else _resolved(OmegaConf.create(tree)), overrides
        )
        must_be_writable(made.root, "paths.root")
        # the history's are where trials went then; they go below the root now
        for key, pipeline in () if stored else made.pipelines.items():
            with faults:
                must_be_writable(
                    Path(pipeline.tuner.directory or made.root).resolve(),
                    f"pipelines.{key}.tuner.directory",
                    pipeline.tuner.project_name or f"{name}-{key}",
                )
    faults.tell(ConfigError)
    return made


def run_settings(tree: Tree) -> schema.Run:
    """Return the root keys alone, of a command that takes its pipelines from the history or needs
    none.

    Raises:
        ConfigError: with every error that was found.
    """
    return check.read_experiment(
        "", _resolved(OmegaConf.create({**tree, "pipelines": None, "only": None})), ()
    ).run


def overlay(base: object, top: object) -> Any:
    """Return `top` laid over `base`, key by key; a mapping of another kind, target or
    hyperparameter replaces it.
    """
    if not (isinstance(base, Mapping) and isinstance(top, Mapping)):
        return top
    if not base.keys().isdisjoint(IDENTITY) and any(
        top[key] != base.get(key) for key in IDENTITY if key in top
    ):
        return dict(top)
    return {**base, **{key: overlay(base.get(key), value) for key, value in top.items()}}


def _lay(tree: Tree, path: Sequence[str], value: object) -> None:
    """Lay a value over what a tree has at a path."""
    *around, key = path
    for step in around:
        inner = tree.get(step)
        # A copy: pipelines share the mappings of the root.
        tree[step] = tree = dict(inner) if isinstance(inner, Mapping) else {}
    # Half an objective would have the direction of the other.
    tree[key] = value if key == "objective" else overlay(tree.get(key), value)


def _merged(root: Tree, overrides: Sequence[str], problems: list[Problem]) -> dict[str, Tree]:
    """Return the sections of each pipeline, all layers merged.

    Args:
        root: the root sections, `pipelines`, the preset, and `only`.
        overrides: the command line's; those that set a section, or choose one, count.
        problems: takes up what cannot be laid anywhere.
    """
    preset = root.get(PRESET) or {}
    wrong = [
        key for key in preset if key not in schema.SECTIONS or not isinstance(preset[key], Mapping)
    ]
    problems += [
        Problem(f"{PRESET}.{key}", f"must be a mapping, and one of {', '.join(schema.SECTIONS)}")
        for key in wrong
    ]
    preset = [(key, *item) for key in preset if key not in wrong for item in preset[key].items()]
    declared = {str(name): own or {} for name, own in (root.get("pipelines") or {}).items()}
    declared |= {
        name: {}
        for name in re.findall(r"^\+{1,2}pipelines\.([^.=]+)", "\n".join(overrides), re.MULTILINE)
        if name not in declared
    }
    trees: dict[str, Tree] = {}
    inherits: dict[str, set[str]] = {}  # the sections that have something of the root's
    for name, own in (declared or {"main": {}}).items():
        if not isinstance(own, Mapping):
            problems.append(Problem(f"pipelines.{name}", "must be a mapping of sections"))
            continue
        tree = trees[name] = {key: root[key] for key in schema.SECTIONS if root.get(key)}
        for section, content in own.items():
            if content or section not in tree:
                _lay(tree, [section], content)
        inherits[name] = {key for key in tree if tree[key] != own.get(key)}
        data = tree.get("data")
        kind = data.get("kind") if isinstance(data, Mapping) else None
        if kind in BY_DATA and not tree.get("model"):
            model, sections = BY_DATA[kind]
            shipped = OmegaConf.to_container(OmegaConf.load(choices.choices("model")[model]))
            tree |= overlay({**sections, "model": shipped}, tree)
        for section, key, value in preset:
            below = tree.get(section)
            # A null of `fit` keeps the key from a HyperModel whose own fit sets it.
            kept = section == "fit" and isinstance(below, Mapping) and below.get(key, "") is None
            if key in check.known_keys(section, below) and not kept:
                _lay(tree, [section, key], value)
    problems += [
        Problem(f"{PRESET}.{section}.{key}", _unknown(trees, section, key))
        for section, key, _ in preset
        if key not in _known(trees, section)
    ]
    only = root.get("only")
    running = [name for name in trees if not isinstance(only, list) or name in only]
    for override in sorted(
        arguments.parse(overrides), key=lambda o: o.key_or_group.startswith("pipelines")
    ):
        kind, (section, *path) = arguments.effect(override), override.key_or_group.split(".")
        if kind == "section" and section != "pipelines":
            problems += _lay_all(trees, override, running)
        elif kind == "section" and path and path[0] in trees:
            _lay(trees, path, override.value())
        elif kind == "section":
            problems.append(
                Problem(
                    f"pipelines.{path[0]}",
                    f"{unknown('pipeline', path[0], trees)}; +pipelines.{path[0]}... adds one",
                )
                if path
                else Problem(
                    "pipelines", "set keys of one pipeline, as in pipelines.NAME.fit.epochs=3"
                )
            )
        elif (
            kind == "choice"
            and (
                section in schema.SECTIONS
                and root.get(section)
                and not override.package
                and running
            )
            and not any(section in inherits[name] for name in running)
        ):
            line = str(override.input_line).lstrip("+")
            problems.append(
                Problem(
                    section,
                    "no pipeline takes it, as each has its own; to set it for one of them: "
                    f"{section}@pipelines.{running[0]}.{line}",
                    arguments.typed_at(line),
                )
            )
    return trees


def _lay_all(trees: dict[str, Tree], override: Override, running: list[str]) -> Iterator[Problem]:
    """Lay a value of the command line over each pipeline whose section has the key, or over all
    where it adds one.
    """
    section, *path = override.key_or_group.split(".")
    takers = [
        name
        for name, tree in trees.items()
        if not path
        or str(override.input_line).startswith("+")
        or path[0] in check.known_keys(section, tree.get(section))
    ]
    for name in takers:
        _lay(trees[name], [section, *path], override.value())
    if not takers:
        yield Problem(override.key_or_group, _unknown(trees, section, path[0]))
    elif running and not {*running} & {*takers}:
        yield Problem(
            override.key_or_group,
            f"only {', '.join(takers)} would take it, which `only` leaves out",
        )


def _known(trees: dict[str, Tree], section: str) -> set[str]:
    """Return the keys that a section takes in any pipeline, or of any kind."""
    return check.known_keys(section).union(
        *(check.known_keys(section, tree.get(section)) for tree in trees.values())
    )


def _unknown(trees: dict[str, Tree], section: str, key: str) -> str:
    open_ended = any(
        kind.model_config["extra"] == "allow"
        for tree in trees.values()
        for kind in check.schemas(section, tree.get(section))
    )
    return (
        f"{unknown('key', key, sorted(_known(trees, section)))}"
        f"{check.elsewhere(key, section) or '; no pipeline takes it'}"
        f"{f'; +{section}.{key}=... adds an argument' if open_ended else ''}"
    )


def _resolved(node: object) -> Any:
    """Return a config without interpolations; one that leads nowhere is Unresolved in its place."""
    if not isinstance(node, (DictConfig, ListConfig)):
        return node
    made: dict[Any, Any] = {}
    for key in node if isinstance(node, DictConfig) else range(len(node)):
        try:
            made[key] = _resolved(node[key])  # type: ignore[index]
        except errors.OmegaConfBaseException as error:
            written = OmegaConf.to_container(node, resolve=False)[key]  # type: ignore[index]
            made[key] = (
                "???"
                if OmegaConf.is_missing(node, key)
                else check.Unresolved(
                    f"the interpolation {written} cannot be resolved: {str(error).splitlines()[0]}"
                )
            )
    return made if isinstance(node, DictConfig) else list(made.values())


def must_be_writable(folder: Path, where: str, *names: str) -> None:
    """Raise ConfigError where a folder cannot be written to, or cannot have folders of these names:
    permission bits do not tell (root, read-only mounts), so it is tried in the nearest folder that
    is there. Leaves nothing behind.
    """
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        for name in (*folder.relative_to(nearest).parts, *names):
            with suppress(FileNotFoundError):
                (nearest / name).lstat()
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise ConfigError(
            f"cannot write to {folder}: {error.strerror}; choose a folder that you can write to",
            where,
        ) from error


def effective(experiment: schema.Experiment, only: Sequence[str] = ()) -> str:
    """Return the config as it was understood, as YAML: merged for each pipeline (or those named),
    resolved, defaults filled in, without secrets.
    """
    return literal_yaml(
        secrets.redact(
            {
                **experiment.run.model_dump(),
                "experiment": experiment.name,
                "pipelines": {
                    name: experiment.pipelines[name].model_dump()
                    for name in only or experiment.pipelines
                },
            }
        )
    )
