"""Entries to report on, made without training: of each task, with all that a run stores."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from history_samples import artefacts

import history
from history.entry import Entry
from history.tasks import ClassificationResult, RegressionResult

SCRIPT = "<script>alert('x')</script>"


# As Keras Tuner writes it.
SPACE: list[dict[str, Any]] = yaml.safe_load(
    """
- class_name: Choice
  config: {name: optimizer, conditions: [], values: [sgd, adam], ordered: false}
- class_name: Float
  config:
    name: momentum
    conditions: [{class_name: Parent, config: {name: optimizer, values: [sgd]}}]
    min_value: 0.0
    max_value: 0.9
    step: 0.1
- class_name: Float
  config: {name: rate, conditions: [], min_value: 1.0e-4, max_value: 0.01, sampling: log, step: }
- class_name: Int
  config: {name: width, conditions: [], min_value: 16, max_value: 128, step: 16, sampling: linear}
- class_name: Boolean
  config: {name: bias, conditions: []}
- class_name: Choice
  config: {name: kind, conditions: [], values: [plain, "SCRIPT"], ordered: false}
- class_name: Fixed
  config: {name: seed, conditions: [], value: 3}
""".replace("SCRIPT", SCRIPT)
)


def trials(count: int, objective: str, epochs: int = 6) -> list[dict[str, Any]]:
    """Return trials, the second of which has failed; best are those with a rate of about 0.001."""
    draw, rows = np.random.default_rng(0), []
    for number in range(count):
        rate, adam = 10 ** draw.uniform(-4, -2), draw.random() < 0.5
        score = 0.97 - 0.2 * (np.log10(rate) + 3) ** 2 - 0.05 * draw.random()
        values: dict[str, Any] = {"optimizer": "adam" if adam else "sgd"}
        if not adam:
            values["momentum"] = 0.1 * int(draw.integers(10))
        values |= {
            "rate": rate,
            "width": 16 * int(draw.integers(1, 9)),
            "bias": bool(draw.integers(2)),
            "kind": SCRIPT if number % 3 == 0 else "plain",
            "seed": 3,
        }
        row = {
            "trial_id": f"{number:04}",
            "status": "COMPLETED",
            "score": score,
            "values": values,
            "best_epoch": epochs - 1,
            "started": f"2026-07-01T{number // 60:02}:{number % 60:02}:00.000+00:00",
            "seconds": 30 + 20 * draw.random(),
            "history": [{objective: list(score * (1 - np.exp(-np.arange(1, epochs + 1))))}],
            "message": None,
        }
        rows.append(row)
    failure: dict[str, Any] = {"status": "FAILED", "score": None, "best_epoch": None, "history": []}
    rows[1] |= {**failure, "message": f"ValueError: no such layer {SCRIPT}"}
    return rows


def refits(count: int, name: str, epochs: int = 8) -> list[dict[str, Any]]:
    draw, at = np.random.default_rng(1), np.arange(1, epochs + 1)
    curves = {"loss": np.exp(-at / 3), name: 1 - np.exp(-at / 2)}
    curves |= {f"val_{key}": values + 0.1 for key, values in curves.items()}
    rows: list[dict[str, Any]] = []
    for number in range(count):
        noisy = {key: list(curve + draw.normal(0, 0.02, epochs)) for key, curve in curves.items()}
        rows.append({"seed": number, "history": noisy})
    return rows


def arrays(**given: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **given)  # type: ignore[arg-type]
    return file.getvalue()


def predicted(classes: int, rows: int = 120) -> bytes:
    """Return predictions: class probabilities or, of no classes, values."""
    draw = np.random.default_rng(2)
    if not classes:
        values = 10 * np.sin(np.arange(rows) / 9) + draw.normal(0, 1, rows)
        return arrays(truth=values, predicted=values + draw.normal(0, 2, rows))
    truth = draw.integers(classes, size=rows)
    rows_of = np.exp(2 * np.eye(classes)[truth] + draw.normal(0, 1, (rows, classes)))
    return arrays(truth=truth, predicted=rows_of / rows_of.sum(axis=1, keepdims=True))


# Of a run that has stored all, but for what differs by task and by the trials.
DOCUMENT = """
run_id: 2026-07-01_10-00-00-000001
pipeline: mlp
status: complete
seed: 0
overrides: [+experiment=flowers, seed=0]
search: {tuner: random, seconds: 480.0}
data:
  source: {kind: table, path: flowers.csv, target: species}
  shapes: {train: [360, 4], validation: [120, 4], test: [120, 4]}
  columns: {petal width: number, colour: category}
  read: read 2 numbers, 1 category (colour 3 words); target species
  split: {kind: stratified, validation: 0.2, test: 0.2, seed: 0}
environment:
  python: 3.11.2
  packages: {keras: 3.15.1, tensorflow: 2.21.0}
  git: {commit: 0123abc, dirty: false}
  processor: AMD EPYC
  cores: 2
  accelerator: null
timings: {preparation: 0.21, search: 480.0, validation: 75.5}
"""
MEASURED = {
    "classification": """
experiment: flowers
validation:
  metrics: {accuracy: 0.9321, log_loss: 0.21}
  deviation: {accuracy: 0.0042, log_loss: 0.02}
test: {metrics: {accuracy: 0.9512}, deviation: {accuracy: 0.006}}
baselines: {simple: {validation: {accuracy: 0.8}, test: {accuracy: 0.7}}}
""",
    "regression": """
experiment: houses
validation: {metrics: {rmse: 0.9321}, deviation: {rmse: 0.0042}}
test: {metrics: {rmse: 0.9512}, deviation: {rmse: 0.006}}
baselines: {simple: {validation: {rmse: 1.2}, test: {rmse: 1.3}}}
""",
}
CLASSES = ("setosa", "versicolor", "virginica")


def store(
    root: Path,
    task: str = "classification",
    *,
    classes: tuple[str, ...] = CLASSES,
    count: int = 12,
    repeats: int = 3,
    **keys: Any,
) -> Entry:
    """Store an entry that has all artefacts of a run."""
    document: dict[str, Any] = yaml.safe_load(DOCUMENT + MEASURED[task])
    result: ClassificationResult | RegressionResult
    if task == "classification":
        rows_of_report = tuple((name, 0.9, 0.8, 0.85, 40) for name in classes)
        result = ClassificationResult({}, classes, rows_of_report, ())
        objective, kept = "val_accuracy", predicted(len(classes))
        document["data"]["classes"] = list(classes)
    else:
        result = RegressionResult({"rmse": 1.5}, {"mean": -0.5, "q50": 0.25})
        objective, kept = "val_mse", predicted(0)
    rows = trials(count, objective)
    contents = {
        "config": f'seed: 0\npipelines:\n  mlp: {{model: {{note: "{SCRIPT}"}}}}\n'.encode(),
        "trials": json.dumps(rows).encode(),
        "history": json.dumps(refits(repeats, objective.removeprefix("val_"))).encode(),
        "predictions": kept,
        "test_predictions": kept,
        f"{task}_report": result.csv().encode(),
    }
    manager = history.open(root).manager_of(Entry({"task": task}, root))
    folder = root.parent / "made"
    files = artefacts(manager, folder)
    for name, content in contents.items():
        files.setdefault(name, folder / f"{name}.bin").write_bytes(content)
    best = max(rows, key=lambda row: row["score"] or 0)
    document["best"] = {key: best[key] for key in ("trial_id", "score", "values", "best_epoch")}
    document["search"] |= {
        "objective": {"name": objective, "direction": "max"},
        "space": SPACE,
        "trials": {"total": count, "completed": count - 1, "failed": 1},
    }
    document["data"]["fingerprint"] = "ab" * 32
    document["data"]["columns"][SCRIPT] = "number"
    for part in ("validation", "test"):
        document[part]["repeats"] = repeats
    return manager.add({**document, **keys}, files)


FAILED: Mapping[str, Any] = {
    "run_id": "2026-07-01_10-00-00-000001",
    "experiment": "flowers",
    "pipeline": "cnn",
    "status": "failed",
    "error": {"type": "ValueError", "message": f"no such layer {SCRIPT}", "stage": "search"},
}


def store_failed(root: Path) -> Entry:
    """Store an entry that has nothing but an error."""
    manager = history.open(root).manager_of(Entry({"task": "classification"}, root))
    return manager.add(FAILED, {})
