"""`python -m history` as its users meet it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from history_samples import REPOSITORY, Add, Run, python

import history
from history.__main__ import main
from history.entry import Entry
from history.manager import HistoryManager
from history.registry import manager_class
from history.view.text import EntryRows, render

Failed = Callable[[], Entry]
Imported = Callable[..., Entry]
Out = pytest.CaptureFixture[str]


@pytest.fixture
def imported(root: Path) -> Imported:
    """Store an entry without artefacts, as those of another program are."""

    def store(task: str, metrics: dict[str, float]) -> Entry:
        document = {
            "pipeline": "old",
            "status": "complete",
            "origin": {"kind": "best-executions", "index": 3},
            "notes": ["Its metrics are over epochs.", "Nothing was [red]refitted."],
            "validation": {"metrics": metrics, "deviation": {}, "repeats": 1, "over": "epochs"},
        }
        return history.open(root).manager_of(Entry({"task": task}, root)).add(document, {})

    return store


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
    assert [
        row["id"] for row in json.loads(run("list", "--status", "failed", "--json").stdout)
    ] == [broken.id]


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
    """Search, best values, metrics, report, environment and artefacts; names are text, not
    markup.
    """
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


def test_show_copes_with_a_lost_report_and_a_foreign_manager(
    add: Add, root: Path, capsys: Out
) -> None:
    """The rest is shown, and what is wrong is said."""
    lost = add()
    lost.artefact("classification_report").unlink()
    assert main(["--root", str(root), "show", lost.id]) == 0
    assert "not available" in capsys.readouterr().out
    database = root / "history.json"
    database.write_text(
        database.read_text().replace('"manager":"classification"', '"manager":"theirs"')
    )
    assert main(["--root", str(root), "show", lost.id]) == 0
    assert "'theirs'" in capsys.readouterr().out
    assert main(["--root", str(root), "list"]) == 0
    assert lost.id in capsys.readouterr().out


def test_best_shows_the_first_of_each_task(
    add: Add, failed: Failed, root: Path, capsys: Out
) -> None:
    """By the task's metric and direction, with its values and those tied with it."""
    better, near, far = add(mean=0.98), add(mean=0.979), add(mean=0.1)
    low, _ = add("regression", 1.0), add("regression", 2.0)
    failed()
    assert main(["--root", str(root), "best"]) == 0
    _, _, first, values, second, _ = capsys.readouterr().out.splitlines()
    assert first.split()[0] == better.id
    assert near.id in first
    assert far.id not in first
    assert values == "  best values: model.dropout=0.25"
    assert second.split()[0] == low.id


def test_best_names_three_of_many_ties(add: Add, root: Path, capsys: Out) -> None:
    """The others are counted, so that a row stays a row."""
    for _ in range(6):
        add()
    assert main(["--root", str(root), "best"]) == 0
    assert "and 2 more\n" in capsys.readouterr().out


def test_best_leaves_out_a_task_that_only_imported_entries_have(
    add: Add, imported: Imported, root: Path, capsys: Out
) -> None:
    """Their metrics are called otherwise; it says so, and the other task is shown."""
    entry = add()
    imported("regression", {"mean_val_loss": 1.0})
    assert main(["--root", str(root), "best"]) == 0
    captured = capsys.readouterr()
    assert entry.id in captured.out
    assert "no entry of task regression" in captured.err


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
        (["list", "--sort", "experimnt"], "did you mean 'experiment'"),
        (
            ["list", "--sort", "validation.metrics.acuracy"],
            "did you mean 'validation.metrics.accuracy'",
        ),
        (["list", "--columns", "id,statu"], "did you mean 'status'"),
        (["list", "--columns", "id,validation.odd"], "no entry has a column 'validation.odd'"),
        (["list", "--limit", "0"], "above 0"),
        (["compare", "@0"], "required: B"),
        (["compare", "@0", "nope"], "no entry 'nope'"),
        (["export"], "one of the arguments --csv --json --experiment --archive is required"),
        (["export", "--csv", "--json"], "not allowed with"),
        (["export", "nope", "--csv"], "no entry 'nope'"),
        (["export", "--csv", "/no/such/folder/x.csv"], "folder /no/such/folder does not exist"),
        (["export", "--csv", "/dev/null"], "is not a file"),
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


def test_control_characters_of_a_name_do_not_reach_the_terminal(
    add: Add, root: Path, capsys: Out
) -> None:
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


def listed(root: Path, capsys: Out, *arguments: str) -> list[str]:
    """Return the first cell of every row of a list."""
    assert main(["--root", str(root), "list", *arguments]) == 0
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]]


def test_a_list_is_sorted_by_a_column_or_a_key(
    add: Add, failed: Failed, root: Path, capsys: Out
) -> None:
    """Entries without it come last, also in reverse; those of one value stay in their order."""
    high, none, low, same = add(mean=0.9).id, failed().id, add(mean=0.1).id, add(mean=0.9).id
    for key in ("metric", "validation.metrics.accuracy"):
        assert listed(root, capsys, "--sort", key) == [low, high, same, none]
        assert listed(root, capsys, "--sort", key, "--reverse") == [high, same, low, none]
    assert listed(root, capsys, "--sort", "status") == [high, low, same, none]
    assert listed(root, capsys, "--sort", "search", "--limit", "2") == [high, low]


def test_a_list_is_limited_to_the_newest(add: Add, root: Path, capsys: Out) -> None:
    """Oldest of them first, or with --reverse newest first; --json likewise."""
    _, second, third = (add().id for _ in range(3))
    assert listed(root, capsys, "--limit", "2") == [second, third]
    assert listed(root, capsys, "--limit", "2", "--reverse") == [third, second]
    assert main(["--root", str(root), "list", "--json", "--limit", "1"]) == 0
    assert [document["id"] for document in json.loads(capsys.readouterr().out)] == [third]


def test_numbers_sort_before_texts(add: Add, root: Path, capsys: Out) -> None:
    """So that a key whose type changed over time sorts all the same."""
    text, two, ten = (add(seed=seed).id for seed in ("a", 2, 10))
    assert listed(root, capsys, "--sort", "seed") == [two, ten, text]


def test_the_columns_of_a_list_can_be_chosen(
    add: Add, failed: Failed, root: Path, capsys: Out
) -> None:
    """Built-in ones and dotted keys, in the order asked for; what is missing is a dash."""
    entry, broken = add(), failed()
    columns = "best.values.model.dropout, id,search.objective,validation.repeats"
    assert main(["--root", str(root), "list", "--columns", columns]) == 0
    header, _, *rows = (line.split("   ") for line in capsys.readouterr().out.splitlines())
    assert [name for name in map(str.strip, header) if name] == columns.replace(" ", "").split(",")
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells == [
        ["0.2500", entry.id, "name=val_accuracy, direction=max", "3"],
        ["-", broken.id, "-", "-"],
    ]


def test_a_manager_is_looked_up_once_for_all_its_entries(
    add: Add, root: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking one up is slow where it is not installed."""
    asked: list[str] = []

    def found(name: str) -> type[HistoryManager]:
        asked.append(name)
        return manager_class(name)

    monkeypatch.setattr("history.view.pages.manager_class", found)
    for _ in range(5):
        add()
    listed(root, capsys)
    assert asked == ["classification"]


def test_ten_thousand_rows_are_rendered_at_once() -> None:
    """As a table and as paragraphs, each within a second or so; rich's own table takes eight."""
    rows = EntryRows(
        ("id", "metric"),
        [(f"mlp-{number}", f"0.9{number} ± 0.1 accuracy") for number in range(10_000)],
    )
    started = time.perf_counter()
    assert render(rows).count("\n") == 10_002
    assert time.perf_counter() - started < 2


def test_wide_characters_line_up_and_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CJK character takes two columns of a terminal; a word longer than the line is cut."""
    rows = EntryRows(("id", "name"), [("一二三", "x"), ("abc", "y")])
    assert render(rows) == "id       name\n─────────────\n一二三   x\nabc      y\n"
    monkeypatch.setenv("COLUMNS", "9")
    assert render(rows) == "一二三\n  name x\nabc\n  name y\n"
    assert render(EntryRows(("id", "n"), [("一二三四五", "a bb-cccccccccc")])) == (
        "一二三四\n五\n  n a\n  bb-cccc\n  cccccc\n"
    )


def test_an_imported_entry_is_told_apart(
    add: Add, imported: Imported, root: Path, capsys: Out
) -> None:
    """By its status; its metric is the one that ends in the task's, or else its first."""
    add()
    like, other = (
        imported("classification", {"loss": 1.0, "mean_val_accuracy": 0.74}),
        imported("regression", {"q": 2}),
    )
    assert main(["--root", str(root), "list", "--columns", "id,status,metric"]) == 0
    _, _, run, *rows = capsys.readouterr().out.splitlines()
    assert "imported" not in run
    assert [row.split("   ")[0] for row in rows] == [like.id, other.id]
    assert rows[0].endswith("complete (imported)   0.7400 mean_val_accuracy")
    assert rows[1].endswith("complete (imported)   2.0000 q")


def test_show_says_where_an_entry_is_from_and_what_to_know_of_it(
    add: Add, imported: Imported, root: Path, capsys: Out
) -> None:
    """Its origin, its notes, and that its metrics are over epochs; an entry of a run has none of
    these.
    """
    entry = imported("classification", {"mean_val_accuracy": 0.74})
    assert main(["--root", str(root), "show", entry.id]) == 0
    shown = capsys.readouterr().out
    assert "kind=best-executions, index=3" in shown
    assert "Notes\n  Its metrics are over epochs.\n  Nothing was [red]refitted.\n" in shown
    assert "validation (over epochs)" in shown
    add()
    assert main(["--root", str(root), "show", "@-1"]) == 0
    shown = capsys.readouterr().out
    assert not any(word in shown for word in ("origin", "Notes", "over epochs"))


def test_export_writes_what_was_asked_for(
    add: Add, failed: Failed, root: Path, tmp_path: Path, capsys: Out
) -> None:
    """The entries named, those that match, or all; to stdout or into a file, with a line on
    stderr.
    """
    first, second, broken = add(), add(), failed()

    def exported(*arguments: str) -> list[str]:
        assert main(["--root", str(root), "export", *arguments, "--json"]) == 0
        return [document["id"] for document in json.loads(capsys.readouterr().out)]

    assert exported() == [first.id, second.id, broken.id]
    assert exported("@-1", first.id, first.id[:-1]) == [first.id, broken.id]
    assert exported("--status", "failed") == [broken.id]
    assert exported(first.id, "--status", "failed") == []
    for kind in ("csv", "json"):
        path = tmp_path / f"out.{kind}"
        assert main(["--root", str(root), "export", f"--{kind}", str(path)]) == 0
        assert capsys.readouterr() == ("", f"3 entries in {path}\n")
        assert broken.id in path.read_text()


@pytest.mark.parametrize("place", ["history.json", "history.previous.json", "entries/x.json"])
def test_export_does_not_overwrite_the_history(
    add: Add, root: Path, capsys: Out, place: str
) -> None:
    """Neither its database nor what lies in an entry's folder."""
    add()
    before = (root / "history.json").read_bytes()
    assert main(["--root", str(root), "export", "--json", str(root / place)]) == 2
    assert "overwrite the history" in capsys.readouterr().err
    assert (root / "history.json").read_bytes() == before


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
for command in (["list"], ["list", "--json"], ["show", "@0"], ["best"], ["compare", "@0", "@0"], ["export", "--csv"]):
    assert cli.main(["--root", {str(root)!r}, *command]) == 0
heavy = "keras tensorflow keras_tuner runner numpy sklearn pandas matplotlib pytest".split()
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    assert python("-c", script).stderr == "[]\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_output_that_finds_no_room_is_one_message(add: Add, root: Path, form: list[str]) -> None:
    """Without a trace, and with exit code 1."""
    add()
    command = [sys.executable, "-m", "history", "--root", str(root), "list", *form]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False
        )
    assert (done.returncode, done.stderr) == (1, "error: [Errno 28] No space left on device\n")
