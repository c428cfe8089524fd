"""The stored config of an entry, the code that it names, and the experiment file that runs its
pipeline again.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import yaml

from foundation import errors, escape, files, trees
from foundation.files import Json, JsonObject
from history import Entry, schema

DECIDING = ("seed", "deterministic", "threads", "backend")  # root keys that results depend on
LARGEST = 2**20  # bytes of a stored config
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, if it is there, is much faster

DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
# By exact name: a prefix would let in whatever a module of ours or of Keras imports itself
# (`runner.hooks.os.system`).
SHIPPED = frozenset(
    {
        "runner.models.series",
        "runner.models.tabular",
        "runner.models.linear",
        "runner.models.mlp",
        "runner.models.cnn",
        "runner.models.lstm",
        "keras.callbacks.EarlyStopping",
        "keras.callbacks.ReduceLROnPlateau",
        "keras.callbacks.TerminateOnNaN",
    }
)
LABELS = ("name", "parent_name")  # of a hyperparameter: dotted, but no code


def stored_config(entry: Entry) -> tuple[JsonObject, str, JsonObject]:
    """Return the root keys that decide results, the pipeline's name and its sections, as plain
    data.

    Nothing is resolved: `${` in it is text that was never an interpolation, or one that must not be
    resolved again. Raises InputError for an entry without a config, IntegrityError for one that is
    not what was stored.
    """
    path = entry.verified("config")
    try:
        from omegaconf import OmegaConf  # reads YAML as the runner does: 1e-4 is a number

        content = OmegaConf.to_container(OmegaConf.create(_text(path)), resolve=False)
        stored = trees.texts(content, _unescaped)
        [(name, sections)] = stored["pipelines"].items()
        root = {key: stored[key] for key in DECIDING if key in stored}
        return root, str(name), schema.upgrade_config(sections)
    except Exception as error:  # YAML and OmegaConf have many
        raise errors.IntegrityError(f"{path} is not the config of one pipeline: {error}") from error


def with_config(entry: Entry) -> Entry:
    """Return the entry with its stored config in its document, as `config`; as it is if it has none
    that can be read.
    """
    with suppress(errors.ExperimentError):
        root, _, sections = stored_config(entry)
        return replace(entry, document=entry.document | {"config": root | sections})
    return entry


def check_foreign(path: Path) -> None:
    """Raise IntegrityError for a config from elsewhere that no run writes: one that `stored_config`
    would not read, or that has a key which is more than a printable line.
    """
    try:
        keys: list[str] = []  # at any depth
        json.loads(files.to_json(yaml.load(_text(path), LOADER)), object_hook=keys.extend)
        for key in keys:
            if not key.isprintable():
                raise ValueError(f"its key {key!r} is not printable")
    except Exception as error:  # YAML has many
        raise errors.IntegrityError(f"{path.name} is not the config of a run: {error}") from error


def _text(path: Path) -> str:
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it is larger than {LARGEST:,} bytes")
    text = path.read_text(encoding="utf-8")
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, LOADER)):
        raise ValueError(
            "it has YAML aliases, which stored configs never have (they can expand a small file "
            "to gigabytes)"
        )
    return text


def experiment_yaml(entry: Entry) -> str:
    """Return an experiment file that runs the entry's pipeline: to be put into conf/experiment/.

    What was taken from the environment then is no longer known; its keys are named at the top, and
    so is the code that the pipeline imports.
    """
    root, name, sections = stored_config(entry)
    leaves = trees.flat(sections).items()
    named = {
        "Taken from the environment at the time; set them here": [
            key for key, value in leaves if "${oc.env:" in str(value)
        ],
        "It imports and runs": foreign_code(sections),
    }
    head = ["@package _global_", f"The pipeline of entry {entry.id}, stored {entry.created}."]
    for what, names in named.items():
        if names:
            head.append(f"{what}: {', '.join(names)}")
    comments = "".join(f"# {escape.printable(line)}\n" for line in head)
    return comments + literal_yaml(root | {"pipelines": {name: sections}})


def literal_yaml(content: Mapping[str, Json]) -> str:
    """Return plain data as YAML from which Hydra makes the same: `${` in it is text, not an
    interpolation.
    """
    from omegaconf import OmegaConf

    # A backslash before an interpolation escapes it, or the next backslash.
    escaped = trees.texts(content, lambda text: re.sub(r"(\\*)\$\{", r"\1\1\\${", text))
    return str(OmegaConf.to_yaml(OmegaConf.create(escaped)))


def _unescaped(text: str) -> str:
    def half(match: re.Match[str]) -> str:
        backslashes = match[1]
        return backslashes[: len(backslashes) // 2] + "${"

    return re.sub(r"(\\+)\$\{", half, text)


def foreign_code(sections: Mapping[str, object]) -> list[str]:
    """Return every dotted path in a pipeline's sections that may be imported, each once, ours left
    out.

    Any text that looks like a path counts, whatever key holds it: a target may hand its arguments
    to something that imports them. Data of a `kind` imports nothing.
    """
    named = {key: sections.get(key) for key in ("model", "data", "callbacks", "validation", "fit")}
    data = named["data"]
    if isinstance(data, Mapping) and "_target_" not in data:
        del named["data"]
    return [path for path in dict.fromkeys(_paths(named)) if path not in SHIPPED]


def _paths(node: object) -> Iterator[str]:
    if isinstance(node, str) and DOTTED.fullmatch(node.strip()):
        yield node.strip()
    elif isinstance(node, Mapping):
        if isinstance(node.get("module"), str):  # how Keras writes what it builds from a config
            yield f"{node['module']}.{node.get('class_name', '*')}"
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        kept = {key: node[key] for key in node if "hp" not in node or key not in LABELS}
        yield from _paths([*kept, *kept.values()])
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _paths(value)
