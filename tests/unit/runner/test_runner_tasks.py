"""What a classification and a regression measure, and what they write."""

import csv
import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

from history.tasks import ClassificationResult, RegressionResult
from runner.errors import ModelError
from runner.training.evaluate import LARGEST, evaluate

# Three classes, six rows; rows 3 and 6 are told wrongly: a 1 for a 0 and a 0 for a 2.
TRUTH = np.array([0, 0, 0, 1, 2, 2])
ROWS = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.6, 0.2, 0.2],
        [0.3, 0.5, 0.2],
        [0.1, 0.7, 0.2],
        [0.2, 0.2, 0.6],
        [0.5, 0.1, 0.4],
    ]
)
ABC = ("a", "b", "c")


def classified(truth: Any, predicted: Any, classes: tuple[str, ...] = ABC) -> ClassificationResult:
    result = evaluate(np.asarray(truth), np.asarray(predicted), classes).result
    assert isinstance(result, ClassificationResult)
    return result


def regressed(truth: Any, predicted: Any) -> RegressionResult:
    result = evaluate(np.asarray(truth, "float32"), np.asarray(predicted), None).result
    assert isinstance(result, RegressionResult)
    return result


def area(positive: list[float], negative: list[float]) -> float:
    """The share of pairs that are in the right order, ties half: what the area under a ROC curve
    is.
    """
    pairs = [(p > n) + (p == n) / 2 for p in positive for n in negative]
    return sum(pairs) / len(pairs)


def test_a_classification_measures_what_was_worked_out_by_hand() -> None:
    """Precision, recall and f1 of each class, counted off the rows above."""
    result = classified(TRUTH, ROWS)
    assert result.confusion == ((2, 1, 0), (0, 1, 0), (1, 0, 1))
    assert [row[0] for row in result.per_class] == ["a", "b", "c", "macro avg", "weighted avg"]
    assert [row[4] for row in result.per_class] == [3, 1, 2, 6, 6]
    assert [row[1:4] for row in result.per_class] == [
        pytest.approx((2 / 3, 2 / 3, 2 / 3)),
        pytest.approx((1 / 2, 1, 2 / 3)),
        pytest.approx((1, 1 / 2, 2 / 3)),
        pytest.approx((13 / 18, 13 / 18, 2 / 3)),
        pytest.approx((3 / 4, 2 / 3, 2 / 3)),
    ]
    assert result.metrics == pytest.approx(
        {
            "accuracy": 4 / 6,
            "balanced_accuracy": (2 / 3 + 1 + 1 / 2) / 3,
            "f1_macro": 2 / 3,
            "log_loss": -sum(math.log(p) for p in (0.8, 0.6, 0.3, 0.7, 0.6, 0.4)) / 6,
            "roc_auc": (
                area([0.8, 0.6, 0.3], [0.1, 0.2, 0.5])
                + area([0.7], [0.1, 0.2, 0.5, 0.2, 0.1])
                + area([0.6, 0.4], [0.1, 0.2, 0.2, 0.2])
            )
            / 3,
        }
    )


CHANCES = np.array([0.9, 0.4, 0.2, 0.7])


@pytest.mark.parametrize(
    "predicted", [CHANCES, CHANCES[:, np.newaxis], np.log(CHANCES / (1 - CHANCES))[:, np.newaxis]]
)
def test_one_unit_is_the_probability_of_the_second_class(predicted: NDArray[Any]) -> None:
    """As a column or flat; where a value is outside 0 to 1, they are logits."""
    result = classified([1, 1, 0, 0], predicted, ("no", "yes"))
    assert result.confusion == ((1, 1), (1, 1))
    assert result.metrics["log_loss"] == pytest.approx(
        -sum(map(math.log, (0.9, 0.4, 0.8, 0.3))) / 4
    )
    assert result.metrics["roc_auc"] == pytest.approx(area([0.9, 0.4], [0.2, 0.7]))


def test_rows_that_are_no_probabilities_are_logits() -> None:
    """Made into probabilities by softmax, without overflow."""
    logits = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, 0.0], [-5.0, 0.0, -5.0], [0.0, 0.0, 0.1]])
    result = classified([2, 0, 1, 2], logits)
    terms = [
        math.log(math.exp(1) + math.exp(2) + math.exp(3)) - 3,
        0.0,
        math.log(1 + 2 * math.exp(-5)),
        math.log(2 + math.exp(0.1)) - 0.1,
    ]
    assert result.metrics["accuracy"] == 1.0
    assert result.metrics["log_loss"] == pytest.approx(sum(terms) / 4, abs=1e-9)


def test_a_rows_rounding_is_forgiven() -> None:
    """Sums of float32 probabilities are never quite one."""
    assert classified(TRUTH, (ROWS * 1.0004).astype("float32")).metrics == pytest.approx(
        classified(TRUTH, ROWS).metrics, rel=1e-3
    )


def test_a_class_without_rows_has_no_roc_auc() -> None:
    """It is not defined, and says so; the other metrics are over what is there."""
    result = classified([0, 0, 1], [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]])
    assert math.isnan(result.metrics["roc_auc"])
    assert result.metrics["balanced_accuracy"] == 0.75
    assert result.metrics["accuracy"] == pytest.approx(2 / 3)
    assert result.confusion == ((1, 1, 0), (0, 1, 0), (0, 0, 0))
    assert result.per_class[2] == ("c", 0.0, 0.0, 0.0, 0)


def test_a_class_may_be_called_as_an_average_is() -> None:
    """Each class still has its own row, and the averages theirs."""
    result = classified(TRUTH, ROWS, ("a", "macro avg", "c"))
    assert [row[4] for row in result.per_class] == [3, 1, 2, 6, 6]


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_a_regression_measures_what_was_worked_out_by_hand(shape: tuple[int, ...]) -> None:
    """Errors 1, -2 and 3; from a column or flat."""
    result = regressed([1.0, 2.0, 6.0], np.reshape([2.0, 0.0, 9.0], shape))
    assert result.metrics == pytest.approx(
        {
            "mae": 2.0,
            "mse": 14 / 3,
            "rmse": math.sqrt(14 / 3),
            "r2": 1 - 14 / 14,
            "explained_variance": 1 - ((1 / 3) ** 2 + (8 / 3) ** 2 + (7 / 3) ** 2) / 14,
            "max_error": 3.0,
        }
    )
    assert result.residuals == pytest.approx(
        {
            "mean": 2 / 3,
            "deviation": math.sqrt((1 / 9 + 64 / 9 + 49 / 9) / 3),
            "q05": -1.7,
            "q25": -0.5,
            "q50": 1.0,
            "q75": 2.0,
            "q95": 2.8,
        }
    )


@pytest.mark.parametrize(
    ("task", "predicted", "words"),
    [
        (
            "classification",
            np.ones((6, 2)),
            "predicts the shape \\(6, 2\\); for 3 classes it must have 3 outputs per row",
        ),
        ("classification", np.ones((6, 1)), "predicts the shape \\(6, 1\\)"),
        ("classification", np.ones((6, 2, 3)), "predicts the shape \\(6, 2, 3\\)"),
        (
            "regression",
            np.ones((6, 2)),
            "predicts the shape \\(6, 2\\); a regression has one output",
        ),
        ("regression", np.ones((5, 1)), "predicts the shape \\(5, 1\\)"),
        ("regression", np.array([1, 2, 3, 4, 5, np.nan]), "NaN or infinity"),
        ("classification", np.where(ROWS == 0.8, np.inf, ROWS), "NaN or infinity"),
    ],
)
def test_predictions_that_are_not_of_the_task_are_refused(
    task: str, predicted: NDArray[Any], words: str
) -> None:
    """Instead of being measured as something else."""
    with pytest.raises(ModelError, match=words):
        evaluate(TRUTH, predicted, ABC if task == "classification" else None)


# --- files

NAMES = ("cost $5, or $6", '<b>&"quoted"</b>', "it's, a\\b", "ünï 漢字")
FOUR = np.eye(4)[[0, 1, 2, 3, 0]] * 0.6 + 0.1


def written(
    folder: Path, names: tuple[str, ...] = NAMES, part: str = "validation"
) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    truth = np.array([0, 1, 2, 3, 1])
    return evaluate(truth, FOUR, names).artefacts(folder, part)


def texts(path: Path) -> list[str]:
    return [
        "".join(node.itertext()).strip()
        for node in ElementTree.parse(path).iter()
        if node.tag.endswith("text")
    ]


def test_a_classification_writes_a_report_and_a_matrix(tmp_path: Path) -> None:
    """Under the names that its history manager asks for; those of the test rows with their
    prefix.
    """
    assert written(tmp_path) == {
        "classification_report": tmp_path / "classification_report.csv",
        "confusion_matrix": tmp_path / "confusion_matrix.svg",
        "predictions": tmp_path / "predictions.npz",
    }
    assert set(written(tmp_path, part="test")) == {
        "test_classification_report",
        "test_confusion_matrix",
        "test_predictions",
    }


def test_the_report_is_csv_whatever_the_classes_are_called(tmp_path: Path) -> None:
    """It reads back as it was."""
    with written(tmp_path)["classification_report"].open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["class", "precision", "recall", "f1", "support"]
    assert [row[0] for row in rows] == [*NAMES, "macro avg", "weighted avg"]
    assert [float(row[2]) for row in rows] == [1.0, 0.5, 1.0, 1.0, 0.875, 0.8]


def test_the_matrix_is_xml_with_every_name_as_it_is(tmp_path: Path) -> None:
    """No dollar is taken for mathematics, no `<` for markup."""
    found = texts(written(tmp_path)["confusion_matrix"])
    for name in NAMES:
        assert found.count(name) == 2, name
    assert "Confusion matrix, 5 validation rows" in found


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        *((name, name) for name in ("$\\frac{", "\\$x\\$", "$$", "_^{}", "a$b$c$")),
        *((name, "b") for name in ("bell\x07", "null\x00", "escape\x1b[31m")),
        ("n" * 30, f"{'n' * 21}..."),
    ],
)
def test_any_name_can_be_drawn_and_is_whole_in_the_report(
    tmp_path: Path, name: str, seen: str
) -> None:
    """No half formula is mathematics, what XML cannot hold is shown as something else, and a long
    name is cut to 24 characters.
    """
    paths = written(tmp_path, (name, "b", "c", "d"))
    assert texts(paths["confusion_matrix"]).count(seen) == 2
    assert name in paths["classification_report"].read_text()


def test_a_regression_writes_a_report_and_a_plot(tmp_path: Path) -> None:
    """Metrics, then residuals, as numbers that read back exactly."""
    truth, predicted = np.array([1.0, 2.0, 6.0]), np.array([[2.0], [0.0], [9.0]])
    result = regressed(truth, predicted)
    paths = evaluate(truth, predicted, None).artefacts(tmp_path)
    assert set(paths) == {"regression_report", "predictions_plot", "predictions"}
    with paths["regression_report"].open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    residuals = {f"residual_{name}": value for name, value in result.residuals.items()}
    assert (header, {name: float(value) for name, value in rows}) == (
        ["quantity", "value"],
        {**result.metrics, **residuals},
    )
    assert "Predicted against true, 3 validation rows" in texts(paths["predictions_plot"])


def test_a_plot_is_the_same_bytes_twice(tmp_path: Path) -> None:
    """No date, no random ids."""
    truth, predicted = np.array([1.0, 2.0, 6.0]), np.array([2.0, 0.0, 9.0])
    plots = [written(tmp_path / name)["confusion_matrix"].read_bytes() for name in ("a", "b")]
    for name in ("a", "b"):
        paths = evaluate(truth, predicted, None).artefacts(tmp_path / name)
        plots.append(paths["predictions_plot"].read_bytes())
    assert plots[0] == plots[1]
    assert plots[2] == plots[3]
    assert not re.search(rb"<dc:date>", plots[0] + plots[2])


def test_targets_that_are_all_the_same_are_plotted(tmp_path: Path) -> None:
    """An axis without length is widened."""
    truth = np.array([5.0, 5.0])
    ElementTree.parse(evaluate(truth, truth, None).artefacts(tmp_path)["predictions_plot"])


def test_what_is_predicted_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As probabilities, also of a model that gives logits; of many rows, some, evenly spaced."""
    truth, logits = np.array([0, 1, 1, 0, 1]), np.array([[-3.0], [0.5], [4.0], [0.25], [0.75]])
    evaluation = evaluate(truth, logits, ("a", "b"), logits=True)
    for most, rows in ((LARGEST, slice(None)), (4, slice(None, None, 3))):
        monkeypatch.setattr("runner.training.evaluate.LARGEST", most)
        paths = evaluation.artefacts(tmp_path)
        kept = np.load(paths["predictions"])
        assert kept["truth"].tolist() == truth[rows].tolist()
        expected = 1 / (1 + np.exp(-logits[rows, 0]))
        assert np.allclose(kept["predicted"], np.stack([1 - expected, expected], axis=1))
