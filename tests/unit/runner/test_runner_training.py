"""What a search promises of its trainings, by a model whose numbers can be worked out by hand.

The model is one weight w without a bias, trained on rows x = 1, y = 10 in one step an epoch: a step
at rate r closes 2r of the gap to 10. From w = 0 at r = 0.25 the epochs leave 5, 7.5 and 8.75. The
validation rows x = 2, y = 14 want w = 7: val_loss is 4 (w - 7)², thus 16, 1 and 12.25, so that the
best of three epochs is the one in the middle.
"""

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from runner_samples import pipeline

from history.files import held
from runner.config.schema import Pipeline, Run
from runner.errors import SearchError
from runner.search.loop import Progress, search
from runner.search.state import Place
from runner.training.build import bench
from runner.training.refit import Ranking, validate

RATES = {"hp": "Float", "min_value": 0.1, "max_value": 0.3}


@pytest.fixture(autouse=True)
def _session() -> Iterator[None]:
    """Names that Keras numbers are not left to other tests."""
    yield
    keras.backend.clear_session(free_memory=False)


def rows() -> dict[str, tuple[Any, Any]]:
    """A data function: one row, four times to train on and twice to validate."""
    ones = np.ones((4, 1))
    return {"train": (ones, ones[:, 0] * 10), "validation": (ones[:2] * 2, ones[:2, 0] * 14)}


def words() -> dict[str, tuple[Any, Any]]:
    """A data function: three rows of class a and one of b."""
    ones = np.ones((4, 1))
    return {"train": (ones, np.array([*"aaab"])), "validation": (ones[:2] * 2, np.array([*"ab"]))}


def line(start: str = "0", rate: float = 0.25) -> keras.Model:
    """A model function; `start` is the weight at the beginning, or random."""
    drawn = "glorot_uniform" if start == "random" else keras.initializers.Constant(float(start))
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer=drawn)
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(keras.optimizers.SGD(rate), loss="mse")
    return model


def even(num_classes: int) -> keras.Model:
    """A model function; before the first step every class is as likely as any other."""
    dense = keras.layers.Dense(num_classes, activation="softmax", kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    return model


def place(folder: Path) -> Place:
    return Place(folder / "search", "f" * 64, folder / ".locks")


def settings(**own: Any) -> Pipeline:
    """A pipeline of one trial of three epochs, with these sections in place of its own."""
    sections = {
        "task": {"kind": "regression"},
        "data": {"_target_": f"{__name__}.rows"},
        "model": {"_target_": f"{__name__}.line"},
        "tuner": {"kind": "random", "max_trials": 1},
        "fit": {"epochs": 3},
        **own,
    }
    return pipeline(**sections)


def searched(
    folder: Path, seed: int = 0, told: list[Progress] | None = None, **own: Any
) -> list[dict[str, Any]]:
    """The trials of a search in a folder, as the history keeps them."""
    notify = (told if told is not None else []).append
    marker = {"pipeline": "main"}
    return search(Run(seed=seed), settings(**own), place(folder), marker, notify).record.trials


def kept(folder: Path) -> list[Path]:
    """The checkpoints that a search has left."""
    return sorted(folder.glob("search/trial_*/checkpoint.weights.h5"))


def test_every_execution_and_every_run_has_its_own_seed(tmp_path: Path) -> None:
    """Executions, trials, and runs of other seeds begin with other weights; a seed repeats."""
    own: dict[str, Any] = {
        "model": {"_target_": f"{__name__}.line", "start": "random", "rate": RATES},
        "tuner": {"kind": "random", "max_trials": 2, "executions_per_trial": 2},
        "fit": {"epochs": 1},
    }
    losses = []
    for number, seed in enumerate((1, 2, 1)):
        trials = searched(tmp_path / str(number), seed, **own)
        executions = [execution for trial in trials for execution in trial["history"]]
        losses.append([execution["loss"][0] for execution in executions])
    assert len({*losses[0], *losses[1]}) == 8
    assert losses[2] == losses[0]


def test_a_trial_counts_by_its_best_epoch(tmp_path: Path) -> None:
    """Its score is that epoch's, and the checkpoint holds that epoch's weights."""
    [trial] = searched(tmp_path)
    assert trial["history"][0]["val_loss"] == pytest.approx([16, 1, 12.25])
    assert (trial["score"], trial["best_epoch"]) == (pytest.approx(1), 1)
    model = line()
    model.optimizer = None
    model.load_weights(*kept(tmp_path))
    assert model.get_weights()[0].item() == pytest.approx(7.5)


def test_hyperband_goes_on_from_the_parents_checkpoint(tmp_path: Path) -> None:
    """A promoted trial begins with the weights that its parent ended with, others with new ones."""
    model = {"_target_": f"{__name__}.line", "rate": RATES}
    tuner = {"kind": "hyperband", "max_epochs": 3, "factor": 3}
    trials = searched(tmp_path, model=model, tuner=tuner)
    promoted = [trial for trial in trials if "tuner/trial_id" in trial["values"]]
    assert 0 < len(promoted) < len(trials)
    for trial in trials:
        begun = 1 - 2 * trial["values"]["model.rate"] if trial in promoted else 1
        assert trial["history"][0]["loss"][0] == pytest.approx(100 * begun**2, rel=1e-4)


@pytest.mark.parametrize(("start", "value"), [("nan", "nan"), ("1e30", "inf")])
def test_a_trial_whose_objective_is_not_finite_has_failed(
    start: str, value: str, tmp_path: Path
) -> None:
    """It says so itself; a search without any other trial has no best."""
    told: list[Progress] = []
    with pytest.raises(SearchError, match="no trial completed"):
        searched(tmp_path, told=told, model={"_target_": f"{__name__}.line", "start": start})
    [result] = [progress.result for progress in told]
    assert (result.status, result.message) == ("FAILED", f"the objective val_loss is {value}")


def test_a_search_waits_for_the_one_that_holds_its_lock(tmp_path: Path) -> None:
    """Whatever run each belongs to: before the lock is free, nothing is written."""
    waiting = threading.Thread(target=searched, args=(tmp_path,), daemon=True)
    with held(place(tmp_path).lock, "the search"):
        waiting.start()
        waiting.join(0.5)
        assert not (tmp_path / "search").exists()
    waiting.join(60)
    assert kept(tmp_path)


def test_class_weights_go_by_the_names_of_the_classes(tmp_path: Path) -> None:
    """Three rows of weight 1 and one of weight 5, each with a loss of ln 2."""
    own: dict[str, Any] = {
        "data": {"_target_": f"{__name__}.words"},
        "model": {"_target_": f"{__name__}.even"},
    }
    fit = {"epochs": 1, "class_weight": {"b": 5.0, "a": 1.0}}
    [trial] = searched(tmp_path, task={"kind": "classification"}, fit=fit, **own)
    assert trial["history"][0]["loss"] == pytest.approx([(3 * 1 + 5) / 4 * math.log(2)])


@pytest.mark.parametrize(("own", "epochs"), [({}, 3), ({"epochs": 2}, 2)])
def test_refits_train_for_all_epochs_and_the_best_is_kept(
    own: dict[str, Any], epochs: int, tmp_path: Path
) -> None:
    """Each begins with weights of its own, and is measured and stored as its last epoch left it."""
    model = {"_target_": f"{__name__}.line", "start": "random"}
    made = settings(model=model, validation={"repeats": 3, **own})
    best = keras_tuner.HyperParameters().get_config()
    ranking = Ranking("rmse", "min")
    found = validate(Run(), bench(made), best, ranking, tmp_path, lambda *_: None)
    losses = [refit.curves["val_loss"] for refit in found.refits]
    errors = [refit.metrics["validation"]["rmse"] for refit in found.refits]
    assert [len(loss) for loss in losses] == [epochs] * 3
    assert errors == pytest.approx([math.sqrt(loss[-1]) for loss in losses])
    assert len({*errors}) == 3
    assert found.kept == errors.index(min(errors))
    weight = keras.models.load_model(found.files["model"]).get_weights()[0].item()
    assert 2 * abs(weight - 7) == pytest.approx(min(errors))
