"""`python -m history` as its users meet it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from history_samples import Add, Run, python

from history.__main__ import main
from history.entry import Entry

Failed = Callable[[], Entry]
Out = pytest.CaptureFixture[str]


def test_list_prints_one_row_per_entry(add: Add, failed: Failed, run: Run) -> None:
    """Oldest first, with the ranking metric, the trials and the time; a failed one has dashes."""
    entry, regression, broken = add(), add("regression", 54.3, pipeline="lin"), failed()
    done = run("list")
    rows = [line for line in done.stdout.splitlines() if "digits" in line]
    assert (done.returncode, done.stderr) == (0, "")
    assert [row.split()[0] for row in rows] == [entry.id, regression.id, broken.id]
    assert "0.9722 ± 0.0031 accuracy" in rows[0]
    assert "4/5" in rows[0]
    assert "12.3 s" in rows[0]
    assert "54.3000 ± 0.0031 rmse" in rows[1]
    assert rows[2].split()[-4:] == ["failed", "-", "-", "-"]


def test_list_json_is_one_strict_array(add: Add, failed: Failed, run: Run) -> None:
    """NaN is null, and the filters hold."""
    entry, broken = add(), failed()
    done = run("list", "--json")
    documents = json.loads(done.stdout, parse_constant=pytest.fail)
    assert [document["id"] for document in documents] == [entry.id, broken.id]
    assert documents[0]["validation"]["metrics"]["odd"] is None
    assert [row["id"] for row in json.loads(run("list", "--status", "failed", "--json").stdout)] == [broken.id]


def test_the_root_may_stand_before_and_after_the_command(add: Add, root: Path, capsys: Out) -> None:
    """Without it, `results` is meant."""
    entry = add()
    for arguments in (
        ["--root", str(root), "show", "@0", "--json"],
        ["show", "@0", "--json", "--root", str(root)],
    ):
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out)["id"] == entry.id


def test_show_tells_all_there_is(add: Add, run: Run) -> None:
    """Search, best values, metrics, report, environment and artefacts; names are text, not markup."""
    entry = add(experiment="[red]x[/red]")
    done = run("show", entry.id[:-1])
    assert (done.returncode, done.stderr) == (0, "")
    for text in (
        entry.id,
        "[red]x[/red]",
        "val_accuracy max",
        "model.dropout",
        "0.9722 ± 0.0031",
        "0.9722 ± 0.0010",
        'a, "b"',
        "0.6667",
        "keras=3.15.1",
        f"entries/{entry.id}/model.bin",
    ):
        assert text in done.stdout
    assert json.loads(run("show", "@-1", "--json").stdout) == entry.document


def test_show_copes_with_a_failed_entry(failed: Failed, root: Path, capsys: Out) -> None:
    """Its error is shown; sections without content are left out."""
    failed()
    assert main(["--root", str(root), "show", "@0"]) == 0
    shown = capsys.readouterr().out
    assert "ValueError in search: no such layer" in shown
    assert "[red]x" in shown
    assert "Search" not in shown


def test_show_copes_with_a_lost_report_and_a_foreign_manager(add: Add, root: Path, capsys: Out) -> None:
    """The rest is shown, and what is wrong is said."""
    lost = add()
    lost.artefact("classification_report").unlink()
    assert main(["--root", str(root), "show", lost.id]) == 0
    assert "not available" in capsys.readouterr().out
    database = root / "history.json"
    database.write_text(database.read_text().replace('"manager":"classification"', '"manager":"theirs"'))
    assert main(["--root", str(root), "show", lost.id]) == 0
    assert "'theirs'" in capsys.readouterr().out
    assert main(["--root", str(root), "list"]) == 0
    assert lost.id in capsys.readouterr().out


def test_best_shows_the_first_of_each_task(add: Add, failed: Failed, root: Path, capsys: Out) -> None:
    """By the task's metric and direction, with its values and those tied with it."""
    better, near, far = add(mean=0.98), add(mean=0.979), add(mean=0.1)
    low, _ = add("regression", 1.0), add("regression", 2.0)
    failed()
    assert main(["--root", str(root), "best"]) == 0
    first, second = (line for line in capsys.readouterr().out.splitlines() if "digits" in line)
    assert first.split()[0] == better.id
    assert near.id in first
    assert far.id not in first
    assert "model.dropout=0.25" in first
    assert second.split()[0] == low.id


def test_best_json_is_one_object_of_one_task(add: Add, root: Path, capsys: Out) -> None:
    """Where several tasks are in question, --task or a metric of one of them must choose."""
    add(mean=0.1)
    best = add(mean=0.9)
    assert main(["--root", str(root), "best", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == best.id
    low = add("regression", 1.0)
    assert main(["--root", str(root), "best", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--task: classification, regression" in captured.err
    for choice in (["--task", "regression"], ["--metric", "rmse"]):
        assert main(["--root", str(root), "best", "--json", *choice]) == 0
        assert json.loads(capsys.readouterr().out)["id"] == low.id


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nope"], "no entry 'nope'"),
        (["show", "@7"], "no entry @7"),
        (["best", "--metric", "acuracy"], "did you mean 'accuracy'"),
        (["best", "--metric", "roc_auc"], "has the metric 'roc_auc'"),
        (["best", "--task", "regression"], "no complete entry"),
        (["list", "--status", "done"], "invalid choice"),
        (["lst"], "invalid choice"),
        ([], "COMMAND"),
        (["list", "--root", "/no/such/folder"], "/no/such/folder does not exist"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    add: Add, root: Path, capsys: Out, arguments: list[str], message: str
) -> None:
    """On stderr; stdout stays empty."""
    add()
    assert main(["--root", str(root), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_a_damaged_history_is_exit_code_1(root: Path, capsys: Out) -> None:
    """One line that names the file."""
    root.mkdir()
    (root / "history.json").write_text("{")
    assert main(["--root", str(root), "list"]) == 1
    assert "history.json is not JSON" in capsys.readouterr().err


def test_an_empty_root_is_no_error(root: Path, capsys: Out) -> None:
    """It says so on stderr; --json prints an empty array; nothing is made."""
    root.mkdir()
    assert main(["--root", str(root), "list"]) == 0
    assert capsys.readouterr() == ("", f"no entries in {root}\n")
    assert main(["--root", str(root), "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert list(root.iterdir()) == []


def test_control_characters_of_a_name_do_not_reach_the_terminal(add: Add, root: Path, capsys: Out) -> None:
    """An escape sequence in an imported name is shown, not obeyed."""
    add(experiment="\x1b[31mred\u202e")
    for command in (["list"], ["show", "@0"]):
        assert main(["--root", str(root), *command]) == 0
        shown = capsys.readouterr().out
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert r"\x1b[31mred\u202e" in shown


@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_narrow_terminal_folds_and_keeps_the_id(
    add: Add, root: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """Every line fits, and the id stands whole."""
    monkeypatch.setenv("COLUMNS", columns)
    entry = add()
    assert main(["--root", str(root), "list"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= int(columns)
    assert entry.id in shown


def test_a_reader_that_stops_early_is_no_error(add: Add, root: Path, tmp_path: Path) -> None:
    """`| head -0` leaves no trace on stderr."""
    add(environment={"packages": {f"package-{number}": "1" for number in range(9000)}})
    script = f"""
import subprocess, sys
command = [sys.executable, "-m", "history", "--root", {str(root)!r}, "list", "--json"]
process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
process.stdout.close()
print(process.stderr.read().decode(), process.wait())
"""
    assert python("-c", script).stdout.split() == ["0"]


def test_looking_at_a_history_imports_nothing_heavy(add: Add, root: Path) -> None:
    """Neither the machine-learning packages, nor numpy, nor the runner."""
    add()
    script = f"""
import sys
import history.__main__ as cli
for command in (["list"], ["list", "--json"], ["show", "@0"], ["best"]):
    assert cli.main(["--root", {str(root)!r}, *command]) == 0
heavy = "keras tensorflow keras_tuner runner numpy sklearn pandas matplotlib pytest".split()
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    assert python("-c", script).stderr == "[]\n"
