"""Identities: what changes them and what does not, and what an entry of the same one saves."""

import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runner_samples import MLP, pipeline, stored

import runner.run.identity
from history import registry
from runner import __version__
from runner.config.schema import Run
from runner.models import mlp
from runner.run.identity import Identity, digest, identify, source_hash
from runner.run.pipeline import in_history
from runner.run.plan import Plan
from runner.search.state import Place
from runner.training import environment
from runner.training.seeds import derive_seed

FAILURES = "max_consecutive_failed_trials"


def identity(
    run: Run | None = None, data: str = "d", source: str = "s", versions: str = "1", **sections: Any
) -> Identity:
    """Of a pipeline with these sections, this source of its code and these versions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "versions", lambda run: versions)
        patch.setattr(runner.run.identity, "source_hash", lambda path, target: source)
        return identify(run or Run(), pipeline(**sections), {"content": data}, "float32")


@pytest.mark.parametrize(
    "given",
    [
        *({"tuner": {"kind": "random", key: 9}} for key in ("max_trials", FAILURES)),
        *({"tuner": {"kind": "random", key: "x"}} for key in ("directory", "project_name")),
        {"run": Run(progress=False)},
        {"run": Run(on_failure="stop")},
        {"run": Run(fresh=True)},
        {"run": Run(only=["a"])},
        {"run": Run(hooks={"purge": None})},
        {"validation": {"repeats": 5}},
        {"objective": {"name": "val_loss", "direction": "min"}},  # as it is known to be
    ],
)
def test_what_decides_no_trial_does_not_change_a_search(given: dict[str, Any]) -> None:
    """A raised budget continues the same search; so does another way of conducting the run."""
    assert identity(**given).search_fingerprint == identity().search_fingerprint


def test_another_round_of_hyperband_does_not_change_a_search() -> None:
    """Nor do the epochs of `fit`, which Hyperband sets; its own do."""
    tuner = {"kind": "hyperband", "max_epochs": 3}
    one = identity(tuner=tuner)
    more = identity(tuner={**tuner, "hyperband_iterations": 2}, fit={"epochs": 5})
    assert more.search_fingerprint == one.search_fingerprint
    assert more.fingerprint != one.fingerprint
    longer = identity(tuner={**tuner, "max_epochs": 4})
    assert longer.search_fingerprint != one.search_fingerprint


@pytest.mark.parametrize(
    "given",
    [
        {"run": Run(seed=1)},
        {"run": Run(threads=1)},
        {"run": Run(deterministic=True)},
        {"task": {"kind": "regression"}},
        {"model": {**MLP, "dropout": 0.1}},
        {"model": {**MLP, "hidden": {"h1": {**MLP["hidden"]["h1"], "max_value": 32}}}},
        {"model": {key: MLP[key] for key in ("_target_", "learning_rate", "hidden")}},  # turned
        {"tuner": {"kind": "grid", "max_trials": 4}},
        {"tuner": {"kind": "random", "executions_per_trial": 2}},
        {"objective": {"name": "val_accuracy"}},
        {"fit": {"epochs": 3}},
        {"fit": {"batch_size": 16}},
        {"callbacks": {"stop": {"_target_": "keras.callbacks.EarlyStopping"}}},
        {"data": "x"},
        {"source": "x"},
        {"versions": "x"},
    ],
)
def test_all_that_decides_a_trial_changes_a_search(given: dict[str, Any]) -> None:
    """Settings, rows, the user's code, packages; and the order of hyperparameters, in which Keras
    Tuner draws their values.
    """
    assert identity(**given).search_fingerprint != identity().search_fingerprint


def test_a_digest_depends_on_every_value_and_on_the_order_of_keys() -> None:
    """Keys name layers and hyperparameters, whose order decides. It is what it always was, as are
    derived seeds: 1 to 2^31 - 1, as Keras Tuner reads 0 as "any", and NumPy takes no negative.
    """
    different = [{"a": 1}, {"a": 1.5}, {"a": [1, 2]}, {"a": [2, 1]}]
    turned = [{"a": 1, "b": {"c": 2, "d": None}}, {"a": 1, "b": {"d": None, "c": 2}}]
    assert len({digest(content) for content in (*different, *turned)}) == 6
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert derive_seed(0, "0000", 0) == 59589727
    assert derive_seed(0, "validation", 0) == 1759218288
    seeds = {derive_seed(run, f"{trial:04d}", 1) for run in range(5) for trial in range(200)}
    assert len(seeds) == 1000
    assert 1 <= min(seeds) < max(seeds) < 2**31


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a user's importable module."""
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "users_own_model.py"
    yield path
    sys.modules.pop("users_own_model", None)


def test_a_users_source_file_has_a_hash_that_its_content_decides(module: Path) -> None:
    """SHA-256, of the file of the module that the config names: a change behind a decorator or a
    partial is seen.
    """
    module.write_text(
        "import functools\ndef build(hp): ...\nten = functools.partial(build, n=10)\n"
    )
    found = importlib.import_module("users_own_model")
    named = {f"users_own_model.{name}": getattr(found, name) for name in ("build", "ten")}
    first = {path: source_hash(path, target) for path, target in named.items()}
    assert first["users_own_model.build"] == hashlib.sha256(module.read_bytes()).hexdigest()
    module.write_text("def build(hp): return 1\n")
    for path, target in named.items():
        assert source_hash(path, target) != first[path]


def test_our_own_models_are_named_by_our_version() -> None:
    """A package's have none: the environment records its version."""
    assert source_hash("runner.models.mlp", mlp) == f"runner {__version__}"
    assert source_hash("builtins.len", len) is None


PARTS: dict[str, Any] = {"data": "rows", "fit": {"epochs": 3}}


def known(root: Path, run_id: str | None = None, *, reuse: bool = False) -> str | None:
    """The entry that makes running the pipeline `mlp` of these parts needless."""
    place = Place(root / "none", "", root)
    plan = Plan("mlp", Run(reuse=reuse), pipeline(), Identity({}, PARTS), place, {}, 0.0)
    manager = registry.manager("classification", root)
    entry = in_history(plan, manager, run_id)
    return None if entry is None else entry.id


def test_a_continued_run_takes_over_its_own_entries_and_reuse_those_of_any_run(
    tmp_path: Path,
) -> None:
    """The newest that is complete, whole and of the same fingerprint; another pipeline of the same
    run has an entry of its own.
    """
    made = [
        stored(tmp_path, status, fingerprint=fingerprint, run_id=run_id, pipeline=name)
        for name, run_id, fingerprint, status in (
            ("mlp", "r1", digest(PARTS), "complete"),
            ("mlp", "r1", digest({}), "complete"),
            ("mlp", "r1", digest(PARTS), "failed"),
            ("twin", "r2", digest(PARTS), "complete"),
        )
    ]
    assert known(tmp_path, "r1") == made[0].id
    assert known(tmp_path, "r2") is None
    assert known(tmp_path) is None
    assert known(tmp_path, reuse=True) == made[3].id
    made[3].artefact("model").write_text("x")
    assert known(tmp_path, reuse=True) == made[0].id


def test_where_nothing_can_be_reused_the_keys_that_differ_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From the entry that is nearest."""
    caplog.set_level("INFO", "runner")
    assert known(tmp_path, reuse=True) is None
    assert "mlp: nothing to reuse" in caplog.text
    near = stored(tmp_path, identity={**PARTS, "fit": {"epochs": 2}})
    stored(tmp_path, identity={"data": "others", "fit": {"epochs": 2}})
    assert known(tmp_path, reuse=True) is None
    assert caplog.messages[-2:] == [
        f"mlp: not reused; from {near.id}, the nearest, differs:",
        "mlp:   fit.epochs: 2 → 3",
    ]
