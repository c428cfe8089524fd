"""Searches that Keras Tuner left, in files of exactly the shape that it writes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from history_samples import Cli

import history
from foundation.errors import InputError
from history.exchange.keras_tuner import LARGEST, read_project

DEEP = pytest.param("[" * 100_000, id="deep")
SPACE = [
    {
        "class_name": "Int",
        "config": {"name": "units", "default": None, "min_value": 2, "max_value": 16},
    }
]
HYPERBAND = {
    "hyperband_iterations": math.inf,
    "max_epochs": 4,
    "min_epochs": 1,
    "factor": 3,
    "brackets": [],
}


def metric(direction: str, *values: float) -> dict[str, Any]:
    return {
        "direction": direction,
        "observations": [{"value": [v], "step": step} for step, v in enumerate(values)],
    }


def trial(
    status: str = "COMPLETED", score: float | None = 0.5, loss: float = 3.0, **metrics: Any
) -> dict[str, Any]:
    """A trial.json but for its id; `metrics` beside val_accuracy, whose best is the score, and the
    losses.
    """
    usual = {"loss": metric("min", loss), "val_loss": metric("min", loss / 2)}
    accuracy = {} if score is None else {"val_accuracy": metric("max", math.nan, 0.0, score)}
    tracked = {**accuracy, **usual, **metrics} if status == "COMPLETED" else {}
    return {
        "metrics": {"metrics": tracked},
        "score": score,
        "best_step": 1,
        "status": status,
        "message": None,
    }


def project(folder: Path, *trials: dict[str, Any], **oracle: Any) -> Path:
    """A project folder with these trials, of 10, 11, ... units, each with its checkpoint."""
    ids = [f"{number:02d}" for number in range(len(trials))]
    for number, (trial_id, content) in enumerate(zip(ids, trials, strict=True)):
        place = folder / f"trial_{trial_id}"
        place.mkdir(parents=True)
        hyperparameters = {"space": SPACE, "values": {"units": 10 + number}}
        (place / "trial.json").write_text(
            json.dumps({"trial_id": trial_id, "hyperparameters": hyperparameters, **content})
        )
        (place / "checkpoint.weights.h5").write_bytes(trial_id.encode())
        (place / "build_config.json").write_text('{"input_shape": [null, 4]}')
    state = {
        "ongoing_trials": {},
        "hyperparameters": {"space": SPACE, "values": {"units": 2}},
        "start_order": ids,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "oracle.json").write_text(
        json.dumps({**state, "end_order": ids, "seed": 7, **oracle})
    )
    (folder / "tuner0.json").write_text("{}")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Hyperband search whose second trial is the best; a third failed and a fourth is running."""
    return project(
        tmp_path / "my_search" / "untitled",
        trial(score=0.25),
        trial(score=0.75, loss=4.0),
        trial("FAILED", None) | {"message": "boom"},
        trial("RUNNING", None),
        **HYPERBAND,
    )


def change(path: Path, **keys: Any) -> None:
    """Put other values into a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def refused(path: Path, *parts: str, **options: Any) -> None:
    """It cannot be imported, and the message says these parts."""
    with pytest.raises(InputError) as caught:
        read_project(path, **options)
    assert [part for part in parts if part not in str(caught.value)] == []


def test_a_project_is_read_with_all_that_its_files_tell(folder: Path) -> None:
    """The names of the folders, the tuner's parameters, and the best COMPLETED trial, not the
    defaults; a row for each started trial.
    """
    found = read_project(folder)
    assert found.document == {
        "experiment": "my_search",
        "pipeline": "untitled",
        "task": "classification",
        "status": "complete",
        "search": {
            "tuner": "hyperband",
            "objective": {"name": "val_accuracy", "direction": "max"},
            "space": SPACE,
            "oracle": {key: value for key, value in HYPERBAND.items() if key != "brackets"},
            "trials": {"total": 4, "completed": 2, "failed": 1},
            "seconds": None,
            "peak_bytes": None,
        },
        "best": {"trial_id": "01", "score": 0.75, "values": {"units": 11}},
        "origin": {"kind": "keras-tuner", "path": str(folder)},
        "notes": [
            "Imported without a model file or validation: nothing was refitted.",
            "Inferred from the metrics of its trials: task, objective, direction.",
        ],
    }
    assert found.files == {
        "oracle": folder / "oracle.json",
        "weights": folder / "trial_01" / "checkpoint.weights.h5",
        "build_config": folder / "trial_01" / "build_config.json",
    }
    assert [(trial.trial_id, trial.status, trial.score) for trial in found.trials] == [
        ("00", "COMPLETED", 0.25),
        ("01", "COMPLETED", 0.75),
        ("02", "FAILED", None),
        ("03", "RUNNING", None),
    ]


def test_what_is_given_wins(folder: Path) -> None:
    """The direction decides the best trial; what was still inferred is said."""
    found = read_project(folder, objective="val_accuracy", direction="min")
    assert found.document["search"]["objective"] == {"name": "val_accuracy", "direction": "min"}
    assert found.document["best"]["trial_id"] == "00"
    found = read_project(folder, objective="loss", task="other")
    assert found.document["search"]["objective"] == {"name": "loss", "direction": "min"}
    assert found.document["notes"][1:] == ["Inferred from the metrics of its trials: direction."]
    refused(folder, "unknown metric 'val_acc'", "did you mean 'val_accuracy'?", objective="val_acc")


def test_an_objective_that_the_trials_do_not_tell_is_asked_for(tmp_path: Path) -> None:
    """With the metrics that it could be, or all; one trial in which they differ decides."""
    twin = metric("max", 0.5)
    path = project(tmp_path / "a", trial(score=0.5, val_acc=twin))
    refused(
        path, "--objective NAME --direction min|max", "(candidates: val_accuracy max, val_acc max)"
    )
    found = read_project(path, objective="val_acc").document["search"]["objective"]
    assert found == {"name": "val_acc", "direction": "max"}
    path = project(tmp_path / "b", trial(score=0.5, val_acc=twin), trial(score=0.75, val_acc=twin))
    assert read_project(path).document["search"]["objective"]["name"] == "val_accuracy"
    path = project(tmp_path / "c", trial() | {"score": 0.1})
    refused(path, str(path), "(candidates: val_accuracy max, loss min, val_loss min)")


def test_the_best_value_is_that_of_the_means_over_the_executions(tmp_path: Path) -> None:
    """As Keras Tuner computes scores of several executions."""
    steps = [{"value": [0.5, 1.0], "step": 0}, {"value": [0.9, 0.1], "step": 1}]
    seen = {"direction": "max", "observations": steps}
    path = project(tmp_path, trial(score=0.75, val_accuracy=seen))
    assert read_project(path).document["search"]["objective"]["name"] == "val_accuracy"


def test_the_task_is_told_by_the_names_of_the_metrics_or_asked_for(tmp_path: Path) -> None:
    """A given one is not looked at twice."""
    bare = trial(score=0.5) | {"metrics": {"metrics": {"val_loss": metric("min", 0.5)}}}
    path = project(tmp_path / "bare", bare)
    refused(path, "val_loss", "--task")
    assert read_project(path, task="ranking").document["task"] == "ranking"
    bare["metrics"]["metrics"] |= {"val_root_mean_squared_error": metric("min", 2.0)}
    assert read_project(project(tmp_path / "error", bare)).document["task"] == "regression"
    bare["metrics"]["metrics"] |= {"AUC": metric("max", 2.0)}
    refused(project(tmp_path / "both", bare), "--task")


def test_the_tuner_is_told_by_its_own_state(tmp_path: Path) -> None:
    """Random and grid search leave none."""
    state = {"num_initial_points": None, "alpha": 1e-4, "beta": 2.6}
    search = read_project(project(tmp_path / "b", trial(), **state)).document["search"]
    assert (search["tuner"], search["oracle"]) == ("bayesian", state)
    assert read_project(project(tmp_path / "r", trial())).document["search"]["tuner"] is None


@pytest.mark.parametrize(
    "trials", [[], [trial("RUNNING", None), trial("FAILED", None)], [trial(score=math.nan)]]
)
def test_without_a_completed_trial_there_is_nothing_to_import(
    tmp_path: Path, trials: list[dict[str, Any]]
) -> None:
    """Nor with one whose score is NaN, nor without any trial."""
    refused(project(tmp_path, *trials), "nothing to import", str(tmp_path))


@pytest.mark.parametrize("file", ["oracle.json", "trial_00/trial.json", "trial_00/result.json"])
@pytest.mark.parametrize(
    "content",
    [
        *("", '{"trial_id": "00", "sco', "\x00", "\ud800", DEEP, "nul", "[]", "1", "null"),
        '{"start_order": "00", "hyperparameters": {"space": []}, "executions": 1}',
    ],
)
def test_a_file_that_was_cut_off_or_has_another_shape_is_named(
    folder: Path, file: str, content: str
) -> None:
    """With what to do."""
    (folder / file).write_text(content, errors="surrogatepass")
    refused(folder, str(folder / file).removesuffix("result.json"), "restore")


@pytest.mark.parametrize(
    "keys",
    [
        {"trial_id": "01"},
        {"status": None},
        {"score": 10**400},
        {"score": "0.5"},
        {"hyperparameters": {"values": []}},
        {"metrics": {"metrics": []}},
        {"metrics": {"metrics": {"loss": {"direction": "up", "observations": []}}}},
        {
            "metrics": {
                "metrics": {"loss": {"direction": "min", "observations": [{"value": ["a"]}]}}
            }
        },
    ],
)
def test_a_trial_of_another_shape_is_named(folder: Path, keys: dict[str, Any]) -> None:
    """Whatever of it is strange; nothing crashes."""
    path = folder / "trial_00" / "trial.json"
    change(path, **keys)
    refused(folder, str(path), "restore")


@pytest.mark.parametrize(
    "trial_id", ["../../other", "0/../00", "..", "", "a\nb", None, ["00"], {"a": 1}, "00"]
)
def test_a_trials_id_is_a_plain_name(folder: Path, trial_id: object) -> None:
    """Another one, or one that stands twice, is refused before any path is made of it."""
    change(folder / "oracle.json", start_order=["00", trial_id])
    refused(folder, str(folder / "oracle.json"), "start_order")


def test_a_trial_that_is_not_there_is_named(folder: Path) -> None:
    """And the way out, without it: the project of its other trials."""
    path = folder / "trial_01" / "trial.json"
    path.unlink()
    refused(folder, str(path), "remove its trial from start_order")
    change(folder / "oracle.json", start_order=["00", "02"])
    assert read_project(folder).document["best"]["trial_id"] == "00"


@pytest.mark.parametrize(
    "file", ["trial_00/result.json", "trial_00/trial.json", "trial_01", "oracle.json"]
)
def test_no_link_is_followed_out_of_a_project(folder: Path, tmp_path: Path, file: str) -> None:
    """Neither one that takes the place of a file nor one that adds a file."""
    outside = project(tmp_path / "outside", trial(), trial(score=0.75))
    path = folder / file
    if path.exists():
        path.rename(tmp_path / "away")
    path.symlink_to(outside / file)
    refused(folder, str(path), "link")


def test_a_linked_checkpoint_is_left_out(folder: Path) -> None:
    """It is no artefact."""
    weights = folder / "trial_01" / "checkpoint.weights.h5"
    weights.unlink()
    weights.symlink_to(folder / "trial_00" / weights.name)
    assert set(read_project(folder).files) == {"oracle", "build_config"}


def test_a_huge_file_is_refused(folder: Path) -> None:
    """By its size, without reading it."""
    with (folder / "oracle.json").open("r+b") as file:
        file.truncate(LARGEST + 2**20)
    refused(folder, str(folder / "oracle.json"), "larger than 256 MB")


def test_numbers_that_json_cannot_say_arrive_as_text(tmp_path: Path, root: Path, cli: Cli) -> None:
    """Such as integers of more than 64 bits in the space; once, however often they are imported."""
    path = project(tmp_path / "a", trial(), hyperparameters={"space": [2**70], "values": {}})
    cli("import", path)
    assert "; nothing was changed" in cli("import", path).err
    [entry] = history.open(root).entries()
    assert entry.value("search.space") == [str(2**70)]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("missing", "nothing to import at"),
        ("empty", "part of every Keras Tuner project folder, is missing"),
        ("notes.txt", "is not an archive made by `history export --archive`"),
        ("my_search/untitled --task ranking", "unknown history manager 'ranking'"),
    ],
)
def test_anything_else_is_refused(
    folder: Path, tmp_path: Path, root: Path, cli: Cli, name: str, what: str
) -> None:
    """A folder without a project, a file that is no archive, an unknown task; no root is made."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    assert what in cli("import", *f"{tmp_path}/{name}".split(), exit_code=2).err
    assert not root.exists()


def test_a_project_is_taken_once(folder: Path, root: Path, cli: Cli) -> None:
    """With a task that had been inferred it is the same; its notes are said when it is taken."""
    assert "note: Inferred from the metrics of its trials: task" in cli("import", folder).err
    said = f"every entry of {folder} is already in {root}; nothing was changed\n"
    for task in ([], ["--task", "classification"]):
        assert cli("import", folder, *task).err == said
    [entry] = history.open(root).entries()
    entry.verify()
    assert entry.imported
    assert {*entry.value("artefacts")} == {"trials", "oracle", "weights", "build_config"}
