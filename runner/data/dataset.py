"""Data: what a source holds (Rows), checked to be such that a model can be trained on it; and split
into training, validation and test rows (Dataset), with the facts that a model is built from.
"""

import functools
import hashlib
import io
import itertools
import math
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foundation import files
from runner.data import log
from runner.errors import DataError, Faults

Array: TypeAlias = NDArray[Any]
# One array (rows, ...), or the columns of a table that has categories, each (rows,): numbers as
# float32, where NaN is a missing one, and words as text, where "" is a missing one. Or several
# inputs by name, each an array (rows, ...) or words (rows,).
Features: TypeAlias = Array | dict[str, Array]
COPIES = 2  # of rows in memory, while they are split, and again while Keras trains on them
WHOLE = ""  # the name of rows that are to be split
BATCH = 256  # rows predicted at a time, everywhere: results depend on it in the last digit
# Linux's control groups, of both versions: their line in /proc/self/cgroup, and their files of
# limit, use, and the part of that which is given back when it is needed
GROUPS = (
    (r"^0::(.+)$", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        r"^\d+:memory:(.+)$",
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)
# words that a model knows of the texts of a column, and how these are made alike before
VOCABULARY = 1000
STANDARD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase, string.punctuation)
# what a model takes of a date, and pandas' word for it; the last is counted from the first date on
DATE = {"year": "year", "month": "month", "weekday": "day_of_week", "days": ""}
UNNAMED = 'give several inputs by name: {"a": ..., "b": ...}'
CHUNK = 2**22  # values of which mean and variance are taken at a time


def is_text(column: Array) -> bool:
    """Say whether an array is a column of words."""
    return column.dtype.kind == "O"


def plain(array: Array) -> bytes | memoryview:
    """Return the content of an array, for a fingerprint."""
    return "\0".join(array).encode() if is_text(array) else np.ascontiguousarray(array).data


def shapes(x: Features) -> dict[str, tuple[int, ...]]:
    """Return the shapes of rows of columns, or of several inputs, by name; none of one array."""
    return {n: each.shape[1:] or (1,) for n, each in x.items()} if isinstance(x, dict) else {}


@dataclass(frozen=True)
class Part:
    """Rows of one part: the features `x`, and `y` of shape (rows,); classes are numbers from 0."""

    x: Features
    y: Array

    def __len__(self) -> int:
        return len(self.y)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first; those of a table with categories have as many values as it has columns."""
        return len(self), *((len(self.x),) if isinstance(self.x, dict) else self.x.shape[1:])

    @property
    def arrays(self) -> list[tuple[str, Array]]:
        """All arrays with their names: those of the features, and the targets."""
        return [*(self.x if isinstance(self.x, dict) else {"": self.x}).items(), ("", self.y)]

    @property
    def at_hand(self) -> int:
        """The number of rows whose features are here: of a stream, those of the first batch."""
        return len(self.arrays[0][1])

    @property
    def numbers(self) -> Array:
        """The features that are numbers, rows first; none of inputs of several values."""
        if not isinstance(self.x, dict):
            return self.x
        numbers = [column for column in self.x.values() if not is_text(column)]
        return (
            np.stack(numbers, axis=1)
            if numbers and all(column.ndim == 1 for column in numbers)
            else np.empty((self.at_hand, 0))
        )

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and variance over the last axis of the numbers, or of each column, missing ones left
        out.
        """
        x = self.numbers
        step = max(1, CHUNK // max(x[0].size, 1))
        return moments(x[start : start + step] for start in range(0, len(x), step))

    def content(self, name: str) -> Iterator[bytes | memoryview]:
        """Yield what a fingerprint is taken over: the arrays, with their dtypes and shapes."""
        for column, array in self.arrays:
            yield f"{name} {column}{array.dtype} {array.shape} ".encode()
            yield plain(array)

    def take(self, rows: Array | slice) -> "Part":
        """Return some of its rows, given by their numbers or as a slice; of a stream, of the first
        batch.
        """
        x, y = self.x, self.y[: self.at_hand][rows]
        return Part({n: c[rows] for n, c in x.items()} if isinstance(x, dict) else x[rows], y)

    def given(self) -> tuple[object, ...]:
        """Return what Keras' fit takes, by position and as `validation_data`."""
        return self.x, self.y

    def joined(self, other: "Part") -> "Part":
        """Return its rows, and those of another part after them."""
        *x, y = [
            np.concatenate([a, b]) for (_, a), (_, b) in zip(self.arrays, other.arrays, strict=True)
        ]
        return Part(dict(zip(self.x, x, strict=True)) if isinstance(self.x, dict) else x[0], y)


@dataclass(frozen=True)
class Stream(Part):
    """Rows of one part that come in batches and are never collected: `x` holds the first batch
    alone, `y` the targets of all rows. Each training gets new ones, made after its seed was set: a
    shuffle depends on that seed, and not on the passes before it.
    """

    anew: Callable[[], Any]  # calls the user's function again: a tf.data.Dataset or PyDataset
    digest: str
    moments: tuple[list[float], list[float]]

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        return self.moments

    def content(self, name: str) -> Iterator[bytes]:
        yield f"{name} stream {self.digest} ".encode()

    def given(self) -> tuple[object, ...]:
        return (self.anew(),)


@dataclass(frozen=True)
class Rows:
    """What a reader gives: rows as they are in the source.

    `parts` are those that the source gives, or all rows under the name WHOLE. `where` they come
    from, for messages; "": their features were checked. `classes` are names of the classes, where
    the source has them, and `columns` a table's features: number, category or date; `notes` are
    what an entry keeps of how they were read. `rows` are the numbers that rows of a part
    have in the source, from 0, where these are not as they come. `by` is what a split goes by, one
    value a row. `comparable` is false where equal rows of two parts tell nothing, as in a series,
    or where rows are not kept.
    """

    parts: Mapping[str, Part]
    where: str = ""
    classes: tuple[str, ...] | None = None
    columns: Mapping[str, str] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Array] = field(default_factory=dict)
    by: Array | None = None
    comparable: bool = True

    def checked(self, task: str) -> "Rows":
        """Return them such that a model can be trained on them: targets as numbers, from 0 for
        classes, whose names are then known.

        Raises:
            DataError: features are no finite numbers, do not fit the targets, or these do not suit
                the task.
        """
        faults, parts, targets = Faults(), dict(self.parts), list[Array]()
        for name, part in self.parts.items():
            x: Any = part.x
            with faults:
                one = next(iter(x.values()), ()) if isinstance(x, Mapping) else x
                rows = len(np.atleast_1d(one)) if self.where else len(part)
                targets.append(one_each(part.y, rows, self.where))
            with faults:
                parts[name] = replace(part, x=features(x, self.where) if self.where else x)
        with faults:
            if len(targets) == len(parts):
                y, classes = _numbered(np.concatenate(targets), task)
                by = None if self.by is None else one_each(self.by, len(y), "data.split.column")
        faults.tell()
        for name, part in parts.items():
            parts[name], y = replace(part, y=y[: len(part)]), y[len(part) :]
        found = {name: shapes(part.x) or part.shape[1:] for name, part in parts.items()}
        if len({*map(str, found.values())}) > 1:
            raise DataError(f"the parts have rows of different shapes: {found}")
        return replace(self, parts=parts, classes=classes and (self.classes or classes), by=by)

    def say_what_is_alike(self) -> None:
        """Log which classes, and words of a column, only the spaces around them tell apart."""
        words = {"classes": {*(self.classes or ())}}
        for what, column in (
            *(
                (f"words of column {name!r}", column)
                for part in self.parts.values()
                for name, column in part.arrays
                if (self.columns or {}).get(name) != "text"
            ),
            ("words that the split goes by", self.by),
        ):
            if column is not None and column.dtype.kind in "OU":
                words.setdefault(what, set()).update(column)
        for what, given in words.items():
            for _, same in itertools.groupby(
                sorted(given, key=lambda w: (w.strip(), w)), str.strip
            ):
                if len(alike := [*same]) > 1:
                    log.warning(
                        "the %s %s differ only in the spaces around them; they count as "
                        "different values",
                        what,
                        ", ".join(map(repr, alike)),
                    )


def _numbered(y: Array, task: str) -> tuple[Array, tuple[str, ...] | None]:
    """Return targets as numbers, and what stands for each in the source; None for a regression."""
    if task == "regression":
        if y.dtype.kind not in "fiu":
            raise DataError(
                f"regression needs numbers as targets, not {y.dtype}; is this a classification?"
            )
        return numbers(y, "targets"), None
    if y.dtype.kind not in "biufUO":
        raise DataError(f"classes must be whole numbers or text, not {y.dtype}")
    try:
        values, found = np.unique(y, return_inverse=True)
    except TypeError as error:
        raise DataError("the targets have mixed types, or some are None") from error
    if len(values) < 2:
        raise DataError(
            f"classification needs at least two classes; there is only {values.tolist()}"
        )
    if y.dtype.kind == "f":
        numbers(y, "targets")
        if not np.array_equal(values, np.round(values)):
            raise DataError(
                f"the targets are fractions ({values[:3].tolist()} ...); is this a regression?"
            )
        values = values.astype("int64")
    return found, tuple(map(str, values.tolist()))


@dataclass(frozen=True)
class Facts:
    """What the training part tells a model. The statistics are over the last axis of the numbers,
    missing ones left out; `columns` are the names of a table's features, `categories` the words of
    those that hold no numbers, and `texts` the frequent words in those that hold texts. `past` is
    the place among the features of a window of the target, where its own past is one, and it is a
    number.
    """

    input_shape: Any  # of a row: a tuple or, of several inputs, a mapping of such by name
    num_classes: int | None  # None: regression
    feature_mean: list[float]
    feature_variance: list[float]
    target_mean: float = 0.0
    target_deviation: float = 1.0
    columns: tuple[str, ...] | None = None
    categories: Mapping[str, list[str]] = field(default_factory=dict)
    texts: Mapping[str, list[str]] = field(default_factory=dict)
    may_miss: bool = False  # numbers may be missing
    past: int | None = None
    train: Part = field(kw_only=True, repr=False, compare=False)

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self.train)

    @property
    def task(self) -> str:
        """Classification or regression."""
        return "classification" if self.num_classes else "regression"


@dataclass(frozen=True)
class Dataset:
    """One source, split into the parts train, validation and perhaps test, in this order. `classes`
    are the class names in the order of their numbers; None for regression. `columns` maps the names
    of a table's features to number, category or date; None where they have no names. `source` is
    the section `data` that it was read by, `notes` are what an entry keeps of the reading, and
    `rows` are the numbers of each part's rows in the source, from 0, if there is one source; `by`
    is what a split goes by, if it does by anything, of each part's rows.
    """

    parts: Mapping[str, Part]
    classes: tuple[str, ...] | None
    source: Mapping[str, object]
    columns: Mapping[str, str] | None
    notes: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Array] = field(default_factory=dict)
    by: Mapping[str, Array] = field(default_factory=dict)

    @property
    def train(self) -> Part:
        """The rows to train on."""
        return self.parts["train"]

    @property
    def validation(self) -> Part:
        """The rows that trials are scored on."""
        return self.parts["validation"]

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The shapes of several inputs by name; none where the rows are one array, or of a
        table.
        """
        return {} if self.columns else shapes(self.train.x)

    @property
    def bytes(self) -> int:
        """Memory that the arrays take."""
        return sum(a.nbytes for part in self.parts.values() for _, a in part.arrays)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content of every part."""
        result = hashlib.sha256()
        for name, part in self.parts.items():
            for content in part.content(name):
                result.update(content)
        result.update("\0".join(self.classes or ()).encode())
        return result.hexdigest()

    @property
    def naive_error(self) -> float | None:
        """How far the targets of a series are from their last values on average, in the training
        part; from the targets before where windows have none of these. None for other data.
        """
        if self.source.get("kind") != "windows" or self.classes is not None:
            return None
        x, y, past = self.train.numbers, self.train.y, self.facts.past
        off = np.diff(y) if past is None else y - x[:, -1, past]
        return float(np.abs(off).mean()) if len(off) else None

    @functools.cached_property
    def facts(self) -> Facts:
        """What a model is built from, taken from the training part only."""
        y = self.train.y.astype("float64")
        words = {
            name: column
            for name, column in self.train.arrays
            if is_text(column) and not isinstance(self.train, Stream)
        }
        texts = [name for name in words if (self.columns or {}).get(name) == "text"]
        target = self.source.get("target")
        is_series = self.source.get("kind") == "windows" and self.classes is None
        return Facts(
            self.inputs or self.train.shape[1:],
            None if self.classes is None else len(self.classes),
            *self.train.statistics,
            *((0.0, 1.0) if self.classes else (float(y.mean()), float(y.std()) or 1.0)),
            columns=None if self.columns is None else features_of(self.columns),
            categories={n: sorted({*words[n]}) for n in words if n not in texts},
            texts={name: frequent(words[name]) for name in texts},
            may_miss=self.source.get("missing") == "fill",
            past=[*(self.columns or ())].index(target)
            if is_series and target in (self.columns or ())
            else None,
            train=self.train,
        )

    def describe(self, fingerprint: str) -> dict[str, Any]:
        """Return the data as an entry records it, with the fingerprint that was computed before."""
        return {
            "source": self.source,
            "fingerprint": fingerprint,
            "shapes": {name: list(part.shape) for name, part in self.parts.items()},
            **({"classes": list(self.classes)} if self.classes else {}),
            **({"columns": self.columns} if self.columns else {}),
            **({"inputs": {n: [*s] for n, s in self.inputs.items()}} if self.inputs else {}),
            **self.notes,
        }


def features_of(columns: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the features that columns become: of a date there are several."""
    return tuple(
        feature
        for name, kind in columns.items()
        for feature in ([f"{name} {part}" for part in DATE] if kind == "date" else [name])
    )


def split_file(rows: Mapping[str, Array]) -> bytes:
    """Return the numbers of rows as an .npz file, an array for each part; nothing without any."""
    file = io.BytesIO()
    if rows:
        np.savez_compressed(file, **dict[str, Any](rows))
    return file.getvalue()


def frequent(texts: Iterable[str]) -> list[str]:
    """Return the most frequent words of those that stand in several texts, taken apart as Keras'
    TextVectorization does it.
    """
    counts = Counter(word for text in texts for word in {*text.translate(STANDARD).split()})
    return sorted(
        (word for word, count in counts.items() if count > 1),
        key=lambda word: (-counts[word], word),
    )[:VOCABULARY]


def must_fit(size: int, what: str, remedy: str) -> None:
    """Raise DataError where rows of `size` bytes would not fit into the memory that is free."""
    if COPIES * size > (free := available()):
        raise DataError(
            f"{what} take {COPIES * size / 1e9:.1f} GB of memory while they are split and trained "
            f"on, but only {free / 1e9:.1f} GB are free. Use a {remedy}, or a function that "
            "returns tf.data.Dataset objects, which are streamed"
        )


def available() -> float:
    """Return the bytes of memory that are free, for the system and for the control groups that this
    process is in; infinite where nothing says so.
    """
    said = files.found_in(Path("/proc/meminfo"), r"MemAvailable:\s*(\d+) kB")
    free = [int(said) * 1024 if said else math.inf]
    for line, base, limit, used, cache in GROUPS:
        own = Path(base, (files.found_in(Path("/proc/self/cgroup"), line) or "").lstrip("/"))
        for group in (own, *own.parents):
            with suppress(OSError, ValueError):  # no such group, or one without a limit
                free.append(
                    int((group / limit).read_text())
                    - int((group / used).read_text())
                    + int(files.found_in(group / "memory.stat", rf"^{cache} (\d+)") or "")
                )
    return max(0, min(free))


def features(x: object, where: str) -> Features:
    """Return features of shape (rows, ...) as float32, or images as the bytes that they are; or
    several such inputs, by name.

    Raises:
        DataError: they hold anything but finite numbers, or have other shapes.
    """
    if not isinstance(x, Mapping):
        return _one(x, where)
    found = {str(name): _input(x[name], f"{where}[{name!r}]") for name in sorted(x, key=str)}
    if len({*map(len, found.values())}) > 1:
        rows = {name: len(each) for name, each in found.items()}
        raise DataError(f"{where}: the inputs have different numbers of rows: {rows}")
    return found


def _input(x: object, where: str) -> Array:
    """Return one of several inputs: numbers of any shape (rows, ...), or words (rows,)."""
    array = np.asarray(x)
    if array.dtype.kind in "OSU" and array.shape[:1] == (array.size,):
        words = [w.decode(errors="replace") if isinstance(w, bytes) else w for w in array.ravel()]
        if all(isinstance(word, str) for word in words):
            return np.array([*map(str, words)], object)
    return _one(array[:, np.newaxis] if array.ndim == 1 else array, where).reshape(array.shape)


def _one(x: object, where: str) -> Array:
    array = np.asarray(x)
    if array.ndim < 2 or not array.size:
        raise DataError(
            f"{where}: the features have the shape {array.shape}; "
            "they need rows and at least one column"
        )
    # images would be four times the size as float32, which Keras makes of them batch by batch
    return (
        array
        if array.dtype == "uint8" and array.ndim == 4
        else numbers(array, f"features of {where}")
    )


def numbers(array: Array, what: str) -> Array:
    """Return an array as float32.

    Raises:
        DataError: it holds anything but finite numbers of single precision.
    """
    if array.dtype.kind not in "fiub":
        raise DataError(f"the {what} have type {array.dtype}; a model needs numbers")
    with np.errstate(over="ignore"):
        found = array.astype("float32", copy=False)
    wrong = ~np.isfinite(found)
    if wrong.any():
        row, *place = np.argwhere(wrong)[0].tolist()
        raise DataError(
            f"{wrong.sum()} of the {what} are NaN or infinite, the first in row {row + 1}"
            f"{f', place {place}' if place else ''}"
        )
    return found


def one_each(y: object, rows: int, where: str) -> Array:
    """Return targets of shape (rows,)."""
    try:
        array = np.asarray(y)
    except ValueError:  # of several shapes
        array = np.empty(())
    if array.shape == (rows, 1):
        array = array[:, 0]
    if array.shape != (rows,):
        raise DataError(
            f"{where}: {rows} rows of features, but targets of shape {array.shape}; exactly one "
            "target per row is needed, not several and not one-hot rows"
        )
    return array


def moments(chunks: Iterable[Array]) -> tuple[list[float], list[float]]:
    """Return mean and variance over the last axis, missing numbers left out, in one pass over
    chunks of rows; 0 where all are missing.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for chunk in chunks:
        with np.errstate(invalid="ignore"):  # all missing: NaN
            if chunk.size:
                scaler.partial_fit(chunk.reshape(-1, chunk.shape[-1]).astype("float64"))
    mean, variance = (np.nan_to_num(getattr(scaler, name, [])) for name in ("mean_", "var_"))
    return mean.tolist(), variance.tolist()
