"""The stored config of an entry, and the experiment file that runs its pipeline again."""

import re
from collections.abc import Mapping

import yaml

from history.entry import Entry
from history.errors import IntegrityError
from history.files import Json
from history.schema import upgrade_config
from history.trees import flat, texts

# Root keys that say where and how a run was done, not what it computed.
_WHERE_AND_HOW = (
    "paths hooks executor history experiment only fresh reuse progress on_failure mode trust "
    "reproduce reproduce_search predict input output"
)
SURROUNDINGS = frozenset(_WHERE_AND_HOW.split())


def stored_config(entry: Entry) -> tuple[dict[str, Json], str, dict[str, Json]]:
    """Return the root keys but SURROUNDINGS, the pipeline's name and its sections, as plain data.

    Nothing is resolved: `${` in it is text that was never an interpolation, or one that must not be
    resolved again. Raises InputError for an entry without a config, IntegrityError for one that is
    not what was stored.
    """
    path = entry.verified("config")
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError(
                "it holds YAML aliases, which no stored config does (a small file can unfold to "
                "gigabytes)"
            )
        from omegaconf import OmegaConf  # reads YAML as the runner does: 1e-4 is a number

        content = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
        stored = texts(content, _unescaped)
        ((name, sections),) = stored["pipelines"].items()
        kept = [key for key in stored if key not in SURROUNDINGS | {"pipelines"}]
        return {key: stored[key] for key in kept}, str(name), upgrade_config(sections)
    except Exception as error:  # YAML and OmegaConf have many
        raise IntegrityError(f"{path} is not the config of one pipeline: {error}") from error


def experiment_yaml(entry: Entry) -> str:
    """Return an experiment file that runs the entry's pipeline: to be put into conf/experiment/.

    What was taken from the environment then is no longer known; its keys are named at the top.
    """
    root, name, sections = stored_config(entry)
    head = f"# @package _global_\n# The pipeline of entry {entry.id}, stored {entry.created}.\n"
    if taken := [key for key, value in flat(sections).items() if "${oc.env:" in str(value)]:
        head += f"# Taken from the environment then, and to be set here: {', '.join(taken)}\n"
    return head + literal_yaml({**root, "pipelines": {name: sections}})


def literal_yaml(content: Mapping[str, Json]) -> str:
    """Return plain data as YAML from which Hydra makes the same: `${` in it is text, not an
    interpolation.
    """
    from omegaconf import OmegaConf

    return str(OmegaConf.to_yaml(OmegaConf.create(texts(content, _escaped))))


def _unescaped(text: str) -> str:
    return re.sub(r"(\\+)\$\{", lambda found: "\\" * (len(found[1]) // 2) + "${", text)


def _escaped(text: str) -> str:
    """Return the text such that OmegaConf takes it as it is: a backslash before an interpolation
    escapes it, or the next.
    """
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
