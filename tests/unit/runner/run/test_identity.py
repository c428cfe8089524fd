"""Identities: what changes them and what does not, and what an entry of the same one saves."""

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from runner_samples import MLP, SECTIONS, from_files, pipeline, stored

import runner.config.code
from history import Entry
from runner import __version__
from runner.config.code import modules
from runner.config.schema import Experiment, Paths, RandomTuner, Run
from runner.data.shared import Loaded
from runner.errors import ConfigError
from runner.run.identity import Identity, config_hash, digest, identify, run_key
from runner.run.plan import Plan, in_history
from runner.run.starting import resolved
from runner.training import environment
from runner.training.ledger import SearchFolder
from runner.training.seeds import derive_seed

VAIN, FAILURES = "stop_when_no_improvement", "max_consecutive_failed_trials"


def identity(
    run: Run | None = None, data: str = "d", source: str = "s", versions: str = "1", **sections: Any
) -> Identity:
    """Of a pipeline with these sections, this source of its code and these versions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "versions", lambda *_: versions)
        patch.setattr(runner.config.code, "modules", lambda paths: {"own": source})
        return identify(run or Run(), pipeline(**sections), {"content": data}, "float32")


@pytest.mark.parametrize(
    "given",
    [
        *({"tuner": {"kind": "random", key: 9}} for key in ("max_trials", VAIN, FAILURES)),
        {"tuner": {"kind": "random", "max_seconds": 9}},
        *({"tuner": {"kind": "random", key: "x"}} for key in ("directory", "project_name")),
        {"run": Run(progress="none")},
        {"run": Run(name="a", tags=["b"], note="c")},
        {"run": Run(on_failure="stop")},
        {"run": Run(fresh=True)},
        {"run": Run(only=["a"])},
        {"run": Run(hooks={"purge": None})},
        {"validation": {"repeats": 5}},
        {"baselines": "none"},
        {"objective": {"name": "val_loss", "direction": "min"}},  # as it is known to be
    ],
)
def test_what_decides_no_trial_does_not_change_a_search(given: dict[str, Any]) -> None:
    """A raised budget continues the same search; so does another way of conducting the run."""
    assert identity(**given).search_fingerprint == identity().search_fingerprint


def test_baselines_decide_no_result() -> None:
    """An entry of a run with them can be reused without, and a run goes on."""
    without = identity(baselines="none")
    assert without.fingerprint == identity().fingerprint
    assert config_hash(pipeline(baselines="none")) == config_hash(pipeline())


def test_labels_make_no_other_run() -> None:
    """Nor another result: it goes on, or is reused."""
    labelled = Run(name="a", tags=["b"], note="c")
    keys = {run_key(Experiment("e", run, {"m": pipeline()})) for run in (Run(), labelled)}
    assert len(keys) == 1
    assert identity(run=labelled).fingerprint == identity().fingerprint


def test_a_clock_decides_no_result_of_its_own_and_a_number_of_trials_does() -> None:
    """A run goes on with more time, or with none; an entry of a run without a clock can be reused.
    What says how many trials there are counts where it is set.
    """
    timed = pipeline(tuner={"kind": "random", "max_trials": 4, "max_seconds": 9})
    assert config_hash(timed) == config_hash(pipeline())
    assert identity(artefacts=[]).of_pipeline["budget"] == {
        "max_trials": 4,
        "hyperband_iterations": None,
    }
    for kind, key in (("random", VAIN), ("hyperband", "hyperband_trials")):
        one, other = (identity(tuner={"kind": kind, key: n}) for n in (None, 9))
        assert one.search_fingerprint == other.search_fingerprint
        assert one.fingerprint != other.fingerprint
        clock = identity(tuner={"kind": kind, "max_seconds": 9})
        assert clock.fingerprint == one.fingerprint


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
        {"run": Run(threads=2)},
        {"run": Run(deterministic=True)},
        {"task": {"kind": "regression"}},
        {"model": {**MLP, "dropout": 0.1}},
        {"model": {**MLP, "hidden": {"h1": {**MLP["hidden"]["h1"], "max_value": 32}}}},
        {"model": {key: MLP[key] for key in ("_target_", "learning_rate", "hidden")}},  # turned
        {"tuner": {"kind": "grid", "max_trials": 4}},
        {"tuner": {"kind": "random", "executions_per_trial": 2}},
        {"tuner": {"kind": "random", "folds": 2}},
        {"tuner": {"kind": "random", "start_from": [{"model.learning_rate": 0.01}]}},
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


PROJECT = {
    "own/__init__.py": "from .models import build",
    "own/models.py": "import scaling\nfrom . import layers\ndef build(hp): from lib.late import f",
    "own/layers/__init__.py": "from .dense import *\nfrom ...beyond import nothing",
    "own/layers/dense.py": "import keras, history.files, runner.models\nfrom .. import rates",
    "own/rates.py": "import own.models  # in a circle",
    "scaling.py": "try:\n import absent, unsaid\nexcept ImportError: ...\nelse: import json.tool",
    "unsaid.py": "not Python",
    "lib/late.py": "",
    "own/unused.py": "",
    "unused.py": "",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's code, on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_module_that_a_target_imports_counts_and_no_other(project: Path) -> None:
    """However it is imported, in a function too, from a folder that is no package; packages are not
    followed, and nothing is imported for it.
    """
    loaded = set(sys.modules)
    before = modules(["own.build"])
    used = [name for name in PROJECT if "unused" not in name]
    names = [name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in used]
    assert before.pop("runner") == __version__
    assert list(before) == sorted(names)
    assert before["lib.late"] == hashlib.sha256(b"").hexdigest()
    for file, name in zip(used, names, strict=True):
        (project / file).write_text(f"{PROJECT[file]}\n")
        after = modules(["own.build"])
        assert {key for key in before if before[key] != after[key]} == {name}
        (project / file).write_text(PROJECT[file])
    (project / "unused.py").write_text("x = 1")
    assert modules(["own.build"]).items() >= before.items()
    assert set(sys.modules) == loaded


def test_a_module_that_is_loaded_is_where_it_was_loaded_from(project: Path) -> None:
    """An editable installation need not be on the path: an import hook finds it."""
    (project / "hooked").mkdir()
    for name in ("__init__", "late"):
        (project / "hooked" / f"{name}.py").write_text("def f(): import hooked.late")
    importlib.import_module("hooked")
    sys.path.remove(str(project))
    try:
        assert list(modules(["hooked.f"])) == ["hooked", "hooked.late"]
    finally:
        del sys.modules["hooked"]


def test_a_module_edited_while_it_is_loaded_counts_as_the_code_that_runs(project: Path) -> None:
    """A later job of a sweep runs in the same process, and imports nothing again."""
    file = project / "edited.py"
    file.write_text("K = 1")
    before = modules(["edited.K"])
    importlib.import_module("edited")
    file.write_text("K = 2")
    try:
        assert modules(["edited.K"]) == before
    finally:
        del sys.modules["edited"]
    assert modules(["edited.K"]) != before


def test_a_packages_module_counts_where_the_config_names_it(project: Path) -> None:
    """Not what it imports; of Keras and scikit-learn the environment records the version."""
    installed = project / "site-packages"
    for name in ("named", "other", "keras"):
        (installed / name).mkdir(parents=True)
        (installed / name / "__init__.py").write_text("import other")
    sys.path.insert(0, str(installed))
    try:
        assert list(modules(["named.build", "keras.Model", "os.path", "builtins.len"])) == ["named"]
    finally:
        sys.path.remove(str(installed))


def test_code_that_an_argument_names_decides_the_identity_too(project: Path) -> None:
    """A user's function may import what a text names."""
    model = {"_target_": "runner.models.mlp", "loss": "scaling.loss"}
    found: Any = identify(Run(), pipeline(model=model), {"content": "d"}, "float32").of_search
    assert list(found["code"]) == ["runner", "scaling", "unsaid"]


def test_code_that_only_the_validation_names_does_not_change_the_search(project: Path) -> None:
    """But the result, so that an entry of before is not reused; a search's callbacks do both."""
    found = []
    for change in ("", "x = 1"):
        (project / "lib" / "late.py").write_text(change)
        for where in ("validation", "search"):
            named = {"callbacks": {"own": {"_target_": "lib.late.Callback"}}}
            sections = {"validation": named} if where == "validation" else named
            found.append(identify(Run(), pipeline(**sections), {"content": "d"}, "float32"))
    assert found[0].search_fingerprint == found[2].search_fingerprint
    assert found[0].fingerprint != found[2].fingerprint
    assert found[1].search_fingerprint != found[3].search_fingerprint


def test_a_file_that_the_code_reads_decides_the_identity_by_its_content(tmp_path: Path) -> None:
    """Where the config names it; not when it was written."""
    base, found = tmp_path / "base.keras", []
    for content in ("one", "one", "two"):
        base.write_text(content)
        found.append(identity(fingerprint={"files": [str(base)]}))
    assert found[0].search_fingerprint == found[1].search_fingerprint
    assert found[0].search_fingerprint != found[2].search_fingerprint
    assert found[0].of_search["files"] == {str(base): hashlib.sha256(b"one").hexdigest()}


PARTS: dict[str, Any] = {"data": "rows", "fit": {"epochs": 3}}


def known(
    root: Path, run_id: str | None = None, *, reuse: bool = False, **tuner: object
) -> str | None:
    """The entry that makes running the pipeline `mlp` of these parts needless."""
    place = SearchFolder(root / "none", "", root)
    made = pipeline(tuner={"kind": "random", **tuner})
    run = Run(reuse=reuse, paths=Paths(root=str(root)))
    plan = Plan("mlp", run, made, Identity({}, PARTS), place, Loaded("", {}, 0.0, 0))
    entry = in_history(plan, run_id)
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


def test_an_entry_that_a_clock_ended_answers_where_no_more_time_is_given(tmp_path: Path) -> None:
    """The same run that goes on, with the same time or with none left."""
    about: dict[str, Any] = {
        "fingerprint": digest(PARTS),
        "run_id": "r1",
        "search": {"max_seconds": 60.0},
    }
    entry = stored(tmp_path, "budget", **about)
    for most, answers in ((60, True), (0, True), (61, False), (None, False)):
        assert (known(tmp_path, "r1", max_seconds=most) == entry.id) is answers
        assert (known(tmp_path, reuse=True, max_seconds=most) == entry.id) is answers


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
        f"mlp: not reused; from {near.id}, the closest entry, differs:",
        "mlp:   fit.epochs: 2 → 3",
    ]


VALUES = {"model.learning_rate": 0.02, "model.hidden.h1": 8}


def ended(root: Path, accuracy: float, **document: Any) -> Entry:
    """An entry of the pipeline `mlp`, whose best trial has VALUES."""
    validation = {"metrics": {"accuracy": accuracy}, "repeats": 1}
    best = {"trial_id": "0001", "score": 0.5, "values": {**VALUES, "tuner/epochs": 3}}
    own = {"experiment": "named", "validation": validation, "best": best, **document}
    return stored(root, **own)


def starts(root: Path, *start_from: Any, run_id: str | None = None, sweep: str = "") -> Any:
    """What a pipeline `mlp` starts from that names these."""
    tuner = {"kind": "random", "start_from": [*start_from]}
    files = {**SECTIONS, "paths": {"root": str(root)}, "pipelines": {"mlp": {"tuner": tuner}}}
    made = resolved(from_files(files), run_id, sweep or None).pipelines["mlp"].tuner
    assert isinstance(made, RandomTuner)
    return made.start_from


def test_entries_that_a_search_starts_from_become_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The best is the best complete one of this pipeline of this experiment; what its own run, or
    its sweep, has stored is none, as it was not there when that began.
    """
    caplog.set_level("INFO", "runner")
    assert starts(tmp_path, "best", {"a": 1}) == [{"a": 1}]
    second, best = (ended(tmp_path, accuracy, run_id="r1") for accuracy in (0.8, 0.9))
    ended(tmp_path, 0.95, run_id="r2", sweep="s")
    other = {"trial_id": "0002", "score": 0.5, "values": {"b": True}}
    odd = ended(tmp_path, 0.99, experiment="other", best=other)
    ended(tmp_path, 0.99, pipeline="twin")
    ended(tmp_path, 0.99, status="failed")
    assert starts(tmp_path, "best", run_id="r2") == [VALUES]
    assert f"mlp: starts from best: {best.id}" in caplog.text
    assert starts(tmp_path, "best", sweep="s") == [VALUES]
    assert caplog.text.count(best.id) == 2
    assert starts(tmp_path, odd.id[:-1], second.id) == [{"b": True}, VALUES]
    bare = stored(tmp_path)
    with pytest.raises(ConfigError) as error:
        starts(tmp_path, bare.id, {}, "nothing")
    assert [problem.where for problem in error.value.problems] == [
        f"pipelines.mlp.tuner.start_from[{number}]" for number in (0, 2)
    ]
    assert "has no best trial" in str(error.value)
