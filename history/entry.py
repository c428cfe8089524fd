"""What the history keeps of one pipeline of one run: a document and a folder of artefacts."""

import logging
import math
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from history.errors import InputError, IntegrityError, unknown
from history.files import Json, JsonObject, read_json, sha256
from history.schema import read_document
from history.trees import lookup

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

# Neither vowels, so that no words appear, nor characters that are taken for one another.
_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"


def new_id(pipeline: str) -> str:
    """Return `<pipeline>-<8 random characters>`, safe as a folder name and as a Hydra override.

    Ids match `[a-z][a-z0-9-]*`: other characters of the name become dashes, capitals small letters.
    """
    stem = re.sub(r"[^a-z0-9]+", "-", pipeline.lower()).strip("-")[:64]
    stem = re.sub(r"^(?![a-z])", "p-", stem)
    return f"{stem}-{''.join(secrets.choice(_ALPHABET) for _ in range(8))}"


class _Text:
    """A text of an entry's document, under the attribute's name; empty where it has none."""

    def __set_name__(self, _: type, name: str) -> None:
        self.name = name

    def __get__(self, entry: "Entry", _: type) -> str:
        return str(entry.value(self.name, ""))


@dataclass(frozen=True)
class Entry:
    """One entry: its document, and the root that its artefacts' paths are relative to.

    A failed entry may lack whole sections of the document; every reader here copes with that.
    Attributes: `id`; `created`, ISO 8601 in UTC with seconds; the `run_id`, `experiment`,
    `pipeline` and `task` it is of; `manager`, the registered name of the history manager that
    stored it; `status`, one of history.schema.STATUSES.
    """

    document: JsonObject
    root: Path

    id = _Text()
    created = _Text()
    run_id = _Text()
    experiment = _Text()
    pipeline = _Text()
    task = _Text()
    manager = _Text()
    status = _Text()

    @property
    def imported(self) -> bool:
        """Whether it came from elsewhere, so that it may lack what every entry of a run here
        has.
        """
        return bool(self.value("origin.kind", "run") != "run")

    @property
    def repeats(self) -> int:
        """How many times the best hyperparameters were refitted and evaluated; 0 if never."""
        number = self.value("validation.repeats")
        return number if isinstance(number, int) else 0

    def metric(
        self,
        name: str,
        part: str = "validation",
        of: str = "metrics",
    ) -> float | None:
        """Return the metric's mean over the repeats, or None if it is missing or not finite.

        Arguments: `part`, whose rows: validation or test; `of`, "deviation" for the standard
        deviation instead.
        """
        found = self.value(f"{part}.{of}.{name}")
        return float(found) if isinstance(found, int | float) and math.isfinite(found) else None

    def value(self, dotted: str, default: Json = None) -> Json:
        """Return what the document has under a dotted key, or `default` where it has nothing or
        null.

        Keys that themselves hold dots are found too: `best.values.model.dropout`.
        """
        found: Json = lookup(self.document, dotted)
        return default if found is None else found

    def artefact(self, name: str) -> Path:
        """Return the absolute path of an artefact.

        Raises InputError, naming the artefacts that there are, for an unknown name, and
        IntegrityError for a path that leads out of the root.
        """
        artefacts = self.value("artefacts", {})
        if name not in artefacts:
            raise InputError(f"entry {self.id}: {unknown('artefact', name, artefacts)}")
        root = self.root.resolve()
        path = (root / str(artefacts[name]["path"])).resolve()
        if not path.is_relative_to(root):
            raise IntegrityError(
                f"artefact {name!r} of entry {self.id} leads out of {root}, to {path}; refused"
            )
        return path

    def verified(self, name: str) -> Path:
        """Return the path of an artefact that is what was stored; raises as `artefact` does, or
        IntegrityError.
        """
        path = self.artefact(name)
        stored = self.document["artefacts"][name]
        what = f"artefact {name!r} of entry {self.id}"
        if not path.is_file():
            raise IntegrityError(f"{what} is missing: {path}")
        if path.stat().st_size != stored["bytes"] or sha256(path) != stored["sha256"]:
            raise IntegrityError(f"{what} is not what was stored: {path}")
        return path

    def verify(self) -> None:
        """Compare every artefact on disk with what was stored.

        Raises IntegrityError naming the first that is missing or differs in size or hash.
        """
        for name in self.value("artefacts", {}):
            self.verified(name)

    def identity(self) -> JsonObject:
        """Return all that the pipeline's fingerprint is made of, as far as it was kept.

        It is an artefact, as documents are to stay small; older entries have it in their document.
        Raises IntegrityError when it is not what was stored.
        """
        if "identity" not in self.value("artefacts", {}):
            return dict(self.value("identity", {}))
        found = read_json(self.verified("identity"))
        return found if isinstance(found, dict) else {}

    def refits(self) -> list[JsonObject]:
        """Return a row for each refit: its seed, its metrics over the validation and test rows, and
        their `history`.

        `history` maps each metric to its value per epoch. Raises IntegrityError when it is not what
        was stored.
        """
        rows = read_json(self.verified("history"))
        # Older entries have all but `history` in their document.
        inside = self.value("validation.runs", [{}] * len(rows))
        return [{**old, **row} for old, row in zip(inside, rows, strict=True)]

    def load_model(self, trust: bool = False) -> "keras.Model":
        """Return the stored model; the one place of this package that imports keras.

        Arguments: `trust`, load it also when it names code outside Keras, such as a layer of one's
        own. Raises InputError without a model or trust, IntegrityError when it is not what was
        stored.
        """
        from history.model_file import load_model

        return load_model(self.verified("model"), trust=trust)


def select(rows: Iterable[JsonObject], root: Path, **wanted: str | None) -> list[Entry]:
    """Return the entries that have every value asked for (None: any), oldest first.

    Arguments: `rows`, of the database; a row that cannot be read, of a newer schema perhaps, is
    named in the log and left out, so that the others can be. `wanted`, by keys of documents, such
    as experiment, pipeline, task, status. Entries of the same second stay in the order given.
    """
    asked = {key: value for key, value in wanted.items() if value is not None}
    chosen = []
    for row in rows:
        try:
            document = read_document(row, f"entry {row['id']!r}")
        except IntegrityError as error:
            log.warning("%s; it is left out", error)
            continue
        if asked.items() <= document.items():
            chosen.append(Entry(document, root))
    return sorted(chosen, key=lambda entry: entry.created)
