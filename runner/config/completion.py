"""What a shell completes on the command line of `runner`, without Hydra, in a third of its time:
groups and their choices, keys and values that the JSON Schema has, keys of the files that are
chosen, and ids of entries.
"""

import json
import re
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml
from argcomplete.finders import CompletionFinder

from foundation import trees
from history import History, config
from runner.config import choices

CHOICE = re.compile(r"[+/]*([\w/]+)(?:@([\w.-]+))?=(.+)")  # of a group, perhaps for one section
OPTIONS = ("--json", "--multirun", "--help", "--version", "--cfg", "--hydra-help")


class Finder(CompletionFinder):
    """Answers a shell as argcomplete has it, and exits: `Finder()(PARSER)`."""

    def _get_completions(
        self, comp_words: list[str], cword_prefix: str, cword_prequote: str, last: int | None
    ) -> list[str]:
        return self.quote_completions(  # of what no parser of argparse's knows
            candidates(comp_words[1:], cword_prefix), cword_prequote, last
        )


PARSER = ArgumentParser()  # that Finder asks for


def candidates(words: Sequence[str], word: str) -> list[str]:
    """Return what a word may become beside other words: a key with a value or, before its equals
    sign, what begins so up to the next dot.
    """
    bare, known = word.lstrip("+"), _known(words)
    key, equals, _ = bare.partition("=")
    if key in ("reproduce", "predict"):
        roots = [each.partition("=")[2] for each in words if each.startswith("paths.root=")]
        known[key] = [str(row["id"]) for row in History(*roots[-1:]).store.all()]
    whole = (
        [f"{key}={value}" for value in known.get(key, [])]
        if equals
        else [
            *OPTIONS,
            *(f"{name}=" for name in known),
            *(
                f"~pipelines.{name.split('.')[1]}"
                for name in known
                if name.startswith("pipelines.")
            ),
        ]
    )
    return [word.removesuffix(bare) + each for each in _begun(whole, bare)]


def _begun(whole: Iterable[str], by: str) -> list[str]:
    found = {each[: each.find(".", len(by)) + 1] or each for each in whole if each.startswith(by)}
    one = found.pop() if len(found) == 1 else ""
    return _begun(whole, one) if one.endswith(".") else [one] if one else sorted(found)


def _known(words: Sequence[str]) -> dict[str, list[Any]]:
    """Return the keys that may be given, and the values that each may have, as far as known."""
    defs = json.loads((choices.conf_folder() / "schema.json").read_text(encoding="utf-8"))["$defs"]
    files = [*_of_files(words)]
    names = dict.fromkeys(key.split(".")[1] for key in files if key.startswith("pipelines."))
    known: dict[str, list[Any]] = {key: [] for key in files}
    for key, values in (
        each
        for of, at in [("File", ""), *(("Pipeline", f"pipelines.{name}.") for name in names)]
        for each in _of_schema(defs, defs[of], at)
        if each[0] != at[:-1]  # the section itself
    ):
        known.setdefault(key, []).extend(values)
    for group in {path.parent.name for each in choices.folders() for path in each.glob("*/*.yaml")}:
        at = [f"{name}.{group}" for name in names if f"pipelines.{name}.{group}" in known]
        made = [*choices.choices(group)]
        known |= dict.fromkeys((group, *(f"{group}@pipelines.{each}" for each in at)), made)
    return known


def _of_schema(defs: Any, node: Any, path: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield the dotted keys below a node that has this path, and what each may be."""
    yield (
        path.rstrip("."),
        [
            *node.get("enum", [node[key] for key in node if key == "const"]),
            *["true", "false"] * (node.get("type") == "boolean"),
        ],
    )
    inner = node.get("properties", {})
    for at, each in (
        *((path, each) for each in node.get("anyOf", [])),
        *((path, defs[node[key].rpartition("/")[2]]) for key in node if key == "$ref"),
        *((f"{path}{key}.", child) for key, child in inner.items() if "hp" not in inner),
    ):
        yield from _of_schema(defs, each, at)


def _of_files(words: Iterable[str]) -> Iterator[str]:
    """Yield the dotted keys of the files that words choose, and of those that these choose."""
    for group, at, choice in (found.groups() for found in map(CHOICE.fullmatch, words) if found):
        if path := choices.choices(group).get(choice):
            text = path.read_text(encoding="utf-8")
            content = yaml.load(text, config.LOADER) or {}
            yield from _of_files(
                f"{key}={value}"
                for each in content.pop("defaults", [])
                if isinstance(each, dict)
                for key, value in each.items()
            )
            place = "" if "@package _global_" in text else f"{at or group}."
            yield from (place + key for key in trees.flat(content))
