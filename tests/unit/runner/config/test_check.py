"""What each section takes, and what is wrong between its keys."""

from pathlib import Path
from typing import Any

import pytest
from runner_samples import MLP, SECTIONS, from_files, pipeline, problems, read

from runner.config.schema import (
    Data,
    Executor,
    Fit,
    Hyperparameter,
    Model,
    NpzData,
    Objective,
    Pipeline,
    Run,
    Split,
    Target,
    Tuner,
    Validation,
)

INT = {"hp": "Int", "min_value": 1, "max_value": 8}
FLOAT = {"hp": "Float", "min_value": 0.0, "max_value": 1.0}
CHOICE = {"hp": "Choice", "values": [1, 2]}
GRID, HYPERBAND = {"kind": "grid"}, {"kind": "hyperband"}


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        (Hyperparameter, INT),
        (Hyperparameter, {**INT, "max_value": 1}),
        (Hyperparameter, {**INT, "step": 3, "default": 4}),
        (Hyperparameter, {**INT, "sampling": "log", "step": 2}),
        (Hyperparameter, {**INT, "parent_name": "model.kind", "parent_values": ["a"]}),
        (Hyperparameter, FLOAT),
        (Hyperparameter, {**FLOAT, "step": 0.1}),
        (Hyperparameter, {**FLOAT, "min_value": 1e-4, "sampling": "log"}),
        (Hyperparameter, {**FLOAT, "min_value": 0.5, "sampling": "reverse_log"}),
        (Hyperparameter, CHOICE),
        (Hyperparameter, {**CHOICE, "values": ["a", "b"], "default": "b"}),
        (Hyperparameter, {**CHOICE, "values": [True, False]}),
        (Hyperparameter, {"hp": "Boolean", "default": True}),
        (Hyperparameter, {"hp": "Fixed", "value": "relu"}),
        (Split, {}),
        (Split, {"validation": 0.5, "test": 0.49, "seed": 2**32 - 1}),
        (Validation, {"epochs": 1, "batch_size": 1, "repeats": 1}),
        (Fit, {"epochs": INT, "batch_size": CHOICE, "shuffle": {"hp": "Boolean"}}),
        (Fit, {"class_weight": {"a": 2, "b": FLOAT}}),
        (Data, {"kind": "npz", "path": __file__}),
        (Data, {"kind": "npz", "path": {"train": __file__, "validation": __file__}}),
        (Run, {"seed": 0, "threads": 1, "backend": "torch"}),
    ],
)
def test_what_is_right_passes(
    schema: Any, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras Tuner's own argument names, bounds themselves, what is searched."""
    monkeypatch.setattr("runner.config.schema.find_spec", lambda name: name == "torch" or None)
    assert read(given, schema)[1] == []


@pytest.mark.parametrize(
    ("schema", "given", "key", "words"),
    [
        (Hyperparameter, {**INT, "min_value": 9}, "max_value", "8 is below min_value, 9"),
        (Hyperparameter, {**INT, "step": 0}, "step", "must be above 0, not 0"),
        (Hyperparameter, {**INT, "default": 9}, "default", "9 is outside 1 to 8"),
        (Hyperparameter, {**INT, "min_value": 0, "sampling": "log"}, "min_value", "above 0"),
        (Hyperparameter, {**INT, "sampling": "log", "step": 1}, "step", "above 1, not 1"),
        (Hyperparameter, {**INT, "sampling": "quadratic"}, "sampling", "unknown value"),
        (Hyperparameter, {**INT, "min_value": 1.5}, "min_value", "must be a whole number"),
        (Hyperparameter, {**INT, "minvalue": 1}, "minvalue", "did you mean 'min_value'?"),
        (Hyperparameter, {"hp": "Int", "min_value": 1}, "max_value", "is required"),
        (Hyperparameter, {**FLOAT, "sampling": "reverse_log"}, "min_value", "above 0, not 0.0"),
        (Hyperparameter, {**FLOAT, "step": -0.5}, "step", "must be above 0, not -0.5"),
        (Hyperparameter, {**FLOAT, "default": -0.1}, "default", "is outside 0.0 to 1.0"),
        (Hyperparameter, {**FLOAT, "max_value": float("inf")}, "max_value", "must be finite"),
        (Hyperparameter, {**FLOAT, "max_value": float("nan")}, "max_value", "must be finite"),
        (Hyperparameter, {**CHOICE, "values": []}, "values", "must hold at least 1"),
        (Hyperparameter, {**CHOICE, "values": [1, None]}, "values[1]", "Keras Tuner stores"),
        (Hyperparameter, {**CHOICE, "values": [1, [2]]}, "values[1]", "Keras Tuner stores"),
        (Hyperparameter, {**CHOICE, "values": [1, "a"]}, "values", "must all be of one type"),
        (Hyperparameter, {**CHOICE, "values": [0.5, 1]}, "values", "must all be of one type"),
        (Hyperparameter, {**CHOICE, "values": [1, True]}, "values", "must all be of one type"),
        (Hyperparameter, {**CHOICE, "default": 3}, "default", "3 is not among the values"),
        (Hyperparameter, {**INT, "parent_name": "a"}, "parent_name", "go together"),
        (Hyperparameter, {**INT, "parent_values": ["a"]}, "parent_name", "go together"),
        (Hyperparameter, {"hp": "Flaot"}, "hp", "did you mean 'Float'?"),
        (Hyperparameter, {"hp": "Fixed", "value": [1]}, "value", "Keras Tuner stores"),
        (Model, {"_target_": "a.b", "x": [{**INT, "min_value": 9}]}, "x[0].max_value", "below"),
        (
            Target,
            {"_target_": "a.b", "patience": INT},
            "patience",
            "only allowed in the sections model and fit",
        ),
        *(
            (Model, {"_target_": path}, "_target_", "is not a dotted path")
            for path in ("mlp", "a..b", ".a.b", "a.b.", "a b.c", "os.system('x')", "1a.b", "")
        ),
        (Split, {"validation": 0.0}, "validation", "must be above 0"),
        (Split, {"validation": 1.0}, "validation", "must be below 1"),
        (Split, {"validation": float("nan")}, "validation", "must be finite"),
        (Split, {"test": -0.1}, "test", "must be at least 0"),
        (Split, {"test": 1.0}, "test", "must be below 1"),
        (Split, {"validation": 0.5, "test": 0.5}, "", "leave no training rows"),
        (Split, {"seed": -1}, "seed", "must be at least 0"),
        (Split, {"seed": 2**32}, "seed", "must be below 4294967296"),
        *(
            (Objective, {"name": name}, "direction", f"state whether {name} is to be")
            for name in ("val_mean_iou", "my_loss", "val_my_accuracy", "auc_1", "val_")
        ),
        (Objective, {"name": "val_loss", "direction": "max"}, "direction", "better when lower"),
        (Objective, {"name": "val_auc", "direction": "min"}, "direction", "better when higher"),
        (Objective, {"name": "val_loss", "direction": "up"}, "direction", "unknown value 'up'"),
        *(
            (Validation, {key: 0}, key, "must be at least 1")
            for key in ("epochs", "batch_size", "repeats")
        ),
        (Validation, {"ensemble": True}, "ensemble", "is the mean of several refits"),
        (Validation, {"weights": "trial", "repeats": 2}, "weights", "are kept, not refitted"),
        (Fit, {"epochs": 0}, "epochs", "must be at least 1"),
        (Fit, {"batch_size": -1}, "batch_size", "must be at least 1"),
        (Tuner, {"kind": "random", "max_trials": 0}, "max_trials", "must be at least 1"),
        (Tuner, {**GRID, "executions_per_trial": 0}, "executions_per_trial", "at least 1"),
        (Tuner, {**GRID, "max_consecutive_failed_trials": 0}, "max_consecutive_failed_trials", "1"),
        (Tuner, {**GRID, "folds": 1}, "folds", "must be at least 2"),
        (Tuner, {**GRID, "folds": 2, "executions_per_trial": 2}, "executions_per_trial", "folds"),
        (Tuner, {**HYPERBAND, "folds": 2}, "folds", "unknown key"),
        (Tuner, {**GRID, "max_epochs": 3}, "max_epochs", "unknown key"),
        (Tuner, {**HYPERBAND, "max_trials": 3}, "max_trials", "unknown key"),
        (Tuner, {**HYPERBAND, "factor": 1}, "factor", "must be at least 2"),
        (Tuner, {**HYPERBAND, "max_epochs": 0}, "max_epochs", "must be at least 1"),
        (Tuner, {**HYPERBAND, "hyperband_iterations": 0}, "hyperband_iterations", "at least 1"),
        (Tuner, {"kind": "bayesian", "num_initial_points": 0}, "num_initial_points", "at least 1"),
        (Tuner, {"kind": "tpe"}, "kind", "pip install '.[optuna]'"),
        (Tuner, {"kind": "random", "start_from": "best"}, "start_from", "write [best]"),
        (Tuner, {"kind": "random", "start_from": [{"a": [1]}]}, "start_from[0].a", "may be text, "),
        (Tuner, {"kind": "grid", "start_from": ["best"]}, "start_from", "unknown key"),
        (Data, {"kind": "npz", "path": "/no.npz"}, "path", "/no.npz does not exist"),
        (Data, {"kind": "npz", "path": {"train": __file__}}, "path.validation", "is required"),
        (Run, {"seed": -1}, "seed", "must be at least 0"),
        (Run, {"threads": 0}, "threads", "must be at least 1"),
        (Run, {"backend": "jax"}, "backend", "pip install '.[jax]'"),
        (Executor, {"kind": "dask", "address": "tcp://host:1"}, "kind", "pip install '.[dask]'"),
    ],
)
def test_what_is_wrong_is_one_problem_at_its_key(
    schema: Any, given: dict[str, Any], key: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is missing or a backend that is not installed too, before anything starts."""
    monkeypatch.setattr(
        "runner.config.schema.find_spec",
        lambda name: name not in ("jax", "distributed", "optuna") or None,
    )
    [problem] = read(given, schema)[1]
    assert problem.where == f"here.{key}".rstrip(".")
    assert words in problem.what


@pytest.mark.parametrize(
    ("name", "direction", "sense"),
    [
        ("val_loss", None, "min"),
        ("val_accuracy", None, "max"),
        ("val_accuracy", "max", "max"),
        ("val_mean_iou", "max", "max"),
        ("val_r2_score", None, "max"),
        ("val_sparse_categorical_crossentropy", None, "min"),
    ],
)
def test_an_objective_has_a_direction(name: str, direction: str | None, sense: str) -> None:
    """Stated, or known for sure by the metric's name."""
    made, found = read({"name": name, "direction": direction}, Objective)
    assert (made.sense, found) == (sense, [])


@pytest.mark.parametrize("name", ["My MLP", "a_b", "ü", "1x", "", "-a"])
def test_a_name_begins_the_ids_of_entries(name: str) -> None:
    """So a pipeline's holds lower-case letters, digits and dashes after a letter."""
    found = problems(lambda: from_files({**SECTIONS, "pipelines": {"mlp-2": {}, name: {}}}))
    assert found.keys() == {f"pipelines.{name}"}


def test_the_manager_of_a_pipeline_defaults_to_its_task() -> None:
    """Its name in the registry."""
    assert pipeline().manager_name == "classification"
    assert pipeline(manager="regression").manager_name == "regression"
    assert pipeline(model=MLP).model.args["hidden"] == MLP["hidden"]


def test_a_tilde_is_the_home_folder_in_every_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's shell does it behind a `=`, nor in a file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.npz").touch()
    made = pipeline(
        data={"kind": "npz", "path": {"train": "~/a.npz", "validation": "~/a.npz"}},
        tuner={"kind": "random", "directory": "~/trials"},
        fingerprint={"files": ["~/a.npz"]},
    )
    assert isinstance(made.data, NpzData)
    assert made.data.paths["train"] == made.fingerprint.files[0] == str(tmp_path / "a.npz")
    assert made.tuner.directory == str(tmp_path / "trials")
    run, found = read(
        {"paths": {"root": "~/r"}, "predict": "@-1", "input": "~/a.csv", "output": "~/b.csv"}, Run
    )
    assert (run.paths.root, found) == (str(tmp_path / "r"), [])
    assert (run.input, run.output) == (str(tmp_path / "a.csv"), str(tmp_path / "b.csv"))


def test_a_file_that_code_reads_must_be_there(tmp_path: Path) -> None:
    """It counts for what can be reused, so a folder, whose content nobody reads, is none."""
    for path, words in (("no.keras", "does not exist"), (str(tmp_path), "is not a file")):
        given = {**SECTIONS, "fingerprint": {"files": [__file__, path]}}
        [problem] = read(given, Pipeline)[1]
        assert problem.where == "here.fingerprint.files[1]"
        assert words in problem.what
