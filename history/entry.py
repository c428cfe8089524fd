"""What the history keeps of one pipeline of one run: a document and a folder of artefacts."""

import math
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from history.errors import InputError, IntegrityError, unknown
from history.files import read_json
from history.folders import check
from history.schema import upgrade

STATUSES = ("complete", "failed", "budget")

ID = re.compile(r"[a-z][a-z0-9-]{0,99}")

# Neither vowels, so that no words appear, nor characters that are taken for one another.
_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"


def new_id(pipeline: str) -> str:
    """Return `<pipeline>-<8 random characters>`, safe as a folder name and as a Hydra override.

    Ids match `[a-z][a-z0-9-]*`: other characters of the name become dashes, capitals small letters.
    """
    stem = re.sub(r"[^a-z0-9]+", "-", pipeline.lower()).strip("-")[:64].rstrip("-")
    if not stem[:1].isalpha():
        stem = f"p-{stem}".rstrip("-")
    return f"{stem}-{''.join(secrets.choice(_ALPHABET) for _ in range(8))}"


@dataclass(frozen=True)
class Entry:
    """One entry: its document, and the root that its artefacts' paths are relative to.

    A failed entry may lack whole sections of the document; every reader here copes with that.
    """

    document: Mapping[str, Any]
    root: Path

    @property
    def id(self) -> str:
        """The entry's name in the history."""
        return self._text("id")

    @property
    def created(self) -> str:
        """When it was stored, as ISO 8601 in UTC with seconds."""
        return self._text("created")

    @property
    def run_id(self) -> str:
        """The run that it belongs to."""
        return self._text("run_id")

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return self._text("experiment")

    @property
    def pipeline(self) -> str:
        """The pipeline's name within the experiment."""
        return self._text("pipeline")

    @property
    def task(self) -> str:
        """The pipeline's task, such as classification."""
        return self._text("task")

    @property
    def manager(self) -> str:
        """The registered name of the history manager that stored it."""
        return self._text("manager")

    @property
    def status(self) -> str:
        """One of STATUSES."""
        return self._text("status")

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

    def metric(self, name: str, part: str = "validation") -> float | None:
        """Return the metric's mean over the repeats, or None if it is missing or not finite.

        Arguments: `part`, whose rows: validation or test.
        """
        return _finite(self.value(f"{part}.metrics.{name}"))

    def deviation(self, name: str, part: str = "validation") -> float | None:
        """Return the metric's standard deviation over the repeats, or None as for `metric`."""
        return _finite(self.value(f"{part}.deviation.{name}"))

    def value(self, dotted: str, default: Any = None) -> Any:
        """Return what the document has under a dotted key, or `default` where it has nothing or
        null.

        Keys that themselves hold dots are found too: `best.values.model.dropout`.
        """
        found = _lookup(self.document, dotted)
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
        check(path, self.document["artefacts"][name], f"artefact {name!r} of entry {self.id}")
        return path

    def verify(self) -> None:
        """Compare every artefact on disk with what was stored.

        Raises IntegrityError naming the first that is missing or differs in size or hash.
        """
        for name in self.value("artefacts", {}):
            self.verified(name)

    def identity(self) -> Mapping[str, Any]:
        """Return all that the pipeline's fingerprint is made of, as far as it was kept.

        It is an artefact, as documents are to stay small; older entries have it in their document.
        Raises IntegrityError when it is not what was stored.
        """
        if "identity" in self.value("artefacts", {}):
            found = read_json(self.verified("identity"))
        else:
            found = self.value("identity")
        return found if isinstance(found, Mapping) else {}

    def refits(self) -> list[dict[str, Any]]:
        """Return a row for each refit: its seed, its metrics over the validation and test rows, and
        their `history`.

        `history` maps each metric to its value per epoch. Raises IntegrityError when it is not what
        was stored.
        """
        rows = read_json(self.verified("history"))
        inside = self.value(
            "validation.runs", [{}] * len(rows)
        )  # where older entries have all but `history`
        return [{**old, **row} for old, row in zip(inside, rows, strict=True)]

    def load_model(self, trust: bool = False) -> Any:
        """Return the stored model, a keras.Model; the one place of this package that imports keras.

        Arguments: `trust`, load it also when it names code outside Keras, such as a layer of one's
        own. Raises InputError without a model or trust, IntegrityError when it is not what was
        stored.
        """
        from history.model_file import load_model

        return load_model(self.verified("model"), trust=trust)

    def _text(self, key: str) -> str:
        return str(self.value(key, ""))


def _lookup(node: object, dotted: str) -> Any:
    if not isinstance(node, dict):  # not Mapping, whose check takes ten times as long
        return None
    if dotted in node:
        return node[dotted]
    cut = dotted.find(".")
    while cut >= 0:
        if (
            dotted[:cut] in node
            and (found := _lookup(node[dotted[:cut]], dotted[cut + 1 :])) is not None
        ):
            return found
        cut = dotted.find(".", cut + 1)
    return None


def _finite(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def select(documents: Iterable[Mapping[str, Any]], root: Path, **wanted: str | None) -> list[Entry]:
    """Return the entries whose documents have every value asked for (None: any), oldest first.

    The keys are those of documents, such as experiment, pipeline, task, status. Entries of the same
    second stay in the order given.
    """
    asked = {key: value for key, value in wanted.items() if value is not None}
    current = map(upgrade, documents)
    chosen = [
        Entry(d, root) for d in current if all(d.get(key) == value for key, value in asked.items())
    ]
    return sorted(chosen, key=lambda entry: entry.created)
