"""A user's own experiments: models that fail, models of one's own making, trial data that is
kept.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from e2e_samples import documents, entries, history, run_inline, write
from world import World

pytestmark = pytest.mark.e2e

# --- failures


def test_one_pipelines_failure_does_not_take_the_others_down(world: World) -> None:
    """Exit code 1; the others are complete. Purging comes after, and only for what is complete."""
    assert world.done["failing"].exit_code == 1
    failing = world.of("failing")
    status = {name: entry["status"] for name, entry in failing.items()}
    assert status == {"bad": "failed", "good": "complete", "wild": "complete"}
    [search] = world.folder.glob("results/trials/failing-*/*/search.json")
    assert search.parents[1].name == "failing-bad"
    marker = json.loads(search.read_text())
    assert marker["fingerprint"] == failing["bad"]["search"]["fingerprint"]


def test_a_failed_entry_says_what_failed_and_where(world: World) -> None:
    """With the trace, for whoever has to mend it; the log names the cause too."""
    entry, done = world.entries["failing", "bad"], world.done["failing"]
    assert entry["error"]["stage"] == "search"
    trace = entry.path("trace").read_text()
    for text in (entry["error"]["message"], trace, done.err):
        assert "units today" in text
    messages = [row["message"] for row in entry.trials()]
    assert all("my_searches.py" in message for message in messages if message)
    assert "bad failed in search" in done.err
    [row] = [line for line in done.out.splitlines() if f" {entry['id']} " in line]
    assert " failed " in row


def test_trials_that_diverge_are_failures_and_counted(world: World) -> None:
    """An infinite objective is no excellent one: the best is among the others."""
    entry = world.entries["failing", "wild"]
    rows = entry.trials()
    failed = [row for row in rows if row["values"]["model.loss"] == "inf"]
    others = [row for row in rows if row not in failed]
    assert failed
    assert failed == [row for row in rows if row["status"] == "FAILED"]
    counts = {"total": len(rows), "completed": len(others), "failed": len(failed)}
    assert entry["search"]["trials"] == counts
    assert entry["best"]["score"] == min(row["score"] for row in others)


@pytest.mark.nightly
def test_on_failure_stop_runs_no_further_pipeline(world: World, tmp_path: Path) -> None:
    """Those before it keep what they have, those after it are named."""
    folder = world.copy(tmp_path / "stopped", "results")
    command = ["+experiment=failing", "on_failure=stop", "only=[good,bad,wild]"]
    done = run_inline(folder, *command, "tuner.max_trials=1", exit_code=1)
    status = {name: entry["status"] for name, entry in entries(folder).items()}
    assert status == {"good": "complete", "bad": "failed"}
    assert "not run: wild" in done.err


# --- models of one's own


def test_conditional_scopes_hold(world: World) -> None:
    """A value stands in a trial exactly where its condition holds."""
    values = [row["values"] for row in world.entries["searched", "scopes"].trials()]
    assert {each["deep"] for each in values} == {True, False}
    for each in values:
        assert ("second" in each) == each["deep"], each
        assert 4 <= each["first"] <= 8


def test_a_hypermodels_own_fit_is_used_and_its_batch_size_searched(world: World) -> None:
    """The number of updates is what the batch size of each trial makes of 120 rows in two
    epochs; that of the refit, what the best trial's makes.
    """
    entry = world.entries["searched", "maker"]
    rows = entry.trials()
    updates = {row["values"]["batch_size"]: row["history"][0]["updates"] for row in rows}
    assert len(updates) > 1
    for size, numbers in updates.items():
        assert numbers == [2 * math.ceil(120 / size)] * 2
    names = {space["config"]["name"] for space in entry["search"]["space"]}
    assert names == {"rate", "batch_size"}
    [refit] = entry.refits()
    assert refit["history"]["updates"] == updates[entry["best"]["values"]["batch_size"]]


@pytest.mark.parametrize("pipeline", ["scopes", "maker"])
def test_without_the_purge_the_trial_data_stays_with_the_best_checkpoint(
    world: World, pipeline: str
) -> None:
    """It loads into the model that it belongs to."""
    entry = world.entries["searched", pipeline]
    data = world.folder / "results" / "trials" / f"searched-{pipeline}"
    assert len([*data.glob("*/trial_*/trial.json")]) == entry["search"]["trials"]["total"]
    [checkpoint] = data.glob("*/*/checkpoint.weights.h5")
    assert checkpoint.parent.name == f"trial_{entry['best']['trial_id']}"
    model = entry.model()
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


@pytest.mark.nightly
def test_several_inputs_and_metrics_of_ones_own_go_all_the_way(tmp_path: Path) -> None:
    """From a function and from tf.data to a table, `best`, a prediction and a reproduction."""
    write(tmp_path, my_inputs_py=INPUTS, conf__experiment__named_yaml=NAMED)
    command = "+experiment=named"
    unstated = run_inline(tmp_path, command, "task.direction=null", exit_code=2)
    assert "state whether gap" in unstated.err
    unknown = run_inline(tmp_path, command, "task.rank_by=gp", exit_code=2)
    assert "did you mean 'gap'" in unknown.err
    done = run_inline(tmp_path, command)
    assert "best first by gap" in done.out
    arrays, batches = documents(tmp_path)
    assert arrays["data"]["inputs"]["image"] == [4, 4, 1]
    gaps = {}
    for entry in (arrays, batches):
        assert entry["validation"]["own_metrics"] == {"gap": "min"}
        gaps[entry["id"]] = entry["validation"]["metrics"]["gap"]
    assert min(*gaps.values(), arrays["test"]["metrics"]["gap"]) > 0
    best = history(tmp_path, "best", "--metric", "gap")
    assert best["id"] == min(gaps, key=gaps.__getitem__)
    x = {"image": np.ones((5, 4, 4, 1)), "note": np.ones((5, 3)), "age": np.ones(5)}
    np.savez(tmp_path / "new.npz", word=np.array(["up"] * 5), **x)  # type: ignore[arg-type]
    run_inline(tmp_path, f"predict={batches['id']}", "input=new.npz", "output=out.csv")
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 6
    for id in gaps:
        assert f"{id}: identical" in run_inline(tmp_path, f"reproduce={id}", "trust=true").out
