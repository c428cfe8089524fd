"""The stored config of an entry, and the experiment file that runs its pipeline again."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from history.entry import Entry
from history.errors import InputError, IntegrityError
from history.view.frame import flat

# Root keys that say where and how a run was done, not what it computed.
SURROUNDINGS = (
    *(
        "paths",
        "hooks",
        "executor",
        "history",
        "experiment",
        "only",
        "fresh",
        "reuse",
        "progress",
        "on_failure",
    ),
    *("mode", "trust", "reproduce", "reproduce_search", "predict", "input", "output"),
)


def stored_config(entry: Entry) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """Return the root keys, the pipeline's name and its sections, as plain data.

    Nothing is resolved: `${` in it is text that was never an interpolation, or one that must not be
    resolved again. Raises InputError for an entry without a config, IntegrityError for one that is
    not what was stored.
    """
    if "config" not in entry.value("artefacts", {}):
        raise InputError(
            f"entry {entry.id} holds no config: it was imported, or failed before there was one"
        )
    path = entry.verified("config")
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError(
                "it holds YAML aliases, which no stored config does (a small file can unfold to gigabytes)"
            )
        from omegaconf import OmegaConf  # reads YAML as the runner does: 1e-4 is a number

        content: Any = texts(
            OmegaConf.to_container(OmegaConf.create(text), resolve=False), _unescaped
        )
        ((name, sections),) = content.pop("pipelines").items()
        split = (sections.get("data") or {}).get("split") or {}
        if "stratify" in split:  # as schema 1 had it
            split["kind"] = {True: "stratified", False: "random"}.get(split.pop("stratify"))
        return dict(content), str(name), dict(sections)
    except Exception as error:  # YAML and OmegaConf have many
        raise IntegrityError(f"{path} is not the config of one pipeline: {error}") from error


def experiment_yaml(entry: Entry) -> str:
    """Return an experiment file that runs the entry's pipeline: to be put into conf/experiment/.

    What was taken from the environment then is not known any more; its keys are named at the top.
    """
    root, name, sections = stored_config(entry)
    kept = {key: value for key, value in root.items() if key not in SURROUNDINGS}
    body = literal_yaml({**kept, "pipelines": {name: sections}})
    head = f"# @package _global_\n# The pipeline of entry {entry.id}, stored {entry.created}.\n"
    if taken := [key for key, value in flat(sections).items() if "${oc.env:" in str(value)]:
        head += f"# Taken from the environment then, and to be set here: {', '.join(taken)}\n"
    return head + body


def literal_yaml(content: Mapping[str, Any]) -> str:
    """Return plain data as YAML from which Hydra makes the same: `${` in it is text, not an
    interpolation.
    """
    from omegaconf import OmegaConf

    return str(OmegaConf.to_yaml(OmegaConf.create(texts(content, _escaped))))


def _unescaped(text: str) -> str:
    return re.sub(r"(\\+)\$\{", lambda found: "\\" * (len(found[1]) // 2) + "${", text)


def _escaped(text: str) -> str:
    """The text such that OmegaConf takes it as it is: a backslash before an interpolation escapes
    it, or the next.
    """
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def texts(node: Any, change: Callable[[str], str]) -> Any:
    """Return plain data with every text in it changed."""
    if isinstance(node, Mapping):
        return {key: texts(value, change) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [texts(value, change) for value in node]
    return change(node) if isinstance(node, str) else node
