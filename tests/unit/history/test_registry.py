"""Managers by name, those of third parties among them, and the tasks' own reports."""

import json
import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from history_samples import CLASSIFICATION, Add, python

import history
from history import registry
from history.errors import RegistryError
from history.tasks import ClassificationManager


class Ours(ClassificationManager):
    """A manager as a user may write it."""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    registry._find_plugins.cache_clear()
    yield
    registry._find_plugins.cache_clear()


def plug_in(monkeypatch: pytest.MonkeyPatch, *plugins: tuple[str, str]) -> None:
    points = [EntryPoint(name, value, registry.GROUP) for name, value in plugins]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


def test_a_decorated_class_is_found_and_named_in_its_entries(root: Path, add: Add) -> None:
    """The entry says which manager stored it; that one is found again."""
    registry.register("ours")(Ours)
    entry = registry.manager("ours", root).add({"pipeline": "mlp", "status": "failed"}, {})
    assert (entry.manager, entry.task) == ("ours", "classification")
    assert type(history.open(root).manager_of(entry)) is Ours


def test_a_name_is_registered_once() -> None:
    """The message shows both and what is registered; the same class may come again."""
    registry.register("ours")(Ours)
    registry.register("ours")(Ours)
    with pytest.raises(
        RegistryError, match=r"'regression'.*Ours.*Registered: classification = .*ours = "
    ):
        registry.register("regression")(Ours)


def test_an_unknown_name_lists_those_that_there_are(root: Path) -> None:
    """With the one that was meant."""
    with pytest.raises(
        RegistryError, match=r"did you mean 'regression'.*classification, regression"
    ):
        registry.manager("regresion", root)


def test_an_entry_point_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is known at once, its class is loaded when asked for."""
    plug_in(
        monkeypatch,
        ("ours", f"{__name__}:Ours"),
        ("broken", "no_such_module:X"),
        ("odd", "os:path"),
    )
    assert registry.names() == ["broken", "classification", "odd", "ours", "regression"]
    assert type(registry.manager("ours", root)) is Ours
    with pytest.raises(RegistryError, match="no_such_module"):
        registry.manager("broken", root)
    with pytest.raises(RegistryError, match="must be a subclass of HistoryManager"):
        registry.manager("odd", root)


@pytest.mark.parametrize(
    "points", [[("regression", f"{__name__}:Ours")], [("a", "x:X"), ("a", "y:Y")]]
)
def test_an_entry_point_cannot_take_a_name(
    root: Path, monkeypatch: pytest.MonkeyPatch, points: list[tuple[str, str]]
) -> None:
    """Neither a built-in one nor another entry point's."""
    plug_in(monkeypatch, *points)
    with pytest.raises(RegistryError, match="registered twice"):
        registry.manager(points[0][0], root)


def test_a_manager_must_rank_by_one_of_its_metrics() -> None:
    """Otherwise every listing would fail."""
    with pytest.raises(RegistryError, match="ranking, which is one of the metrics"):
        registry.register("odd")(type("Odd", (ClassificationManager,), {"ranking": "speed"}))


def test_a_report_gives_back_what_its_csv_says(add: Add, root: Path) -> None:
    """Class names with commas, quotes and brackets included."""
    catalogue = history.open(root)
    classified, regressed = add("classification"), add("regression")
    report = catalogue.manager_of(classified).report(classified)
    assert report.columns == ("class", "precision", "recall", "f1", "support")
    assert report.rows == [tuple(map(str, row)) for row in CLASSIFICATION.per_class]
    report = catalogue.manager_of(regressed).report(regressed)
    assert report.columns == ("quantity", "value")
    assert report.rows == [("rmse", "54.3"), ("residual_mean", "-0.5"), ("residual_q50", "0.25")]


# A third party's task, installed for real

MANAGER = '''
"""A task that the project does not know."""

import json

from history.errors import IntegrityError
from history.manager import HistoryManager, Report


class MultilabelManager(HistoryManager):
    """Entries of multilabel classification."""

    task = "multilabel"
    metrics = {"hamming_loss": "min", "f1_samples": "max"}
    ranking = "hamming_loss"
    artefacts = ("label_report",)

    def report(self, entry):
        """A row per label."""
        try:
            rows = json.loads(entry.artefact("label_report").read_text())
        except (OSError, ValueError) as error:
            raise IntegrityError(f"no label report: {error}") from error
        cells = [(row["label"], str(row["f1"])) for row in rows]
        return Report("label report", ("label", "f1"), cells)
'''

CONTRACT = """
import json

from history import registry
from history.testing import ManagerContract


class TestMultilabelManager(ManagerContract):
    def open_manager(self, root):
        return registry.manager("multilabel", root)

    def content(self, name):
        return json.dumps([{"label": "cat", "f1": 0.5}, {"label": "[dog]", "f1": 1.0}]).encode()
"""

USE = """
import json
import sys
from pathlib import Path

import history
from history import registry
from history.view.commands import main
from history.manager import COMMON_ARTEFACTS

root = Path(sys.argv[1])
assert registry.names() == ["classification", "multilabel", "regression"], registry.names()
catalogue = history.open(root)
manager = registry.manager("multilabel", root)
for loss in (0.25, 0.125):
    files = {name: root.parent / f"{name}.bin" for name in COMMON_ARTEFACTS + manager.artefacts}
    for path in files.values():
        path.write_text(json.dumps([{"label": "[dog]", "f1": 0.5}]))
    validation = {"metrics": {"hamming_loss": loss}, "repeats": 1}
    document = {"experiment": "tags", "pipeline": "tagger", "status": "complete"}
    entry = manager.add({**document, "validation": validation}, files)
    assert (entry.task, entry.manager) == ("multilabel", "multilabel")
    assert type(catalogue.manager_of(entry)) is type(manager)
    catalogue.manager_of(entry).verify(entry)
assert manager.rank(manager.entries())[0].entry.id == entry.id
for command in (["list"], ["show", "@-1"], ["best", "--task", "multilabel", "--json"]):
    assert main(["--root", str(root), *command]) == 0
"""


def theirs(folder: Path, *arguments: object) -> str:
    """Run this interpreter with what is in the folder; return what it printed."""
    done = python(*arguments, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pip makes it of a wheel that brings a manager of its own by an entry point."""
    folder = tmp_path_factory.mktemp("theirs")
    facts = folder / "multilabel_history-1.0.dist-info"
    facts.mkdir()
    (folder / "multilabel_history.py").write_text(MANAGER)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: multilabel-history\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(
        "[history.managers]\nmultilabel = multilabel_history:MultilabelManager\n"
    )
    return folder


def test_an_installed_manager_works_like_one_of_ours(installed: Path, root: Path) -> None:
    """By name it is known, stores, ranks, verifies and reports, also on the command line; nothing
    of ours changes.
    """
    printed = theirs(installed, "-c", USE, root)
    rows = [line for line in printed.splitlines() if "tagger-" in line and "multilabel" in line]
    assert "0.2500 hamming_loss" in rows[0]
    assert "0.1250 hamming_loss" in rows[1]
    assert "[dog]" in printed
    best = json.loads(theirs(installed, "-m", "history", "--root", root, "best", "--json"))
    assert best["validation"]["metrics"]["hamming_loss"] == 0.125


def test_an_installed_manager_can_prove_the_contract(installed: Path, tmp_path: Path) -> None:
    """With the tests that the package brings along."""
    (tmp_path / "test_theirs.py").write_text(CONTRACT)
    printed = theirs(
        installed, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", tmp_path
    )
    assert " passed" in printed
    assert "failed" not in printed
