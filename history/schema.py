"""The schema of an entry's document, and how documents of older schemas are read.

    2  `origin` says where an entry came from; `identity`, all that a pipeline's fingerprint is made
    of, is an artefact;
       `validation.runs` has gone to the artefact `history`, whose rows are whole refits;
       `data.columns` maps a table's columns to number or category, where 1 lists those of numbers
    1  the first

A document is brought up to date whenever it is read; what is on disk stays as it was written.
"""

from collections.abc import Callable, Mapping
from typing import Any

from history.errors import HistoryError

SCHEMA_VERSION = 2


def upgrade(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document in the schema of today; raises HistoryError for one that is newer, or has
    no version.
    """
    version = document.get("schema_version", 1)
    if version == SCHEMA_VERSION:
        return document
    if not isinstance(version, int) or not 1 <= version < SCHEMA_VERSION:
        raise HistoryError(
            f"entry {document.get('id')!r} has the schema version {version!r}; this release reads 1 to "
            f"{SCHEMA_VERSION}: install the release that wrote it, or a later one"
        )
    while version < SCHEMA_VERSION:
        document = _STEPS[version](document)
        version += 1
    return {**document, "schema_version": version}


def _to_2(document: Mapping[str, Any]) -> Mapping[str, Any]:
    data = document.get("data")
    if isinstance(data, Mapping) and isinstance(data.get("columns"), list):
        data = {**data, "columns": dict.fromkeys(data["columns"], "number")}
    return {**document, **({} if data is None else {"data": data}), "origin": {"kind": "run"}}


_STEPS: dict[int, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {1: _to_2}
