"""What is made of the schema: REFERENCE.md, and the JSON Schema with which editors complete and
mark keys. `python -m docs.reference` writes both.
"""

import inspect
import json
import re
from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from runner import models
from runner.config import choices, schema

Json = dict[str, Any]
CLASS = re.compile(r"^class (\w+)(.*?)(?=^\S)", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r'^    (\w+): .*?^    """(.*?)"""', re.MULTILINE | re.DOTALL)
HEAD = """\
# Reference

Every key, as the schema has it. Written by `python -m docs.reference`.
"""
TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "`null`",
    "object": "mapping",
}


def definitions() -> dict[str, Json]:
    """Return the JSON Schema of each section, by the name of its class.

    Each key has its meaning as `description`; a section's own keys come before those that it has in
    common with others.
    """
    members = get_args(schema.SOURCES | schema.TUNERS | schema.HYPERPARAMETERS | schema.EXECUTORS)
    found: dict[str, Json] = models_json_schema(
        [(section, "validation") for section in (schema.File, *members)]
    )[1]["$defs"]
    # What the docstring below each key says, by class. Pydantic can read them too
    # (`use_attribute_docstrings`), but does so at every start, which takes 20 ms.
    said = {
        name: {field: " ".join(text.split()) for field, text in FIELD.findall(body)}
        for name, body in CLASS.findall(inspect.getsource(schema))
    }
    for name, definition in found.items():
        section, properties = getattr(schema, name), dict[str, Json]()
        for owner in section.__mro__:
            for field, text in said.get(owner.__name__.partition("[")[0], {}).items():
                key = section.model_fields[field].alias or field
                properties.setdefault(key, definition["properties"][key] | {"description": text})
        definition["properties"] = properties
    return found


def reference() -> str:
    """Return the text of REFERENCE.md."""
    found, parts = definitions(), [HEAD]
    for name in dict.fromkeys(["File", *vars(schema)]):
        if section := found.get(name):
            parts += [
                f"\n## {name}\n\n{' '.join(section.get('description', '').split())}\n",
                "| key | takes | default | meaning |\n|---|---|---|---|",
                *(
                    f"| `{key}` | {_takes(value)} | {_default(value)} | {value['description']} |"
                    for key, value in section["properties"].items()
                ),
                *["| any other | anything |  | An argument. |"] * section["additionalProperties"],
            ]
    parts += [
        f"\n## {name}\n\n```text\n{name}{inspect.signature(model)}\n\n{inspect.getdoc(model)}\n```"
        for model in (
            models.tabular,
            models.series,
            models.linear,
            models.mlp,
            models.cnn,
            models.lstm,
        )
        for name in [f"runner.models.{model.__name__}"]
    ]
    return "\n".join(parts) + "\n"


def _default(value: Json) -> str:
    """Return what a key defaults to; nothing where that is seen in what it takes."""
    return (
        ""
        if "const" in value or {"$ref", "default"} <= value.keys()
        else f"`{json.dumps(value['default']) if 'default' in value else 'required'}`"
    )


def _takes(value: Json) -> str:
    """Return what a value may be, in words; a section by a link to it."""
    match value:
        case {"anyOf": members} | {"oneOf": members}:
            return ", ".join(dict.fromkeys(map(_takes, members)))
        case {"$ref": path}:
            name = path.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"enum": words}:
            return ", ".join(f"`{word}`" for word in words)
        case {"const": word}:
            return f"`{word}`"
        case {"items": inner}:
            return f"list of ({_takes(inner)})"
        case {"additionalProperties": dict(inner)}:
            return f"mapping of ({_takes(inner)})"
    return TYPES[value["type"]]


def experiment_schema() -> Json:
    """Return the JSON Schema of an experiment file; `$defs` has one for the files of each group.

    A file may be a part of what is composed, so almost nothing is required in it.
    """
    found = definitions()
    keys = found["File"]["properties"]
    found["File"]["properties"] = {key: _ref(key) for key in keys}
    found["Model"]["additionalProperties"] = _ref("argument")
    made = {name: _loosened(node) for name, node in (found | keys).items()} | {
        # Text that stands for a value: it is looked up when the config is composed, or missing.
        "standin": {"type": "string", "pattern": r"^\?\?\?$|\$\{"},
        "argument": {
            "anyOf": [
                *(_ref(member.__name__) for member in get_args(schema.HYPERPARAMETERS)),
                {"type": ["string", "number", "boolean", "null"]},
                {"type": "array", "items": _ref("argument")},
                {
                    "type": "object",
                    "not": {"required": ["hp"]},
                    "additionalProperties": _ref("argument"),
                },
            ]
        },
    }
    # It takes any key, so that without this no key of another kind of data would ever be wrong.
    made["FunctionData"]["anyOf"][0]["required"] = ["_target_"]
    # Editors lay what stands here under the definition that a fragment names; `$ref` does no harm.
    return {"$schema": "http://json-schema.org/draft-07/schema#", **_ref("File"), "$defs": made}


def _ref(name: str) -> Json:
    return {"$ref": f"#/$defs/{name}"}


def _loosened(node: Any) -> Any:
    """Return a schema in which nothing is required, and every value may be a stand-in."""
    if isinstance(node, list):
        return [_loosened(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {
        "anyOf" if key == "oneOf" else key: _loosened(node[key])  # a stand-in fits several
        for key in node
        if key not in ("required", "title")
    }
    return {"anyOf": [made, _ref("standin")]} if "type" in node else made


if __name__ == "__main__":
    shipped, text = choices.conf_folder(), json.dumps(experiment_schema(), indent=1)
    (shipped / "schema.json").write_text(f"{text}\n", encoding="utf-8")
    (shipped.parent / "REFERENCE.md").write_text(reference(), encoding="utf-8")
