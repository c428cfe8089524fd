"""The schema of an entry's document: its shape, and how what was written in older schemas is read.

    2  `origin` says where an entry came from; `identity`, all that a pipeline's fingerprint is made
       of, is an artefact; `validation.runs` has gone to the artefact `history`, whose rows are
       whole refits; `data.columns` maps a table's columns to number or category, where 1 lists
       those of numbers. In configs, `data.split.kind` takes the place of `stratify`
    1  the first

A document is brought up to date whenever it is read; what is on disk stays as it was written.
"""

import re
from datetime import datetime
from types import NoneType

from foundation import errors, escape, trees
from foundation.files import Json, JsonObject

SCHEMA_VERSION = 2
ID = re.compile(r"[a-z][a-z0-9-]{0,99}")  # safe as a folder's name, and as a Hydra override
NAMES = ("run_id", "sweep", "experiment", "pipeline", "task", "manager")
LABELS = ("name", "tags", "note")  # a user's words for an entry, which decide nothing
STATUSES = ("complete", "failed", "budget")

# Tuples, as unions of types take isinstance several times as long.
_TEXT = (str, NoneType)
_MAPPING = (dict, NoneType)

_MAPPINGS = (
    "origin",
    "timings",
    "data",
    "identity",
    "error",
    "baselines",
    "ensemble",
    "search",
    "search.objective",
    "search.trials",
    "best",
    "best.values",
    "validation",
    "validation.metrics",
    "validation.deviation",
    "validation.own_metrics",
    "test",
    "test.metrics",
    "test.deviation",
    "environment",
    "environment.packages",
    "environment.git",
)

# The type of what a document has under a key, where it has it at all.
_SHAPE: dict[str, tuple[type, ...]] = dict.fromkeys(_MAPPINGS, _MAPPING)
_SHAPE |= dict.fromkeys((*NAMES, "name", "note"), _TEXT)
_SHAPE |= dict.fromkeys(("notes", "tags"), (list, NoneType))
_SHAPE |= dict.fromkeys(("search.seconds", "search.max_seconds"), (float, int, NoneType))
_SHAPE["validation.repeats"] = (int, NoneType)
_SHAPE["artefacts"] = (dict, dict)  # always


def read_document(content: object, where: str) -> JsonObject:
    """Return an entry's document in the schema of today, having checked its shape.

    Every document comes in here, from the database, from a folder and from elsewhere; behind it
    nobody checks again. Arguments: `content`, as JSON had it; `where` it comes from, for the
    message. Raises IntegrityError for what is no document, or is one of a newer schema.
    """
    if not isinstance(content, dict) or not ID.fullmatch(str(content.get("id"))):
        raise errors.IntegrityError(f"{where} is not the document of an entry: it has no valid id")
    version = content.get("schema_version", 1)
    is_version = type(version) is int and version > 0  # True is an int too
    if not is_version or version > SCHEMA_VERSION:
        kind = errors.NewerSchema if is_version else errors.IntegrityError
        raise kind(
            f"{where} has the schema version {version!r}; this release reads 1 to "
            f"{SCHEMA_VERSION}: install the release that wrote it, or a later one"
        )
    document: JsonObject = _to_2(content) if version == 1 else content
    problem = _misfit(document)
    if problem:
        raise errors.IntegrityError(f"{where} cannot be read: {problem}")
    return document


def upgrade_config(sections: JsonObject) -> JsonObject:
    """Return the stored sections of a pipeline's config, brought up to date in place."""
    split = (sections.get("data") or {}).get("split") or {}
    if "stratify" in split:
        split["kind"] = {True: "stratified", False: "random"}.get(split.pop("stratify"))
    return sections


def _to_2(document: JsonObject) -> JsonObject:
    data = document.get("data")
    upgraded = document | {"schema_version": 2, "origin": {"kind": "run"}}
    if isinstance(data, dict) and isinstance(data.get("columns"), list):
        columns = {str(name): "number" for name in data["columns"]}
        upgraded["data"] = data | {"columns": columns}
    return upgraded


def _misfit(document: JsonObject) -> str | None:
    """Say what is wrong with the shape of a document, if anything is."""
    if document.get("status") not in STATUSES:
        return f"status is {document.get('status')!r:.60}; it must be one of {', '.join(STATUSES)}"
    try:  # what parts date and time may be any character
        datetime.fromisoformat(escape.printable(document.get("created")))
    except ValueError:
        return f"created is not an ISO 8601 time: {document.get('created')!r:.60}"
    for key, kinds in _SHAPE.items():
        value = trees.lookup(document, key)
        if not isinstance(value, kinds):
            return f"{key} is not a {kinds[0].__name__}: {value!r:.60}"
    for name, facts in document["artefacts"].items():
        if not _is_artefact(facts):
            return f"artefacts.{name} has no path, bytes and sha256"
    return None


def _is_artefact(facts: Json) -> bool:
    # Spelt out, since a long history has many.
    return (
        isinstance(facts, dict)
        and type(facts.get("path")) is str
        and type(facts.get("bytes")) is int
        and type(facts.get("sha256")) is str
    )
