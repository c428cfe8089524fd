"""The shipped experiments, run for real."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e_samples import (
    Done,
    entries,
    finish,
    history,
    refits,
    run_inline,
    sha256,
    start,
    start_inline,
    told,
    trials,
)

from runner.config.schema import SklearnData, Split
from runner.data.sources import load

pytestmark = pytest.mark.e2e

EXPERIMENTS: dict[str, list[str]] = {
    "digits": [
        "fit.epochs=2",
        "tuner.max_trials=2",
        "pipelines.cnn.tuner.max_epochs=3",
        "validation.repeats=2",
    ],
    "diabetes": [
        "fit.epochs=2",
        "tuner.max_trials=2",
        "validation.repeats=2",
        "tuner.num_initial_points=1",
    ],
    "mixed": ["fit.epochs=3", "tuner.max_trials=2"],
}
PIPELINES = {
    "digits": {"mlp": ("random", "digits"), "cnn": ("hyperband", "digits")},
    "diabetes": {"linear": ("grid", "diabetes"), "mlp": ("bayesian", "diabetes")},
    "mixed": {"wine": ("random", "wine"), "progression": ("random", "diabetes")},
}
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
HYPERBAND = {"hyperband_iterations": 1, "max_epochs": 3, "min_epochs": 1, "factor": 3}
REPORTS = {
    "classification": {"classification_report", "confusion_matrix", "predictions"},
    "regression": {"regression_report", "predictions_plot", "predictions"},
}


@dataclass(frozen=True)
class Stored:
    """An entry, and where it is."""

    name: str  # of the experiment
    folder: Path
    entry: dict[str, Any]

    def model(self) -> Any:
        import keras

        path = self.folder / "results" / self.entry["artefacts"]["model"]["path"]
        return keras.models.load_model(path, safe_mode=True)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Done]]:
    """Each experiment, run in a folder of its own."""
    folders = {name: tmp_path_factory.mktemp(name) for name in EXPERIMENTS}
    asked = {name: [f"+experiment={name}", *EXPERIMENTS[name]] for name in EXPERIMENTS}
    digits = start(folders["digits"], *asked["digits"])
    others = [start_inline(folders[name], *asked[name]) for name in ("diabetes", "mixed")]
    done = [finish(digits), *map(finish, others)]
    assert [one.exit_code for one in done] == [0, 0, 0], done
    return dict(zip(EXPERIMENTS, zip(folders.values(), done, strict=True), strict=True))


EVERY = [(name, pipeline) for name, pipelines in PIPELINES.items() for pipeline in pipelines]


@pytest.fixture(params=EVERY, ids="-".join)
def stored(ran: dict[str, tuple[Path, Done]], request: pytest.FixtureRequest) -> Stored:
    """Each entry in turn."""
    experiment, pipeline = request.param
    folder = ran[experiment][0]
    return Stored(experiment, folder, entries(folder)[pipeline])


def test_an_entry_has_every_key_that_outsiders_rely_on(stored: Stored) -> None:
    """Each with a value; and it is of the tuner and the data that the experiment names."""
    entry, name = stored.entry, stored.name
    expected = PIPELINES[name][entry["pipeline"]]
    found = entry["status"], entry["search"]["tuner"], entry["data"]["source"]["name"]
    assert found == ("complete", *expected)
    for dotted in KEYS.split():
        node = entry
        for key in dotted.split("."):
            assert key in node, dotted
            node = node[key]
    assert all(type(seconds) is float and seconds > 0 for seconds in entry["timings"].values())
    assert "error" not in entry
    inline = ["executor=inline"] * (name != "digits")
    assert entry["overrides"] == [f"experiment={name}", *EXPERIMENTS[name], *inline]
    assert entry["search"]["tuner"] != "hyperband" or entry["search"]["oracle"] == HYPERBAND


def test_every_artefact_is_what_the_entry_says(stored: Stored) -> None:
    """Its size, its hash, its place in the entry's own folder, where nothing else is but the
    document.
    """
    entry, root = stored.entry, stored.folder / "results"
    for facts in entry["artefacts"].values():
        path = root / facts["path"]
        assert (path.stat().st_size, sha256(path)) == (facts["bytes"], facts["sha256"])
    folder = root / "entries" / entry["id"]
    expected = {root / facts["path"] for facts in entry["artefacts"].values()}
    assert set(folder.iterdir()) == {*expected, folder / "entry.json"}
    own = REPORTS[entry["task"]]
    common = {"model", "config", "identity", "split", "trials", "oracle", "history"}
    assert set(entry["artefacts"]) == common | own | {f"test_{name}" for name in own}


def test_the_stored_model_predicts_what_the_entry_reports(stored: Stored) -> None:
    """Loaded by Keras alone, measured by NumPy alone, on validation and test rows; it is the best
    of all refits.
    """
    entry, model, rows = stored.entry, stored.model(), refits(stored.folder, stored.entry)
    kind = SklearnData(name=entry["data"]["source"]["name"], split=Split(test=0.2))
    data, kept = load(kind, entry["task"]), rows[entry["validation"]["kept"]]
    assert data.fingerprint == entry["data"]["fingerprint"]
    repeats = 1 if stored.name == "mixed" else 2
    assert len(rows) == len({row["seed"] for row in rows}) == entry["validation"]["repeats"]
    assert len(rows) == repeats
    for name in ("validation", "test"):
        part = data.parts[name]
        predicted = np.asarray(model.predict(part.x, verbose=0), dtype="float64")
        if entry["task"] == "classification":
            choose, metric, found = max, "accuracy", np.mean(predicted.argmax(axis=1) == part.y)
        else:
            choose, metric = min, "rmse"
            found = np.sqrt(np.mean((predicted[:, 0] - part.y) ** 2))
        assert kept[name][metric] == pytest.approx(found, rel=1e-5)
        values = [row[name][metric] for row in rows]
        assert entry[name]["metrics"][metric] == pytest.approx(np.mean(values))
        assert name == "test" or kept[name][metric] == choose(values)


def test_the_trials_are_complete_and_the_best_is_the_best(stored: Stored) -> None:
    """A row per trial, of other values each, with the metrics of every epoch; the best by score and
    direction, not the space's defaults. Hyperband goes on from a parent.
    """
    entry, rows = stored.entry, trials(stored.folder, stored.entry)
    objective = entry["search"]["objective"]
    choose = max if objective["direction"] == "max" else min
    assert entry["search"]["trials"] == {"total": len(rows), "completed": len(rows), "failed": 0}
    for key in ("trial_id", "values"):
        assert len({str(row[key]) for row in rows}) == len(rows)
    gone_on = any(row["values"].get("tuner/initial_epoch") for row in rows)
    assert gone_on == (entry["search"]["tuner"] == "hyperband")
    for row in rows:
        assert (row["status"], row["message"]) == ("COMPLETED", None)
        assert row["started"]
        assert row["seconds"] > 0
        [curves] = row["history"]
        epochs = row["values"].get("tuner/epochs", 3 if stored.name == "mixed" else 2)
        first = row["values"].get("tuner/initial_epoch", 0)
        assert {len(values) for values in curves.values()} == {epochs - first}
        assert {objective["name"], "loss", "val_loss"} <= set(curves)
        scores = curves[objective["name"]]
        assert row["score"] == choose(scores) == scores[row["best_epoch"]]
    best = choose(rows, key=lambda row: row["score"])
    assert entry["best"] == {
        key: best[key] for key in ("trial_id", "score", "values", "best_epoch")
    }
    assert entry["search"]["seconds"] == pytest.approx(sum(row["seconds"] for row in rows))
    assert {space["config"]["name"] for space in entry["search"]["space"]} <= set(best["values"])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_leaves_its_entries_and_its_output_and_says_what_it_does(
    ran: dict[str, tuple[Path, Done]], name: str
) -> None:
    """No trial data. The comparison names each entry, on stdout; the log, on stderr, each trial."""
    folder, done = ran[name]
    found, [results] = entries(folder), folder.iterdir()
    assert found.keys() == PIPELINES[name].keys()
    names = {path.name for path in results.iterdir()} - {"history.previous.json"}
    assert {name for name in names if "lock" not in name} == {"history.json", "entries", "runs"}
    [output] = (results / "runs").iterdir()
    written = {path.name for path in output.iterdir()}
    assert written == {"effective.yaml", "result.json", "run.log"}
    assert {entry["run_id"] for entry in found.values()} == {output.name}
    for pipeline, entry in found.items():
        [line] = [line for line in done.out.splitlines() if f" {entry['id']} " in line]
        assert f" {pipeline} " in line
        assert entry["id"] not in done.err
        total = entry["search"]["trials"]["total"]
        for number in range(total):
            assert f"{pipeline}: trial {number:04} ({number + 1}/{total})  " in done.err
    assert "INFO" not in done.out
    assert "Traceback" not in done.err


def test_each_job_of_a_sweep_is_a_run(ran: dict[str, tuple[Path, Done]]) -> None:
    """Its table shows every job. The same settings are a new run, with the same trials, numbers and
    weights.
    """
    folder, _ = ran["mixed"]
    arguments = ["+experiment=mixed", *EXPERIMENTS["mixed"], "only=[wine]"]
    done = run_inline(folder, "-m", *arguments, "seed=0,1,0")
    assert done.exit_code == 0, done.err
    _, _, table = done.out.partition("jobs of the sweep")
    lines = [line for line in table.splitlines() if line[:1].isdigit()]
    assert [line.split()[:2] for line in lines[:3]] == [["0", "0"], ["1", "1"], ["2", "0"]]
    assert "(taken over)" in lines[2]  # as the first of this very sweep
    [result] = folder.glob("results/sweeps/*/result.json")
    jobs = json.loads(result.read_bytes())["jobs"]
    first, _, *found, _ = history(folder, "list")
    assert len({entry["run_id"] for entry in (first, *found)}) == 2
    expected = Stored("mixed", folder, first).model().get_weights()
    for entry, job in zip(found, jobs[:1], strict=True):
        assert entry["id"] == job["entries"]["wine"]
        assert (entry["fingerprint"], entry["best"]) == (first["fingerprint"], first["best"])
        assert told(trials(folder, entry)) == told(trials(folder, first))
        rows = [[{**row, "seconds": 0} for row in refits(folder, of)] for of in (entry, first)]
        assert rows[0] == rows[1]
        weights = Stored("mixed", folder, entry).model().get_weights()
        assert len(weights) == len(expected) > 0
        assert all(np.array_equal(a, b) for a, b in zip(weights, expected, strict=True))
