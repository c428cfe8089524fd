"""The shipped experiments, run for real."""

import math
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
    run,
    run_both,
    sha256,
    start,
    told,
    trials,
)

from runner.config.schema import SklearnData, Split
from runner.data.dataset import Dataset
from runner.data.sources import load

pytestmark = pytest.mark.e2e

EXPERIMENTS: dict[str, list[str]] = {
    "digits": [
        "fit.epochs=2",
        "tuner.max_trials=3",
        "pipelines.cnn.tuner.max_epochs=3",
        "validation.repeats=2",
    ],
    "diabetes": [
        "fit.epochs=2",
        "tuner.max_trials=3",
        "validation.repeats=2",
        "tuner.num_initial_points=2",
    ],
    "mixed": ["fit.epochs=3", "tuner.max_trials=2"],
}
PIPELINES = {
    "digits": {"mlp": ("random", "digits"), "cnn": ("hyperband", "digits")},
    "diabetes": {"linear": ("grid", "diabetes"), "mlp": ("bayesian", "diabetes")},
    "mixed": {"wine": ("random", "wine"), "progression": ("random", "diabetes")},
}
KEYS = [
    "id",
    "schema_version",
    "created",
    "run_id",
    "experiment",
    "pipeline",
    "task",
    "status",
    "seed",
    "fingerprint",
    "search.tuner",
    "search.objective.name",
    "search.objective.direction",
    "search.space",
    "search.oracle",
    "search.trials.total",
    "search.trials.completed",
    "search.trials.failed",
    "search.seconds",
    "best.trial_id",
    "best.score",
    "best.values",
    "validation.metrics",
    "validation.deviation",
    "validation.repeats",
    "test.metrics",
    "data.source",
    "data.fingerprint",
    "data.shapes",
    "data.split",
    "environment.python",
    "environment.packages",
    "environment.git",
    "environment.host",
    "environment.processor",
    "environment.accelerator",
    "environment.threads",
    "environment.backend",
    "timings.preparation",
    "timings.search",
    "timings.validation",
    "config_hash",
    "overrides",
    "artefacts.model",
    "artefacts.config",
    "artefacts.trials",
    "artefacts.oracle",
]
EVERY = [
    (experiment, pipeline) for experiment, pipelines in PIPELINES.items() for pipeline in pipelines
]


@dataclass(frozen=True)
class Ran:
    """An experiment that was run in a folder."""

    folder: Path
    done: Done
    entries: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Ran, Ran]]:
    """Each experiment, run by the same command in two folders."""
    found = {}
    for name, overrides in EXPERIMENTS.items():
        folders = tmp_path_factory.mktemp(name), tmp_path_factory.mktemp(name)
        one, other = (start(folder, f"+experiment={name}", *overrides) for folder in folders)
        both = run_both(one, other)
        for done in both:
            assert done.exit_code == 0, done.err
        first, second = (
            Ran(folder, done, entries(folder)) for folder, done in zip(folders, both, strict=True)
        )
        found[name] = first, second
    return found


def dataset(document: dict[str, Any]) -> Dataset:
    return load(
        SklearnData(name=document["data"]["source"]["name"], split=Split(test=0.2)),
        document["task"],
    )


def model(folder: Path, document: dict[str, Any]) -> Any:
    import keras

    return keras.models.load_model(
        folder / "results" / document["artefacts"]["model"]["path"], safe_mode=True
    )


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_pipeline_leaves_one_complete_entry(
    ran: dict[str, tuple[Ran, Ran]], experiment: str
) -> None:
    """Of the tuner and the data that the experiment names."""
    found = {
        name: (entry["status"], entry["search"]["tuner"], entry["data"]["source"]["name"])
        for name, entry in ran[experiment][0].entries.items()
    }
    assert found == {
        name: ("complete", *expected) for name, expected in PIPELINES[experiment].items()
    }


@pytest.mark.parametrize(("experiment", "pipeline"), EVERY)
def test_an_entry_has_every_key_that_outsiders_rely_on(
    ran: dict[str, tuple[Ran, Ran]], experiment: str, pipeline: str
) -> None:
    """Each with a value."""
    entry = ran[experiment][0].entries[pipeline]
    for dotted in KEYS:
        node = entry
        for key in dotted.split("."):
            assert key in node, dotted
            node = node[key]
    assert all(type(seconds) is float and seconds > 0 for seconds in entry["timings"].values())
    assert "error" not in entry
    assert entry["overrides"] == [f"experiment={experiment}", *EXPERIMENTS[experiment]]
    if entry["search"]["tuner"] == "hyperband":
        assert entry["search"]["oracle"] == {
            "hyperband_iterations": 1,
            "max_epochs": 3,
            "min_epochs": 1,
            "factor": 3,
        }


@pytest.mark.parametrize(("experiment", "pipeline"), EVERY)
def test_every_artefact_is_what_the_entry_says(
    ran: dict[str, tuple[Ran, Ran]], experiment: str, pipeline: str
) -> None:
    """Its size, its hash, its place in the entry's own folder, where nothing else is but the
    document.
    """
    one = ran[experiment][0]
    entry = one.entries[pipeline]
    root = one.folder / "results"
    for facts in entry["artefacts"].values():
        path = root / facts["path"]
        assert (path.stat().st_size, sha256(path)) == (facts["bytes"], facts["sha256"])
    files = {
        f"entries/{entry['id']}/{path.name}" for path in (root / "entries" / entry["id"]).iterdir()
    }
    assert files == {facts["path"] for facts in entry["artefacts"].values()} | {
        f"entries/{entry['id']}/entry.json"
    }
    common = {"model", "config", "identity", "trials", "oracle", "history"}
    own = {
        "classification": {"classification_report", "confusion_matrix"},
        "regression": {"regression_report", "predictions_plot"},
    }[entry["task"]]
    assert set(entry["artefacts"]) == common | own | {f"test_{name}" for name in own}


@pytest.mark.parametrize(("experiment", "pipeline"), EVERY)
def test_the_stored_model_predicts_what_the_entry_reports(
    ran: dict[str, tuple[Ran, Ran]], experiment: str, pipeline: str
) -> None:
    """Loaded by Keras alone, measured by NumPy alone, on validation and test rows."""
    one = ran[experiment][0]
    entry = one.entries[pipeline]
    data, loaded = dataset(entry), model(one.folder, entry)
    assert data.fingerprint == entry["data"]["fingerprint"]
    kept = refits(one.folder, entry)[entry["validation"]["kept"]]
    for name, part in data.parts().items():
        if name == "train":
            continue
        predicted = np.asarray(loaded.predict(part.x, verbose=0), dtype="float64")
        if entry["task"] == "classification":
            assert kept[name]["accuracy"] == float(np.mean(predicted.argmax(axis=1) == part.y))
        else:
            rmse = math.sqrt(float(np.mean((predicted[:, 0] - part.y) ** 2)))
            assert kept[name]["rmse"] == pytest.approx(rmse, rel=1e-5)


@pytest.mark.parametrize(("experiment", "pipeline"), EVERY)
def test_the_metrics_are_mean_and_deviation_of_the_refits(
    ran: dict[str, tuple[Ran, Ran]], experiment: str, pipeline: str
) -> None:
    """Worked out again from the refits; the kept one is the best of them."""
    entry = ran[experiment][0].entries[pipeline]
    runs = refits(ran[experiment][0].folder, entry)
    assert len(runs) == entry["validation"]["repeats"] == (1 if experiment == "mixed" else 2)
    assert len({row["seed"] for row in runs}) == len(runs)
    for part in ("validation", "test"):
        for name, mean in entry[part]["metrics"].items():
            values = [row[part][name] for row in runs]
            assert mean == pytest.approx(np.mean(values))
            if len(runs) > 1:
                assert entry[part]["deviation"][name] == pytest.approx(np.std(values, ddof=1))
    if len(runs) == 1:
        assert entry["validation"]["deviation"] == {}
    ranked = [
        row["validation"]["accuracy" if entry["task"] == "classification" else "rmse"]
        for row in runs
    ]
    best = max(ranked) if entry["task"] == "classification" else min(ranked)
    assert ranked[entry["validation"]["kept"]] == best


@pytest.mark.parametrize(("experiment", "pipeline"), EVERY)
def test_the_trials_are_complete_and_the_best_is_the_best(
    ran: dict[str, tuple[Ran, Ran]], experiment: str, pipeline: str
) -> None:
    """A row per trial with the metrics of every epoch; the best by score and direction, not the
    space's defaults.
    """
    one = ran[experiment][0]
    entry = one.entries[pipeline]
    rows = trials(one.folder, entry)
    objective = entry["search"]["objective"]
    assert entry["search"]["trials"] == {"total": len(rows), "completed": len(rows), "failed": 0}
    assert len({row["trial_id"] for row in rows}) == len(rows)
    for row in rows:
        assert set(row) >= {
            "trial_id",
            "status",
            "score",
            "values",
            "best_epoch",
            "started",
            "seconds",
            "history",
        }
        assert (row["status"], row["message"]) == ("COMPLETED", None)
        assert row["seconds"] > 0
        [curves] = row["history"]
        epochs = row["values"].get("tuner/epochs", 3 if experiment == "mixed" else 2)
        first = row["values"].get("tuner/initial_epoch", 0)
        assert {len(values) for values in curves.values()} == {epochs - first}
        assert {objective["name"], "loss", "val_loss"} <= set(curves)
        assert row["score"] == (max if objective["direction"] == "max" else min)(
            curves[objective["name"]]
        )
        assert row["score"] == curves[objective["name"]][row["best_epoch"]]
    choose = max if objective["direction"] == "max" else min
    best = choose(rows, key=lambda row: row["score"])
    assert entry["best"] == {
        "trial_id": best["trial_id"],
        "score": best["score"],
        "values": best["values"],
    }
    assert entry["search"]["seconds"] == pytest.approx(sum(row["seconds"] for row in rows))
    assert {space["config"]["name"] for space in entry["search"]["space"]} <= set(best["values"])


def test_the_search_does_search(ran: dict[str, tuple[Ran, Ran]]) -> None:
    """Trials of different values; Hyperband goes on from a parent; the random best is no
    default.
    """
    one = ran["digits"][0]
    mlp, cnn = (trials(one.folder, one.entries[name]) for name in ("mlp", "cnn"))
    assert len({str(row["values"]) for row in mlp}) == 3
    assert any(
        "tuner/trial_id" in row["values"] and row["values"]["tuner/initial_epoch"] > 0
        for row in cnn
    )
    assert max(row["values"]["tuner/epochs"] for row in cnn) == 3
    defaults = {"model.hidden.h1": 16, "model.dropout": 0.0, "model.learning_rate": 1e-4}
    assert all(
        one.entries["mlp"]["best"]["values"][name] != value for name, value in defaults.items()
    )


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_no_trial_data_is_left(ran: dict[str, tuple[Ran, Ran]], experiment: str) -> None:
    """Nothing but the history, the entries and the run's own output."""
    one = ran[experiment][0]
    names = {path.name for path in (one.folder / "results").iterdir()}
    assert names - {".history.lock", ".locks", "history.previous.json"} == {
        "history.json",
        "entries",
        "runs",
    }
    assert {path.name for path in one.folder.iterdir()} == {"results"}
    [output] = (one.folder / "results" / "runs").iterdir()
    assert {path.name for path in output.iterdir()} == {
        ".hydra",
        "effective.yaml",
        "result.json",
        "run.log",
    }
    assert {entry["run_id"] for entry in one.entries.values()} == {output.name}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_results_go_to_stdout_and_the_log_to_stderr(
    ran: dict[str, tuple[Ran, Ran]], experiment: str
) -> None:
    """The comparison names each entry, the log each trial."""
    one = ran[experiment][0]
    for name, entry in one.entries.items():
        [line] = [line for line in one.done.out.splitlines() if line.rstrip().endswith(entry["id"])]
        assert f" {name} " in line
        assert entry["id"] not in one.done.err
        for number in range(1, entry["search"]["trials"]["total"] + 1):
            assert f"{name}: trial {number}" in one.done.err
    assert "INFO" not in one.done.out
    assert "Traceback" not in one.done.err


@pytest.mark.parametrize(("experiment", "pipeline"), EVERY)
def test_the_same_command_gives_the_same_trials_and_the_same_weights(
    ran: dict[str, tuple[Ran, Ran]], experiment: str, pipeline: str
) -> None:
    """In another folder, at the same time as another process: every number and every array."""
    one, other = ran[experiment]
    mine, its = one.entries[pipeline], other.entries[pipeline]
    assert mine["id"] != its["id"]
    assert mine["fingerprint"] == its["fingerprint"]
    assert told(trials(one.folder, mine)) == told(trials(other.folder, its))
    assert mine["best"] == its["best"]
    assert mine["validation"]["metrics"] == its["validation"]["metrics"]
    weights, same = (model(r.folder, e).get_weights() for r, e in ((one, mine), (other, its)))
    assert len(weights) == len(same) > 0
    assert all(np.array_equal(a, b) for a, b in zip(weights, same, strict=True))
    rows = [
        [{**row, "seconds": None} for row in refits(r.folder, e)]
        for r, e in ((one, mine), (other, its))
    ]
    assert rows[0] == rows[1]
    for name in set(mine["artefacts"]) - {"model", "trials", "oracle", "history"}:
        assert mine["artefacts"][name]["sha256"] == its["artefacts"][name]["sha256"], name


def test_the_history_is_strict_json_from_the_command_line(ran: dict[str, tuple[Ran, Ran]]) -> None:
    """list, show and best agree with each other."""
    one = ran["mixed"][0]
    listed = history(one.folder, "list")
    assert [entry["pipeline"] for entry in listed] == ["wine", "progression"]
    assert [history(one.folder, "show", name) for name in ("@0", "@-1")] == listed
    assert history(one.folder, "best", "--task", "regression")["id"] == listed[1]["id"]
    digits = ran["digits"][0]
    by_accuracy = max(
        digits.entries.values(), key=lambda entry: entry["validation"]["metrics"]["accuracy"]
    )
    assert history(digits.folder, "best")["id"] == by_accuracy["id"]


def test_the_same_command_after_a_finished_run_is_a_new_run(
    ran: dict[str, tuple[Ran, Ran]],
) -> None:
    """It adds its entries beside those of the first, with the same results."""
    one = ran["mixed"][1]
    done = run(one.folder, "+experiment=mixed", *EXPERIMENTS["mixed"], "only=[wine]")
    assert done.exit_code == 0, done.err
    first, _, again = history(one.folder, "list")
    assert first["id"] != again["id"]
    assert (first["best"], first["validation"]["metrics"]) == (
        again["best"],
        again["validation"]["metrics"],
    )


def test_a_sweep_runs_each_job_and_exits_with_the_worst_code(tmp_path: Path) -> None:
    """Its table shows every job; one that cannot run beside the others does not keep them from
    running.
    """
    arguments = [
        "-m",
        "+experiment=mixed",
        "only=[wine]",
        "fit.epochs=1",
        "tuner.max_trials=1",
        "threads=2,1,2",
    ]
    done = finish(start(tmp_path, *arguments))
    assert done.exit_code == 2, done.err
    rows = [
        line.split()
        for line in done.out.splitlines()
        if "threads=" in line and "experiment=mixed" in line
    ]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    found = history(tmp_path, "list")
    assert [entry["environment"]["threads"] for entry in found] == [2, 2]
    assert found[0]["id"] in rows[0]
    assert found[1]["id"] in rows[2]
    assert "cannot change within one process" in done.out
    assert found[0]["best"] == found[1]["best"]
