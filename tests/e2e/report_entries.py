"""Entries as runs store them, built by hand, for a report: of a search over conditions, of one of
500 trials, of a series, and one that failed.
"""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np

from history import Entry, files, registry

EVIL = "</td><script>alert(1)</script>"


def hp(kind: str, name: str, **config: object) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, "conditions": [], **config}}


SPACE = [
    hp("Int", "model.hidden.h1", min_value=16, max_value=128, step=16, sampling="linear"),
    hp("Float", "model.learning_rate", min_value=1e-4, max_value=1e-2, sampling="log", step=None),
    hp("Float", "model.dropout", min_value=0.0, max_value=0.5, step=None, sampling=None),
    hp("Choice", "model.kind", values=["plain", EVIL], ordered=False),
    hp(
        "Boolean",
        "model.wide",
        conditions=[
            {"class_name": "Parent", "config": {"name": "model.kind", "values": ["plain"]}}
        ],
    ),
]
EPOCHS = 6


def trials(count: int, objective: str) -> list[dict[str, Any]]:
    draw = random.Random(count)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        values: dict[str, Any] = {
            "model.hidden.h1": draw.randrange(16, 129, 16),
            "model.learning_rate": 10 ** draw.uniform(-4, -2),
            "model.dropout": draw.uniform(0, 0.5),
            "model.kind": draw.choice(["plain", EVIL]),
            "model.wide": draw.random() < 0.5,
        }
        score = 0.95 - (math.log10(values["model.learning_rate"]) + 3) ** 2 / 4
        score -= values["model.dropout"] / 5 + draw.uniform(0, 0.05)
        failed = number % 20 == 3
        rows.append(
            {
                "trial_id": f"{number:04}",
                "status": "FAILED" if failed else "COMPLETED",
                "score": None if failed else score,
                "values": values,
                "best_epoch": None if failed else EPOCHS - 1,
                "started": f"2026-07-01T{10 + number // 1200:02}:{number // 20 % 60:02}"
                f":{number % 20 * 3:02}+00:00",
                "seconds": draw.uniform(2, 6),
                "history": [{objective: [score - 0.3 / (e + 1) for e in range(EPOCHS)]}],
                "message": "ValueError: it does not fit" if failed else None,
            }
        )
    return rows


def predicted(task: str) -> tuple[Any, Any]:
    """Truth and predictions of held-out rows."""
    draw = np.random.default_rng(0)
    if task == "regression":
        truth = np.sin(np.arange(120) / 6) * 10 + 20
        return truth, truth + draw.normal(0, 1.5, 120)
    truth = np.arange(150) % 3
    scores = draw.random((150, 3))
    scores[np.arange(150), truth] += 0.7
    return truth, scores / scores.sum(axis=1, keepdims=True)


def store(root: Path, pipeline: str, task: str, count: int, series: bool = False) -> Entry:
    """Store an entry of a search of so many trials."""
    made, metric = root.parent / "made", {"classification": "accuracy", "regression": "rmse"}[task]
    made.mkdir(exist_ok=True)
    objective, value = f"val_{metric}", {"accuracy": 0.93, "rmse": 1.5}[metric]
    rows, (truth, guess) = trials(count, objective), predicted(task)
    best = max((row for row in rows if row["score"] is not None), key=lambda row: row["score"])
    curves = {
        name: [start / (epoch + 1) + 0.1 for epoch in range(EPOCHS)]
        for name, start in {"loss": 1.0, "val_loss": 1.1, metric: 0.5, objective: 0.6}.items()
    }
    refits = [
        {"seed": seed, "metrics": {metric: value}, "test": {metric: value}, "history": curves}
        for seed in range(3)
    ]
    classes = ["setosa", "<b>versicolor</b>", "virginica"]
    report = (
        "class,precision,recall,f1,support\n" + "".join(f"{c},0.9,0.8,0.85,50\n" for c in classes)
        if task == "classification"
        else f"quantity,value\nrmse,{value}\nresidual_mean,0.1\n"
    )
    for name, content in {
        "model.keras": b"a model",
        "oracle.json": b"{}",
        "config.yaml": f"pipeline: {pipeline}\nnote: '{EVIL}'\n".encode(),
        "trials.json": files.to_json(rows),
        "history.json": files.to_json(refits),
        f"{task}_report.csv": report.encode(),
        "confusion_matrix.svg": b"<svg/>",
        "predictions_plot.svg": b"<svg/>",
    }.items():
        (made / name).write_bytes(content)
    artefacts = {path.stem: path for path in made.iterdir()}
    for prefix in ("", "test_"):
        name = f"{prefix}predictions"
        artefacts[name] = made / f"{name}.npz"
        np.savez_compressed(artefacts[name], truth=truth, predicted=guess)
    worse = {metric: {"accuracy": 0.33, "rmse": 7.2}[metric]}
    return registry.manager(task, root).add(
        {
            "run_id": "2026-07-01_10-00-00",
            "experiment": "flowers",
            "pipeline": pipeline,
            "status": "complete",
            "seed": 1,
            "overrides": [f"note={EVIL}"],
            "data": {
                "read": "read 4 numbers",
                "source": {"kind": "windows" if series else "csv", "path": "flowers.csv"},
                "columns": {"petal": "number", "colour": EVIL},
                "shapes": {"train": [90, 4], "validation": [30, 4], "test": [30, 4]},
                "classes": classes if task == "classification" else None,
                "split": {"kind": "random", "validation": 0.2, "test": 0.2, "seed": 1},
            },
            "search": {
                "tuner": "random",
                "objective": {"name": objective, "direction": "max"},
                "space": SPACE,
                "oracle": {},
                "trials": {
                    "total": count,
                    "completed": sum(row["score"] is not None for row in rows),
                    "failed": sum(row["score"] is None for row in rows),
                },
                "seconds": sum(row["seconds"] for row in rows),
            },
            "best": {key: best[key] for key in ("trial_id", "score", "values")},
            "baselines": {"most_frequent": {"validation": worse, "test": worse}},
            "validation": {
                "metrics": {metric: value},
                "deviation": {metric: 0.01},
                "repeats": 3,
            },
            "test": {"metrics": {metric: value}, "deviation": {metric: 0.02}},
            "timings": {"preparation": 0.3, "search": 88.0, "validation": 50.0},
            "environment": {"python": "3.11.7", "packages": {"keras": "3.15.1"}, "cores": 2},
        },
        artefacts,
    )


def store_all(root: Path) -> dict[str, Entry]:
    """Store every kind, and return them by pipeline."""
    failed = registry.manager("classification", root).add(
        {
            "run_id": "r",
            "experiment": "flowers",
            "pipeline": "broken",
            "status": "failed",
            "error": {"type": "ValueError", "message": EVIL, "stage": "search"},
        },
        {},
    )
    return {
        "broken": failed,
        "mlp": store(root, "mlp", "classification", 12),
        "large": store(root, "large", "classification", 500),
        "load": store(root, "load", "regression", 2, series=True),
    }
