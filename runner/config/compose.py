"""From what Hydra composed to a checked experiment: one merge of what the files, the preset and the
command line say.

A pipeline is made of layers, each laid over those before it, key by key: the root sections, its own
sections, the preset `debug`, the command line's root sections, the command line's `pipelines.NAME`.
All of it is merged unresolved, so that relative interpolations follow the pipeline they end up in.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from history.config import literal_yaml
from history.errors import unknown
from runner.config import check
from runner.config.arguments import GIVEN, effect, parse
from runner.config.schema import SECTIONS, Experiment, Run
from runner.config.secrets import redact
from runner.errors import ConfigError, Problem

Tree: TypeAlias = dict[str, Any]  # plain data as YAML has it
IDENTITY = ("kind", "_target_", "hp")  # mappings that differ in one of these replace each other
PRESET = "debug"  # the root key whose sections lie over those of every pipeline
WHOLE = "objective"  # replaced, not merged: half an objective has the direction of the other


def said(config: DictConfig) -> Tree:
    """Return what Hydra composed as plain data, unresolved, without the command line's sections."""
    tree: Tree = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    return {key: value for key, value in tree.items() if key not in ("hydra", GIVEN)}


def experiment(
    name: str, tree: Tree, overrides: Sequence[str], *, stored: bool = False
) -> Experiment:
    """Return the checked experiment.

    Args:
        name: the experiment's.
        tree: what the files say, with the command line's root keys.
        overrides: the command-line overrides, as typed; those of sections lie over the tree.
        stored: it comes from the history, where nothing is resolved again.

    Raises:
        ConfigError: with every mistake that was found.
    """
    if tree.get("experiment") is not None and not stored:
        raise ConfigError.at(
            "experiment", f"the first line of {name}.yaml must be: # @package _global_"
        )
    problems: list[Problem] = []
    tree = {**tree, "pipelines": _merged(tree, overrides, problems)}
    try:
        tree = tree if stored else _resolved(OmegaConf.create(tree))
        made = check.read_experiment(name, tree, overrides)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    _try_to_write(made.root)
    return made


def run_settings(tree: Tree) -> Run:
    """Return the root keys alone, of a command that takes its pipelines from the history or needs
    none.

    Raises:
        ConfigError: with every mistake that was found.
    """
    resolved = _resolved(OmegaConf.create({**tree, "pipelines": None, "only": None}))
    return check.read_experiment("", resolved, ()).run


def overlay(base: object, top: object) -> Any:
    """Return `top` laid over `base`, key by key; a mapping of another kind, target or
    hyperparameter replaces it.
    """
    if not (isinstance(base, Mapping) and isinstance(top, Mapping)):
        return top
    another = any(top[key] != base.get(key) for key in IDENTITY if key in top)
    if another and not base.keys().isdisjoint(IDENTITY):
        return dict(top)
    return {**base, **{key: overlay(base.get(key), value) for key, value in top.items()}}


class Layer(NamedTuple):
    """A value that lies over those of pipelines."""

    path: list[str]
    value: object
    added: bool = False  # whether a section takes the key or not
    preset: bool = False


def _lay(tree: Tree, path: Sequence[str], value: object) -> None:
    """Lay a value over what a tree has at a path."""
    *around, key = path
    for step in around:
        inner = tree.get(step)
        # A copy: pipelines share the mappings of the root.
        tree[step] = dict(inner) if isinstance(inner, Mapping) else {}
        tree = tree[step]
    tree[key] = value if key == WHOLE else overlay(tree.get(key), value)


def _merged(root: Tree, overrides: Sequence[str], problems: list[Problem]) -> dict[str, Tree]:
    """Return the sections of each pipeline, all layers merged.

    Args:
        root: the root sections, `pipelines`, the preset, and `only`.
        overrides: the command line's; those that set a section count.
        problems: takes up what cannot be laid anywhere.
    """
    layers = []
    for section, values in (root.get(PRESET) or {}).items():
        if section in SECTIONS and isinstance(values, Mapping):
            layers += [Layer([section, key], value, preset=True) for key, value in values.items()]
        else:
            what = f"must be a mapping, and one of {', '.join(SECTIONS)}"
            problems.append(Problem(f"{PRESET}.{section}", what))
    given = [override for override in parse(overrides) if effect(override) == "section"]
    for override in sorted(given, key=lambda each: each.key_or_group.startswith("pipelines")):
        added = override.is_add() or override.is_force_add()
        layers.append(Layer(override.key_or_group.split("."), override.value(), added))
    trees: dict[str, Tree] = {}
    declared = dict(root.get("pipelines") or {})
    for layer in layers:
        if layer.added and layer.path[0] == "pipelines" and len(layer.path) > 1:
            declared.setdefault(layer.path[1], {})
    for name, own in (declared or {"main": {}}).items():
        if not isinstance(own or {}, Mapping):
            problems.append(Problem(f"pipelines.{name}", "must be a mapping of sections"))
            continue
        tree = trees[str(name)] = {key: root[key] for key in SECTIONS if root.get(key)}
        for section, content in (own or {}).items():
            if content or section not in tree:
                _lay(tree, [section], content)
    only = root.get("only")
    running = trees.keys() & (only if isinstance(only, list) else trees)
    for layer in layers:
        section, *path = layer.path
        if section != "pipelines":
            problems += _lay_all(trees, layer, running)
        elif not path:
            what = "set keys of one of them: pipelines.NAME.fit.epochs=3"
            problems.append(Problem("pipelines", what))
        elif path[0] not in trees:
            what = f"{unknown('pipeline', path[0], trees)}; +pipelines.{path[0]}... adds one"
            problems.append(Problem(f"pipelines.{path[0]}", what))
        else:
            _lay(trees, path, layer.value)
    return trees


def _lay_all(trees: dict[str, Tree], layer: Layer, running: Set[str]) -> Iterator[Problem]:
    """Lay a value over each pipeline whose section has the key."""
    section, *path = layer.path
    takers = [
        name
        for name, tree in trees.items()
        if not path or layer.added or path[0] in check.known_keys(section, tree.get(section))
    ]
    for name in takers:
        own: Any = trees[name].get(section)
        # A null of `fit` keeps the key from a HyperModel whose own fit sets it.
        kept = layer.preset and section == "fit" and isinstance(own, Mapping)
        if not (kept and own.get(path[0], "") is None):
            _lay(trees[name], layer.path, layer.value)
    where = ".".join([PRESET, *layer.path] if layer.preset else layer.path)
    if not takers and not (layer.preset and path[0] in check.known_keys(section)):
        yield Problem(where, _unknown(trees, section, path[0]))
    elif running and running.isdisjoint(takers) and not layer.preset:
        what = f"only {', '.join(takers)} would take it, which `only` leaves out"
        yield Problem(where, what)


def _unknown(trees: dict[str, Tree], section: str, key: str) -> str:
    contents = [None, *(tree.get(section) for tree in trees.values())]
    known = set().union(*(check.known_keys(section, content) for content in contents))
    home = check.elsewhere(key, section) or "; no pipeline takes it"
    takes = any(check.takes_arguments(section, content) for content in contents[1:])
    more = f"; +{section}.{key}=... adds an argument" if takes else ""
    return f"{unknown('key', key, sorted(known))}{home}{more}"


def _resolved(node: object) -> Any:
    """Return a config without interpolations; one that leads nowhere is Unresolved in its place."""
    if isinstance(node, DictConfig):
        return {key: _value(node, key) for key in node}
    if isinstance(node, ListConfig):
        return [_value(node, index) for index in range(len(node))]
    return node


def _value(node: DictConfig | ListConfig, key: Any) -> Any:
    try:
        return _resolved(node[key])
    except OmegaConfBaseException as error:
        if OmegaConf.is_missing(node, key):
            return "???"
        written = OmegaConf.to_container(node, resolve=False)[key]  # type: ignore[index]
        return check.Unresolved(
            f"the interpolation {written} leads nowhere: {str(error).splitlines()[0]}"
        )


def _try_to_write(root: Path) -> None:
    """Refuse a root that cannot be written to: permission bits do not tell (root, read-only
    mounts), so it is tried in the nearest folder that is there. Leaves nothing behind.
    """
    nearest = next(path for path in (root, *root.parents) if path.exists())
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        what = f"cannot write to {root}: {error.strerror}; name a folder that you may write to"
        raise ConfigError.at("paths.root", what) from error


def effective(experiment: Experiment, only: Sequence[str] = ()) -> str:
    """Return the config as it was understood, as YAML: merged for each pipeline (or those named),
    resolved, defaults filled in, without secrets.
    """
    pipelines = {
        name: experiment.pipelines[name].model_dump() for name in only or experiment.pipelines
    }
    root = {**experiment.run.model_dump(), "experiment": experiment.name, "pipelines": pipelines}
    return literal_yaml(redact(root))
