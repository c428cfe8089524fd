"""Executions that other systems left, in files of exactly the shape that these write."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from history.errors import InputError
from history.exchange.keras_tuner import LARGEST, Found, read_foreign

DEEP = pytest.param("[" * 100_000, id="deep")
SPACE = [
    {
        "class_name": "Int",
        "config": {"name": "units", "default": None, "min_value": 2, "max_value": 16},
    }
]
DEFAULTS = {"units": 2}
HYPERBAND = {
    "hyperband_iterations": math.inf,
    "max_epochs": 4,
    "min_epochs": 1,
    "factor": 3,
    "brackets": [],
}
MARKER = {
    "fingerprint": "0123456789abcdef",
    "experiment": "digits",
    "pipeline": "mlp",
    "parts": {
        "task": "regression",
        "tuner": {"kind": "grid"},
        "objective": {"name": "val_loss", "direction": "min"},
        "model": {"_target_": "os.system"},
    },
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
    accuracy = {} if score is None else {"val_accuracy": metric("max", 0.0, score, math.nan)}
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
        "hyperparameters": {"space": SPACE, "values": DEFAULTS},
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


def read(path: Path, **options: Any) -> Found:
    [found] = read_foreign(path, **options)
    assert found.document["notes"] == found.notes
    return found


def rows(found: Found) -> list[dict[str, Any]]:
    content = found.files["trials"]
    assert isinstance(content, bytes)
    read_back: list[dict[str, Any]] = json.loads(content, parse_constant=pytest.fail)
    return read_back


def refused(path: Path, *parts: str, **options: Any) -> None:
    """It cannot be imported, and the message says these parts."""
    with pytest.raises(InputError) as caught:
        read_foreign(path, **options)
    assert [part for part in parts if part not in str(caught.value)] == []


# --- Keras Tuner projects


def test_a_project_is_read_with_all_that_its_files_tell(folder: Path) -> None:
    """The names of the folders, the tuner's parameters, and the best COMPLETED trial, not the
    defaults.
    """
    found = read(folder)
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
        },
        "best": {"trial_id": "01", "score": 0.75, "values": {"units": 11}},
        "origin": {"kind": "keras-tuner", "path": str(folder)},
        "notes": found.notes,
    }
    assert {name: path for name, path in found.files.items() if name != "trials"} == {
        "oracle": folder / "oracle.json",
        "weights": folder / "trial_01" / "checkpoint.weights.h5",
        "build_config": folder / "trial_01" / "build_config.json",
    }


def test_every_started_trial_is_a_row(folder: Path) -> None:
    """The one that was running too, which is never the best."""
    assert [
        (row["trial_id"], row["status"], row["score"], row["message"]) for row in rows(read(folder))
    ] == [
        ("00", "COMPLETED", 0.25, None),
        ("01", "COMPLETED", 0.75, None),
        ("02", "FAILED", None, "boom"),
        ("03", "RUNNING", None, None),
    ]


def test_the_notes_say_what_the_files_do_not_hold(folder: Path) -> None:
    """That nothing was refitted, where the values come from, what was inferred and what had not
    ended.
    """
    (folder / "trial_9").mkdir()
    (folder / "trial_9" / "trial.json").write_text(json.dumps(trial("RUNNING", None)))
    (folder / "trial_01" / "checkpoint.weights.h5").unlink()
    assert read(folder).notes == [
        "It holds no trained model file and no validation: nothing was refitted.",
        "Its best values are those of the best COMPLETED trial; oracle.json has the defaults of the space.",
        "Objective and direction inferred from its trials: val_accuracy max; "
        "where Keras Tuner had guessed the direction from the metric's name, it may be wrong.",
        "Task inferred from the names of its metrics: classification.",
        "Trials that had not ended: 1 of 4.",
        "Its best trial's weights are not there, or are a link: checkpoint.weights.h5.",
        "Trial folders that oracle.json does not name are left out: 1.",
    ]


def test_our_own_search_says_itself_what_it_is(folder: Path) -> None:
    """Its marker's names, task, tuner and objective, and the seconds of its trials; nothing is
    inferred.
    """
    (folder / "search.json").write_text(json.dumps(MARKER))
    (folder / "trial_00" / "result.json").write_text(json.dumps({"seconds": 1.5, "executions": []}))
    (folder / "trial_01" / "result.json").write_text(
        json.dumps({"seconds": 2.0, "executions": [{"history": {}}]})
    )
    found = read(folder)
    document = found.document
    assert [document[key] for key in ("experiment", "pipeline", "task")] == [
        "digits",
        "mlp",
        "regression",
    ]
    assert document["search"]["tuner"] == "grid"
    assert document["search"]["objective"] == {"name": "val_loss", "direction": "min"}
    assert document["search"]["seconds"] == 3.5
    assert not any("nferred" in note for note in found.notes)
    assert "The scores of its trials are not the values of val_loss." in found.notes
    refused(folder, "search.json", "regression", "--task", task="classification")


@pytest.mark.parametrize(
    "marker", ["[]", "{}", '{"fingerprint": 1, "parts": [], "experiment": {}, "pipeline": ""}']
)
def test_a_file_that_only_has_the_markers_name_says_nothing(folder: Path, marker: str) -> None:
    """The project is then read as anybody's."""
    (folder / "search.json").write_text(marker)
    assert read(folder).document["experiment"] == "my_search"


def test_what_is_given_wins(folder: Path) -> None:
    """The direction decides the best trial; an objective that the scores do not follow is said."""
    (folder / "search.json").write_text(json.dumps(MARKER))
    found = read(folder, objective="val_accuracy", direction="min")
    assert found.document["search"]["objective"] == {"name": "val_accuracy", "direction": "min"}
    assert found.document["best"]["trial_id"] == "00"
    assert read(folder, direction="max").document["best"]["trial_id"] == "01"
    (folder / "search.json").unlink()
    notes = read(folder, objective="loss", task="other").notes
    assert "The scores of its trials are not the values of loss." in notes
    assert any(note.startswith("Direction inferred from its trials: loss min") for note in notes)
    refused(folder, "unknown metric 'val_acc'", "did you mean 'val_accuracy'?", objective="val_acc")


def test_an_objective_that_several_metrics_could_be_is_asked_for(tmp_path: Path) -> None:
    """With the candidates; one trial in which they differ decides."""
    twin = metric("max", 0.5)
    path = project(tmp_path / "a", trial(score=0.5, val_acc=twin))
    refused(
        path,
        str(path),
        "--objective NAME --direction min|max",
        "(candidates: val_accuracy max, val_acc max)",
    )
    assert read(path, objective="val_acc").document["search"]["objective"] == {
        "name": "val_acc",
        "direction": "max",
    }
    path = project(tmp_path / "b", trial(score=0.5, val_acc=twin), trial(score=0.75, val_acc=twin))
    assert read(path).document["search"]["objective"]["name"] == "val_accuracy"


def test_an_objective_that_no_metric_can_be_is_asked_for(tmp_path: Path) -> None:
    """With all the metrics."""
    path = project(tmp_path, trial() | {"score": 0.1})
    refused(path, "--objective", "(candidates: val_accuracy max, loss min, val_loss min)")


def test_the_best_value_is_that_of_the_means_over_the_executions(tmp_path: Path) -> None:
    """As Keras Tuner computes scores of several executions."""
    seen = {
        "direction": "max",
        "observations": [{"value": [0.5, 1.0], "step": 0}, {"value": [0.9, 0.1], "step": 1}],
    }
    path = project(tmp_path, trial(score=0.75, val_accuracy=seen))
    assert read(path).document["search"]["objective"]["name"] == "val_accuracy"


def test_the_task_is_told_by_the_names_of_the_metrics_or_asked_for(tmp_path: Path) -> None:
    """A given one is not looked at twice."""
    bare = trial(score=0.5) | {"metrics": {"metrics": {"val_loss": metric("min", 0.5)}}}
    path = project(tmp_path / "bare", bare)
    refused(path, "val_loss", "--task")
    assert read(path, task="ranking").document["task"] == "ranking"
    bare["metrics"]["metrics"] |= {"val_root_mean_squared_error": metric("min", 2.0)}
    assert read(project(tmp_path / "error", bare)).document["task"] == "regression"
    bare["metrics"]["metrics"] |= {"AUC": metric("max", 2.0)}
    refused(project(tmp_path / "both", bare), "--task")


def test_the_tuner_is_told_by_its_own_state(tmp_path: Path) -> None:
    """Random and grid search leave none."""
    bayesian = read(project(tmp_path / "b", trial(), num_initial_points=None, alpha=1e-4, beta=2.6))
    assert bayesian.document["search"]["tuner"] == "bayesian"
    assert bayesian.document["search"]["oracle"] == {
        "num_initial_points": None,
        "alpha": 1e-4,
        "beta": 2.6,
    }
    random = read(project(tmp_path / "r", trial()))
    assert random.document["search"]["tuner"] is None
    assert (
        "Its tuner is in no file: a random search, a grid search or one of another kind."
        in random.notes
    )


def test_the_only_project_in_a_folder_is_found(tmp_path: Path) -> None:
    """Of several, one must be named."""
    path = project(tmp_path / "one", trial())
    assert read(tmp_path).document["origin"]["path"] == str(path)
    other = project(tmp_path / "other", trial())
    refused(tmp_path, str(path), str(other))


def test_without_a_completed_trial_there_is_nothing_to_import(tmp_path: Path) -> None:
    """Nor with one whose score is NaN, nor without any trial."""
    for number, trials in enumerate(
        [(), (trial("RUNNING", None), trial("FAILED", None)), (trial(score=math.nan),)]
    ):
        path = project(tmp_path / str(number), *trials)
        refused(path, "nothing to import", str(path))


@pytest.mark.parametrize(
    "file", ["oracle.json", "trial_00/trial.json", "trial_00/result.json", "search.json"]
)
@pytest.mark.parametrize("content", ["", '{"trial_id": "00", "sco', "\x00", "\ud800", DEEP, "nul"])
def test_a_file_that_was_cut_off_is_named(folder: Path, file: str, content: str) -> None:
    """With what to do."""
    (folder / file).write_text(content, errors="surrogatepass")
    refused(folder, str(folder / file), "restore")


@pytest.mark.parametrize("file", ["oracle.json", "trial_00/trial.json"])
@pytest.mark.parametrize(
    "content", ["[]", "{}", "1", "null", '{"start_order": "00", "hyperparameters": {"space": []}}']
)
def test_a_file_of_another_shape_is_named(folder: Path, file: str, content: str) -> None:
    """JSON that Keras Tuner does not write."""
    (folder / file).write_text(content)
    refused(folder, str(folder / file), "restore")


@pytest.mark.parametrize(
    "change",
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
def test_a_trial_of_another_shape_is_named(folder: Path, change: dict[str, Any]) -> None:
    """Whatever of it is strange; nothing crashes."""
    path = folder / "trial_00" / "trial.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    refused(folder, str(path), "'00'")


@pytest.mark.parametrize(
    "trial_id", ["../../other", "0/../00", "..", "", "a\nb", None, ["00"], {"a": 1}, "00"]
)
def test_a_trials_id_is_a_plain_name(folder: Path, trial_id: object) -> None:
    """Another one, or one that stands twice, is refused before any path is made of it."""
    oracle = json.loads((folder / "oracle.json").read_text())
    (folder / "oracle.json").write_text(json.dumps({**oracle, "start_order": ["00", trial_id]}))
    refused(folder, str(folder / "oracle.json"), "start_order")


def test_a_trial_that_is_not_there_is_named(folder: Path) -> None:
    """And the way out, without it: the project of its other trials."""
    path = folder / "trial_01" / "trial.json"
    path.unlink()
    refused(folder, str(path), "take '01' out of start_order")
    oracle = json.loads((folder / "oracle.json").read_text())
    (folder / "oracle.json").write_text(json.dumps({**oracle, "start_order": ["00", "02"]}))
    assert read(folder).document["best"]["trial_id"] == "00"


def test_no_link_is_followed_out_of_a_project(folder: Path, tmp_path: Path) -> None:
    """A linked file of Keras Tuner's is refused, a linked checkpoint left out."""
    outside = project(tmp_path / "outside", trial(), trial(score=0.75))
    weights = folder / "trial_01" / "checkpoint.weights.h5"
    weights.unlink()
    weights.symlink_to(outside / "trial_01" / weights.name)
    found = read(folder)
    assert set(found.files) == {"trials", "oracle", "build_config"}
    assert any("weights" in note for note in found.notes)
    for file in (
        "search.json",
        "trial_00/result.json",
        "trial_00/trial.json",
        "trial_01",
        "oracle.json",
    ):
        path = folder / file
        if path.exists():
            path.rename(tmp_path / f"away_{path.name}")
        path.symlink_to(outside / file)
        refused(folder, str(path), "link")
        path.unlink()
        if (tmp_path / f"away_{path.name}").exists():
            (tmp_path / f"away_{path.name}").rename(path)
    assert read(folder).document["best"]["trial_id"] == "01"


def test_a_huge_file_is_refused(folder: Path) -> None:
    """By its size, without reading it."""
    with (folder / "oracle.json").open("r+b") as file:
        file.truncate(LARGEST + 2**20)
    refused(folder, str(folder / "oracle.json"), "257 MB", "256 MB")


def test_numbers_that_json_cannot_say_are_told_before_anything_is_stored(tmp_path: Path) -> None:
    """Such as integers of more than 64 bits in the space."""
    path = project(tmp_path, trial(), hyperparameters={"space": [2**70], "values": {}})
    refused(path, str(path), "cannot be imported")


@pytest.mark.parametrize("name", ["missing", "empty", "notes.txt", "archive.zip", "nul\x00"])
def test_anything_else_is_answered_with_what_can_be_imported(tmp_path: Path, name: str) -> None:
    """An archive, a project folder or a list."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "archive.zip").write_bytes(b"PK\x03\x04\xff\xfe")
    refused(
        tmp_path / name, "what can be imported", "archive", "oracle.json", "best_executions.json"
    )


# --- lists of an older history

MEASURED = {
    "mean_accuracy": 0.83,
    "standard_deviation_accuracy": 0.19,
    "mean_val_accuracy": 0.81,
    "standard_deviation_val_accuracy": 0.81,
    "mean_val_loss": 0.0,
    "standard_deviation_val_loss": 0.0,
}
PARAMETERS = {"hyperband_iterations": 1, "max_epochs": 10, "min_epochs": 1, "factor": 3}
TIMES = {
    "pre_processing_time": "00:00:02.000",
    "params_search_time": "01:11:35.500",
    "validation_time": "00:00:34.000",
}
ITEM: dict[str, Any] = {
    "model": "ExampleKerasHyperModel",
    "history": MEASURED,
    "neural_structure": {"space": SPACE, "values": DEFAULTS},
    **PARAMETERS,
    **TIMES,
}


def executions(folder: Path, *items: Any) -> Path:
    """The list in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "best_executions.json").write_text(json.dumps(items, indent=4))
    return folder / "best_executions.json"


def test_an_execution_is_read_with_all_that_its_item_tells(tmp_path: Path) -> None:
    """The values are the defaults, and there is no best; times are seconds."""
    path = executions(tmp_path / "history_model_1", ITEM)
    (tmp_path / "history_model_1" / "models").mkdir()
    model = tmp_path / "history_model_1" / "models" / "model_1.keras"
    model.write_bytes(b"model")
    found = read(path)
    assert found.document == {
        "experiment": "history_model_1",
        "pipeline": "ExampleKerasHyperModel",
        "task": "classification",
        "status": "complete",
        "search": {
            "tuner": "hyperband",
            "space": SPACE,
            "oracle": PARAMETERS,
            "defaults": DEFAULTS,
            "seconds": 4295.5,
        },
        "validation": {
            "metrics": {"mean_accuracy": 0.83, "mean_val_accuracy": 0.81, "mean_val_loss": 0.0},
            "deviation": {"mean_accuracy": 0.19, "mean_val_loss": 0.0},
            "repeats": 1,
            "over": "epochs",
        },
        "timings": {"preparation": 2.0, "search": 4295.5, "validation": 34.0},
        "origin": {"kind": "best-executions", "path": str(path), "index": 0},
        "notes": [
            "Its values are the defaults of the search space, not those of the best trial: see search.defaults.",
            "Its metrics are means over the epochs of one training, not comparable to those of a trained model.",
            "Its standard_deviation_val_accuracy equals the mean, which was stored in its place: it is left out.",
            "Task inferred from the names of its metrics: classification.",
        ],
    }
    assert found.files["model"] == model
    source = found.files["source"]
    assert isinstance(source, bytes)
    assert json.loads(source) == ITEM


def test_every_item_is_read_and_its_model_found_by_its_place(tmp_path: Path) -> None:
    """From the folder too; a model that is a link is left out, and a model that is not there is
    said.
    """
    other = {key: value for key, value in ITEM.items() if key not in PARAMETERS} | {
        "model": "Other",
        "history": {"mean_val_absolute_error": 0.03},
    }
    path = executions(tmp_path / "here", ITEM, other, ITEM)
    (tmp_path / "model.keras").write_bytes(b"")
    (path.parent / "models").mkdir()
    (path.parent / "models" / "model_2.keras").write_bytes(b"")
    (path.parent / "models" / "model_3.keras").symlink_to(tmp_path / "model.keras")
    found = read_foreign(path.parent)
    assert [one.document["origin"]["index"] for one in found] == [0, 1, 2]
    assert [one.document["task"] for one in found] == [
        "classification",
        "regression",
        "classification",
    ]
    assert [set(one.files) for one in found] == [{"source"}, {"source", "model"}, {"source"}]
    missing = "It holds no trained model: models/model_{}.keras is not there, or is a link."
    assert [missing.format(n) in one.notes for n, one in enumerate(found, 1)] == [True, False, True]
    assert found[1].document["search"] == {
        "tuner": None,
        "space": SPACE,
        "oracle": {},
        "defaults": DEFAULTS,
        "seconds": 4295.5,
    }
    assert {one.document["task"] for one in read_foreign(path, task="given")} == {"given"}


def test_an_item_within_items_is_unwrapped(tmp_path: Path) -> None:
    """Its own record counts; where it lacks a time, the nearest outer one's does."""
    inner = {key: value for key, value in ITEM.items() if key != "validation_time"} | {
        "params_search_time": None
    }
    middle = {
        "model": "Middle",
        "history": inner,
        **TIMES,
        "params_search_time": "00:00:05.000",
        "max_epochs": 99,
    }
    outer = {"model": "Outer", "history": middle, **TIMES, "validation_time": "00:00:01.000"}
    document = read(executions(tmp_path, outer)).document
    assert document["pipeline"] == "ExampleKerasHyperModel"
    assert document["search"]["oracle"] == PARAMETERS
    assert document["timings"] == {"preparation": 2.0, "search": 5.0, "validation": 34.0}


@pytest.mark.parametrize(
    "text", ["soon", "1:2:3", "00:00:-1.0", "00:00", 5, None, "9" * 99 + ":00:00", "\u0661:00:00"]
)
def test_a_time_that_is_none_is_unknown_and_said(tmp_path: Path, text: object) -> None:
    """It stops nothing."""
    found = read(executions(tmp_path, {**ITEM, "params_search_time": text}))
    assert found.document["timings"] == {"preparation": 2.0, "search": None, "validation": 34.0}
    assert found.document["search"]["seconds"] is None
    [note] = [
        note for note in found.notes if note.startswith("Its params_search_time is no duration: ")
    ]
    assert len(note) < 100


@pytest.mark.parametrize("number", [math.nan, math.inf, None])
def test_a_metric_that_is_no_number_is_unknown_and_said(
    tmp_path: Path, number: float | None
) -> None:
    """It stops nothing."""
    spread = {"mean_val_loss": 0.5, "standard_deviation_val_loss": number}
    found = read(executions(tmp_path, {**ITEM, "history": {"mean_accuracy": number, **spread}}))
    assert found.document["validation"]["metrics"] == {"mean_accuracy": None, "mean_val_loss": 0.5}
    assert found.document["validation"]["deviation"] == {"mean_val_loss": None}
    for key in ("mean_accuracy", "standard_deviation_val_loss"):
        assert f"Its {key} is no finite number." in found.notes


@pytest.mark.parametrize(
    ("item", "key"),
    [
        (5, "neural_structure"),
        ({}, "neural_structure"),
        ({**ITEM, "model": None}, "model"),
        ({**ITEM, "model": ""}, "model"),
        ({**ITEM, "history": [1]}, "history"),
        ({**ITEM, "history": {}}, "mean_"),
        ({**ITEM, "history": {"history": "x"}}, "mean_"),
        ({**ITEM, "history": {"history": {}}}, "neural_structure"),
        ({**ITEM, "history": {"mean_loss": "low"}}, "history.mean_loss"),
        ({**ITEM, "history": {"mean_loss": True}}, "history.mean_loss"),
        ({**ITEM, "neural_structure": {"values": {}}}, "space"),
        ({**ITEM, "neural_structure": {"space": [], "values": []}}, "values"),
        ({**ITEM, "history": {"mean_loss": 1.0}}, "--task"),
    ],
)
def test_an_item_of_another_shape_is_named(tmp_path: Path, item: object, key: str) -> None:
    """With the key; of the others nothing is imported either."""
    path = executions(tmp_path, ITEM, item)
    refused(path, f"{path}, item 1", key)


@pytest.mark.parametrize("content", ["[", "{}", "[]", '"a"', "null", "", DEEP])
def test_a_list_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    """With what can be imported."""
    path = executions(tmp_path)
    path.write_text(content)
    refused(path, str(path), "what can be imported")


@pytest.mark.parametrize("value", [2**70, "\ud800", json.loads("[" * 400 + "]" * 400)])
def test_what_json_cannot_say_is_refused_before_anything_is_stored(
    tmp_path: Path, value: object
) -> None:
    """Wherever it stands."""
    path = executions(
        tmp_path, {**ITEM, "neural_structure": {"space": [], "values": {"units": value}}}
    )
    refused(path, str(path), "cannot be imported")
    path = executions(tmp_path, {**ITEM, "history": {"mean_accuracy": 10**400}})
    refused(path, str(path), "cannot be imported")


def test_a_linked_list_is_read_only_by_its_own_name(tmp_path: Path) -> None:
    """A link that the user names is theirs to follow; one that lies in the folder is not."""
    path = executions(tmp_path / "real", ITEM)
    link = tmp_path / "linked" / "best_executions.json"
    link.parent.mkdir()
    link.symlink_to(path)
    assert read(link).document["origin"]["path"] == str(path)
    refused(link.parent, str(link), "link")
