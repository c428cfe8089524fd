"""What the history keeps of one pipeline of one run: a document and a folder of artefacts."""

import hashlib
import logging
import re
import secrets
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from foundation import errors, escape, files, trees
from foundation.files import Json, JsonObject
from history import schema
from history.records import Artefact, Best, Data, Evaluation, Origin, Search, Trial, Validation

if TYPE_CHECKING:
    import pandas

Value = TypeVar("Value")

_warn_once = cache(logging.getLogger(__name__).warning)

# Of each byte; neither vowels, so that no words appear, nor what is taken for one another.
_LETTERS = (b"bcdfghjkmnpqrstvwxz23456789" * 10)[:256]


def new_id(pipeline: str, of: str = "") -> str:
    """Return `<pipeline>-<8 characters>`, safe as a folder name and as a Hydra override.

    Ids match `[a-z][a-z0-9-]*`: other characters of the name become dashes, capitals small letters.
    Arguments: `of`, what the characters are a function of; random without.
    """
    stem = re.sub("[^a-z0-9]+", "-", pipeline.lower()).strip("-")[:64]
    if not stem[:1].isalpha():
        stem = f"p-{stem}"
    digest = hashlib.sha256(of.encode()).digest() if of else secrets.token_bytes(8)
    characters = digest[:8].translate(_LETTERS).decode()
    return f"{stem}-{characters}"


class _Section(Generic[Value]):
    """What an entry's document has under the attribute's name, read when it is first asked for."""

    def __init__(self, read: Callable[[Json], Value]) -> None:
        self.read = read

    def __set_name__(self, _: type, name: str) -> None:
        self.name = name

    def __get__(self, entry: "Entry", _: type) -> Value:
        value = self.read(entry.document.get(self.name))
        vars(entry)[self.name] = value  # which is found before this is asked again
        return value


def _text(value: Json) -> str:
    return value or ""


def _texts(value: Json) -> list[str]:
    return list(map(str, value or []))


def _mapping(value: Json) -> JsonObject:
    return value or {}


def _artefacts(value: Json) -> dict[str, Artefact]:
    return {name: Artefact.read(facts) for name, facts in _mapping(value).items()}


@dataclass(frozen=True)
class Entry:
    """One entry: its document, and the root that its artefacts' paths are relative to.

    A failed entry may lack whole sections of the document; every reader here copes with that.
    Attributes: `id`; `created`, ISO 8601 in UTC with seconds; the `run_id`, `sweep`, `experiment`,
    `pipeline` and `task` it is of; `status`, one of history.schema.STATUSES; a user's `tags`; the
    `notes` that a reader must know. Its sections: `origin`, `data`, `search`, `best`, `validation`,
    `test` and `artefacts`, by name, as history.records has them; as they are in the document,
    `baselines` and `ensemble`, metrics by part, `timings`, seconds by stage, `environment`, and the
    `error` of a failed one.
    """

    document: JsonObject
    root: Path
    _repr_html_: ClassVar[Callable[..., str]]  # for notebooks; the package sets it

    id = _Section(_text)
    created = _Section(_text)
    run_id = _Section(_text)
    sweep = _Section(_text)
    experiment = _Section(_text)
    pipeline = _Section(_text)
    task = _Section(_text)
    status = _Section(_text)
    tags = _Section(_texts)
    notes = _Section(_texts)

    origin = _Section(Origin.read)
    data = _Section(Data.read)
    search = _Section(Search.read)
    best = _Section(Best.read)
    validation = _Section(Validation.read)
    test = _Section(Evaluation.read)
    artefacts = _Section(_artefacts)
    baselines = _Section(_mapping)
    ensemble = _Section(_mapping)
    timings = _Section(_mapping)
    environment = _Section(_mapping)
    error = _Section(_mapping)

    def __repr__(self) -> str:
        return f"<Entry {self.id}: {self.status}>"

    @property
    def manager(self) -> str:
        """The registered name of the history manager that stored it: by default, the task's."""
        return self.document.get("manager") or self.task

    @property
    def imported(self) -> bool:
        """Whether it came from elsewhere, so that it may lack what every entry of a run here
        has.
        """
        return self.origin.kind != "run"

    @property
    def repeats(self) -> int:
        """How many times the best hyperparameters were refitted and evaluated; 0 if never."""
        return self.validation.repeats or 0

    def part(self, part: str) -> Evaluation:
        """Return what the refits came to over the rows of a part: validation or test."""
        return self.test if part == "test" else self.validation

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
        value = self.value(f"{part}.{of}.{name}")
        largest = sys.float_info.max  # some integers are too large for a float
        is_finite = isinstance(value, int | float) and -largest <= value <= largest
        return float(value) if is_finite else None

    def value(self, dotted: str, default: Json = None) -> Json:
        """Return what the document has under a dotted key, or `default` where it has nothing or
        null.

        Keys that themselves hold dots are found too: `best.values.model.dropout`.
        """
        value = trees.lookup(self.document, dotted)
        return default if value is None else value

    def artefact(self, name: str) -> Path:
        """Return the absolute path of an artefact.

        Raises InputError, naming the artefacts that there are, for an unknown name, and
        IntegrityError for a path that leads out of the root.
        """
        if name not in self.artefacts:
            raise errors.InputError(
                f"entry {self.id}: {errors.unknown('artefact', name, self.artefacts)}"
            )
        root = self.root.resolve()
        path = (root / self.artefacts[name].path).resolve()
        if not path.is_relative_to(root):
            raise errors.IntegrityError(
                f"artefact {name!r} of entry {self.id} points outside {root}, to {path}; refused"
            )
        return path

    def verified(self, name: str) -> Path:
        """Return the path of an artefact that is what was stored; raises as `artefact` does, or
        IntegrityError.
        """
        path = self.artefact(name)
        stored = self.artefacts[name]
        what = f"artefact {name!r} of entry {self.id}"
        if not path.is_file():
            raise errors.IntegrityError(f"{what} is missing: {path}")
        if path.stat().st_size != stored.bytes or files.sha256(path) != stored.sha256:
            raise errors.IntegrityError(f"{what} has changed since it was stored: {path}")
        return path

    def verify(self) -> None:
        """Compare every artefact on disk with what was stored.

        Raises IntegrityError naming the first that is missing or differs in size or hash.
        """
        for name in self.artefacts:
            self.verified(name)

    def identity(self) -> JsonObject:
        """Return all that the pipeline's fingerprint is made of, as far as it was kept.

        It is an artefact, as documents are to stay small; older entries have it in their document.
        Raises IntegrityError when it is not what was stored.
        """
        identity = self.document.get("identity")
        if "identity" in self.artefacts:
            identity = files.read_json(self.verified("identity"))
        return identity if isinstance(identity, dict) else {}

    def refits(self) -> list[JsonObject]:
        """Return a row for each refit: its seed, its metrics over the validation and test rows, and
        their `history`.

        `history` maps each metric to its value per epoch. Raises IntegrityError when it is not what
        was stored.
        """
        path = self.verified("history")
        try:
            rows = list(files.read_json(path))
            # Older entries have all but `history` in their document.
            older = self.value("validation.runs", [{}] * len(rows))
            return [old | row for old, row in zip(older, rows, strict=True)]
        except (TypeError, ValueError) as error:
            raise errors.IntegrityError(f"{path} is not a list of refits: {error}") from error

    def trial_records(self) -> list[Trial]:
        """Return the trials of its search, in the order they were started; none of an entry that
        has none stored. Raises IntegrityError when they are not what was stored.
        """
        if "trials" not in self.artefacts:
            return []
        path = self.verified("trials")
        try:
            return [Trial.read(row) for row in files.read_json(path)]
        except (AttributeError, TypeError) as error:
            raise errors.IntegrityError(
                f"{path} does not contain the trials of a search: {error}"
            ) from error

    def trials(self) -> "pandas.DataFrame":
        """Return the trials of its search as a table, a row each: what trials.json says of it but
        its history, a column `values.NAME` for each hyperparameter, `started` as a time in UTC.

        Raises IntegrityError when they are not what was stored.
        """
        # `flat` leaves the histories out
        rows = [trees.flat(trial.row()) for trial in self.trial_records()]
        return frame(rows, "started")

    def load_model(self, trust: bool = False) -> Any:
        """Return the stored keras.Model; the one place of this package that imports keras.

        Arguments: `trust`, load it also when it names code outside Keras, such as a layer of one's
        own. Raises InputError without a model or trust, IntegrityError when it is not what was
        stored.
        """
        from history.model_file import load_model

        return load_model(self.verified("model"), trust=trust)


def frame(
    rows: list[JsonObject], time: str, columns: list[str] | None = None
) -> "pandas.DataFrame":
    """Return rows as a table, in which the column `time` holds times in UTC."""
    import pandas

    table = pandas.DataFrame(rows, columns=columns)
    times = pandas.to_datetime(table.get(time, []), format="ISO8601", utc=True, errors="coerce")
    return table.assign(**{time: times})


def select(rows: Iterable[JsonObject], root: Path, **wanted: str | None) -> list[Entry]:
    """Return the entries that have every value asked for (None: any), oldest first.

    Arguments: `rows`, of the database; those that cannot be read, of a newer schema perhaps, are
    named in the log, once, and left out, so that the others can be. `wanted`, by keys of documents,
    such as experiment, pipeline, task, status. Entries of the same second stay in the order given.
    """
    filters = {key: value for key, value in wanted.items() if value is not None}
    entries: list[Entry] = []
    left_out: dict[str, errors.IntegrityError] = {}
    for row in rows:
        try:
            document = schema.read_document(row, f"entry {row['id']!r}")
        except errors.IntegrityError as error:
            left_out[repr(row["id"])] = error
            continue
        if filters.items() <= document.items():
            entries.append(Entry(document, root))
    if left_out:
        first = next(iter(left_out.values()))
        message = f"{first}; left out of the history in {root}: {', '.join(left_out)}"
        _warn_once(escape.printable(message))
    entries.sort(key=lambda entry: entry.created)
    return entries
