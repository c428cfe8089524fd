"""Evaluates predictions: what a classification and a regression measure, with scikit-learn.

Nothing here asks what a model was compiled with. Metrics are in the target's own units.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from sklearn import metrics

from history.report import figures
from history.tasks import ClassificationResult, RegressionResult
from runner.data.dataset import Array
from runner.errors import ModelError

LARGEST = 2**22  # values that are kept of what a model predicts


def evaluate(
    truth: Array,
    predicted: Array,
    classes: Sequence[str] | None,
    *,
    logits: bool = False,
    naive_error: float | None = None,
) -> ClassificationResult | RegressionResult:
    """Return the result of a task.

    Args:
        truth: class numbers or values, of shape (rows,).
        predicted: what the model predicts for the same rows.
        classes: their names; None for a regression.
        logits: the predictions are some, whatever they look like.
        naive_error: of a series; its `mase` is the mean absolute error in units of it.

    Raises:
        ModelError: the predictions do not have the shape of the task, or are not finite.
    """
    if not np.isfinite(predicted).all():
        raise ModelError("the model predicts NaN or infinity; its training has diverged")
    if classes is None:
        return _regression(np.asarray(truth, "float64"), values(predicted, len(truth)), naive_error)
    return _classification(
        truth, probabilities(predicted, len(classes), logits=logits), tuple(classes)
    )


def artefacts(
    result: ClassificationResult | RegressionResult,
    truth: Array,
    predicted: Array,
    folder: Path,
    part: str = "validation",
    *,
    logits: bool = False,
) -> dict[str, Path]:
    """Write a result's report (CSV), its plot (SVG) and what was predicted of how many rows, evenly
    spaced, make it no larger than LARGEST; return their paths by name: those of another part than
    the validation rows have it for a prefix. Arguments are as in `evaluate`.
    """
    if isinstance(result, ClassificationResult):
        task, plot, classes = "classification", "confusion_matrix", result.classes
        kept = probabilities(predicted, len(classes), logits=logits)
    else:
        task, plot, classes = "regression", "predictions_plot", ()
        kept = values(predicted, len(truth))
    prefix = "" if part == "validation" else f"{part}_"
    report, picture, rows = (
        folder / f"{prefix}{name}"
        for name in (f"{task}_report.csv", f"{plot}.svg", "predictions.npz")
    )
    report.write_text(result.csv(), encoding="utf-8")
    picture.write_text(figures.held(plot, part, truth, kept, classes).svg, encoding="utf-8")
    every = slice(None, None, -(-kept.size // LARGEST))
    np.savez_compressed(rows, truth=truth[every], predicted=kept[every].astype("float32"))
    return {path.stem: path for path in (report, picture, rows)}


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
    if classes is None:
        values(row, 1)
    else:
        probabilities(row, len(classes))


def probabilities(predicted: Array, classes: int, *, logits: bool = False) -> Array:
    """Return rows of class probabilities: from one sigmoid unit (two classes), from probabilities,
    or from logits, which are told by a value that is no probability, or by a row that does not add
    up to one.
    """
    rows = _columns(predicted)
    logits = logits or not ((rows >= 0) & (rows <= 1)).all()
    if rows.shape[1] == 1 and classes == 2:
        # the sigmoid, which does not overflow so
        positive = np.exp(-np.logaddexp(0, -rows)) if logits else rows
        return np.hstack([1 - positive, positive])
    if rows.shape[1] != classes:
        raise ModelError(
            f"the model predicts the shape {predicted.shape}; for {classes} classes it must have "
            f"{classes} outputs{' or one' if classes == 2 else ''} per row"
        )
    if logits or not np.allclose(rows.sum(axis=1), 1, atol=0.05):  # bfloat16 is coarse
        rows = np.exp(rows - rows.max(axis=1, keepdims=True))
    # also where only float32 rounding is off: scikit-learn wants a sum of one
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def values(predicted: Array, rows: int) -> Array:
    """Return the values of a regression, of shape (rows,)."""
    found = _columns(predicted)
    if found.shape != (rows, 1):
        raise ModelError(
            f"the model predicts the shape {predicted.shape}; a regression has one output per row"
        )
    return found[:, 0]


def _columns(predicted: Array) -> Array:
    return np.asarray(predicted, "float64").reshape(len(predicted), -1)


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
        found = {
            "accuracy": report["accuracy"],
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, guess),
            "f1_macro": report["macro avg"]["f1-score"],
            "log_loss": metrics.log_loss(truth, probabilities, labels=labels),
            "roc_auc": metrics.roc_auc_score(np.eye(len(classes))[truth], probabilities),
        }
    return ClassificationResult(
        metrics={name: float(value) for name, value in found.items()},
        classes=classes,
        per_class=tuple(
            (name, row["precision"], row["recall"], row["f1-score"], int(row["support"]))
            for name, row in (
                *((name, report[str(label)]) for label, name in enumerate(classes)),
                *((average, report[average]) for average in ("macro avg", "weighted avg")),
            )
        ),
        confusion=tuple(map(tuple, metrics.confusion_matrix(truth, guess, labels=labels).tolist())),
    )


def _regression(truth: Array, values: Array, naive_error: float | None) -> RegressionResult:
    residuals = values - truth
    measures: dict[str, Callable[[Array, Array], float]] = {
        "mae": metrics.mean_absolute_error,
        "mse": metrics.mean_squared_error,
        "rmse": metrics.root_mean_squared_error,
        "r2": metrics.r2_score,
        "explained_variance": metrics.explained_variance_score,
        "max_error": metrics.max_error,
    }
    found = {name: float(measure(truth, values)) for name, measure in measures.items()}
    return RegressionResult(
        metrics={**found, **({"mase": found["mae"] / naive_error} if naive_error else {})},
        residuals={
            "mean": float(residuals.mean()),
            "deviation": float(residuals.std()),
            **{f"q{q:02}": float(np.quantile(residuals, q / 100)) for q in (5, 25, 50, 75, 95)},
        },
    )
