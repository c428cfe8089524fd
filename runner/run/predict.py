"""Applies an entry's stored model to new rows.

`plan` checks all that can be checked without TensorFlow, the rows included; `predict` does it. In
between, the caller sets up the process (environment.prepare).
"""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from history.catalogue import History
from history.entry import Entry
from history.errors import UntrustedCode
from history.model_file import foreign_code, load_model
from runner.config.targets import locate
from runner.data import files, inputs
from runner.data.dataset import Array, Features
from runner.errors import ExperimentError, InputError, ModelError

log = logging.getLogger("runner")

BATCH = 256  # rows predicted at a time, as in a validation: results depend on it in the last digit


@dataclass(frozen=True)
class Prediction:
    """What is to be done: all of it was checked."""

    entry: Entry
    model: Path
    maker: (
        str | None
    )  # the dotted path that built the model, where importing it may be needed to load the model
    rows: Features
    count: int
    ignored: list[str]  # columns of the input that the model does not take
    classes: tuple[str, ...] | None  # None: regression
    output: Path
    trust: bool


def plan(
    history: History, reference: str, input: str | None, output: str | None, *, trust: bool
) -> Prediction:
    """Checks that an entry's model can be applied, and reads the rows; imports nothing heavy and
    writes nothing.

    Args:
        history: that holds the entry.
        reference: the entry's id, a unique prefix of it, or its position.
        input: the file of rows, in one of files.FORMATS.
        output: the file to write or replace, in any of them.
        trust: import the code outside Keras that the model names.

    Raises:
        InputError: something is not given, not there, or not as it must be; as UntrustedCode,
        without trust. IntegrityError: the stored model is not what was stored.
    """
    entry = history.get(reference)
    model = _model(entry)
    shape, columns, classes = *_rows_of(entry), _classes(entry)
    maker = _untrusted(entry, model, trust=trust)
    source = _input(input)
    target = _output(output, source, history.root)
    given = {
        key: entry.value(f"data.source.{key}", usual)
        for key, usual in (("separator", ","), ("decimal", "."))
    }
    rows, ignored = inputs.read(source, shape, columns, **given, may_miss=_may_miss(entry))
    count = len(next(iter(rows.values())) if isinstance(rows, dict) else rows)
    return Prediction(entry, model, maker, rows, count, ignored, classes, target, trust)


def predict(plan: Prediction) -> int:
    """Predicts, writes the output and returns the number of rows.

    Raises:
        ModelError: the model predicts something else than its task, or is diverged.
        ExperimentError: the model cannot be loaded, or the output not written.
    """
    if plan.ignored:
        log.info(
            "columns of the input that the model does not take are ignored: %s",
            ", ".join(plan.ignored),
        )
    if plan.maker:
        locate(plan.maker, f"the model of {plan.entry.id}")
    model = load_model(plan.model, trust=plan.trust)
    predicted = np.asarray(model.predict(plan.rows, batch_size=BATCH, verbose=0))
    for row in np.argwhere(~np.isfinite(predicted).reshape(len(predicted), -1).all(axis=1))[:1, 0]:
        raise ModelError(
            f"the model of {plan.entry.id} predicts NaN or infinity for row {row + 1} of the input"
        )
    columns = _columns(model, predicted, plan)
    try:
        inputs.write(plan.output, columns)
    except OSError as error:
        what = f"cannot write {plan.output}: {error.strerror or error}; it is as it was"
        raise ExperimentError(what) from error
    return plan.count


# --- what is checked


def _model(entry: Entry) -> Path:
    if "model" not in entry.value("artefacts", {}):
        raise InputError(
            f"predict: entry {entry.id} ({entry.status}) holds no model; name one that does"
        )
    return entry.verified("model")


def _may_miss(entry: Entry) -> bool:
    """Whether the model fills missing numbers in."""
    return bool(entry.value("data.source.missing") == "fill")


def _rows_of(entry: Entry) -> tuple[tuple[int, ...], dict[str, str] | None]:
    """The shape of a row, and the names and kinds of its columns where they are known; a window
    has each of them once a step, without names."""
    shape, columns = entry.value("data.shapes.train"), entry.value("data.columns")
    known = (
        isinstance(shape, list)
        and len(shape) > 1
        and all(isinstance(size, int) and size > 0 for size in shape)
    )
    if not known or not (
        columns is None or (isinstance(columns, dict) and len(columns) == shape[-1])
    ):
        raise InputError(
            f"predict: entry {entry.id} does not say which shape its rows have, so none can be read"
        )
    return tuple(shape[1:]), columns if len(shape) == 2 else None


def _classes(entry: Entry) -> tuple[str, ...] | None:
    if entry.task == "regression":
        return None
    classes = entry.value("data.classes")
    if entry.task != "classification" or not isinstance(classes, list):
        raise InputError(
            f"predict: entry {entry.id} is no regression, nor a classification that names its classes"
        )
    return tuple(str(name) for name in classes)


def _untrusted(entry: Entry, model: Path, *, trust: bool) -> str | None:
    """What built the model, if only importing that can register what the model names without saying
    where it is.
    """
    names = foreign_code(model)
    built_by = entry.identity().get("model")
    maker = built_by.get("_target_") if isinstance(built_by, Mapping) else None
    nowhere = any("." not in name.partition(">")[0] or ">" in name for name in names)
    needed = (
        str(maker)
        if nowhere and maker and not str(maker).startswith(("runner.", "keras."))
        else None
    )
    if names and not trust:
        raise UntrustedCode(
            f"predict: loading the model of {entry.id}", [*names, *([needed] if needed else [])]
        )
    return needed


def _input(given: str | None) -> Path:
    path = _known("input", given)
    if not path.is_file():
        raise InputError(
            f"input: there is no file {path.resolve()}; paths count from the current folder"
        )
    return path


def _output(given: str | None, source: Path, root: Path) -> Path:
    path = _known("output", given)
    folder = path.resolve().parent
    if not folder.is_dir():
        raise InputError(f"output: there is no folder {folder}; make it, or name another")
    if path.exists() and (path.samefile(source) or not path.is_file()):
        raise InputError(
            f"output: {path} is {'the input' if path.is_file() else 'no file'}; name another file"
        )
    if folder.is_relative_to(root / "entries"):
        raise InputError(f"output: {folder} belongs to the history; name a file elsewhere")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"output: cannot write in {folder}: {error.strerror or error}; name another"
        ) from error
    return path


def _known(key: str, given: str | None) -> Path:
    if not given:
        raise InputError(f"{key}: predict needs {key}=FILE ({', '.join(files.FORMATS)})")
    path = Path(given)
    if path.suffix.lower() not in files.FORMATS:
        raise InputError(
            f"{key}: {path} is of no known format; its name must end in {', '.join(files.FORMATS)}"
        )
    if path.suffix.lower() in files.PARQUET:
        files.parquet(path)
    return path


# --- what is written


def _columns(model: Any, predicted: Array, plan: Prediction) -> Mapping[str, Array]:
    from runner.training import evaluate as tasks  # loads scikit-learn and matplotlib

    if plan.classes is None:
        return {"prediction": tasks.values(predicted, plan.count)}
    names = np.array(plan.classes)
    probabilities = tasks.probabilities(predicted, len(names), logits=tasks.gives_logits(model))
    guess = names[probabilities.argmax(axis=1)]
    if plan.output.suffix.lower() == ".npz":
        return {"class": guess, "classes": names, "probabilities": probabilities}
    each = {
        f"probability_{name}": probabilities[:, place] for place, name in enumerate(plan.classes)
    }
    return {"class": guess, **each}
