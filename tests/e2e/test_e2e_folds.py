"""Scores to believe: trials over folds, and the best trial's own weights in place of a refit's."""

import json
import math
import statistics
from pathlib import Path

import pytest
from e2e_samples import entries, refits, run_inline, trials, write

pytestmark = pytest.mark.e2e

MODEL = """
import keras
import numpy as np


def rows():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(90, 3))
    return x, (x.sum(axis=1) + draw.normal(size=90) > 0).astype(int)


def build(units, rate):
    layers = [keras.layers.Dense(units, "relu"), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((3,)), *layers])
    optimizer = keras.optimizers.Adam(rate)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"], run_eagerly=True)
    return model
"""
EXPERIMENT = """# @package _global_
defaults: [/task: classification, /tuner: random, _self_]
data: {_target_: mine.rows, split: {test: 0.2}}
fit: {epochs: 3}
model:
  _target_: mine.build
  units: {hp: Int, min_value: 4, max_value: 8}
  rate: {hp: Float, min_value: 1e-3, max_value: 1e-1, sampling: log}
callbacks: {stop: {_target_: keras.callbacks.EarlyStopping, patience: 3}}
pipelines:
  folds: {tuner: {max_trials: 2, folds: 3}, validation: {repeats: 2}}
  kept:
    tuner: {kind: hyperband, max_epochs: 3}
    validation: {weights: trial}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's, in which both pipelines have run."""
    folder = tmp_path_factory.mktemp("folds")
    write(folder, mine_py=MODEL, conf__experiment__scores_yaml=EXPERIMENT)
    done = run_inline(folder, "+experiment=scores", "hooks.purge=null")
    assert done.exit_code == 0, done.err
    assert "conditioned on metric" not in done.err
    assert "Skipping variable loading" not in done.err
    return folder


def test_a_score_is_the_mean_over_folds_and_the_refits_are_of_all_rows_but_test(
    folder: Path,
) -> None:
    """Validation metrics are those of models that had seen none of the rows, one for each fold; of
    what is stored, test rows alone can tell.
    """
    entry = entries(folder)["folds"]
    for row in trials(folder, entry):
        best = [min(told["val_loss"]) for told in row["history"]]
        assert [fold["val_loss"] for fold in row["folds"]] == best
        assert row["score"] == pytest.approx(statistics.fmean(best))
        assert len(best) == 3
    rows = refits(folder, entry)
    epochs = entry["best"]["best_epoch"] + 1
    assert [[*row["history"]] for row in rows] == [["accuracy", "loss"]] * 5
    assert [row["epochs"] for row in rows] == [epochs] * 5
    assert len({row["seed"] for row in rows}) == 5
    assert [[part for part in ("validation", "test") if part in row] for row in rows] == [
        *[["validation"]] * 3,
        *[["test"]] * 2,
    ]
    validation, test = entry["validation"], entry["test"]
    assert (validation["repeats"], validation["folds"], validation["kept"]) == (3, 3, 3)
    found = [row["validation"]["accuracy"] for row in rows[:3]]
    assert validation["metrics"]["accuracy"] == pytest.approx(statistics.fmean(found))
    assert validation["deviation"]["accuracy"] == pytest.approx(statistics.stdev(found))
    assert test["repeats"] == 2
    report = (folder / "results" / entry["artefacts"]["classification_report"]["path"]).read_text()
    assert report.splitlines()[-1].endswith(",72")  # all rows but the 18 of the test
    assert {*entry["baselines"]} == {"majority", "logistic", "hgb"}
    for found in entry["baselines"].values():
        assert {*found} == {"validation", "test"}


def test_the_best_trials_own_weights_are_the_model(folder: Path) -> None:
    """It reaches what the trial did; no other checkpoint is left, and how much there was is
    known.
    """
    entry = entries(folder)["kept"]
    [row] = refits(folder, entry)
    trial = next(r for r in trials(folder, entry) if r["trial_id"] == entry["best"]["trial_id"])
    assert row["history"] == trial["history"][0]
    assert row["validation"]["log_loss"] == pytest.approx(entry["best"]["score"], rel=1e-4)
    assert "warning" not in entry["validation"]
    left = [path.parent.name for path in folder.glob("results/trials/*kept/*/*/*.h5")]
    assert left == [f"trial_{trial['trial_id']}"]
    assert 0 < entry["search"]["peak_bytes"] < 10**6


@pytest.mark.parametrize("name", ["folds", "kept"])
def test_either_is_reproduced_from_the_history_alone(name: str, folder: Path) -> None:
    """To the last bit: the trials that led to the best one are trained again where need be."""
    done = run_inline(folder, f"reproduce={entries(folder)[name]['id']}", "trust=true")
    assert done.exit_code == 0, done.err
    assert f"{entries(folder)[name]['id']}: identical" in done.out


WRONG = {
    "data={kind: table, path: {train: a.csv, validation: b.csv}, target: y}": "own validation rows",
    "model={_target_: mine.Own}": "a `fit` of your own may need validation rows",
    "tuner.folds=80": "72 rows cannot be divided like this",
}


def test_what_cannot_have_folds_is_said(folder: Path) -> None:
    """Before anything is trained."""
    own = """
import keras_tuner

class Own(keras_tuner.HyperModel):
    def build(self, hp):
        return build(4, 0.1)

    def fit(self, hp, model, *rows, **given):
        return model.fit(*rows, **given)
"""
    a, b = ("".join(f"{draw(n)},{n % 2}\n" for n in range(40)) for draw in (math.sin, math.cos))
    write(folder, mine_py=MODEL + own, a_csv=f"x,y\n{a}", b_csv=f"x,y\n{b}")
    for given, said in WRONG.items():
        arguments = [f"pipelines.folds.{given}", "only=[folds]", "mode=check"]
        done = run_inline(folder, "+experiment=scores", *arguments)
        assert (done.exit_code, done.out) == (2, ""), done.err
        assert said in done.err
    assert json.loads((folder / "results/history.json").read_text())
