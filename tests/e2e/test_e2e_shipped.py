"""What runs of the shipped experiments leave and say."""

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e_samples import Document, history, run_inline, sha256
from world import RUNS, World

from runner.config.schema import SklearnData, Split
from runner.data.sources import load

pytestmark = pytest.mark.e2e

TUNERS = {
    ("digits", "mlp"): "random",
    ("digits", "cnn"): "hyperband",
    ("diabetes", "linear"): "grid",
    ("diabetes", "mlp"): "bayesian",
    ("mixed", "wine"): "random",
    ("mixed", "progression"): "random",
}
DATA = {"wine": "wine", "progression": "diabetes"}  # that is not named as the experiment
KEYS = """
id schema_version created run_id experiment pipeline task status seed fingerprint
search.tuner search.objective.name search.objective.direction search.space search.oracle
search.trials.total search.trials.completed search.trials.failed search.seconds
best.trial_id best.score best.values
validation.metrics validation.deviation validation.repeats test.metrics
data.source data.fingerprint data.shapes data.split
environment.python environment.packages environment.git environment.host environment.processor
environment.accelerator environment.threads environment.backend
timings.preparation timings.search timings.validation
config_hash overrides artefacts.model artefacts.config artefacts.trials artefacts.oracle
"""
LABELS = ["first", ["paper", "try"], "as it was"]
HYPERBAND = {"hyperband_iterations": 1, "max_epochs": 3, "min_epochs": 1, "factor": 3}
COMMON = {"model", "config", "identity", "split", "trials", "oracle", "history"}
REPORTS = {
    "classification": {"classification_report", "confusion_matrix", "predictions"},
    "regression": {"regression_report", "predictions_plot", "predictions"},
}


@pytest.fixture(params=TUNERS, ids="-".join)
def entry(world: World, request: pytest.FixtureRequest) -> Document:
    """Each in turn."""
    return world.entries[request.param]


def value(document: Document, dotted: str) -> Any:
    return functools.reduce(lambda node, key: node[key], dotted.split("."), document)


def test_an_entry_has_every_key_that_outsiders_rely_on(entry: Document) -> None:
    """And is of the tuner and the data that the experiment names."""
    experiment, pipeline = entry["experiment"], entry["pipeline"]
    for key in KEYS.split():
        value(entry, key)
    assert "error" not in entry
    assert entry["status"] == "complete"
    assert entry["search"]["tuner"] == TUNERS[experiment, pipeline]
    assert entry["data"]["source"]["name"] == DATA.get(pipeline, experiment)
    assert all(type(seconds) is float and seconds > 0 for seconds in entry["timings"].values())
    overrides = [f"experiment={experiment}"]
    overrides += [argument.removeprefix("+") for argument in RUNS[experiment]]
    if experiment != "digits":
        overrides.append("executor=inline")
    assert entry["overrides"] == overrides
    assert pipeline != "cnn" or entry["search"]["oracle"] == HYPERBAND


def test_every_artefact_is_what_the_entry_says(world: World, entry: Document) -> None:
    """Its size, its hash, its place in the entry's own folder, where nothing else is but the
    document.
    """
    root = world.folder / "results"
    paths = {root / "entries" / entry["id"] / "entry.json"}
    for facts in entry["artefacts"].values():
        path = root / facts["path"]
        assert (path.stat().st_size, sha256(path)) == (facts["bytes"], facts["sha256"])
        paths.add(path)
    assert {*(root / "entries" / entry["id"]).iterdir()} == paths
    reports = REPORTS[entry["task"]]
    of_test = {f"test_{name}" for name in reports}
    assert entry["artefacts"].keys() == COMMON | reports | of_test


def test_the_stored_model_predicts_what_the_entry_reports(world: World, entry: Document) -> None:
    """Loaded by Keras alone, measured by NumPy alone, on validation and test rows; it is the best
    of all refits.
    """
    model, rows = entry.model(), entry.refits()
    source = SklearnData(name=entry["data"]["source"]["name"], split=Split(test=0.2))
    data, kept = load(source, entry["task"]), rows[entry["validation"]["kept"]]
    assert data.fingerprint == entry["data"]["fingerprint"]
    repeats = 1 if entry["experiment"] == "mixed" else 2
    assert entry["validation"]["repeats"] == repeats == len({row["seed"] for row in rows})
    classifies = entry["task"] == "classification"
    metric, choose = ("accuracy", max) if classifies else ("rmse", min)
    for name in ("validation", "test"):
        part = data.parts[name]
        predicted = np.asarray(model.predict(part.x, verbose=0), dtype="float64")
        if classifies:
            measured = np.mean(predicted.argmax(axis=1) == part.y)
        else:
            measured = np.sqrt(np.mean((predicted[:, 0] - part.y) ** 2))
        assert kept[name][metric] == pytest.approx(measured, rel=1e-5)
        values = [row[name][metric] for row in rows]
        assert entry[name]["metrics"][metric] == pytest.approx(np.mean(values))
        assert name == "test" or kept[name][metric] == choose(values)


def test_the_trials_are_complete_and_the_best_is_the_best(world: World, entry: Document) -> None:
    """A row per trial, of other values each, with the metrics of every epoch; the best by score and
    direction, not the space's defaults. Hyperband goes on from a parent.
    """
    search, rows = entry["search"], entry.trials()
    objective = search["objective"]
    choose = max if objective["direction"] == "max" else min
    assert search["trials"] == {"total": len(rows), "completed": len(rows), "failed": 0}
    for key in ("trial_id", "values"):
        assert len({str(row[key]) for row in rows}) == len(rows)
    continued = any(row["values"].get("tuner/initial_epoch") for row in rows)
    assert continued == (search["tuner"] == "hyperband")
    for row in rows:
        assert (row["status"], row["message"]) == ("COMPLETED", None)
        assert row["started"]
        assert row["seconds"] > 0
        [curves] = row["history"]
        epochs = row["values"].get("tuner/epochs", 2) - row["values"].get("tuner/initial_epoch", 0)
        assert {len(values) for values in curves.values()} == {epochs}
        assert {objective["name"], "loss", "val_loss"} <= curves.keys()
        scores = curves[objective["name"]]
        assert row["score"] == choose(scores) == scores[row["best_epoch"]]
    best = choose(rows, key=lambda row: row["score"])
    assert {key: best[key] for key in entry["best"]} == entry["best"]
    assert search["seconds"] == pytest.approx(sum(row["seconds"] for row in rows))
    assert {space["config"]["name"] for space in search["space"]} <= best["values"].keys()


@pytest.mark.parametrize("name", ["digits", "diabetes", "mixed"])
def test_a_run_leaves_its_entries_and_its_output_and_says_what_it_does(
    world: World, name: str
) -> None:
    """No trial data. The comparison names each entry, on stdout; the log, on stderr, each trial."""
    root, done, entries = world.folder / "results", world.done[name], world.of(name)
    assert entries.keys() == {pipeline for experiment, pipeline in TUNERS if experiment == name}
    [run_id] = {entry["run_id"] for entry in entries.values()}
    output = {path.name for path in (root / "runs" / run_id).iterdir()}
    assert output == {"effective.yaml", "result.json", "run.log"}
    assert not list(root.glob(f"trials/{name}-*"))
    for pipeline, entry in entries.items():
        [line] = [line for line in done.out.splitlines() if f" {entry['id']} " in line]
        assert f" {pipeline} " in line
        assert entry["id"] not in done.err
        total = entry["search"]["trials"]["total"]
        for number in range(total):
            assert f"{pipeline}: trial {number:04} ({number + 1}/{total})  " in done.err
    assert "INFO" not in done.out
    assert "Traceback" not in done.err


def test_the_history_lists_compares_and_ranks_what_has_run(world: World) -> None:
    """As strict JSON, with nothing else on stdout: all entries, or those of a tag, oldest first."""
    assert history(world.folder, "list") == [*world.entries.values()]
    of_diabetes = world.of("diabetes")
    labels = "name", "tags", "note"
    tagged = history(world.folder, "list", "--tag", "try")
    assert [[entry[key] for key in labels] for entry in tagged] == [LABELS] * len(of_diabetes)
    rmse = {entry["id"]: entry["validation"]["metrics"]["rmse"] for entry in of_diabetes.values()}
    best = history(world.folder, "best", "--experiment", "diabetes")
    assert best["id"] == min(rmse, key=rmse.__getitem__)
    houses, flowers = world.entries["houses", "main"], world.entries["flowers", "main"]
    compared = history(world.folder, "compare", houses["id"], flowers["id"])
    assert compared["ensemble"] == {"a": houses["ensemble"], "b": {}}


def test_a_result_stands_beside_baselines_which_decide_no_identity(
    world: World, tmp_path: Path
) -> None:
    """Over the same rows, in the entry and in the table; one that does not beat them is told so,
    and a run without them reuses it.
    """
    done, entry = world.done["diabetes"], world.entries["diabetes", "mlp"]
    baselines = entry["baselines"]
    assert [*baselines] == ["mean", "ridge", "hgb"]
    for parts in baselines.values():
        assert parts.keys() == {"validation", "test"}
        assert parts["test"].keys() == entry["test"]["metrics"].keys()
    words = "mlp does not beat the baseline ridge: rmse "
    assert re.search(f"WARNING +{words}", done.err)
    assert f"\n{words}" in done.out
    folder = world.copy(tmp_path / "again")
    command = ["+experiment=diabetes", *RUNS["diabetes"], "only=[mlp]", "reuse=true"]
    reused = run_inline(folder, *command, "baselines=none")
    assert f"mlp: reused from the history: {entry['id']}" in reused.err
