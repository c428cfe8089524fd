"""How two entries differ."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from history_samples import Add

import history
from history.__main__ import main
from history.entry import Entry
from history.manager import COMMON_ARTEFACTS
from history.ranking import rank
from history.view.compare import compare, differences

Stored = Callable[..., Entry]
Out = pytest.CaptureFixture[str]

CONFIG = """
seed: 0
threads: 2
experiment: digits
paths: {{root: {root}}}
hooks: {{purge: null}}
pipelines:
  {pipeline}:
    model: {{_target_: runner.models.mlp, dropout: {{hp: Float, max_value: {dropout}}}}}
    fit: {{epochs: 10}}
"""


def entry(root: Path, id: str = "mlp-1", task: str = "classification", **keys: Any) -> Entry:
    """Return an entry that is in no history."""
    return Entry({"id": id, "task": task, "manager": task, "status": "complete", **keys}, root)


def measured(
    root: Path, means: dict[str, float], deviation: float | None = 0.02, repeats: int = 4
) -> Entry:
    """Return an entry with these metrics, each with the same deviation."""
    deviations = {} if deviation is None else dict.fromkeys(means, deviation)
    return entry(root, validation={"metrics": means, "deviation": deviations, "repeats": repeats})


@pytest.fixture
def stored(root: Path, tmp_path: Path) -> Stored:
    """Store an entry whose config is given as text."""

    def store(config: str, **keys: Any) -> Entry:
        manager = history.open(root).manager_of(Entry({"task": "classification"}, root))
        (tmp_path / "made").mkdir(exist_ok=True)
        files = {name: tmp_path / "made" / name for name in COMMON_ARTEFACTS + manager.artefacts}
        for name, path in files.items():
            path.write_text(config if name == "config" else name)
        return manager.add({"pipeline": "mlp", "status": "complete", **keys}, files)

    return store


def test_each_metric_has_its_difference_and_its_error(root: Path) -> None:
    """B - A, and sqrt(s1²/n1 + s2²/n2) = sqrt(2 x 0.02²/4)."""
    a, b = measured(root, {"accuracy": 0.90}), measured(root, {"accuracy": 0.93})
    found = compare(history.open(root), a, b)["metrics"]["validation"]["accuracy"]
    assert found["difference"] == pytest.approx(0.03)
    assert found["error"] == pytest.approx(0.02 / math.sqrt(2))
    assert (found["a"], found["b"], found["better"], found["within_noise"]) == (
        0.90,
        0.93,
        "b",
        False,
    )


@pytest.mark.parametrize(
    ("metric", "change", "better"),
    [
        ("accuracy", 0.1, "b"),
        ("accuracy", -0.1, "a"),
        ("log_loss", 0.1, "a"),
        ("log_loss", -0.1, "b"),
        ("accuracy", 0.0, None),
        ("theirs", 0.1, None),
    ],
)
def test_the_better_one_is_so_by_the_managers_direction(
    root: Path, metric: str, change: float, better: str | None
) -> None:
    """There is no verdict on equal values, nor on a metric that the manager does not know."""
    pair = measured(root, {metric: 0.5}), measured(root, {metric: 0.5 + change})
    assert compare(history.open(root), *pair)["metrics"]["validation"][metric]["better"] == better


@pytest.mark.parametrize("means", [(0.90, 0.872), (0.90, 0.871), (0.90, 0.90)])
@pytest.mark.parametrize("repeats", [1, 4])
def test_noise_is_judged_as_in_a_ranking(
    root: Path, means: tuple[float, float], repeats: int
) -> None:
    """Within noise is what a ranking calls tied; with one repeat it is not known."""
    pair = [measured(root, {"accuracy": mean}, repeats=repeats) for mean in means]
    found = compare(history.open(root), *pair)["metrics"]["validation"]["accuracy"]
    assert found["within_noise"] is rank(pair, "accuracy", "max")[1].tied
    assert (found["error"] is None) == (repeats == 1)


def test_the_metrics_of_the_test_are_compared_too(root: Path) -> None:
    """With their own deviation, over the repeats of the validation."""
    part = {"metrics": {"accuracy": 0.5}, "deviation": {"accuracy": 0.1}}
    a, b = (entry(root, validation={"repeats": 2}, test=part) for _ in range(2))
    found = compare(history.open(root), a, b)["metrics"]["test"]["accuracy"]
    assert found["error"] == pytest.approx(0.1)


def test_a_metric_of_one_entry_has_no_difference(root: Path) -> None:
    """It is there, and what is not known is null."""
    a, b = (
        measured(root, {"accuracy": 0.9}),
        measured(root, {"mean_val_accuracy": 0.7}, deviation=None, repeats=1),
    )
    found = compare(history.open(root), a, b)["metrics"]["validation"]
    nothing = {"difference": None, "error": None, "within_noise": None, "better": None}
    assert found == {
        "accuracy": {"a": 0.9, "b": None} | nothing,
        "mean_val_accuracy": {"a": None, "b": 0.7} | nothing,
    }


def test_of_two_tasks_the_metrics_in_common_are_compared(root: Path) -> None:
    """It says so, and where there is none too."""
    a = entry(root, validation={"metrics": {"accuracy": 0.9, "loss": 1.0}})
    b = entry(root, task="regression", validation={"metrics": {"rmse": 2.0, "loss": 0.5}})
    found = compare(history.open(root), a, b)
    assert list(found["metrics"]["validation"]) == ["loss"]
    assert "A is of task classification, B of regression" in found["notes"]["metrics"]
    b = entry(root, task="regression", validation={"metrics": {"rmse": 2.0}})
    assert "no metric to compare" in compare(history.open(root), a, b)["notes"]["metrics"]


def test_a_manager_that_is_not_installed_gives_no_verdict(root: Path) -> None:
    """The numbers are compared all the same."""
    pair = [entry(root, task="theirs", validation={"metrics": {"m": mean}}) for mean in (1.0, 2.0)]
    found = compare(history.open(root), *pair)["metrics"]["validation"]["m"]
    assert (found["difference"], found["better"]) == (1.0, None)


def test_configs_differ_by_dotted_key(stored: Stored, root: Path) -> None:
    """Whatever the pipelines are called and wherever the run was done."""
    a = stored(CONFIG.format(root="here", pipeline="mlp", dropout=0.5))
    b = stored(
        CONFIG.format(root="there", pipeline="other", dropout="5e-1").replace("seed: 0", "seed: 1")
    )
    c = stored(CONFIG.format(root="there", pipeline="mlp", dropout=0.3).replace("fit:", "fitted:"))
    assert compare(history.open(root), a, b)["differs"]["config"] == {"seed": (0, 1)}
    assert compare(history.open(root), a, c)["differs"]["config"] == {
        "fit": ({"epochs": 10}, None),
        "fitted": (None, {"epochs": 10}),
        "model.dropout.max_value": (0.5, 0.3),
    }


def test_a_config_that_is_not_there_or_not_readable_is_said(stored: Stored, root: Path) -> None:
    """It is not taken for one that does not differ."""
    a, b = stored(CONFIG.format(root="here", pipeline="mlp", dropout=0.5)), stored("pipelines: [")
    found = compare(history.open(root), entry(root), a)
    assert (found["differs"]["config"], found["notes"]["config"]) == ({}, "A holds no config")
    assert (
        "B holds no config that can be read" in compare(history.open(root), a, b)["notes"]["config"]
    )
    a.artefact("config").write_text("seed: 1")
    assert (
        "A holds no config that can be read" in compare(history.open(root), a, b)["notes"]["config"]
    )


def test_what_led_to_the_results_is_compared_section_by_section(root: Path) -> None:
    """Values, data, packages, code and environment; what is missing is null."""
    a = entry(
        root,
        search={"tuner": "random"},
        best={"values": {"model.dropout": 0.1, "lr": 1}},
        data={"source": {"name": "digits"}, "fingerprint": "f", "classes": ["a"]},
        environment={
            **{
                "python": "3.11",
                "packages": {"keras": "3.1", "numpy": "2"},
                "host": "one",
                "threads": 2,
            },
            "git": {"commit": "c1", "dirty": False},
        },
        identity={"sources": {"model": "h1"}},
    )
    b = entry(
        root,
        search={"tuner": "grid"},
        best={"values": {"lr": 1, "model.dropout": 0.2}},
        data={"source": {"name": "wine"}, "fingerprint": "f", "classes": ["b"]},
        environment={
            **{
                "python": "3.12",
                "packages": {"numpy": "2", "keras": "3.1", "scipy": "1"},
                "host": "two",
                "threads": 2,
            },
            "git": {"commit": "c1", "dirty": True},
        },
        identity={"sources": {"model": "h2"}},
    )
    assert compare(history.open(root), a, b)["differs"] == {
        "config": {},
        "search": {"tuner": ("random", "grid")},
        "values": {"model.dropout": (0.1, 0.2)},
        "data": {"source.name": ("digits", "wine")},
        "packages": {"python": ("3.11", "3.12"), "scipy": (None, "1")},
        "code": {"git.dirty": (False, True), "sources.model": ("h1", "h2")},
        "environment": {"host": ("one", "two")},
    }


def test_the_differences_of_two_trees_are_those_of_their_leaves() -> None:
    """A missing one is None; where only the order of keys differs, that is the difference."""
    assert differences({"a": {"b": 1, "c": [1]}, "d": 0}, {"a": {"b": 2, "c": [1]}}) == {
        "a.b": (1, 2),
        "d": (0, None),
    }
    assert differences({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}) == {
        "a": (["x", "y"], ["y", "x"])
    }
    assert differences({"a": 1}, {"a": 1}) == {}


def test_compare_json_is_one_strict_object(add: Add, root: Path, capsys: Out) -> None:
    """With nothing else on stdout."""
    a, b = add(mean=0.9), add(mean=0.8, best={"values": {"model.dropout": 0.5}})
    assert main(["--root", str(root), "compare", a.id, b.id, "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (found["a"], found["b"]) == (a.id, b.id)
    assert found["metrics"]["validation"]["accuracy"]["better"] == "a"
    assert found["differs"]["values"] == {"model.dropout": [0.25, 0.5]}


def test_compare_shows_metrics_and_then_what_differs(
    add: Add, root: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words; where nothing differs it says so; names are text, not markup."""
    a, b = add(mean=0.9), add(mean=0.8, environment={"host": "[red]x\x1b[31m"})
    assert main(["--root", str(root), "compare", a.id, b.id]) == 0
    shown = capsys.readouterr().out
    assert (
        "accuracy   0.9000 ± 0.0031   0.8000 ± 0.0031   -0.1000 ± 0.0025   A better, beyond noise"
        in shown
    )
    assert "Values\n  nothing differs" in shown
    assert r"[red]x\x1b[31m" in shown
    assert "odd" in shown
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["--root", str(root), "compare", a.id, b.id]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_every_pair_of_entries_can_be_compared(
    add: Add, failed: Callable[[], Entry], root: Path, capsys: Out
) -> None:
    """The same twice, of two tasks, failed, imported and bare, in text and in JSON."""
    manager = history.open(root).manager_of(Entry({"task": "classification"}, root))
    means = {
        "metrics": {"mean_val_accuracy": 0.74},
        "deviation": {},
        "repeats": 1,
        "over": "epochs",
    }
    origin = {"pipeline": "old", "status": "complete", "origin": {"kind": "best-executions"}}
    entries = [
        add(),
        add("regression", 1.0),
        failed(),
        manager.add({**origin, "validation": means}, {}),
    ]
    entries.append(manager.add(origin, {}))
    for a in entries:
        for b in entries:
            assert main(["--root", str(root), "compare", a.id, b.id]) == 0
            assert main(["--root", str(root), "compare", a.id, b.id, "--json"]) == 0
    shown = capsys.readouterr().out
    for said in (
        "A and B are the same entry",
        "B (failed) holds no metrics",
        "over the epochs of one training",
    ):
        assert said in shown
