"""What a search promises of its trainings, by a model whose numbers can be worked out by hand.

The model is one weight w without a bias, trained on rows x = 1, y = 10 in one step an epoch: a step
at rate r closes 2r of the gap to 10. From w = 0 at r = 0.25 the epochs leave 5, 7.5 and 8.75. The
validation rows x = 2, y = 14 want w = 7: val_loss is 4 (w - 7)², thus 16, 1 and 12.25, so that the
best of three epochs is the one in the middle.
"""

import errno
import json
import math
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from runner_samples import pipeline
from tensorflow.python.framework import ops as tf_ops
from training_samples import bench, run_search, validated

from foundation.files import held
from runner.config.schema import EPOCH, Pipeline, Run
from runner.errors import ConfigError, Problem, SearchError, message_of
from runner.search import spaces
from runner.search.loop import Progress
from runner.training import callbacks
from runner.training.ledger import SearchFolder
from runner.training.preflight import preflight
from runner.training.refit import mean
from runner.training.validated import Ranking

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
    model.compile(keras.optimizers.SGD(rate), loss="mse", run_eagerly=True)
    return model


def even(num_classes: int) -> keras.Model:
    """A model function; before the first step every class is as likely as any other."""
    dense = keras.layers.Dense(num_classes, activation="softmax", kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    return model


def place(folder: Path) -> SearchFolder:
    return SearchFolder(folder / "search", "f" * 64, folder / ".locks")


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
    outcome = run_search(Run(seed=seed), settings(**own), place(folder), notify)
    return [trial.row() for trial in outcome.record.trials]


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


def test_each_training_has_a_folder_for_its_callbacks(tmp_path: Path) -> None:
    """Which is empty when it begins, also when its trial runs again; refits have theirs."""
    log = {
        "_target_": "keras.callbacks.CSVLogger",
        "filename": "${trial.folder}/${trial.id}-${trial.execution}.csv",
        "append": True,
    }
    own: dict[str, Any] = {
        "tuner": {"kind": "random", "max_trials": 2, "executions_per_trial": 2},
        "model": {"_target_": f"{__name__}.line", "rate": RATES},
        "callbacks": {"log": log},
    }
    for _ in range(2):
        searched(tmp_path, **own)
        logs = {p.relative_to(tmp_path / "search"): p for p in tmp_path.rglob("*.csv")}
        assert {str(name) for name in logs} == {
            f"trial_{trial}/callbacks/{n}/{trial}-{n}.csv"
            for trial in ("0000", "0001")
            for n in (0, 1)
        }
        assert {len(path.read_text().splitlines()) for path in logs.values()} == {1 + 3}
        (tmp_path / "search" / "trial_0001" / "result.json").unlink()
    plain, ranking = keras_tuner.HyperParameters().get_config(), Ranking("rmse", "min")
    for _ in range(2):
        validated(Run(), settings(**own), plain, ranking, tmp_path)
        (path,) = (tmp_path / "refit-0" / "callbacks").iterdir()
        assert (path.name, path.read_text().count("\n")) == ("refit-0-0.csv", 1 + 3)


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
        epochs = trial["values"]["tuner/epochs"] - trial["values"]["tuner/initial_epoch"]
        assert len(trial["history"][0]["loss"]) == epochs


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "other": lambda path: path.write_bytes(path.read_bytes().replace(b"\x00\x00", b"\x00\x01")),
    "another's": lambda path: path.write_bytes(kept(path.parents[2])[0].read_bytes()),
}
HALVING: dict[str, Any] = {
    "model": {"_target_": f"{__name__}.line", "start": "random", "rate": RATES},
    "tuner": {"kind": "hyperband", "max_epochs": 3, "factor": 3},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_made_again_before_anything_depends_on_it(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In a search that was interrupted before the first promotion, and where a trial that has ended
    is lost, so that its parent's, which was deleted, is needed after all. Where nothing depends on
    it, nothing runs.
    """
    expected, whole = searched(tmp_path, **HALVING), [path.read_bytes() for path in kept(tmp_path)]
    promoted = [row["values"].get("tuner/trial_id") for row in expected]
    first = next(number for number, parent in enumerate(promoted) if parent is not None)
    path = place(tmp_path).checkpoint(promoted[first])
    for lost in (expected[first:], expected[first : first + 1], []):
        for row in lost:
            shutil.rmtree(place(tmp_path).trial(row["trial_id"]))
        path.touch()
        DAMAGES[damage](path)
        told: list[Progress] = []
        caplog.clear()
        found = searched(tmp_path, told=told, **HALVING)
        assert [progress.result.trial_id for progress in told] == [row["trial_id"] for row in lost]
        assert [{**row, "seconds": 0, "started": ""} for row in found] == [
            {**row, "seconds": 0, "started": ""} for row in expected
        ]
        assert [path.read_bytes() for path in kept(tmp_path)] == whole
        again = f"{path.parent.name}/{path.name} has changed since it was written" in caplog.text
        assert again == bool(lost)


class Looking(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Notes what a trial has written down of its epochs."""

    seen: ClassVar[list[str]] = []

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.path = Path(folder).parents[1] / "epoch"

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.seen.append(self.path.read_text())


def test_a_training_writes_down_its_epoch_and_nothing_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few times a second at most; a loop of the user's own may know of no number of epochs."""
    looks = {"look": {"_target_": f"{__name__}.Looking", "folder": "${trial.folder}"}}
    tuner = {"kind": "random", "max_trials": 1, "executions_per_trial": 2}
    for moment, seen in ((0, ["1/3", "2/3", "3/3"]), (60, ["1/3"] * 3)):
        Looking.seen.clear()
        monkeypatch.setattr(callbacks, "MOMENT", moment)
        searched(tmp_path / str(moment), tuner=tuner, callbacks=looks)
        assert Looking.seen == [*seen, *(f"{each} of training 2" for each in seen)]
        assert not [*tmp_path.rglob("epoch")]
    callbacks.Epochs(tmp_path).on_epoch_begin(0)
    assert (tmp_path / "epoch").read_text() == "1/?"


def test_what_depended_on_a_file_that_was_made_otherwise_runs_again(tmp_path: Path) -> None:
    """As on a machine that computes otherwise: each result states what it began from."""
    expected = searched(tmp_path, **HALVING)
    [(child, parent), *_] = [
        (row["trial_id"], row["values"]["tuner/trial_id"])
        for row in expected
        if "tuner/trial_id" in row["values"]
    ]
    path = place(tmp_path).trial(child) / "result.json"
    stated = json.loads(path.read_text())
    stated["checkpoints"][parent]["sha256"] = "0" * 64
    path.write_text(json.dumps(stated))
    told: list[Progress] = []
    searched(tmp_path, told=told, **HALVING)
    assert [progress.result.trial_id for progress in told] == [child]


def test_a_checkpoint_that_is_damaged_while_the_search_runs_is_made_again(tmp_path: Path) -> None:
    """It is no trial's failure, and no trial goes on from it."""
    expected = searched(tmp_path / "whole", **HALVING)
    told: list[Progress] = []

    def damaging(progress: Progress) -> None:
        told.append(progress)
        for path in kept(tmp_path):
            path.write_bytes(path.read_bytes()[:-100])

    found = run_search(Run(), settings(**HALVING), place(tmp_path), damaging).record.trials
    assert [trial.score for trial in found] == [row["score"] for row in expected]
    assert all(progress.result.status == "COMPLETED" for progress in told)


def noise() -> tuple[Any, Any]:
    """A data function: rows that are not divided, with targets of which none are alike."""
    draw = np.random.default_rng(0)
    return draw.normal(size=(30, 1)), draw.normal(size=30)


class Training(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Counts trainings, and is killed at the beginning of one of them."""

    begun, last = 0, 0

    def on_train_begin(self, logs: object = None) -> None:
        Training.begun += 1
        if Training.begun == Training.last:
            raise KeyboardInterrupt


def test_a_trial_that_is_killed_goes_on_at_the_next_fold(tmp_path: Path) -> None:
    """Each fold is another training, of another seed; whatever ended stays as it was, and the
    whole is as if nobody had killed it.
    """
    own: dict[str, Any] = {
        "data": {"_target_": f"{__name__}.noise"},
        "model": {"_target_": f"{__name__}.line", "start": "random", "rate": RATES},
        "tuner": {"kind": "random", "max_trials": 2, "folds": 3},
        "callbacks": {"count": {"_target_": f"{__name__}.Training"}},
    }

    def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "seconds": 0, "started": ""} for row in rows]

    expected = without_times(searched(tmp_path / "whole", **own))
    begun, Training.begun = Training.begun, 0
    assert begun == 6
    for row in expected:
        best = [min(told["val_loss"]) for told in row["history"]]
        assert row["score"] == pytest.approx(np.mean(best))
        assert [fold["val_loss"] for fold in row["folds"]] == best
        assert len({*best}) == 3
    for last in (2, 4, 7):  # in the second fold, in the third, and in the second of the other trial
        Training.last = last
        with pytest.raises(KeyboardInterrupt):
            searched(tmp_path / "killed", **own)
    (tmp_path / "killed/search/trial_0001/fold_0.json").write_bytes(b"{")
    Training.last = 0
    assert without_times(searched(tmp_path / "killed", **own)) == expected
    assert Training.begun == 6 + 3 + 1  # those that were killed, and one that was damaged
    assert kept(tmp_path / "killed") == []


def numpy_error() -> Exception:
    """What numpy raises."""
    try:
        np.empty(2**60, np.int8)
    except MemoryError as error:
        return error
    raise AssertionError("so much memory there is")


SHORTAGES: dict[str, Callable[[], Exception]] = {
    "python": lambda: MemoryError("no room"),
    "numpy": lambda: numpy_error(),
    "system": lambda: OSError(errno.ENOMEM, "Cannot allocate memory"),
    "tensorflow": lambda: tf.errors.ResourceExhaustedError(None, None, "when allocating a tensor"),
    "torch": lambda: type("OutOfMemoryError", (RuntimeError,), {})("Tried to allocate 9 GiB"),
    "torch's processor": lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GB"),
    "jax": lambda: type("JaxRuntimeError", (RuntimeError,), {})("RESOURCE_EXHAUSTED: 9 bytes"),
    "cuda": lambda: RuntimeError("CUDA error: out of memory"),
}
shortage: list[Exception] = []  # what the model function meets


def hungry(rate: float) -> keras.Model:
    """A model function that may not get its memory."""
    if shortage:
        raise shortage.pop()
    return line(rate=rate)


def populated_then(error: Exception) -> Callable[..., object]:
    """Finds the space, and lets the model fail thereafter."""
    populate = spaces.populate

    def found(*given: Any) -> object:
        space = populate(*given)
        shortage.append(error)
        return space

    return found


@pytest.mark.parametrize("kind", SHORTAGES)
def test_a_trial_that_ran_out_of_memory_runs_again_at_the_next_start(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In this run it has failed, and the others go on; then it alone is tried again, once."""
    own: dict[str, Any] = {
        "model": {"_target_": f"{__name__}.hungry", "rate": RATES},
        "tuner": {"kind": "random", "max_trials": 3},
    }
    told: list[Progress] = []
    searched(tmp_path, **own)
    shutil.rmtree(place(tmp_path).trial("0001"))
    real = SHORTAGES[kind]()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spaces, "populate", populated_then(real))
        run_search(Run(), settings(**own), place(tmp_path), told.append)
    assert [(p.result.trial_id, p.result.status) for p in told] == [("0001", "FAILED")]
    assert type(real).__name__ in str(told[0].result.message)
    again: list[Progress] = []
    rows = searched(tmp_path, told=again, **own)
    assert [(p.result.trial_id, p.result.status) for p in again] == [("0001", "COMPLETED")]
    assert [row["status"] for row in rows] == ["COMPLETED"] * 3
    assert "memory" in caplog.text
    assert searched(tmp_path, told=again, **own) == rows
    assert len(again) == 1


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own with room for 8 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_ends_no_trial_and_leaves_no_part_of_a_file(full: Path, tmp_path: Path) -> None:
    """HDF5, which may crash Python's end when its file cannot be written, never writes to it."""
    elsewhere, ours = tmp_path / "elsewhere", full / "trial_0000"
    elsewhere.mkdir()
    place(elsewhere).mark({"pipeline": "main"})
    place(elsewhere).trial("0000").symlink_to(ours)
    ours.mkdir()
    with pytest.raises(OSError, match="No space left on device") as caught:
        searched(elsewhere)
    assert message_of(caught.value).endswith("; free some space and run the same command again")
    assert {path.name for path in ours.iterdir()} <= {EPOCH}  # how far it was
    made, best = settings(), keras_tuner.HyperParameters().get_config()
    with pytest.raises(OSError, match="No space left on device"):
        validated(Run(), made, best, Ranking("rmse", "min"), full)
    left = [path for path in sorted(full.rglob("*")) if path.name != EPOCH]
    assert left == [full / "refit-0", ours]  # the caller's to delete
    subprocess.run(["mount", "-o", "remount,size=9m", full], check=True)
    [trial] = searched(elsewhere)
    assert trial["status"] == "COMPLETED"


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


WRONG: Any = [Problem("model", "wrong for all")]


@pytest.mark.parametrize("error", [ConfigError, keras_tuner.errors.FatalError])
def test_what_no_trial_would_escape_ends_the_search_and_fails_no_trial(
    error: Callable[[Any], Exception], tmp_path: Path
) -> None:
    """Once it is mended, the same search has nothing to forget."""
    own: dict[str, Any] = {"model": {"_target_": f"{__name__}.hungry", "rate": 0.25}}
    ends = pytest.raises((ConfigError, SearchError), match="wrong for all")
    with pytest.MonkeyPatch.context() as patch, ends:
        patch.setattr(spaces, "populate", populated_then(error(WRONG)))
        searched(tmp_path, **own)
    assert place(tmp_path).results() == {}
    assert [row["status"] for row in searched(tmp_path, **own)] == ["COMPLETED"]


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


class Narrow(keras_tuner.applications.HyperXception):  # type: ignore[misc]  # has no types
    """A HyperModel that is built on one of Keras Tuner's own, with its arguments."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        layer = keras.layers.Dense(self.classes, activation="softmax")
        model = keras.Sequential([keras.Input(self.input_shape), keras.layers.Flatten(), layer])
        model.compile("sgd", loss="categorical_crossentropy", metrics=["accuracy"])
        return model


class Named(Narrow):
    """One with arguments of its own."""

    def __init__(self, input_shape: tuple[int, ...], classes: tuple[str, ...]) -> None:
        super().__init__(input_shape=input_shape, classes=len(classes))
        self.names = classes


DIGITS: dict[str, Any] = {
    "task": {"kind": "classification"},
    "data": {"kind": "sklearn", "name": "digits"},
}


@pytest.mark.parametrize(
    "target", ["keras_tuner.applications.HyperResNet", f"{__name__}.Narrow", f"{__name__}.Named"]
)
def test_keras_own_models_get_the_number_of_the_classes(target: str) -> None:
    """And other ones their names, where both call it `classes`."""
    made = bench(settings(**DIGITS, model={"_target_": target})).hypermodel
    assert (made.classes, getattr(made, "names", tuple("0123456789"))) == (10, tuple("0123456789"))


def test_a_loss_of_one_hot_rows_takes_numbered_classes(tmp_path: Path) -> None:
    """As Keras Tuner's own models are compiled; the metrics stay."""
    model = {"_target_": f"{__name__}.Narrow"}
    [trial] = searched(tmp_path, **DIGITS, model=model, fit={"epochs": 1})
    assert 0 < trial["history"][0]["val_accuracy"][0] < 1


@pytest.mark.parametrize(("own", "epochs"), [({}, 3), ({"epochs": 2}, 2)])
def test_refits_train_for_all_epochs_and_the_best_is_kept(
    own: dict[str, Any], epochs: int, tmp_path: Path
) -> None:
    """Each begins with weights of its own, and is measured and stored as its last epoch left it."""
    model = {"_target_": f"{__name__}.line", "start": "random"}
    made = settings(model=model, validation={"repeats": 3, **own})
    best = keras_tuner.HyperParameters().get_config()
    ranking = Ranking("rmse", "min")
    found = validated(Run(), made, best, ranking, tmp_path)
    losses = [refit.row["history"]["val_loss"] for refit in found.refits]
    errors = [refit.row["validation"]["rmse"] for refit in found.refits]
    assert [len(loss) for loss in losses] == [epochs] * 3
    assert errors == pytest.approx([math.sqrt(loss[-1]) for loss in losses])
    assert len({*errors}) == 3
    assert found.kept == errors.index(min(errors))
    weight = keras.models.load_model(found.files["model"]).get_weights()[0].item()
    assert 2 * abs(weight - 7) == pytest.approx(min(errors))


def test_the_mean_of_refits_is_one_model_with_metrics_of_its_own(tmp_path: Path) -> None:
    """Which stand beside those of the single ones; none of these is kept then."""
    own = {"repeats": 3, "ensemble": True}
    made = settings(model={"_target_": f"{__name__}.line", "start": "random"}, validation=own)
    found = validated(
        Run(), made, keras_tuner.HyperParameters().get_config(), Ranking("rmse", "min"), tmp_path
    )
    model = keras.models.load_model(found.files["model"])
    weight = np.mean(model.get_weights())
    assert len({w.item() for w in model.get_weights()}) == 3
    assert model.predict(np.full((1, 1), 2.0), verbose=0).item() == pytest.approx(2 * weight)
    assert found.ensemble is not None
    assert found.ensemble["validation"]["rmse"] == pytest.approx(2 * abs(weight - 7))
    assert (found.kept, len(found.refits)) == (None, 3)
    assert {path.parent for path in found.files.values()} == {tmp_path}


@pytest.mark.parametrize(("units", "kind"), [(3, "softmax"), (1, "sigmoid")])
def test_the_mean_of_logits_is_that_of_probabilities(units: int, kind: str, tmp_path: Path) -> None:
    """Of numbers, a linear output is one."""
    x, paths = np.array([[1.0, 2.0], [-1.0, 0.5]]), [tmp_path / "a.keras", tmp_path / "b.keras"]
    single = []
    for path in paths:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
        model.save(path)
        single.append(model.predict(x, verbose=0))
    found = mean(paths, is_classification=True).predict(x, verbose=0)
    chances = [keras.ops.convert_to_numpy(getattr(keras.activations, kind)(s)) for s in single]
    np.testing.assert_allclose(found, np.mean(chances, axis=0), rtol=1e-5)
    found = mean(paths, is_classification=False).predict(x, verbose=0)
    np.testing.assert_allclose(found, np.mean(single, axis=0), rtol=1e-5)


@keras.saving.register_keras_serializable("tests")
class Shapeless(keras.Model):  # type: ignore[misc]  # keras has no types
    """A model without inputs."""

    def __init__(self, **own: Any) -> None:
        super().__init__(**own)
        self.dense = keras.layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def shapeless() -> keras.Model:
    model = Shapeless()
    model.compile("sgd", "mse")
    return model


def test_what_has_no_mean_is_refused_before_the_search() -> None:
    """It would be told after all trials otherwise."""
    own: dict[str, Any] = {"model": {"_target_": f"{__name__}.shapeless"}}
    preflight(bench(settings(**own)))
    with pytest.raises(ConfigError, match=r"set validation\.ensemble to false"):
        preflight(bench(settings(**own, validation={"repeats": 2, "ensemble": True})))


class Counted(keras.Model):  # type: ignore[misc]  # keras has no types
    """Counts how often TensorFlow traces a step."""

    def train_step(self, data: Any) -> Any:
        traced.append(data)
        return super().train_step(data)


traced: list[Any] = []


def counted(rate: float, num_classes: int | None = None) -> keras.Model:
    given = keras.Input((4,))
    flow = keras.layers.Dropout(0.5)(keras.layers.Dense(8, activation="relu")(given))
    model = Counted(given, keras.layers.Dense(3, activation="softmax")(flow))
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def test_a_step_is_traced_once_and_computes_what_it_always_did() -> None:
    """Keras alone traces it twice, and leaves what it traced in memory, by a gradient of its own;
    the weights are the same, to the last bit.
    """
    ready = bench(
        pipeline(model={"_target_": f"{__name__}.counted", "rate": 0.1}, fit={"epochs": 2})
    )
    hp, found = keras_tuner.HyperParameters(), {}
    for name in ("ours", "alone"):
        traced.clear()
        model, before = ready.build(hp, seed=1), len(tf_ops.gradient_registry.list())
        if name == "ours":
            ready.train(model, hp, [], {})
        else:
            held_out = ready.dataset.validation.given()
            model.fit(*ready.dataset.train.given(), validation_data=held_out, epochs=2, verbose=0)
        kept = len(tf_ops.gradient_registry.list()) - before
        found[name] = len(traced), kept, [array.tobytes() for array in model.get_weights()]
    assert found["ours"] == (1, 0, found["alone"][2])
    assert found["alone"][:2] == (2, 2)
