"""Importing through the command line: what is there is left alone, and what is read is said."""

import json
from pathlib import Path

import pytest
from history_samples import Add

import history
from history.__main__ import main

Out = pytest.CaptureFixture[str]


@pytest.fixture
def executions(tmp_path: Path) -> Path:
    """A list of two executions, by an older kind of history."""
    structure = {"space": [], "values": {"units": 32}}
    items = [
        {"model": "mlp", "history": {"mean_val_accuracy": mean}, "neural_structure": structure}
        for mean in (0.8, 0.9)
    ]
    path = tmp_path / "old" / "best_executions.json"
    path.parent.mkdir()
    path.write_text(json.dumps(items))
    return path


def test_a_list_is_taken_once(executions: Path, root: Path, capsys: Out) -> None:
    """Named by its folder, or with a task that had been inferred, it is the same; notes are said
    when it is taken.
    """
    assert main(["--root", str(root), "import", str(executions)]) == 0
    assert capsys.readouterr().err.count("defaults of the search space") == 2
    for arguments in (
        [str(executions)],
        [str(executions.parent)],
        [str(executions), "--task", "classification"],
    ):
        assert main(["--root", str(root), "import", *arguments]) == 0
        said = (
            f"every entry of {arguments[0]} is in {root.resolve()} already; nothing was changed\n"
        )
        assert capsys.readouterr().err == said
    assert len(history.open(root).entries()) == 2


def test_show_tells_the_defaults_that_a_note_speaks_of(
    executions: Path, root: Path, capsys: Out
) -> None:
    """They stand where the best values would."""
    assert main(["--root", str(root), "import", str(executions)]) == 0
    assert main(["--root", str(root), "show", "@0"]) == 0
    assert "units=32" in capsys.readouterr().out


def test_an_archive_that_was_cut_off_is_called_so(
    add: Add, root: Path, tmp_path: Path, capsys: Out
) -> None:
    """And not taken for a list that is no JSON."""
    add()
    path = tmp_path / "one.zip"
    assert main(["--root", str(root), "export", "--archive", str(path)]) == 0
    path.write_bytes(path.read_bytes()[:-40])
    assert main(["--root", str(tmp_path / "other"), "import", str(path)]) == 2
    assert "or was cut off (BadZipFile" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_no_archive_is_made_of_nothing(add: Add, root: Path, tmp_path: Path, capsys: Out) -> None:
    """Since none could be taken from it."""
    add()
    path = tmp_path / "none.zip"
    assert main(["--root", str(root), "export", "--status", "failed", "--archive", str(path)]) == 2
    assert "at least one entry" in capsys.readouterr().err
    assert not path.exists()
