"""Evaluates predictions: what a classification and a regression measure, with scikit-learn.

Nothing here asks what a model was compiled with. Metrics are in the target's own units.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import metrics

from history.tasks import ClassificationResult, RegressionResult
from runner.data.dataset import Array
from runner.errors import ModelError
from runner.report.plots import confusion_matrix, predictions

Result = ClassificationResult | RegressionResult


def evaluate(
    task: str,
    truth: Array,
    predicted: Array,
    classes: Sequence[str] | None,
    *,
    logits: bool = False,
) -> Result:
    """The result of a task.

    Args:
        task: classification or regression.
        truth: class numbers or values, of shape (rows,).
        predicted: what the model predicts for the same rows.
        classes: names, for classification.
        logits: the predictions are some, whatever they look like.

    Raises:
        ModelError: the predictions do not have the shape of the task, or are not finite.
    """
    if not np.isfinite(predicted).all():
        raise ModelError("the model predicts NaN or infinity; its training has diverged")
    if task == "classification":
        return _classification(
            truth, probabilities(predicted, len(classes or ()), logits=logits), tuple(classes or ())
        )
    return _regression(truth, values(predicted, len(truth)))


def artefacts(
    result: Result, truth: Array, predicted: Array, folder: Path, prefix: str = ""
) -> dict[str, Path]:
    """Writes a result's report (CSV) and plot (SVG), and returns their paths by name."""
    report, plot = (
        ("classification_report", "confusion_matrix")
        if isinstance(result, ClassificationResult)
        else ("regression_report", "predictions_plot")
    )
    paths = {
        f"{prefix}{report}": folder / f"{prefix}{report}.csv",
        f"{prefix}{plot}": folder / f"{prefix}{plot}.svg",
    }
    paths[f"{prefix}{report}"].write_text(result.csv(), encoding="utf-8")
    title = "test rows" if prefix else "validation rows"
    if isinstance(result, ClassificationResult):
        confusion_matrix(result, title, paths[f"{prefix}{plot}"])
    else:
        predictions(truth, values(predicted, len(truth)), title, paths[f"{prefix}{plot}"])
    return paths


def gives_logits(model: Any) -> bool:
    """Whether a model's output is a linear dense layer: what it predicts may look like
    probabilities, and is none.
    """
    layer = model.outputs[0]._keras_history.operation if getattr(model, "outputs", None) else None
    return (type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", "")) == (
        "Dense",
        "linear",
    )


def probabilities(predicted: Array, classes: int, *, logits: bool = False) -> Array:
    """Rows of class probabilities: from one sigmoid unit (two classes), from probabilities, or from
    logits, which are told by a value that is no probability, or by a row that does not add up to
    one.
    """
    rows = np.asarray(predicted, dtype="float64")
    if rows.ndim == 1:
        rows = rows[:, np.newaxis]
    if rows.ndim == 2 and rows.shape[1] == 1 and classes == 2:
        logits = logits or not bool(((rows >= 0) & (rows <= 1)).all())
        positive = (
            np.exp(-np.logaddexp(0, -rows)) if logits else rows
        )  # the sigmoid, which does not overflow so
        return np.hstack([1 - positive, positive])
    if rows.ndim != 2 or rows.shape[1] != classes:
        raise ModelError(
            f"the model predicts the shape {tuple(predicted.shape)}; for {classes} classes it must have "
            f"{classes} outputs{' or one' if classes == 2 else ''} a row"
        )
    logits = logits or bool((rows < 0).any() or (rows > 1).any())
    if logits or not np.allclose(rows.sum(axis=1), 1, atol=0.05):  # bfloat16 is coarse
        rows = np.exp(rows - rows.max(axis=1, keepdims=True))
    total: Array = rows.sum(axis=1, keepdims=True)
    return np.asarray(
        rows / total
    )  # also where only float32 rounding is off: scikit-learn wants a sum of one


def values(predicted: Array, rows: int) -> Array:
    """The values of a regression, of shape (rows,)."""
    found = np.asarray(predicted, dtype="float64")
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.shape != (rows,):
        raise ModelError(
            f"the model predicts the shape {tuple(predicted.shape)}; a regression has one output a row"
        )
    return found


def _classification(
    truth: Array, probabilities: Array, classes: tuple[str, ...]
) -> ClassificationResult:
    labels = list(range(len(classes)))
    guess = probabilities.argmax(axis=1)
    table = metrics.classification_report(
        truth,
        guess,
        labels=labels,
        target_names=[str(n) for n in labels],
        output_dict=True,
        zero_division=0,
    )
    rows = [(classes[n], table[str(n)]) for n in labels]
    rows += [(average, table[average]) for average in ("macro avg", "weighted avg")]
    recalls = [table[str(n)]["recall"] for n in labels if table[str(n)]["support"]]
    matrix = metrics.confusion_matrix(truth, guess, labels=labels)
    return ClassificationResult(
        metrics={
            "accuracy": float(metrics.accuracy_score(truth, guess)),
            "balanced_accuracy": float(np.mean(recalls)),
            "f1_macro": float(
                metrics.f1_score(truth, guess, labels=labels, average="macro", zero_division=0)
            ),
            "log_loss": float(metrics.log_loss(truth, probabilities, labels=labels)),
            "roc_auc": _roc_auc(truth, probabilities),
        },
        classes=classes,
        per_class=tuple(
            (
                name,
                float(r["precision"]),
                float(r["recall"]),
                float(r["f1-score"]),
                int(r["support"]),
            )
            for name, r in rows
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in matrix),
    )


def _roc_auc(truth: Array, probabilities: Array) -> float:
    """Area under the ROC curve, one class against the rest, mean over classes; NaN where a class is
    missing from the rows, because it is not defined then.
    """
    columns = range(probabilities.shape[1])
    if any(not 0 < int((truth == c).sum()) < len(truth) for c in columns):
        return float("nan")
    areas = [metrics.roc_auc_score(truth == c, probabilities[:, c]) for c in columns]
    return float(np.mean(areas))


def _regression(truth: Array, values: Array) -> RegressionResult:
    truth = np.asarray(truth, dtype="float64")
    measures: dict[str, Callable[[Array, Array], float]] = {
        "mae": metrics.mean_absolute_error,
        "mse": metrics.mean_squared_error,
        "rmse": metrics.root_mean_squared_error,
        "r2": metrics.r2_score,
        "explained_variance": metrics.explained_variance_score,
        "max_error": metrics.max_error,
    }
    residuals = values - truth
    quantiles = {f"q{q:02d}": float(np.quantile(residuals, q / 100)) for q in (5, 25, 50, 75, 95)}
    return RegressionResult(
        metrics={name: float(measure(truth, values)) for name, measure in measures.items()},
        residuals={
            "mean": float(residuals.mean()),
            "deviation": float(residuals.std()),
            **quantiles,
        },
    )
