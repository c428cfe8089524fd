"""From what Hydra composed to a checked experiment: one merge of what the files, the preset and the
command line say.

A pipeline is made of layers, each laid over those before it, key by key: the root sections, its own
sections, the preset `debug`, the command line's root sections, the command line's `pipelines.NAME`.
All of it is merged unresolved, so that relative interpolations follow the pipeline they end up in.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
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
Pipelines: TypeAlias = dict[str, Tree]  # the sections of each, by its name
IDENTITY = ("kind", "_target_", "hp")  # mappings that differ in one of these replace each other
PRESET = "debug"  # the root key whose sections lie over those of every pipeline
# of a pipeline that names no model: the choice of one, by the kind of its data, and the validation
MODELS = {"table": "tabular", "windows": "series"}
VALIDATION = {"repeats": 4}
# what is resolved by each training, for its callbacks, and is text until then
OF_TRIALS = re.compile(r"(?<!\\)\$\{(?=\s*trial\.)")


def plain(config: DictConfig) -> Tree:
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
    if tree.get("experiment") is not None:
        raise ConfigError(
            f"the first line of {name}.yaml must be: # @package _global_", "experiment"
        )
    faults = Faults()
    pipelines = _merged(tree, overrides, faults)
    if not stored:
        pipelines = trees.texts(pipelines, partial(OF_TRIALS.sub, r"\\\g<0>"))
    tree = {**tree, "pipelines": pipelines}
    if not stored:
        tree = _resolved(OmegaConf.create(tree))
    with faults:
        checked = check.read_experiment(name, tree, overrides)
        must_be_writable(checked.root, "paths.root")
        # the history's are where trials went then; they go below the root now
        for key, pipeline in () if stored else checked.pipelines.items():
            folder = Path(pipeline.tuner.directory or checked.root).resolve()
            project = pipeline.tuner.project_name or f"{name}-{key}"
            with faults:
                must_be_writable(folder, f"pipelines.{key}.tuner.directory", project)
    faults.tell(ConfigError)
    return checked


def run_settings(tree: Tree) -> schema.Run:
    """Return the root keys alone, of a command that takes its pipelines from the history or needs
    none.

    Raises:
        ConfigError: with every error that was found.
    """
    root_keys = _resolved(OmegaConf.create({**tree, "pipelines": None, "only": None}))
    return check.read_experiment("", root_keys, ()).run


def overlay(base: object, top: object) -> Any:
    """Return `top` laid over `base`, key by key; a mapping of another kind, target or
    hyperparameter replaces it.
    """
    if not (isinstance(base, Mapping) and isinstance(top, Mapping)):
        return top
    changed = [key for key in IDENTITY if key in top and top[key] != base.get(key)]
    if changed and not base.keys().isdisjoint(IDENTITY):
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


def _merged(root: Tree, overrides: Sequence[str], faults: Faults) -> Pipelines:
    """Return the sections of each pipeline, all layers merged.

    Args:
        root: the root sections, `pipelines`, the preset, and `only`.
        overrides: the command line's; those that set a section, or choose one, count.
        faults: collects what cannot be laid anywhere.
    """
    declared = _declared(root, overrides)
    pipelines = {}
    for name, own in declared.items():
        if isinstance(own, dict):
            pipelines[name] = _from_files(root, own)
        else:
            faults.append(Problem(f"pipelines.{name}", "must be a mapping of sections"))
    _lay_preset(pipelines, root.get(PRESET) or {}, faults)
    only = root.get("only")
    running = [name for name in pipelines if not isinstance(only, list) or name in only]
    for override in arguments.by_precedence(overrides):
        effect, section = arguments.effect(override), override.key_or_group.split(".")[0]
        with faults:
            if effect == "section" and section == "pipelines":
                _lay_one(pipelines, override)
            elif effect == "section":
                _lay_all(pipelines, override, running)
            elif effect == "choice" and root.get(section) and not override.package:
                own = {name: declared[name].get(section) for name in running}
                _check_choice(override, root[section], own)
    return pipelines


def _declared(root: Tree, overrides: Sequence[str]) -> dict[str, Any]:
    """Return each pipeline's own sections in files; those that `+pipelines.NAME` adds have none."""
    declared = {str(name): own or {} for name, own in (root.get("pipelines") or {}).items()}
    for argument in overrides:
        added = re.match(r"\+{1,2}pipelines\.([^.=]+)", argument)
        if added:
            declared.setdefault(added[1], {})
    return declared or {"main": {}}


def _from_files(root: Tree, own: Tree) -> Tree:
    """Return the sections of a pipeline as the files define them."""
    tree = {key: root[key] for key in schema.SECTIONS if root.get(key)}
    for section, content in own.items():
        if content or section not in tree:
            _lay(tree, [section], content)
    data = tree.get("data")
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind in MODELS and not tree.get("model"):
        model = OmegaConf.load(choices.choices("model")[MODELS[kind]])
        tree |= overlay({"validation": VALIDATION, "model": OmegaConf.to_container(model)}, tree)
    return tree


def _lay_preset(pipelines: Pipelines, preset: Tree, faults: Faults) -> None:
    """Lay each key of the preset over the pipelines whose section takes it."""
    for section, content in preset.items():
        if section not in schema.SECTIONS or not isinstance(content, dict):
            what = f"must be a mapping, and one of {', '.join(schema.SECTIONS)}"
            faults.append(Problem(f"{PRESET}.{section}", what))
            continue
        for key, value in content.items():
            for name in _takers(pipelines, section, key):
                below = pipelines[name].get(section) or {}
                # A null of `fit` keeps the key from a HyperModel whose own fit sets it.
                if section != "fit" or below.get(key, "") is not None:
                    _lay(pipelines[name], [section, key], value)
            if key not in _known(pipelines, section):
                what = _unknown(pipelines, section, key)
                faults.append(Problem(f"{PRESET}.{section}.{key}", what))


def _takers(pipelines: Pipelines, section: str, key: str) -> list[str]:
    """Return the pipelines whose section takes a key."""
    return [
        name
        for name, tree in pipelines.items()
        if key in check.known_keys(section, tree.get(section))
    ]


def _lay_one(pipelines: Pipelines, override: Override) -> None:
    """Lay a value of the command line over one pipeline."""
    path = override.key_or_group.split(".")[1:]
    if not path:
        raise ConfigError(
            "set keys of one pipeline, as in pipelines.NAME.fit.epochs=3", "pipelines"
        )
    if path[0] not in pipelines:
        raise ConfigError(
            f"{unknown('pipeline', path[0], pipelines)}; +pipelines.{path[0]}... adds one",
            f"pipelines.{path[0]}",
        )
    _lay(pipelines, path, override.value())


def _lay_all(pipelines: Pipelines, override: Override, running: list[str]) -> None:
    """Lay a value of the command line over each pipeline whose section has the key, or over all
    where it adds one.
    """
    section, *path = override.key_or_group.split(".")
    takers = list(pipelines)
    if path and not str(override.input_line).startswith("+"):
        takers = _takers(pipelines, section, path[0])
        if not takers:
            raise ConfigError(_unknown(pipelines, section, path[0]), override.key_or_group)
    for name in takers:
        _lay(pipelines[name], [section, *path], override.value())
    if running and not set(running).intersection(takers):
        raise ConfigError(
            f"only {', '.join(takers)} would take it, which `only` leaves out",
            override.key_or_group,
        )


def _check_choice(override: Override, base: object, own: Tree) -> None:
    """Raise ConfigError where no pipeline has anything of what is chosen for all.

    Args:
        override: that chooses a file.
        base: the root section that it leads to.
        own: what each running pipeline has of its own in this section.
    """
    section, line = override.key_or_group, str(override.input_line).lstrip("+")
    replaced = [
        content and (section == "objective" or overlay(base, content) == content)
        for content in own.values()
    ]
    if own and all(replaced):
        raise ConfigError(
            "no pipeline takes it, as each has its own; to set it for one of them: "
            f"{section}@pipelines.{next(iter(own))}.{line}",
            section,
            arguments.typed_at(line),
        )


def _known(pipelines: Pipelines, section: str) -> set[str]:
    """Return the keys that a section takes in any pipeline, or of any kind."""
    keys = check.known_keys(section)
    for tree in pipelines.values():
        keys |= check.known_keys(section, tree.get(section))
    return keys


def _unknown(pipelines: Pipelines, section: str, key: str) -> str:
    """Return the message for a key that the section takes in no pipeline."""
    what = unknown("key", key, sorted(_known(pipelines, section)))
    what += check.elsewhere(key, section) or "; no pipeline takes it"
    for tree in pipelines.values():
        kinds = check.schemas(section, tree.get(section))
        if any(kind.model_config["extra"] == "allow" for kind in kinds):
            return f"{what}; +{section}.{key}=... adds an argument"
    return what


def _resolved(node: object) -> Any:
    """Return a config without interpolations; one that leads nowhere is Unresolved in its place."""
    if isinstance(node, DictConfig):
        return {key: _resolved_value(node, key) for key in node}
    if isinstance(node, ListConfig):
        return [_resolved_value(node, index) for index in range(len(node))]
    return node


def _resolved_value(node: Any, key: Any) -> Any:
    try:
        return _resolved(node[key])
    except errors.OmegaConfBaseException as error:
        written = OmegaConf.to_container(node, resolve=False)[key]  # type: ignore[index]
        if written == "???":
            return written
        reason = str(error).splitlines()[0]
        return check.Unresolved(f"the interpolation {written} cannot be resolved: {reason}")


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
