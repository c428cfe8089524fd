"""Identities: what changes them and what does not."""

import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runner_samples import MLP, pipeline

from runner import __version__
from runner.config.schema import Pipeline, Run
from runner.models import mlp
from runner.run.identity import digest, search_parts, source_hash
from runner.training.seeds import derive_seed


def identity(
    made: Pipeline, run: Run | None = None, data: str = "d", source: str = "s", versions: str = "1"
) -> str:
    return digest(
        search_parts(run or Run(), made, {"content": data}, {"model": source}, {"keras": versions})
    )


BASE = identity(pipeline())


@pytest.mark.parametrize(
    "tuner",
    [
        {"max_trials": 9},
        {"max_consecutive_failed_trials": 9},
        {"directory": "elsewhere"},
        {"project_name": "other"},
    ],
)
def test_budgets_and_paths_do_not_change_a_search(tuner: dict[str, Any]) -> None:
    """A raised budget continues the same search."""
    assert identity(pipeline(tuner={"kind": "random", **tuner})) == BASE


@pytest.mark.parametrize(
    "run",
    [
        Run(progress=False),
        Run(on_failure="stop"),
        Run(fresh=True),
        Run(only=["a"]),
        Run(hooks={"purge": None}),
    ],
)
def test_how_a_run_is_conducted_does_not_change_a_search(run: Run) -> None:
    """Nor does what comes after the search."""
    assert identity(pipeline(), run) == BASE
    assert identity(pipeline(validation={"repeats": 5})) == BASE


@pytest.mark.parametrize("run", [Run(seed=1), Run(threads=1), Run(deterministic=True)])
def test_seed_threads_and_determinism_change_a_search(run: Run) -> None:
    """They decide numbers."""
    assert identity(pipeline(), run) != BASE


@pytest.mark.parametrize(
    "sections",
    [
        {"task": {"kind": "regression"}},
        {"model": {**MLP, "dropout": 0.1}},
        {"model": {**MLP, "hidden": {"h1": {**MLP["hidden"]["h1"], "max_value": 32}}}},
        {"tuner": {"kind": "grid", "max_trials": 4}},
        {"tuner": {"kind": "random", "executions_per_trial": 2}},
        {"objective": {"name": "val_accuracy"}},
        {"fit": {"epochs": 3}},
        {"fit": {"batch_size": 16}},
        {"callbacks": {"stop": {"_target_": "keras.callbacks.EarlyStopping"}}},
    ],
)
def test_each_section_that_decides_a_trial_changes_a_search(sections: dict[str, Any]) -> None:
    """All but the validation."""
    assert identity(pipeline(**sections)) != BASE


def test_data_sources_and_versions_change_a_search() -> None:
    """The rows, the user's code, the packages."""
    changed = [
        identity(pipeline(), data="x"),
        identity(pipeline(), source="x"),
        identity(pipeline(), versions="x"),
    ]
    found = {BASE, *changed}
    assert len(found) == 4


def test_a_stated_direction_is_the_same_search_as_a_known_one() -> None:
    """What counts is where the search goes."""
    assert identity(pipeline(objective={"name": "val_loss", "direction": "min"})) == BASE


def test_a_digest_depends_on_every_value_and_on_the_order_of_keys() -> None:
    """Keys name layers and hyperparameters, whose order decides."""
    assert digest({"a": 1, "b": {"c": [1, 2], "d": None}}) == digest(
        {"a": 1, "b": {"c": [1, 2], "d": None}}
    )
    assert digest({"a": 1, "b": {"c": [1, 2], "d": None}}) != digest(
        {"a": 1, "b": {"d": None, "c": [1, 2]}}
    )
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})
    assert digest({"a": 1}) != digest({"a": 1.5})
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_a_hyperparameters_order_decides_the_search() -> None:
    """Keras Tuner draws values in the order of registration, so another order gives other
    trials.
    """
    turned = {
        "_target_": MLP["_target_"],
        "learning_rate": MLP["learning_rate"],
        "hidden": MLP["hidden"],
    }
    assert identity(pipeline(model=turned)) != BASE


def test_derived_seeds_are_what_they_always_were() -> None:
    """A recorded run can be repeated by later versions."""
    assert derive_seed(0, "0000", 0) == 59589727
    assert derive_seed(0, "validation", 0) == 1759218288


def test_derived_seeds_are_in_range_and_differ() -> None:
    """1 to 2^31 - 1: Keras Tuner reads 0 as "any", and NumPy takes no negative."""
    seeds = [
        derive_seed(run, f"{trial:04d}", execution)
        for run in range(5)
        for trial in range(100)
        for execution in (0, 1)
    ]
    assert min(seeds) >= 1
    assert max(seeds) <= 2**31 - 1
    assert len(set(seeds)) == len(seeds)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a user's importable module."""
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "users_own_model.py"
    path.write_text("def build(hp): ...\nclass Maker: ...\n")
    yield path
    sys.modules.pop("users_own_model", None)


def test_a_users_source_file_has_a_hash_that_its_content_decides(module: Path) -> None:
    """SHA-256, of the file as it is."""
    found = importlib.import_module("users_own_model")
    first = source_hash("users_own_model.build", found.build)
    assert (
        first
        == source_hash("users_own_model.Maker", found.Maker)
        == hashlib.sha256(module.read_bytes()).hexdigest()
    )
    module.write_text("def build(hp): return 1\n")
    assert source_hash("users_own_model.build", found.build) != first


def test_a_change_behind_a_decorator_or_a_partial_is_seen(module: Path) -> None:
    """It is the file of the module that the config names which counts."""
    module.write_text(
        "import functools\ndef build(hp, n): ...\nten = functools.partial(build, n=10)\n"
    )
    found = importlib.import_module("users_own_model")
    first = source_hash("users_own_model.ten", found.ten)
    module.write_text(module.read_text().replace("10", "11"))
    assert source_hash("users_own_model.ten", found.ten) != first


def test_our_own_models_are_named_by_our_version() -> None:
    """A package's have none: the environment records its version."""
    assert source_hash("runner.models.mlp", mlp) == f"runner {__version__}"
    assert source_hash("builtins.len", len) is None
