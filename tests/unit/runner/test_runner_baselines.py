"""The simple models that stand beside each result: which suit which data, and what they find."""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imsave
from runner_samples import MLP, pipeline
from training_samples import loaded

from history.entry import Entry
from history.ranking import Direction
from history.tasks import ClassificationManager
from history.view.terminal import render
from history.view.text import not_better
from runner.report.terminal import comparison
from runner.training import baselines

Found = dict[str, dict[str, dict[str, float]]]
SPLIT = {"validation": 0.2, "test": 0.2}


def found(task: str, split: Any = SPLIT, **data: Any) -> Found:
    """The baselines of a pipeline over this data."""
    made = pipeline(task={"kind": task}, data={**data, "split": split}, model=MLP)
    return baselines.baselines("main", made, loaded(made))


def by(metric: str, of: Found) -> dict[str, float]:
    return {name: parts["validation"][metric] for name, parts in of.items()}


def test_a_table_of_words_and_empty_cells_has_all_three(tmp_path: Path) -> None:
    """Over each part, with all metrics. What a word changes by a factor, a tree finds and a line
    does not; new words and empty cells are taken.
    """
    chance = np.random.default_rng(0)
    sizes, kinds = chance.uniform(1, 9, 600), chance.choice(["a", "b", "c"], 600)
    prices = sizes * np.select([kinds == "a", kinds == "b"], [1, -1], 3)
    table = pd.DataFrame({"size": sizes, "kind": kinds, "price": prices})
    table.loc[::7, "size"], table.loc[::9, "kind"], table.loc[599, "kind"] = np.nan, None, "new"
    table.to_csv(tmp_path / "table.csv", index=False)
    given = {"kind": "table", "path": str(tmp_path / "table.csv"), "target": "price"}
    regressed = found("regression", **given)
    assert [*regressed] == ["mean", "ridge", "hgb"]
    assert [*regressed["hgb"]] == ["validation", "test"]
    r2 = by("r2", regressed)
    assert r2["mean"] < 0.05 < 0.3 < r2["ridge"] < r2["hgb"]
    table.assign(price=np.where(table.price > 5, "dear", "cheap")).to_csv(
        tmp_path / "table.csv", index=False
    )
    classified = by("accuracy", found("classification", **given, missing="drop"))
    assert [*classified] == ["majority", "logistic", "hgb"]
    assert classified["majority"] < 0.8 < min(classified["logistic"], classified["hgb"])


def test_arrays_with_a_class_that_the_training_rows_lack(tmp_path: Path) -> None:
    """Each class has its probability, 0 for the one that is not known."""
    x = np.random.default_rng(0).normal(size=(60, 2)).astype("float32")
    y = (x[:, 0] > 0) + np.array([0] * 50 + [1] * 10)
    for part, rows in (("train", slice(50)), ("validation", slice(50, 60))):
        np.savez(tmp_path / f"{part}.npz", x=x[rows], y=y[rows])
    paths = {part: str(tmp_path / f"{part}.npz") for part in ("train", "validation")}
    accuracy = by("accuracy", found("classification", {}, kind="npz", path=paths))
    assert [*accuracy] == ["majority", "logistic", "hgb"]
    assert all(0 <= value < 1 for value in accuracy.values())


@pytest.mark.parametrize(
    ("features", "season", "expected"),
    [
        (None, 12, ["mean", "last_value", "seasonal", "ridge"]),
        (None, 0, ["mean", "last_value", "ridge"]),
        (["other"], 12, ["mean", "ridge"]),
    ],
)
def test_a_series_is_compared_with_its_own_past(
    tmp_path: Path, features: list[str] | None, season: int, expected: list[str]
) -> None:
    """The last value, and that of a season before, if the training rows have one; where a window
    holds the target's past.
    """
    steps, chance = np.arange(400), np.random.default_rng(0)
    noise = chance.normal(0, 0.1, 400)
    series = 3 * np.sin(2 * np.pi * steps / season) + 0.01 * steps if season else np.cumsum(noise)
    pd.DataFrame({"other": chance.normal(size=400), "y": series + noise}).to_csv(
        tmp_path / "series.csv", index=False
    )
    path = str(tmp_path / "series.csv")
    told = found(
        "regression",
        kind="windows",
        path=path,
        target="y",
        sequence_length=12,
        **({"features": features} if features else {}),
    )
    assert [*told] == expected
    rmse = by("rmse", told)
    if "seasonal" in rmse:
        assert rmse["ridge"] < rmse["seasonal"] < rmse["last_value"]
        assert rmse["seasonal"] == pytest.approx(np.hypot(0.12, 0.1 * 2**0.5), rel=0.2)
    elif not features:
        last = pd.read_csv(path)["y"].diff()[240 + 12 : 320]
        assert rmse["last_value"] == pytest.approx(float(np.sqrt((last**2).mean())), rel=1e-5)


def test_images_are_told_by_their_pixels(tmp_path: Path) -> None:
    """Of large ones, by every so many of them."""
    chance = np.random.default_rng(0)
    for name, shade in (("dark", 60), ("light", 120)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(chance.normal(shade, 20, (60, 50, 3)), 0, 255).astype("uint8")
            imsave(tmp_path / "photos" / name / f"{number}.png", pixels)
    given = {"kind": "images", "path": str(tmp_path / "photos"), "image_size": [60, 50]}
    assert by("accuracy", found("classification", **given)) == {"majority": 0.5, "logistic": 1.0}


def test_streams_and_what_is_none_of_these_have_the_trivial_one_alone() -> None:
    """Whose rows are never collected."""
    given = {"_target_": f"{__name__}.streams"}
    assert by("accuracy", found("classification", {}, **given)) == {"majority": 0.75}


def streams() -> dict[str, Any]:
    import tensorflow as tf

    x, y = np.eye(8, dtype="float32"), np.array([0, 1, 1, 1] * 2)
    rows = {"train": slice(4), "validation": slice(4, 8)}
    return {
        name: tf.data.Dataset.from_tensor_slices((x[part], y[part])).batch(2)
        for name, part in rows.items()
    }


def test_many_rows_cost_little(tmp_path: Path) -> None:
    """Of processor time; more are sampled, the same ones each time."""
    x = np.random.default_rng(0).normal(size=(60_000, 10)).astype("float32")
    np.savez(tmp_path / "rows.npz", x=x, y=x[:, 0] * x[:, 1])
    given = {"kind": "npz", "path": str(tmp_path / "rows.npz"), "split": SPLIT}
    made = pipeline(task={"kind": "regression"}, data=given, model=MLP)
    data, clock = loaded(made), time.process_time()
    first = baselines.baselines("main", made, data)
    assert time.process_time() - clock < 2
    assert by("r2", first)["hgb"] > 0.9
    assert baselines.baselines("main", made, data) == first


def test_one_that_fails_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The others stay."""
    paths = {part: str(tmp_path / f"{part}.npz") for part in ("train", "validation")}
    np.savez(paths["train"], x=np.eye(8), y=np.zeros(8))  # of one class, which it cannot learn
    np.savez(paths["validation"], x=-np.eye(8), y=np.array([0, 1] * 4))
    with caplog.at_level(logging.WARNING):
        accuracy = by("accuracy", found("classification", {}, kind="npz", path=paths))
    assert accuracy["majority"] == 0.5
    assert "logistic" not in accuracy
    assert "main: the baseline logistic is left out: " in caplog.text


def entry(
    name: str, mean: float | None, deviation: float, repeats: int, **baseline: float
) -> Entry:
    return Entry(
        {
            "id": f"{name}-1",
            "run_id": "r",
            "pipeline": name,
            "status": "complete",
            "validation": {
                "metrics": {"accuracy": mean},
                "deviation": {"accuracy": deviation} if repeats > 1 else {},
                "repeats": repeats,
            },
            "baselines": {
                each: {"validation": {"accuracy": value}, "test": {"accuracy": value - 0.01}}
                for each, value in baseline.items()
            },
        },
        Path(),
    )


@pytest.mark.parametrize(
    ("mean", "deviation", "repeats", "said"),
    [
        (0.95, 0.0, 1, ""),
        (0.90, 0.0, 1, "mlp does not beat the baseline hgb: accuracy 0.9000 against 0.9000"),
        (0.95, 0.01, 4, ""),
        (
            0.905,
            0.01,
            4,
            "mlp does not beat the baseline hgb beyond noise: "
            "accuracy 0.9050 ± 0.0100 against 0.9000",
        ),
        (
            0.8,
            0.01,
            4,
            "mlp does not beat the baseline hgb: accuracy 0.8000 ± 0.0100 against 0.9000",
        ),
        (None, 0.0, 1, ""),
    ],
)
def test_a_model_that_does_not_beat_its_baselines_is_told_so(
    mean: float | None, deviation: float, repeats: int, said: str
) -> None:
    """Beyond the noise of its repeats; of one repeat, that is not known."""
    made = entry("mlp", mean, deviation, repeats, majority=0.5, hgb=0.9)
    assert not_better(made, "accuracy", "max") == said
    direction: Direction = "max"
    assert not_better(entry("mlp", mean, deviation, repeats), "accuracy", direction) == ""


def test_the_best_baseline_stands_beside_each_pipeline() -> None:
    """With its value; then who is doubted, and who does not beat it."""
    entries = [
        entry("mlp", 0.95, 0.001, 2, majority=0.5, hgb=0.9),
        entry("cnn", 0.85, 0.001, 2, majority=0.5, hgb=0.9),
        entry("old", 0.7, 0.001, 2),
    ]
    entries[2].document["validation"]["warning"] = "far worse than its trial"
    table = render(comparison(ClassificationManager(Path()), entries, "accuracy", "r"))
    _, _, _, *rows = table.splitlines()
    assert [row.split()[1] for row in rows[:3]] == ["mlp", "cnn", "old"]
    assert ["0.9000 hgb" in row for row in rows[:3]] == [True, True, False]
    assert "old: far worse than its trial" in rows
    assert "cnn does not beat the baseline hgb: accuracy 0.8500 ± 0.0010 against 0.9000" in rows


def test_a_comparison_answers_first_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipeline, ranking metric, test, baseline, time and entry; the other metrics in blocks below,
    each with the pipelines again; what none has is left out. Wider, a row is a line.
    """
    entries = [
        entry("mlp", 0.95, 0.001, 2, majority=0.5, hgb=0.9),
        entry("a-pipeline-with-a-long-name", 0.9505, 0.001, 2),
        entry("broken", None, 0.0, 1),
    ]
    for each in entries:
        each.document["id"] = f"{each.pipeline}-bcdfghjk"
        each.document["timings"] = {"search": 5000, "validation": 40}
        each.document["test"] = {"metrics": {"accuracy": 0.94}}
    others = dict.fromkeys(("balanced_accuracy", "f1_macro", "log_loss", "roc_auc"), 0.5)
    entries[0].document["validation"]["metrics"] |= others
    entries[2].document["status"] = "failed"
    monkeypatch.setenv("COLUMNS", "80")
    lines = render(comparison(ClassificationManager(Path()), entries, "accuracy", "r")).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["pipeline", "accuracy", "test", "baseline", "time", "entry"]
    second = ["0.9505", "±", "0.0010", "0.9400", "-", "84", "min", "a-pipel…bcdfghjk"]
    assert lines[3].split() == ["1=", "a-pi…ong-name", *second]
    assert lines[5].split()[:3] == ["-", "broken", "failed"]
    below = [line.split() for line in lines[6:] if line.startswith("pipeline")]
    assert [name for block in below for name in block[1:]] == [*others, "trials"]
    monkeypatch.setenv("COLUMNS", "200")
    table = render(comparison(ClassificationManager(Path()), entries, "accuracy", "r"))
    assert table.count("pipeline  ") == 1
    assert "a-pipeline-with-a-long-name-bcdfghjk" in table
