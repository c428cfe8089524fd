"""Managers by name, and the tasks' own reports."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from history_samples import CLASSIFICATION, REGRESSION, Add

import history
from history import registry
from history.errors import RegistryError
from history.manager import HistoryManager
from history.store import open_store
from history.tasks import ClassificationManager, RegressionManager


class Ours(ClassificationManager):
    """A manager as a user may write it."""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    registry._plugins.cache_clear()
    yield
    registry._plugins.cache_clear()


def plug_in(monkeypatch: pytest.MonkeyPatch, *plugins: tuple[str, str]) -> None:
    points = [EntryPoint(name, value, registry.GROUP) for name, value in plugins]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


def manager(name: str, root: Path) -> HistoryManager:
    return registry.manager(name, root, open_store("tinydb", root))


def test_the_built_in_tasks_are_registered(root: Path) -> None:
    """Each under its own name."""
    assert {"classification", "regression"} <= set(registry.names())
    assert type(manager("regression", root)) is RegressionManager


def test_a_decorated_class_is_found_and_named_in_its_entries(root: Path, add: Add) -> None:
    """The entry says which manager stored it; that one is found again."""
    registry.register("ours")(Ours)
    entry = manager("ours", root).add({"pipeline": "mlp", "status": "failed"}, {})
    assert (entry.manager, entry.task) == ("ours", "classification")
    assert type(history.open(root).manager_of(entry)) is Ours


def test_a_name_is_registered_once() -> None:
    """The message shows both and what is registered; the same class may come again."""
    registry.register("ours")(Ours)
    registry.register("ours")(Ours)
    with pytest.raises(RegistryError, match=r"'regression'.*Ours.*Registered: classification = .*ours = "):
        registry.register("regression")(Ours)


def test_an_unknown_name_lists_those_that_there_are(root: Path) -> None:
    """With the one that was meant."""
    with pytest.raises(RegistryError, match=r"did you mean 'regression'.*classification, regression"):
        manager("regresion", root)


def test_an_entry_point_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is known at once, its class is loaded when asked for."""
    plug_in(monkeypatch, ("ours", f"{__name__}:Ours"), ("broken", "no_such_module:X"), ("odd", "os:path"))
    assert registry.names() == ["broken", "classification", "odd", "ours", "regression"]
    assert type(manager("ours", root)) is Ours
    with pytest.raises(RegistryError, match="no_such_module"):
        manager("broken", root)
    with pytest.raises(RegistryError, match="no subclass of HistoryManager"):
        manager("odd", root)


@pytest.mark.parametrize("points", [[("regression", f"{__name__}:Ours")], [("a", "x:X"), ("a", "y:Y")]])
def test_an_entry_point_cannot_take_a_name(
    root: Path, monkeypatch: pytest.MonkeyPatch, points: list[tuple[str, str]]
) -> None:
    """Neither a built-in one nor another entry point's."""
    plug_in(monkeypatch, *points)
    with pytest.raises(RegistryError, match="registered twice"):
        manager(points[0][0], root)


def test_a_manager_must_rank_by_one_of_its_metrics() -> None:
    """Otherwise every listing would fail."""
    with pytest.raises(RegistryError, match="'speed'"):
        registry.register("odd")(type("Odd", (ClassificationManager,), {"ranking": "speed"}))


def test_a_report_gives_back_what_its_csv_says(add: Add, root: Path) -> None:
    """Class names with commas, quotes and brackets included."""
    catalogue = history.open(root)
    classified, regressed = add("classification"), add("regression")
    report = catalogue.manager_of(classified).report(classified)
    assert report.columns == ("class", "precision", "recall", "f1", "support")
    assert [row[0] for row in report.rows] == [row[0] for row in CLASSIFICATION.per_class]
    assert report.rows[0] == ('a, "b"', "0.5", "1.0", "0.6666666667", "10")
    rows = catalogue.manager_of(regressed).report(regressed).rows
    assert rows == [("rmse", "54.3"), ("residual_mean", "-0.5"), ("residual_q50", "0.25")]
    assert REGRESSION.csv().startswith("quantity,value\n")
