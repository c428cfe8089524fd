"""Scores to believe: trials over folds, and the best trial's own weights in place of a refit's."""

import math
import statistics
from pathlib import Path

import pytest
from e2e_samples import refused, write
from world import SCORES, World

pytestmark = pytest.mark.e2e


def test_a_score_is_the_mean_over_folds_and_the_refits_are_of_all_rows_but_test(
    world: World,
) -> None:
    """Validation metrics are those of models that had seen none of the rows, one for each fold; of
    what is stored, test rows alone can tell.
    """
    entry = world.entries["scores", "folds"]
    for row in entry.trials():
        best = [min(curves["val_loss"]) for curves in row["history"]]
        assert [fold["val_loss"] for fold in row["folds"]] == best
        assert row["score"] == pytest.approx(statistics.fmean(best))
        assert len(best) == 3
    rows = entry.refits()
    epochs = entry["best"]["best_epoch"] + 1
    assert [[*row["history"]] for row in rows] == [["accuracy", "loss"]] * 5
    assert [row["epochs"] for row in rows] == [epochs] * 5
    assert len({row["seed"] for row in rows}) == 5
    assert ["validation" in row for row in rows] == [True, True, True, False, False]
    assert ["test" in row for row in rows] == [False, False, False, True, True]
    validation, test = entry["validation"], entry["test"]
    assert (validation["repeats"], validation["folds"], validation["kept"]) == (3, 3, 3)
    accuracies = [row["validation"]["accuracy"] for row in rows[:3]]
    assert validation["metrics"]["accuracy"] == pytest.approx(statistics.fmean(accuracies))
    assert validation["deviation"]["accuracy"] == pytest.approx(statistics.stdev(accuracies))
    assert test["repeats"] == 2
    report = entry.path("classification_report").read_text()
    assert report.splitlines()[-1].endswith(",72")  # all rows but the 18 of the test
    assert entry["baselines"].keys() == {"majority", "logistic", "hgb"}
    for parts in entry["baselines"].values():
        assert parts.keys() == {"validation", "test"}


def test_the_best_trials_own_weights_are_the_model(world: World) -> None:
    """It reaches what the trial did; no other checkpoint is left, and how much there was is
    known.
    """
    entry, err = world.entries["scores", "kept"], world.done["scores"].err
    assert "conditioned on metric" not in err
    assert "Skipping variable loading" not in err
    [refit] = entry.refits()
    rows = {row["trial_id"]: row for row in entry.trials()}
    best = entry["best"]["trial_id"]
    assert refit["history"] == rows[best]["history"][0]
    assert refit["validation"]["log_loss"] == pytest.approx(entry["best"]["score"], rel=1e-4)
    assert "warning" not in entry["validation"]
    checkpoints = world.folder.glob("results/trials/scores-kept/*/*/*.h5")
    assert [path.parent.name for path in checkpoints] == [f"trial_{best}"]
    assert 0 < entry["search"]["peak_bytes"] < 10**6


OWN = """
import keras_tuner

class Own(keras_tuner.HyperModel):
    def build(self, hp):
        return build(4, 0.1)

    def fit(self, hp, model, *rows, **given):
        return model.fit(*rows, **given)
"""
WRONG = {
    "data={kind: table, path: {train: a.csv, validation: b.csv}, target: y}": "own validation rows",
    "model={_target_: my_scores.Own}": "a `fit` of your own may need validation rows",
    "tuner.folds=80": "72 rows cannot be divided like this",
}


@pytest.mark.nightly
def test_what_cannot_have_folds_is_said(world: World, tmp_path: Path) -> None:
    """Before anything is trained."""
    folder = world.copy(tmp_path / "wrong", "results")
    a, b = ("".join(f"{draw(n)},{n % 2}\n" for n in range(40)) for draw in (math.sin, math.cos))
    write(folder, my_scores_py=SCORES + OWN, a_csv=f"x,y\n{a}", b_csv=f"x,y\n{b}")
    for argument, message in WRONG.items():
        command = ["+experiment=scores", f"pipelines.folds.{argument}", "only=[folds]"]
        assert message in refused(folder, *command, "mode=check")
