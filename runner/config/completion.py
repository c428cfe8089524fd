"""What a shell completes on the command line of `runner`, without Hydra, in a third of its time:
groups and their choices, keys and values that the JSON Schema has, keys of the files that are
chosen, and ids of entries.
"""

import json
import re
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import argcomplete
import yaml

from foundation import trees
from history import History, config
from runner.config import choices

CHOICE = re.compile(r"[+/]*([\w/]+)(?:@([\w.-]+))?=(.+)")  # of a group, perhaps for one section
OPTIONS = ("--json", "--multirun", "--help", "--version", "--cfg", "--hydra-help")


def answer() -> None:
    """Answer a shell as argcomplete has it, and exit."""
    parser = ArgumentParser(prefix_chars="\0", add_help=False)  # to which options are words, too
    words: Any = parser.add_argument("words", nargs="*")
    words.completer = lambda prefix, parsed_args, **_: candidates(parsed_args.words or [], prefix)
    argcomplete.autocomplete(parser)


def candidates(words: Sequence[str], word: str) -> list[str]:
    """Return what a word may become beside other words: a key with a value or, before its equals
    sign, what begins so up to the next dot.
    """
    bare = word.lstrip("+")
    key, equals, _ = bare.partition("=")
    pipelines, values = _values(words)
    if key in ("reproduce", "predict"):
        roots = [each.partition("=")[2] for each in words if each.startswith("paths.root=")]
        values[key] = [str(row["id"]) for row in History(*roots[-1:]).store.all()]
    if equals:
        whole = [f"{key}={value}" for value in values.get(key, [])]
    else:
        whole = [*OPTIONS, *(f"{name}=" for name in values)]
        whole += [f"~pipelines.{name}" for name in pipelines]
    return [word.removesuffix(bare) + each for each in _begun(whole, bare)]


def _begun(whole: Sequence[str], start: str) -> list[str]:
    """Return what begins so, up to its next dot, and on where there is but one way."""
    begun = set()
    for each in whole:
        if each.startswith(start):
            end = each.find(".", len(start)) + 1
            begun.add(each[:end] if end else each)
    if len(begun) == 1 and max(begun).endswith("."):
        return _begun(whole, begun.pop())
    return sorted(begun)


def _values(words: Sequence[str]) -> tuple[list[str], dict[str, list[Any]]]:
    """Return the pipelines, and the values that are known of each key that may be set."""
    values: dict[str, list[Any]] = {key: [] for key in _of_files(words)}
    pipelines = {key.split(".")[1] for key in values if key.startswith("pipelines.")}
    text = (choices.conf_folder() / "schema.json").read_text(encoding="utf-8")
    definitions = json.loads(text)["$defs"]
    paths = {"": "File"} | {f"pipelines.{name}.": "Pipeline" for name in pipelines}
    for path, section in paths.items():
        for key, enumerated in _of_schema(definitions, definitions[section], path):
            if key != path[:-1]:  # the section itself
                values.setdefault(key, []).extend(enumerated)
    for group in choices.groups():
        values[group] = list(choices.choices(group))
        for name in pipelines:
            if f"pipelines.{name}.{group}" in values:
                values[f"{group}@pipelines.{name}.{group}"] = values[group]
    return sorted(pipelines), values


def _of_schema(definitions: Any, node: Any, path: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield the dotted keys below a node that has this path, and what each may be."""
    values = [*node.get("enum", [])]
    if "const" in node:
        values.append(node["const"])
    if node.get("type") == "boolean":
        values += ["true", "false"]
    yield path.rstrip("."), values
    for member in node.get("anyOf", []):
        yield from _of_schema(definitions, member, path)
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        yield from _of_schema(definitions, definitions[name], path)
    properties = node.get("properties", {})
    if "hp" not in properties:
        for key, child in properties.items():
            yield from _of_schema(definitions, child, f"{path}{key}.")


def _of_files(words: Iterable[str]) -> Iterator[str]:
    """Yield the dotted keys of the files that words choose, and of those that these choose."""
    for word in words:
        chosen = CHOICE.fullmatch(word)
        path = choices.choices(chosen[1]).get(chosen[3]) if chosen else None
        if not chosen or not path:
            continue
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, config.LOADER) or {}
        for default in content.pop("defaults", []):
            if isinstance(default, dict):
                yield from _of_files(f"{key}={value}" for key, value in default.items())
        package = "" if "@package _global_" in text else f"{chosen[2] or chosen[1]}."
        for key in trees.flat(content):
            yield package + key
