"""The sections of an entry's document as typed records.

history.schema checks the shape of a document once, where it is read. A section or a value that an
entry lacks reads as the default here. Keys without an attribute stay in the document, which is
what is stored and printed.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from foundation.files import Json, JsonObject

Direction = Literal["min", "max"]


@dataclass(frozen=True)
class Record:
    """A section of a document."""

    @classmethod
    def read(cls, section: Json) -> Self:
        """Return the section as a record; a missing or null value is the default."""
        attributes = cls.__dataclass_fields__
        values: dict[str, Any] = {}
        for name, value in (section or {}).items():
            if value is not None and name in attributes:
                default = attributes[name].default
                values[name] = default.read(value) if isinstance(default, Record) else value
        return cls(**values)


@dataclass(frozen=True)
class Artefact(Record):
    """A file of an entry, its `path` relative to the root of the history."""

    path: str = ""
    bytes: int = -1
    sha256: str = ""


@dataclass(frozen=True)
class Origin(Record):
    """Where an entry came from: `kind` is "run" for one that was run here."""

    kind: str = "run"


@dataclass(frozen=True)
class Data(Record):
    """The rows that were read: the `source` and the `split` as configured, the shape of each part,
    and the names of the classes, if it has any.
    """

    source: JsonObject = field(default_factory=dict)
    split: JsonObject = field(default_factory=dict)
    shapes: dict[str, list[int]] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Objective(Record):
    """What a search made as small or as large as it could."""

    name: str = ""
    direction: Direction = "min"


@dataclass(frozen=True)
class TrialCounts(Record):
    """How many trials a search had; `total` is None where that is not known."""

    total: int | None = None
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Search(Record):
    """How the hyperparameters were searched.

    `ended` says why it ended before its budget was used, if it did. `seconds` and `max_seconds` are
    None where they are not known or not limited.
    """

    tuner: str = ""
    objective: Objective = Objective()
    space: list[JsonObject] = field(default_factory=list)
    trials: TrialCounts = TrialCounts()
    seconds: float | None = None
    max_seconds: float | None = None
    ended: str | None = None


@dataclass(frozen=True)
class Best(Record):
    """The best trial of a search, and its hyperparameter values."""

    trial_id: str = ""
    score: float | None = None
    values: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trial(Record):
    """One trial of a search: a row of trials.json, whose keys are in this order.

    `status` is Keras Tuner's word. `score` is None unless it is finite. `best_epoch` counts from 0;
    with Hyperband, from `tuner/initial_epoch`. `started` is ISO 8601, `history` maps each metric to
    its value per epoch, for each execution, and `message` says why the trial failed. `folds` holds
    the metrics of the best epoch of each fold; None where the trial was not trained on folds.
    """

    trial_id: str
    status: str
    score: float | None = None
    values: JsonObject
    best_epoch: int | None = None
    started: str | None = None
    seconds: float | None = None
    history: list[dict[str, list[float | None]]] = field(default_factory=list)
    message: str | None = None
    folds: list[JsonObject] | None = None

    @property
    def final_score(self) -> float | None:
        """The score of a trial that completed with a finite one; None for all others."""
        if self.status != "COMPLETED" or self.score is None or not math.isfinite(self.score):
            return None
        return self.score

    def row(self) -> JsonObject:
        """Return the trial as trials.json has it."""
        row = dict(vars(self))
        if self.folds is None:
            del row["folds"]
        return row


@dataclass(frozen=True)
class Evaluation(Record):
    """What the refits came to over the validation or the test rows.

    `metrics` and `deviation` hold the mean and the standard deviation of each metric over the
    `repeats`, which are None where their number is not known.
    """

    metrics: JsonObject = field(default_factory=dict)
    deviation: JsonObject = field(default_factory=dict)
    repeats: int | None = None


@dataclass(frozen=True)
class Validation(Evaluation):
    """The validation rows, by which refits are chosen.

    `kept` is the position of the refit whose model is stored; `own_metrics` maps the model's own
    metrics to the direction in which they are better, if that is known; `warning` is a doubt about
    the refits.
    """

    kept: int = 0
    folds: int | None = None
    own_metrics: dict[str, Direction | None] = field(default_factory=dict)
    warning: str | None = None


@dataclass(frozen=True)
class Score:
    """A metric's mean and deviation over the repeats, in the metric's own unit; None for what is
    not known.
    """

    mean: float | None
    deviation: float | None
    repeats: int
