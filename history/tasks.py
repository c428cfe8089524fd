"""The two tasks that come with the history: each has its result, its metrics and its report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from foundation import files
from history import manager
from history.ranking import Direction


@dataclass(frozen=True)
class ClassificationResult:
    """How well classes were told apart.

    `metrics`: name to value. `classes`: names, in the order of `confusion`, whose rows are the true
    and whose columns the predicted classes, in samples. `per_class`: class, precision, recall, f1
    (0 to 1) and support (samples); a row per class, then the rows "macro avg" and "weighted avg".
    """

    metrics: dict[str, float]
    classes: tuple[str, ...]
    per_class: tuple[tuple[str, float, float, float, int], ...]
    confusion: tuple[tuple[int, ...], ...]

    def csv(self) -> str:
        """Return `per_class` as CSV with a header."""
        header = ("class", "precision", "recall", "f1", "support")
        return files.to_csv([header, *self.per_class], "\n")


@dataclass(frozen=True)
class RegressionResult:
    """How far predictions were from the targets.

    `metrics`: name to value. `residuals`, predicted minus true in the target's unit: mean,
    deviation and the quantiles q05, q25, q50, q75, q95.
    """

    metrics: dict[str, float]
    residuals: dict[str, float]

    def csv(self) -> str:
        """Return the metrics, then the residuals as `residual_<name>`, as CSV with a header."""
        rows: list[tuple[object, object]] = [("quantity", "value")]
        rows += self.metrics.items()
        rows += [(f"residual_{name}", value) for name, value in self.residuals.items()]
        return files.to_csv(rows, "\n")


class ClassificationManager(manager.HistoryManager):
    """Entries of classification: ranked by accuracy, reported per class."""

    task = "classification"
    metrics: ClassVar[Mapping[str, Direction]] = {
        "accuracy": "max",
        "balanced_accuracy": "max",
        "f1_macro": "max",
        "log_loss": "min",
        "roc_auc": "max",
    }
    ranking = "accuracy"
    artefacts = ("classification_report", "confusion_matrix")
    figures = ("confusion_matrix", "roc", "calibration")


class RegressionManager(manager.HistoryManager):
    """Entries of regression: ranked by the root mean squared error, reported with their
    residuals.
    """

    task = "regression"
    metrics: ClassVar[Mapping[str, Direction]] = {
        "mae": "min",
        "mse": "min",
        "rmse": "min",
        "mase": "min",
        "r2": "max",
        "explained_variance": "max",
        "max_error": "min",
    }
    ranking = "rmse"
    artefacts = ("regression_report", "predictions_plot")
    figures = ("stretch", "predictions_plot", "residuals")
