"""What is wrong between the keys of one section."""

from pathlib import Path
from typing import Any

import pytest
from runner_samples import MLP, pipeline, read, where

from runner.config.schema import (
    Data,
    Fit,
    Hyperparameter,
    Model,
    Objective,
    Run,
    Split,
    Target,
    Tuner,
    Validation,
    known_direction,
    pipeline_name_problem,
)

INT = {"hp": "Int", "min_value": 1, "max_value": 8}
FLOAT = {"hp": "Float", "min_value": 0.0, "max_value": 1.0}
CHOICE = {"hp": "Choice", "values": [1, 2]}


@pytest.mark.parametrize(
    "spec",
    [
        INT,
        {**INT, "max_value": 1},
        {**INT, "step": 3, "default": 4},
        {**INT, "sampling": "log", "step": 2},
        FLOAT,
        {**FLOAT, "step": 0.1},
        {**FLOAT, "min_value": 1e-4, "sampling": "log"},
        {**FLOAT, "min_value": 1, "max_value": 2, "sampling": "reverse_log"},
        CHOICE,
        {**CHOICE, "values": ["a", "b"], "default": "b"},
        {**CHOICE, "values": [True, False]},
        {"hp": "Boolean", "default": True},
        {"hp": "Fixed", "value": "relu"},
        {**INT, "parent_name": "model.kind", "parent_values": ["a"]},
    ],
)
def test_right_hyperparameters_pass(spec: dict[str, Any]) -> None:
    """Keras Tuner's own argument names."""
    assert read(spec, Hyperparameter)[1] == []


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({**INT, "min_value": 9}, "max_value"),
        ({**INT, "step": 0}, "step"),
        ({**INT, "step": -2}, "step"),
        ({**INT, "default": 9}, "default"),
        ({**INT, "min_value": 0, "sampling": "log"}, "min_value"),
        ({**INT, "sampling": "log", "step": 1}, "step"),
        ({**INT, "sampling": "quadratic"}, "sampling"),
        ({**INT, "min_value": 1.5}, "min_value"),
        ({**INT, "minvalue": 1}, "minvalue"),
        ({"hp": "Int", "min_value": 1}, "max_value"),
        ({**FLOAT, "sampling": "log"}, "min_value"),
        ({**FLOAT, "sampling": "reverse_log"}, "min_value"),
        ({**FLOAT, "step": 0.0}, "step"),
        ({**FLOAT, "default": -0.1}, "default"),
        ({**CHOICE, "values": []}, "values"),
        ({**CHOICE, "values": [1, None]}, "values"),
        ({**CHOICE, "values": [1, "a"]}, "values"),
        ({**CHOICE, "values": [0.5, 1]}, "values"),
        ({**CHOICE, "values": [1, True]}, "values"),
        ({**CHOICE, "values": [[1], [2]]}, "values"),
        ({**CHOICE, "default": 3}, "default"),
        ({**INT, "parent_name": "a"}, "parent_name"),
        ({**INT, "parent_values": ["a"]}, "parent_name"),
        ({"hp": "Flaot", "min_value": 0}, "hp"),
        ({"hp": "Fixed", "value": [1]}, "value"),
    ],
)
def test_wrong_hyperparameters_are_refused(spec: dict[str, Any], key: str) -> None:
    """One problem, at the key that is wrong."""
    assert where(read(spec, Hyperparameter)[1]) == [f"here.{key}"]


@pytest.mark.parametrize("bound", [float("inf"), float("nan")])
def test_a_range_must_be_finite(bound: float) -> None:
    """Nothing can be drawn from 0 to infinity."""
    assert where(read({**FLOAT, "max_value": bound}, Hyperparameter)[1]) == ["here.max_value"]


def test_a_hyperparameter_deep_in_a_model_is_checked_at_its_own_key() -> None:
    """However deep it lies, in lists too."""
    given = {
        "_target_": "a.b",
        "blocks": [{"units": {**INT, "min_value": 9}}],
        "rate": {**FLOAT, "step": 0},
    }
    assert where(read(given, Model)[1]) == ["here.blocks[0].units.max_value", "here.rate.step"]


def test_a_hyperparameter_stands_in_model_and_fit_only() -> None:
    """Elsewhere nobody would ever sample it."""
    found = read({"_target_": "a.b", "patience": INT}, Target)[1]
    assert where(found) == ["here.patience"]
    assert "model and fit only" in found[0].what


@pytest.mark.parametrize(
    "path", ["mlp", "a..b", ".a.b", "a.b.", "a b.c", "os.system('x')", "1a.b", ""]
)
def test_a_target_is_a_dotted_path(path: str) -> None:
    """A file name or an expression is none."""
    assert where(read({"_target_": path}, Model)[1]) == ["here._target_"]


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({}, []),
        ({"validation": 0.5, "test": 0.49}, []),
        ({"validation": 0.0}, ["here.validation"]),
        ({"validation": 1.0}, ["here.validation", "here"]),
        ({"validation": float("nan")}, ["here.validation"]),
        ({"test": -0.1}, ["here.test"]),
        ({"test": 1.0}, ["here.test", "here"]),
        ({"validation": 0.5, "test": 0.5}, ["here"]),
        ({"validation": 0.7, "test": 0.4}, ["here"]),
    ],
)
def test_a_split_leaves_rows_to_train_on(given: dict[str, float], keys: list[str]) -> None:
    """Each part on its own, and both together."""
    assert where(read(given, Split)[1]) == keys


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_split_seed_must_be_one_that_scikit_learn_takes(seed: int) -> None:
    """0 to 2^32 - 1: found out before anything is started."""
    assert where(read({"seed": seed}, Split)[1]) == ["here.seed"]


@pytest.mark.parametrize(
    ("name", "direction", "sense"),
    [
        ("val_loss", None, "min"),
        ("val_accuracy", None, "max"),
        ("val_accuracy", "max", "max"),
        ("loss", "min", "min"),
        ("val_mean_iou", "max", "max"),
        ("val_r2_score", None, "max"),
        ("val_sparse_categorical_crossentropy", None, "min"),
    ],
)
def test_an_objective_has_a_direction(name: str, direction: str | None, sense: str) -> None:
    """Stated, or known for sure by the metric's name."""
    made, found = read({"name": name, "direction": direction}, Objective)
    assert found == []
    assert made.sense == sense


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "val_mean_iou"}, "state whether val_mean_iou is to be minimised or maximised"),
        ({"name": "val_loss", "direction": "max"}, "val_loss is better when lower: min"),
        ({"name": "val_accuracy", "direction": "min"}, "val_accuracy is better when higher: max"),
        ({"name": "val_loss", "direction": "up"}, "unknown value 'up'"),
    ],
)
def test_a_direction_that_is_missing_or_contradicts_the_metric_is_refused(
    given: dict[str, str], words: str
) -> None:
    """Searching for the worst model must not go unnoticed."""
    found = read(given, Objective)[1]
    assert where(found) == ["here.direction"]
    assert words in found[0].what


def test_no_direction_is_guessed_for_an_unknown_metric() -> None:
    """Even one that looks like a loss or an accuracy."""
    assert [known_direction(n) for n in ("my_loss", "val_my_accuracy", "auc_1", "val_")] == [
        None
    ] * 4


@pytest.mark.parametrize("key", ["epochs", "batch_size", "repeats"])
def test_validation_counts_from_one(key: str) -> None:
    """No refit, no epoch and no row are no validation."""
    assert where(read({key: 0}, Validation)[1]) == [f"here.{key}"]
    assert read({key: 1}, Validation)[1] == []


def test_fit_counts_from_one_or_is_a_hyperparameter() -> None:
    """Epochs and batch size may be searched for."""
    assert where(read({"epochs": 0, "batch_size": -1}, Fit)[1]) == [
        "here.epochs",
        "here.batch_size",
    ]
    assert read({"epochs": INT, "batch_size": CHOICE, "shuffle": {"hp": "Boolean"}}, Fit)[1] == []


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({"kind": "random", "max_trials": 0}, ["here.max_trials"]),
        (
            {"kind": "grid", "max_trials": None, "executions_per_trial": 0},
            ["here.executions_per_trial"],
        ),
        ({"kind": "grid", "max_epochs": 3}, ["here.max_epochs"]),
        ({"kind": "hyperband", "max_trials": 3}, ["here.max_trials"]),
        ({"kind": "hyperband", "factor": 1}, ["here.factor"]),
        (
            {"kind": "hyperband", "max_epochs": 0, "hyperband_iterations": 0},
            ["here.max_epochs", "here.hyperband_iterations"],
        ),
        ({"kind": "bayesian", "num_initial_points": 0}, ["here.num_initial_points"]),
        (
            {"kind": "random", "max_consecutive_failed_trials": 0},
            ["here.max_consecutive_failed_trials"],
        ),
        ({"kind": "rando"}, ["here.kind"]),
    ],
)
def test_a_tuner_takes_its_own_keys_with_counts_from_one(
    given: dict[str, Any], keys: list[str]
) -> None:
    """A key of another tuner is unknown."""
    assert where(read(given, Tuner)[1]) == keys


def test_a_missing_data_file_is_found_when_the_config_is_checked(tmp_path: Path) -> None:
    """Before anything is started, with the full path."""
    found = read({"kind": "npz", "path": str(tmp_path / "no.npz")}, Data)[1]
    assert where(found) == ["here.path"]
    assert str(tmp_path / "no.npz") in found[0].what
    (tmp_path / "no.npz").touch()
    assert read({"kind": "npz", "path": str(tmp_path / "no.npz")}, Data)[1] == []


def test_the_run_has_a_seed_and_threads() -> None:
    """Counted from 0 and from 1."""
    assert where(read({"seed": -1, "threads": 0}, Run)[1]) == ["here.threads", "here.seed"]
    assert read({"seed": 0, "threads": 1}, Run)[1] == []


@pytest.mark.parametrize("name", ["mlp", "m", "mlp-2", "a1-b2"])
def test_right_pipeline_names_pass(name: str) -> None:
    """Lower-case letters, digits and dashes after a letter."""
    assert pipeline_name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "better"),
    [("My MLP", "my-mlp"), ("a_b", "a-b"), ("ü", None), ("1x", None), ("", None)],
)
def test_wrong_pipeline_names_get_a_better_one(name: str, better: str | None) -> None:
    """Where one can be made from it."""
    what = pipeline_name_problem(name)
    assert what is not None
    assert (f"'{better}' would do" in what) if better else ("would do" not in what)


def test_the_manager_of_a_pipeline_defaults_to_its_task() -> None:
    """Its name in the registry."""
    assert pipeline().manager_name == "classification"
    assert pipeline(manager="regression").manager_name == "regression"
    assert pipeline(model=MLP).model.args["hidden"] == MLP["hidden"]


def test_a_backend_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what installs it."""
    monkeypatch.setattr(
        "runner.config.schema.find_spec", lambda name: None if name == "jax" else object()
    )
    _, found = read({"backend": "jax"}, Run)
    assert [problem.where for problem in found] == ["here.backend"]
    assert "pip install '.[jax]'" in found[0].what
    assert read({"backend": "torch"}, Run)[1] == []
