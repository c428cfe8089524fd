"""How two entries differ."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from history_samples import Add, Cli

import history
from foundation.trees import differences
from history.entry import Entry
from history.ranking import rank
from history.view.compare import compare

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
    root: Path,
    means: dict[str, float],
    deviation: float | None = 0.02,
    repeats: int = 4,
    **keys: Any,
) -> Entry:
    """Return an entry with these metrics, each with the same deviation."""
    deviations = {} if deviation is None else dict.fromkeys(means, deviation)
    part = {"metrics": means, "deviation": deviations, "repeats": repeats}
    return entry(root, validation=part, **keys)


def test_each_metric_has_its_difference_and_its_error(root: Path) -> None:
    """B - A, and sqrt(s1²/n1 + s2²/n2) = sqrt(2 x 0.02²/4); those of the test have their own
    deviation, over the repeats of the validation.
    """
    part = {"metrics": {"accuracy": 0.5}, "deviation": {"accuracy": 0.1}}
    a, b = (measured(root, {"accuracy": mean}, test=part) for mean in (0.90, 0.93))
    metrics = compare(history.open(root), a, b)["metrics"]
    assert metrics["test"]["accuracy"]["error"] == pytest.approx(0.1 / math.sqrt(2))
    found = metrics["validation"]["accuracy"]
    assert found["difference"] == pytest.approx(0.03)
    assert found["error"] == pytest.approx(0.02 / math.sqrt(2))
    assert (found["a"], found["b"], found["better"], found["within_noise"]) == (
        0.90,
        0.93,
        "b",
        False,
    )


@pytest.mark.parametrize(
    ("task", "metric", "change", "better"),
    [
        ("classification", "accuracy", 0.1, "b"),
        ("classification", "accuracy", -0.1, "a"),
        ("classification", "log_loss", 0.1, "a"),
        ("classification", "log_loss", -0.1, "b"),
        ("classification", "accuracy", 0.0, None),
        ("classification", "theirs", 0.1, None),
        ("theirs", "accuracy", 0.1, None),
    ],
)
def test_the_better_one_is_so_by_the_managers_direction(
    root: Path, task: str, metric: str, change: float, better: str | None
) -> None:
    """There is no verdict on equal values, nor on a metric that the manager does not know, nor of
    one that is not installed; the numbers are compared all the same.
    """
    pair = (measured(root, {metric: mean}, task=task) for mean in (0.5, 0.5 + change))
    found = compare(history.open(root), *pair)["metrics"]["validation"][metric]
    assert (found["difference"], found["better"]) == (pytest.approx(change), better)


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
    assert "no metrics to compare" in compare(history.open(root), a, b)["notes"]["metrics"]


def test_configs_differ_by_dotted_key(add: Add, root: Path) -> None:
    """Whatever the pipelines are called and wherever the run was done."""
    a = add(config=CONFIG.format(root="here", pipeline="mlp", dropout=0.5))
    b = add(
        config=CONFIG.format(root="there", pipeline="other", dropout="5e-1").replace(
            "seed: 0", "seed: 1"
        )
    )
    c = add(
        config=CONFIG.format(root="there", pipeline="mlp", dropout=0.3).replace("fit:", "fitted:")
    )
    assert compare(history.open(root), a, b)["differs"]["config"] == {"seed": (0, 1)}
    assert compare(history.open(root), a, c)["differs"]["config"] == {
        "fit": ({"epochs": 10}, None),
        "fitted": (None, {"epochs": 10}),
        "model.dropout.max_value": (0.5, 0.3),
    }


def test_a_config_that_is_not_there_or_not_readable_is_said(add: Add, root: Path) -> None:
    """It is not taken for one that does not differ."""
    a, b = (
        add(config=CONFIG.format(root="here", pipeline="mlp", dropout=0.5)),
        add(config="pipelines: ["),
    )
    results = history.open(root)
    found = compare(results, entry(root), a)
    assert found["differs"]["config"] == {}
    assert found["notes"]["config"].startswith("entry mlp-1: unknown artefact 'config'")
    assert "is not the config of one pipeline" in compare(results, a, b)["notes"]["config"]
    a.artefact("config").write_text("seed: 1")
    assert "has changed since it was stored" in compare(results, a, b)["notes"]["config"]


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
        identity={"code": {"model": "h2"}},
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
    a = {"a": {"b": 1, "c": [1]}, "d": 0, "e": {"x": 1, "y": 2}}
    b = {"e": {"y": 2, "x": 1}, "a": {"b": 2, "c": [1]}}
    expected = {"a.b": (1, 2), "d": (0, None), "e": (["x", "y"], ["y", "x"])}
    assert differences(a, b).items() >= expected.items()
    assert differences(a, a) == {}


def test_compare_shows_metrics_and_then_what_differs(add: Add, cli: Cli) -> None:
    """In words; where nothing differs it says so; names are text, not markup."""
    a, b = add(mean=0.9), add(mean=0.8, environment={"host": "[red]x\x1b[31m"})
    shown = cli("compare", a.id, b.id).out
    row = "accuracy   0.9000 ± 0.0031   0.8000 ± 0.0031   A better, beyond noise   -0.1000 ± 0.0025"
    assert row in shown
    assert "Values\n  nothing differs" in shown
    assert r"[red]x\x1b[31m" in shown
    assert "odd" in shown


def test_the_baselines_of_both_stand_side_by_side(add: Add, cli: Cli) -> None:
    """The best of each by each metric; as the entries have them in JSON. One without any, as older
    ones are, has a dash.
    """
    made = {"majority": {"validation": {"accuracy": 0.5}}, "hgb": {"validation": {"accuracy": 0.9}}}
    add(baselines=made), add()
    found = cli("compare", "@0", "@1").out
    assert "Best baselines\nvalidation   A            B\n" in found
    assert "accuracy     0.9000 hgb   -\n" in found
    assert json.loads(cli("compare", "@0", "@1", "--json").out)["baselines"] == {"a": made, "b": {}}
    assert "Best baselines" not in cli("compare", "@1", "@1").out


def test_every_pair_of_entries_can_be_compared(
    add: Add, failed: Callable[[], Entry], root: Path, cli: Cli
) -> None:
    """The same twice, of two tasks, failed, imported and bare, in text and in strict JSON."""
    manager = history.open(root).manager_of(Entry({"task": "classification"}, root))
    means = {"metrics": {"accuracy": 0.74}, "deviation": {}, "repeats": 1}
    origin = {"pipeline": "old", "status": "complete", "origin": {"kind": "keras-tuner"}}
    entries = [add(), add("regression", 1.0), failed(), manager.add(origin, {})]
    entries.append(manager.add({**origin, "validation": means}, {}))
    shown = ""
    for a, b in itertools.product(entries, entries):
        shown += cli("compare", a.id, b.id).out
        told = json.loads(cli("compare", a.id, b.id, "--json").out, parse_constant=pytest.fail)
        assert (told["a"], told["b"]) == (a.id, b.id)
    assert "A and B are the same entry" in shown


def test_several_are_each_compared_with_the_first(add: Add, cli: Cli) -> None:
    """A row each, with signs for what is beyond noise, and what differs in any of them. As JSON, an
    array of what two give.
    """
    made = [add(mean=mean, seed=n).id for n, mean in enumerate((0.9, 0.9001, 0.95, 0.8))]
    found = json.loads(cli("compare", *made, "--json").out)
    assert found == [json.loads(cli("compare", made[0], each, "--json").out) for each in made[1:]]
    lines = [" ".join(line.split()) for line in cli("compare", *made).out.splitlines()]
    for row in ("A 0.9000 ± 0.0031 -", "B 0.9001 ± 0.0031 -", "C 0.9500 ± 0.0031 ▲ -"):
        assert row in lines
    assert "D 0.8000 ± 0.0031 ▼ -" in lines
