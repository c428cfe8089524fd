"""The two tasks that come with the history: each has its result, its metrics and its report."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from history.entry import Entry
from history.errors import IntegrityError
from history.manager import HistoryManager, Report
from history.ranking import Direction

ClassRow = tuple[str, float, float, float, int]


@dataclass(frozen=True)
class ClassificationResult:
    """How well classes were told apart.

    `metrics`: name to value. `classes`: names, in the order of `confusion`, whose rows are the true
    and whose columns the predicted classes, in samples. `per_class`: class, precision, recall, f1
    (0 to 1) and support (samples); a row per class, then the rows "macro avg" and "weighted avg".
    """

    metrics: dict[str, float]
    classes: tuple[str, ...]
    per_class: tuple[ClassRow, ...]
    confusion: tuple[tuple[int, ...], ...]

    def csv(self) -> str:
        """Return `per_class` as CSV with a header."""
        return _csv(("class", "precision", "recall", "f1", "support"), self.per_class)


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
        residuals = {f"residual_{name}": value for name, value in self.residuals.items()}
        return _csv(("quantity", "value"), {**self.metrics, **residuals}.items())


class ClassificationManager(HistoryManager):
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

    def report(self, entry: Entry) -> Report:
        """Return the classification report, a row per class."""
        return _report("classification report", entry.artefact("classification_report"))


class RegressionManager(HistoryManager):
    """Entries of regression: ranked by the root mean squared error, reported with their
    residuals.
    """

    task = "regression"
    metrics: ClassVar[Mapping[str, Direction]] = {
        "mae": "min",
        "mse": "min",
        "rmse": "min",
        "r2": "max",
        "explained_variance": "max",
        "max_error": "min",
    }
    ranking = "rmse"
    artefacts = ("regression_report", "predictions_plot")

    def report(self, entry: Entry) -> Report:
        """Return the regression report, a row per quantity."""
        return _report("regression report", entry.artefact("regression_report"))


def _csv(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _report(title: str, path: Path) -> Report:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = (tuple(row) for row in csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise IntegrityError(f"the {title} cannot be read from {path}: {error}") from error
    return Report(title, header, rows)
