"""A user's own experiments: models that fail, models of one's own making, trial data that is
kept.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from e2e_samples import Ran, entries, history, refits, run_both, run_inline, start, trials, write

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

MODELS = """
import keras
import keras_tuner


def _compiled(units, rate, outputs, loss="sparse_categorical_crossentropy"):
    hidden = keras.layers.Dense(units, activation="relu")
    model = keras.Sequential([hidden, keras.layers.Dense(outputs, activation="softmax")])
    optimizer = keras.optimizers.SGD(rate)
    model.compile(optimizer, loss, metrics=["accuracy"], run_eagerly=True)
    return model


def works(num_classes, units, rate=0.01):
    return _compiled(units, rate, num_classes)


def raises(num_classes, units):
    if units > 2:  # the default builds: it is the trials that fail
        raise RuntimeError(f"no {units} units today")
    return _compiled(units, 0.01, num_classes)


def _infinite(truth, predicted):
    return keras.ops.mean(predicted) + float("inf")


def diverges(num_classes, units, loss):
    return _compiled(units, 0.01, num_classes, _infinite if loss == "inf" else loss)


def conditional(hp, num_classes):
    deep = hp.Boolean("deep")
    layers = [keras.layers.Dense(hp.Int("first", 4, 8), activation="relu")]
    with hp.conditional_scope("deep", [True]):
        if deep:
            layers.append(keras.layers.Dense(hp.Int("second", 16, 24), activation="relu"))
    model = keras.Sequential([*layers, keras.layers.Dense(num_classes, activation="softmax")])
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    return model


class Maker(keras_tuner.HyperModel):
    def __init__(self, num_classes, units):
        super().__init__()
        self.num_classes, self.units = num_classes, units

    def build(self, hp):
        return _compiled(self.units, hp.Float("rate", 1e-3, 1e-1, sampling="log"), self.num_classes)

    def fit(self, hp, model, *args, **kwargs):
        size = hp.Choice("batch_size", [8, 30, 45])
        history = model.fit(*args, batch_size=size, epochs=2, **kwargs)
        history.history["updates"] = [float(model.optimizer.iterations.numpy())] * 2
        return history
"""

HEAD = """# @package _global_
defaults: [/task: classification, /data: iris, /tuner: random, _self_]
fit: {epochs: 1}
tuner: {max_trials: 4}
data: {split: {test: 0}}
baselines: none
"""

FAILING = f"""{HEAD}
pipelines:
  bad:
    model: {{_target_: my_models.raises, units: {{hp: Int, min_value: 2, max_value: 999}}}}
  good:
    model: {{_target_: my_models.works, units: {{hp: Int, min_value: 2, max_value: 9}}}}
  wild:
    model:
      _target_: my_models.diverges
      units: 4
      loss: {{hp: Choice, values: [sparse_categorical_crossentropy, inf]}}
    tuner: {{max_trials: 6, max_consecutive_failed_trials: 6}}
"""

OWN = f"""{HEAD}
hooks: {{purge: null}}
pipelines:
  scopes:
    model: {{_target_: my_models.conditional}}
    tuner: {{max_trials: 6}}
  maker:
    model: {{_target_: my_models.Maker, units: 5}}
    fit: {{epochs: null}}
    tuner: {{max_trials: 6}}
"""


def place(folder: Path) -> Path:
    write(
        folder,
        my_models_py=MODELS,
        conf__experiment__failing_yaml=FAILING,
        conf__experiment__own_yaml=OWN,
    )
    return folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """The failing experiment and the one of own models, run side by side."""
    folders = {name: place(tmp_path_factory.mktemp(name)) for name in ("failing", "own")}
    one, other = (start(folder, f"+experiment={name}") for name, folder in folders.items())
    done = zip(folders.items(), run_both(one, other), strict=True)
    return {name: Ran(folder, ended, entries(folder)) for (name, folder), ended in done}


# --- failures


def test_one_pipelines_failure_does_not_take_the_others_down(ran: dict[str, Ran]) -> None:
    """Exit code 1; the others are complete."""
    assert ran["failing"].done.exit_code == 1
    assert {name: entry["status"] for name, entry in ran["failing"].entries.items()} == {
        "bad": "failed",
        "good": "complete",
        "wild": "complete",
    }


def test_a_failed_entry_says_what_failed_and_where(ran: dict[str, Ran]) -> None:
    """With the trace, for whoever has to mend it; the log names the cause too."""
    entry = ran["failing"].entries["bad"]
    assert "units today" in entry["error"]["message"]
    assert entry["error"]["stage"] == "search"
    trace = (ran["failing"].folder / "results" / entry["artefacts"]["trace"]["path"]).read_text()
    assert "units today" in trace
    assert all(
        "my_models.py" in row["message"]
        for row in trials(ran["failing"].folder, entry)
        if row["message"]
    )
    assert "bad failed in search" in ran["failing"].done.err
    assert "units today" in ran["failing"].done.err
    row = next(line for line in ran["failing"].done.out.splitlines() if f" {entry['id']} " in line)
    assert " failed " in row


def test_a_failed_pipelines_trial_data_is_kept_and_the_others_go(ran: dict[str, Ran]) -> None:
    """Purging comes after, and only for what is complete."""
    trial_data = ran["failing"].folder / "results" / "trials"
    assert [path.name for path in trial_data.iterdir()] == ["failing-bad"]
    [search] = [path for path in (trial_data / "failing-bad").iterdir() if path.is_dir()]
    marker = json.loads((search / "search.json").read_text())
    assert marker["fingerprint"] == ran["failing"].entries["bad"]["search"]["fingerprint"]


def test_trials_that_diverge_are_failures_and_counted(ran: dict[str, Ran]) -> None:
    """An infinite objective is no excellent one: the best is among the others."""
    entry = ran["failing"].entries["wild"]
    rows = trials(ran["failing"].folder, entry)
    failed = [row for row in rows if row["values"]["model.loss"] == "inf"]
    assert 0 < len(failed) < len(rows)
    assert failed == [row for row in rows if row["status"] == "FAILED"]
    counts = {"total": len(rows), "completed": len(rows) - len(failed), "failed": len(failed)}
    assert entry["search"]["trials"] == counts
    assert entry["best"]["score"] == min(row["score"] for row in rows if row not in failed)


def test_on_failure_stop_runs_no_further_pipeline(tmp_path: Path) -> None:
    """Those before it keep what they have, those after it are named."""
    done = run_inline(
        place(tmp_path),
        "+experiment=failing",
        "on_failure=stop",
        "only=[good,bad,wild]",
        "tuner.max_trials=1",
    )
    assert done.exit_code == 1
    assert {name: entry["status"] for name, entry in entries(tmp_path).items()} == {
        "good": "complete",
        "bad": "failed",
    }
    assert "not run: wild" in done.err


# --- models of one's own


def test_own_models_work_by_their_dotted_path(ran: dict[str, Ran]) -> None:
    """A build function with `hp`, and a HyperModel, from a file in the current folder."""
    assert ran["own"].done.exit_code == 0, ran["own"].done.err
    assert {name: entry["status"] for name, entry in ran["own"].entries.items()} == {
        "scopes": "complete",
        "maker": "complete",
    }


def test_conditional_scopes_hold(ran: dict[str, Ran]) -> None:
    """A value stands in a trial exactly where its condition holds."""
    rows = trials(ran["own"].folder, ran["own"].entries["scopes"])
    assert {row["values"]["deep"] for row in rows} == {True, False}
    for row in rows:
        assert ("second" in row["values"]) == bool(row["values"]["deep"]), row["values"]
        assert 4 <= row["values"]["first"] <= 8


def test_a_hypermodels_own_fit_is_used_and_its_batch_size_searched(ran: dict[str, Ran]) -> None:
    """The number of updates is what the batch size of each trial makes of 120 rows in two
    epochs; that of the refit, what the best trial's makes.
    """
    entry = ran["own"].entries["maker"]
    rows = trials(ran["own"].folder, entry)
    sizes = [row["values"]["batch_size"] for row in rows]
    assert len(set(sizes)) > 1
    assert [row["history"][0]["updates"][0] for row in rows] == [
        2 * math.ceil(120 / size) for size in sizes
    ]
    assert {space["config"]["name"] for space in entry["search"]["space"]} == {
        "rate",
        "batch_size",
    }
    [refit] = refits(ran["own"].folder, entry)
    expected = 2 * math.ceil(120 / entry["best"]["values"]["batch_size"])
    assert refit["history"]["updates"] == [expected, expected]


@pytest.mark.parametrize("pipeline", ["scopes", "maker"])
def test_without_the_purge_the_trial_data_stays_with_the_best_checkpoint(
    ran: dict[str, Ran], pipeline: str
) -> None:
    """It loads into the model that it belongs to."""
    import keras
    import numpy as np

    entry = ran["own"].entries[pipeline]
    [search] = [
        path
        for path in (ran["own"].folder / "results" / "trials" / f"own-{pipeline}").iterdir()
        if path.is_dir()
    ]
    assert len(list(search.glob("trial_*/trial.json"))) == entry["search"]["trials"]["total"]
    checkpoint = search / f"trial_{entry['best']['trial_id']}" / "checkpoint.weights.h5"
    assert [path.relative_to(search) for path in search.glob("*/checkpoint.weights.h5")] == [
        checkpoint.relative_to(search)
    ]
    model = keras.models.load_model(
        ran["own"].folder / "results" / entry["artefacts"]["model"]["path"]
    )
    before = [np.array(weights) for weights in model.get_weights()]
    model.optimizer = None
    model.load_weights(checkpoint)
    assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# --- inputs and metrics of one's own

INPUTS = """
import keras
import numpy as np
import tensorflow as tf


def rows(n=60):
    drawn = np.random.default_rng(0)
    image, note = drawn.normal(size=(n, 4, 4, 1)), drawn.normal(size=(n, 3))
    word = np.array(["up", "down"])[(note[:, 0] > 0).astype(int)]
    x = {"image": image, "note": note, "age": note[:, 1], "word": word}
    return x, (image.mean((1, 2, 3)) > 0).astype(int)


def batches():
    made = tf.data.Dataset.from_tensor_slices(rows()).batch(16)
    held = made.take(2).map(lambda x, y: ({**x, "note": x["note"] + 1}, y))
    return {"train": made, "validation": held}


def model(input_shape, num_classes, units):
    kinds = {"word": "string"}
    given = {n: keras.Input(s, name=n, dtype=kinds.get(n)) for n, s in input_shape.items()}
    lookup = keras.layers.StringLookup(vocabulary=["up", "down"], output_mode="one_hot")
    image = keras.layers.Flatten()(given["image"])
    flows = [image, given["note"], given["age"], lookup(given["word"])]
    flow = keras.layers.Dense(units)(keras.layers.Concatenate()(flows))
    made = keras.Model(given, keras.layers.Dense(num_classes, activation="softmax")(flow))
    loss = "sparse_categorical_crossentropy"
    gap = keras.metrics.SparseCategoricalCrossentropy(name="gap")
    made.compile("adam", loss, metrics=["accuracy", gap], run_eagerly=True)
    return made
"""

NAMED = """# @package _global_
defaults: [/task: classification, /tuner: random, _self_]
task: {rank_by: gap, direction: min}
fit: {epochs: 1}
tuner: {max_trials: 1}
model: {_target_: my_inputs.model, units: {hp: Int, min_value: 4, max_value: 8}}
pipelines:
  arrays: {data: {_target_: my_inputs.rows, split: {test: 0.2}}, validation: {repeats: 2}}
  batches: {data: {_target_: my_inputs.batches}}
"""


def test_several_inputs_and_metrics_of_ones_own_go_all_the_way(tmp_path: Path) -> None:
    """From a function and from tf.data to a table, `best`, a prediction and a reproduction."""
    import numpy as np

    write(tmp_path, my_inputs_py=INPUTS, conf__experiment__named_yaml=NAMED)
    unstated = run_inline(tmp_path, "+experiment=named", "task.direction=null")
    assert (unstated.exit_code, "state whether gap" in unstated.err) == (2, True)
    unknown = run_inline(tmp_path, "+experiment=named", "task.rank_by=gp")
    assert (unknown.exit_code, "did you mean 'gap'" in unknown.err) == (2, True), unknown.err
    done = run_inline(tmp_path, "+experiment=named")
    assert done.exit_code == 0, done.err
    assert "best first by gap" in done.out
    found = entries(tmp_path)
    assert found["arrays"]["data"]["inputs"]["image"] == [4, 4, 1]
    for entry in found.values():
        assert entry["validation"]["own_metrics"] == {"gap": "min"}
        assert entry["validation"]["metrics"]["gap"] > 0
    assert found["arrays"]["test"]["metrics"]["gap"] > 0
    best = history(tmp_path, "best", "--metric", "gap")
    assert best["validation"]["metrics"]["gap"] == min(
        entry["validation"]["metrics"]["gap"] for entry in found.values()
    )
    x: Any = {"image": np.ones((5, 4, 4, 1)), "note": np.ones((5, 3)), "age": np.ones(5)}
    np.savez(tmp_path / "new.npz", **x, word=np.array(["up"] * 5))
    named = found["batches"]["id"]
    predicted = run_inline(tmp_path, f"predict={named}", "input=new.npz", "output=out.csv")
    assert predicted.exit_code == 0, predicted.err
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 6
    for entry in found.values():
        again = run_inline(tmp_path, f"reproduce={entry['id']}", "trust=true")
        assert (again.exit_code, f"{entry['id']}: identical" in again.out) == (0, True), again.err
