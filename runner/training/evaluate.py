"""Evaluates predictions: what a classification and a regression measure, with scikit-learn.

Nothing here asks what a model was compiled with. Metrics are in the target's own units.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn import metrics

from history.report import figures
from history.tasks import ClassificationResult, RegressionResult
from runner.data.dataset import Array
from runner.errors import ModelError

LARGEST = 2**22  # values that are kept of what a model predicts


@dataclass(frozen=True)
class Evaluation:
    """The result of a task on some rows: `truth` is class numbers or values, of shape (rows,), and
    `predicted` for the same rows as `normalised` returns it.
    """

    truth: Array
    predicted: Array
    result: ClassificationResult | RegressionResult

    def artefacts(self, folder: Path, part: str = "validation") -> dict[str, Path]:
        """Write the report (CSV), the plot (SVG) and what was predicted of how many rows, evenly
        spaced, make it no larger than LARGEST; return their paths by name: those of another part
        than the validation rows have it for a prefix.
        """
        prefix = "" if part == "validation" else f"{part}_"
        if isinstance(self.result, ClassificationResult):
            task, plot, classes = "classification", "confusion_matrix", self.result.classes
        else:
            task, plot, classes = "regression", "predictions_plot", ()
        report = folder / f"{prefix}{task}_report.csv"
        report.write_text(self.result.csv(), encoding="utf-8")
        picture = folder / f"{prefix}{plot}.svg"
        drawing = figures.held(plot, part, self.truth, self.predicted, classes)
        picture.write_text(drawing.svg, encoding="utf-8")
        predictions = folder / f"{prefix}predictions.npz"
        step = math.ceil(self.predicted.size / LARGEST)
        predicted = self.predicted[::step].astype("float32")
        np.savez_compressed(predictions, truth=self.truth[::step], predicted=predicted)
        return {path.stem: path for path in (report, picture, predictions)}


def evaluate(
    truth: Array,
    predicted: Array,
    classes: Sequence[str] | None,
    *,
    logits: bool = False,
    naive_error: float | None = None,
) -> Evaluation:
    """Return the result of a task.

    Args:
        truth: class numbers or values, of shape (rows,).
        predicted, classes, logits: as in `normalised`.
        naive_error: of a series; its `mase` is the mean absolute error in units of it.

    Raises:
        ModelError: the predictions do not have the shape of the task, or are not finite.
    """
    predicted = normalised(predicted, len(truth), classes, logits=logits)
    if classes is None:
        result: Any = _regression(np.asarray(truth, "float64"), predicted, naive_error)
    else:
        result = _classification(truth, predicted, tuple(classes))
    return Evaluation(truth, predicted, result)


def normalised(
    predicted: Array, rows: int, classes: Sequence[str] | None, *, logits: bool = False
) -> Array:
    """Return what a model predicts in one form: values, of shape (rows,), or the probabilities of
    the classes, of shape (rows, classes).

    Args:
        predicted: for a regression, one value a row. For classes, one sigmoid unit (two classes),
            probabilities, or logits, which are told by a value that is no probability, or by a row
            that does not add up to one.
        rows: how many there are.
        classes: their names; None for a regression.
        logits: the predictions are some, whatever they look like.

    Raises:
        ModelError: the predictions do not have the shape of the task, or are not finite.
    """
    if not np.isfinite(predicted).all():
        raise ModelError("the model predicts NaN or infinity; its training has diverged")
    columns = np.asarray(predicted, "float64").reshape(len(predicted), -1)
    outputs = columns.shape[1]
    shape = f"the model predicts the shape {predicted.shape}"
    if classes is None:
        if columns.shape != (rows, 1):
            raise ModelError(f"{shape}; a regression has one output per row")
        return columns[:, 0]
    logits = logits or not ((columns >= 0) & (columns <= 1)).all()
    if outputs == 1 and len(classes) == 2:
        # the sigmoid, which does not overflow so
        positive = np.exp(-np.logaddexp(0, -columns)) if logits else columns
        return np.hstack([1 - positive, positive])
    if outputs != len(classes):
        or_one = " or one" if len(classes) == 2 else ""
        needed = f"{len(classes)} outputs{or_one} per row"
        raise ModelError(f"{shape}; for {len(classes)} classes it must have {needed}")
    if logits or not np.allclose(columns.sum(axis=1), 1, atol=0.05):  # bfloat16 is coarse
        columns = np.exp(columns - columns.max(axis=1, keepdims=True))
    # also where only float32 rounding is off: scikit-learn wants a sum of one
    return np.asarray(columns / columns.sum(axis=1, keepdims=True))


def gives_logits(model: "keras.Model") -> bool:
    """Say whether a model's output is a linear dense layer: what it predicts may look like
    probabilities, and is none.
    """
    layer = model.outputs[0]._keras_history.operation if getattr(model, "outputs", None) else None
    return isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.linear


def must_suit(model: "keras.Model", classes: Sequence[str] | None) -> None:
    """Raise ModelError where a model has other outputs than its task needs, as far as that is known
    before rows come.
    """
    try:
        row = np.zeros((1, *model.output_shape[1:]))
    except Exception:  # it is not, or there are several outputs, which it is told when it predicts
        return
    normalised(row, 1, classes)


def _classification(
    truth: Array, probabilities: Array, classes: tuple[str, ...]
) -> ClassificationResult:
    labels = list(range(len(classes)))
    guess = probabilities.argmax(axis=1)
    report = metrics.classification_report(
        truth, guess, labels=labels, output_dict=True, zero_division=0
    )
    # a class that is missing from the rows is left out of this, and has no area: NaN
    with warnings.catch_warnings(action="ignore"):
        scores = {
            "accuracy": report["accuracy"],
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, guess),
            "f1_macro": report["macro avg"]["f1-score"],
            "log_loss": metrics.log_loss(truth, probabilities, labels=labels),
            "roc_auc": metrics.roc_auc_score(np.eye(len(classes))[truth], probabilities),
        }
    rows = [(name, report[str(label)]) for label, name in enumerate(classes)]
    rows += [(average, report[average]) for average in ("macro avg", "weighted avg")]
    per_class = [
        (name, row["precision"], row["recall"], row["f1-score"], int(row["support"]))
        for name, row in rows
    ]
    confusion = metrics.confusion_matrix(truth, guess, labels=labels)
    return ClassificationResult(
        metrics={name: float(score) for name, score in scores.items()},
        classes=classes,
        per_class=tuple(per_class),
        confusion=tuple(map(tuple, confusion.tolist())),
    )


def _regression(truth: Array, values: Array, naive_error: float | None) -> RegressionResult:
    scores = {
        "mae": metrics.mean_absolute_error(truth, values),
        "mse": metrics.mean_squared_error(truth, values),
        "rmse": metrics.root_mean_squared_error(truth, values),
        "r2": metrics.r2_score(truth, values),
        "explained_variance": metrics.explained_variance_score(truth, values),
        "max_error": metrics.max_error(truth, values),
    }
    if naive_error:
        scores["mase"] = float(scores["mae"]) / naive_error
    residuals = values - truth
    spread = {"mean": residuals.mean(), "deviation": residuals.std()}
    for percent in (5, 25, 50, 75, 95):
        spread[f"q{percent:02}"] = np.quantile(residuals, percent / 100)
    return RegressionResult(
        metrics={name: float(score) for name, score in scores.items()},
        residuals={name: float(value) for name, value in spread.items()},
    )
