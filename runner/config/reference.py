"""The reference of every key, written from the schema: `python -m runner.config.reference >
REFERENCE.md`.

A key's meaning is the comment beside its field in settings.py, or above it; an argument's stands in
its docstring.
"""

import ast
import dataclasses
import functools
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Union

from runner import models
from runner.config import schema as settings
from runner.config.check import REST, config_key, is_schema, plain_config, tag_of
from runner.config.choices import conf_folder, description

HEAD = "# Reference\n\nEvery key, as the schema has it. Generated: `python -m runner.config.reference > REFERENCE.md`.\n\n"
WORDS = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "`true` or `false`",
    Any: "anything",
}
WORDS |= {type(None): "`null`", settings.Target: "`_target_` with its arguments"}


def reference() -> str:
    """The text of REFERENCE.md."""
    sections, said = typing.get_type_hints(settings.Pipeline), meanings(settings.Pipeline)
    parts = [HEAD, "## Root keys\n\n", *_table(settings.Run)]
    for name, annotation in typing.get_type_hints(settings.Run).items():
        parts += [f"### {name}\n\n", *_table(annotation)] if is_schema(annotation) else []
    parts.append(
        "The sections that follow stand at the root, for every pipeline, or in `pipelines.NAME`.\n\n"
    )
    for name, annotation in sections.items():
        parts.append(f"## {name}\n\n{said[name][0].upper()}{said[name][1:]}.\n\n")
        schemas = [
            member for member in typing.get_args(annotation) or (annotation,) if is_schema(member)
        ]
        parts += _members(schemas) if len(schemas) > 1 else _table(schemas[0]) if schemas else []
        parts += ["### split\n\n", *_table(settings.Split)] if name == "data" else []
    parts.append(
        "## Hyperparameters\n\nA mapping with the key `hp`, in place of an argument of `model` or `fit`.\n\n"
    )
    parts += [
        *_members(typing.get_args(settings.Hyperparameter)),
        "## Shipped models\n\n",
        *_models(),
    ]
    parts.append("## Groups\n\n| group | choice | |\n|---|---|---|\n")
    for path in sorted(conf_folder().glob("*/*.yaml")):
        parts.append(f"| `{path.parent.name}` | `{path.stem}` | {description(path)} |\n")
    return "".join(parts)


def meanings(schema: type) -> dict[str, str]:
    """What each field of a dataclass means; empty where no comment says it."""
    found: dict[str, str] = {}
    for base in reversed(schema.__mro__):
        found |= _comments().get(base.__name__, {})
    return {field.name: found[field.name] for field in dataclasses.fields(schema)}


@functools.cache
def _comments() -> dict[str, dict[str, str]]:
    source = Path(settings.__file__).read_text(encoding="utf-8")
    lines = source.splitlines()
    found: dict[str, dict[str, str]] = {}
    for owner in (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)):
        found[owner.name] = {}
        for node in owner.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                above, beside = (
                    lines[node.lineno - 2].strip(),
                    lines[node.lineno - 1].partition("  # ")[2],
                )
                found[owner.name][node.target.id] = beside or (
                    above[2:] if above.startswith("# ") else ""
                )
    return found


def _members(schemas: Iterable[type]) -> Iterator[str]:
    """The dataclasses of a union, each under its tag."""
    for schema in schemas:
        yield f"### `{': '.join(tag_of(schema) or ['_target_'])}`\n\n"
        if not str(schema.__doc__).startswith(
            f"{schema.__name__}("
        ):  # what dataclass writes where there is none
            yield f"{' '.join(str(schema.__doc__).split())}\n\n"
        yield from _table(schema)


def _table(schema: type) -> Iterator[str]:
    """A row for each key: its tag, its own, what it has in common with others, the rest."""
    yield "| key | takes | default | meaning |\n|---|---|---|---|\n"
    hints, said, tag = typing.get_type_hints(schema), meanings(schema), (tag_of(schema) or ("",))[0]
    owners = reversed([*enumerate(schema.__mro__)])
    depth = {
        name: distance for distance, owner in owners for name in inspect.get_annotations(owner)
    }
    order = sorted(
        dataclasses.fields(schema), key=lambda f: (REST in f.metadata, f.name != tag, depth[f.name])
    )
    for field in order:
        key, takes, default = f"`{config_key(field)}`", _takes(hints[field.name]), _default(field)
        if REST in field.metadata:
            key, takes, default = "any other", "anything", ""
        elif field.name == tag:  # it is what tells the members of a union apart
            default = ""
        yield f"| {key} | {takes} | {default} | {said[field.name]} |\n"
    yield "\n"


def _takes(annotation: Any) -> str:
    if annotation in WORDS:
        return WORDS[annotation]
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in members)
    if origin in (list, dict):
        return f"{'list' if origin is list else 'mapping'} of {_takes(members[-1]).replace(', ', ' or ')}"
    if origin in (Union, types.UnionType):
        spaces = typing.get_args(settings.Hyperparameter)
        return ", ".join(
            dict.fromkeys("hyperparameter" if m in spaces else _takes(m) for m in members)
        )
    return "mapping, see there"


def _default(field: "dataclasses.Field[Any]") -> str:
    made = field.default_factory
    value = field.default if made is dataclasses.MISSING else made()
    return (
        "required"
        if value is dataclasses.MISSING
        else ""
        if is_schema(type(value))
        else f"`{_yaml(plain_config(value))}`"
    )


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) and value.isidentifier() else json.dumps(value)


def _models() -> Iterator[str]:
    """The shipped models, from their signatures and docstrings."""
    for name, model in inspect.getmembers(models, inspect.isfunction):
        signature, text = inspect.signature(model), inspect.getdoc(model) or ""
        if name.startswith("_") or signature.return_annotation != "keras.Model":
            continue
        said: dict[str, str] = {}
        for names, meaning in re.findall(
            r"^ {4}([a-z_0-9, ]+): (.+(?:\n {8}.+)*)", text, re.MULTILINE
        ):
            said |= dict.fromkeys(
                names.split(", "), " ".join(meaning.split()).rstrip(".").replace("None", "null")
            )
        yield f"### `runner.models.{name}`\n\n{text.splitlines()[0]}\n\n"
        yield "| argument | default | meaning |\n|---|---|---|\n"
        for argument in (given for given in signature.parameters.values() if given.name != "facts"):
            default = (
                "required" if argument.default is argument.empty else f"`{_yaml(argument.default)}`"
            )
            yield f"| `{argument.name}` | {default} | {said.get(argument.name, '')} |\n"
        yield "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
