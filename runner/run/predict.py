"""Applies an entry's stored model to new rows.

`plan` reads the rows and checks what can be checked without TensorFlow; `predict` does the rest.
In between, the caller sets up the process (environment.prepare).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foundation import errors, trees
from history import Entry, catalogue, model_file
from runner.config import compose, targets
from runner.config.schema import Run
from runner.data import dataset, files, log, new_rows
from runner.errors import ExperimentError, InputError, ModelError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Prediction:
    """A checked prediction that is still to be made."""

    entry: Entry
    model: Path
    # the target that built the model, if the model names classes without their module, which only
    # importing the target registers; else ""
    maker: str
    rows: dataset.Features
    ignored: list[str]  # columns of the input that the model does not use
    classes: tuple[str, ...] | None  # None for regression
    output: Path
    trust: bool


def plan(run: Run) -> Prediction:
    """Check that an entry's model can be applied, and read the rows. Imports nothing heavy and
    writes nothing.

    Args:
        run: the root keys of the command, of which `predict` names the entry, `input` the file of
            rows, and `output` the file to write or replace; both in one of files.FORMATS.

    Raises:
        InputError: the entry, input or output cannot be used; UntrustedCode if trust is needed.
        IntegrityError: the model has changed since it was stored.
    """
    history = catalogue.History(run.paths.root)
    entry = history.get(str(run.predict))
    model = entry.verified("model")
    try:
        data = new_rows.StoredData.model_validate(entry.document.get("data") or {})
        if data.classes is None and entry.task != "regression":
            raise ValueError
    except ValueError as error:
        raise InputError(
            f"predict: entry {entry.id} does not record the shape of its rows, or its classes, so "
            "no rows can be read"
        ) from error
    names = model_file.foreign_code(model)
    maker = str(trees.lookup(entry.identity(), "model._target_") or "")
    is_ours = maker.startswith(("runner.", "keras."))
    if is_ours or all("." in name and ">" not in name for name in names):
        maker = ""
    if names and not run.trust:
        foreign = [*names, maker] if maker else names
        raise errors.UntrustedCode(f"predict: loading the model of {entry.id}", foreign)
    source = Path(str(run.input))
    target = Path(str(run.output))
    _refuse_output(target, source, history.root)
    rows, ignored = new_rows.read_new(source, data)
    return Prediction(entry, model, maker, rows, ignored, data.classes, target, run.trust)


def predict(plan: Prediction) -> int:
    """Predict, write the output and return the number of rows.

    Raises:
        ModelError: the predictions do not fit the task, or are not finite.
        ExperimentError: the model cannot be loaded, or the output cannot be written.
    """
    if plan.ignored:
        log.info(
            "ignored columns of the input that the model does not use: %s",
            ", ".join(plan.ignored),
        )
    if plan.maker:
        targets.locate(plan.maker, f"the model of {plan.entry.id}")
    model = model_file.load_model(plan.model, trust=plan.trust)
    predicted = np.asarray(model.predict(plan.rows, batch_size=dataset.BATCH, verbose=0))
    is_finite = np.isfinite(predicted).reshape(len(predicted), -1).all(axis=1)
    if not is_finite.all():
        row = is_finite.argmin() + 1
        raise ModelError(
            f"the model of {plan.entry.id} predicts NaN or infinity for row {row} of the input"
        )
    try:
        files.save_table(plan.output, _columns(model, predicted, plan))
    except OSError as error:
        raise ExperimentError(
            f"cannot write {plan.output}: {error.strerror or error}; it is unchanged"
        ) from error
    return len(predicted)


def _refuse_output(target: Path, source: Path, root: Path) -> None:
    """Raise InputError if predictions cannot be written to a file, or not in its format."""
    kind = target.suffix.lower()
    folder = target.resolve().parent
    problem = None
    if target.resolve() == source.resolve():
        problem = "is the input; choose another file"
    elif kind not in files.FORMATS:
        problem = f"has an unknown format; its name must end in {', '.join(files.FORMATS)}"
    elif not folder.is_dir() or (target.exists() and not target.is_file()):
        problem = "must be a file in a folder that exists"
    elif folder.is_relative_to(root / "entries"):
        problem = "belongs to the history; choose a file elsewhere"
    if problem is not None:
        raise InputError(f"output: {target} {problem}")
    compose.must_be_writable(folder, "output")
    if kind in files.PARQUET:
        files.parquet(target)


def _columns(
    model: "keras.Model", predicted: dataset.Array, plan: Prediction
) -> Mapping[str, dataset.Array]:
    """Return the columns or arrays of the output by name."""
    from runner.training import evaluate  # loads scikit-learn and matplotlib

    logits = evaluate.gives_logits(model)
    predicted = evaluate.normalised(predicted, len(predicted), plan.classes, logits=logits)
    if plan.classes is None:
        return {"prediction": predicted}
    names = np.array(plan.classes)
    written = {"class": names[predicted.argmax(axis=1)]}
    if plan.output.suffix.lower() == ".npz":
        return written | {"classes": names, "probabilities": predicted}
    for name, column in zip(plan.classes, predicted.T, strict=True):
        written[f"probability_{name}"] = column
    return written
