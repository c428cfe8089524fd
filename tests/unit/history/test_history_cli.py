"""`python -m history` as its users meet it."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from history_samples import REPOSITORY, Add, Cli, python
from omegaconf import OmegaConf
from tinydb import where

import history
from history.entry import Entry
from history.store import Store
from history.view.commands import subparsers
from history.view.page import Page, Section, Table
from history.view.rows import COLUMNS
from history.view.terminal import render

Failed = Callable[[], Entry]
Imported = Callable[..., Entry]


@pytest.fixture
def imported(root: Path) -> Imported:
    """Store an entry without artefacts, as those of another program are."""

    def store(task: str, metrics: dict[str, float]) -> Entry:
        document = {
            "pipeline": "old",
            "status": "complete",
            "origin": {"kind": "keras-tuner", "path": "old/project"},
            "notes": ["It holds no model.", "Nothing was [red]refitted."],
            "validation": {
                "metrics": metrics,
                "deviation": dict.fromkeys(metrics, 0),
                "repeats": 1,
            },
        }
        return history.open(root).manager_of(Entry({"task": task}, root)).add(document, {})

    return store


def ids(cli: Cli, *arguments: object) -> list[str]:
    """Return the ids in the array that a command prints, which is strict JSON."""
    documents = json.loads(cli(*arguments).out, parse_constant=pytest.fail)
    return [document["id"] for document in documents]


def listed(cli: Cli, *arguments: object) -> list[str]:
    """Return the first cell of every row of a list."""
    rows, _, _ = cli("list", *arguments).out.partition("--wide")
    return [line.split()[0] for line in rows.splitlines()[2:]]


# Lists


def test_list_prints_one_row_per_entry(add: Add, failed: Failed, root: Path) -> None:
    """Oldest first, with the ranking metric, the trials and the time; a failed one has dashes."""
    entry, regression, broken = add(), add("regression", 54.3, pipeline="lin"), failed()
    done = python("-m", "history", "--root", root, "list")
    rows = done.stdout.splitlines()[2:]
    assert (done.returncode, done.stderr) == (0, "")
    assert [row.split()[0] for row in rows] == [entry.id, regression.id, broken.id]
    assert re.search(r"complete   0\.9722 ± 0\.0031 accuracy   4/5      12\.3 s$", rows[0])
    assert "54.3000 ± 0.0031 rmse" in rows[1]
    assert rows[2].split()[-4:] == ["failed", "-", "-", "-"]


def test_list_json_is_one_strict_array(add: Add, failed: Failed, cli: Cli) -> None:
    """NaN is null, and the filters hold."""
    entry, broken = add(), failed()
    assert ids(cli, "list", "--json") == [entry.id, broken.id]
    assert json.loads(cli("list", "--json").out)[0]["validation"]["metrics"]["odd"] is None
    assert ids(cli, "list", "--status", "failed", "--json") == [broken.id]


def test_a_list_holds_the_entries_of_one_sweep(add: Add, cli: Cli) -> None:
    """Named by a prefix that no other has; a run outside a sweep belongs to none."""
    one, other = add(sweep="2026-11-30_01").id, add(sweep="2026-11-30_02").id
    add()
    assert ids(cli, "list", "--sweep", "2026-11-30_01", "--json") == [one]
    assert ids(cli, "list", "--sweep", "2026-11-30_02", "--json") == [other]
    assert "matches several: 2026-11-30_01, " in cli("list", "--sweep", "2026", exit_code=2).err


def test_a_list_is_sorted_and_limited(add: Add, failed: Failed, cli: Cli) -> None:
    """Entries without it come last, also in reverse; those of one value stay in their order;
    numbers before texts, where the type changed over time. A limit keeps the newest, or the first
    of those sorted.
    """
    high, none = add(mean=0.9, seed="a").id, failed().id
    low, same = add(mean=0.1, seed=10).id, add(mean=0.9, seed=2).id
    assert listed(cli, "--sort", "seed") == [same, low, high, none]
    for key in ("metric", "validation.metrics.accuracy"):
        assert listed(cli, "--sort", key) == [low, high, same, none]
        assert listed(cli, "--sort", key, "--reverse") == [high, same, low, none]
    assert listed(cli, "--sort", "status") == [high, low, same, none]
    assert listed(cli, "--sort", "search", "--limit", "2") == [high, low]
    assert listed(cli, "--limit", "2") == [low, same]
    assert listed(cli, "--limit", "2", "--reverse") == [same, low]
    assert ids(cli, "list", "--json", "--limit", "1") == [same]


def test_the_columns_of_a_list_can_be_chosen(add: Add, failed: Failed, cli: Cli) -> None:
    """Built-in ones and dotted keys, in the order asked for; what is missing is a dash."""
    entry, broken = add(), failed()
    columns = "best.values.model.dropout, id,search.objective,validation.repeats"
    header, _, *rows = cli("list", "--columns", columns).out.splitlines()
    assert header.split() == columns.replace(" ", "").split(",")
    cells = [[cell.strip() for cell in row.split("   ") if cell.strip()] for row in rows]
    assert cells == [
        ["0.2500", entry.id, "name=val_accuracy, direction=max", "3"],
        ["-", broken.id, "-", "-"],
    ]


def test_ten_thousand_rows_are_rendered_at_once() -> None:
    """Within a second or so; rich's own table takes eight."""
    cells = [(f"mlp-{number}", f"0.9{number} ± 0.1 accuracy") for number in range(10_000)]
    started = time.perf_counter()
    assert render(Page([Section("", [Table(("id", "metric"), cells)])])).count("\n") == 10_002
    assert time.perf_counter() - started < 2


def test_wide_characters_line_up() -> None:
    """A CJK character takes two columns of a terminal."""
    rows = Table(("id", "name"), [("一二三", "x"), ("abc", "y")])
    assert (
        render(Page([Section("", [rows])]))
        == "id       name\n─────────────\n一二三   x\nabc      y\n"
    )


# Pages


def test_the_root_may_stand_before_and_after_the_command(add: Add, root: Path, cli: Cli) -> None:
    """The one after the command counts."""
    entry = add()
    assert f"Entry\n  id          {entry.id}\n" in cli("show", "@0").out
    assert "nowhere does not exist" in cli("list", "--root", "nowhere", exit_code=2).err
    assert listed(cli, "--root", root) == [entry.id]


def test_show_tells_all_there_is(add: Add, cli: Cli) -> None:
    """Search, best values, metrics, report, environment and artefacts; names are text, not
    markup.
    """
    entry = add(experiment="[red]x[/red]")
    shown = cli("show", entry.id[:-1])
    assert shown.err == ""
    for text in (
        *(entry.id, "[red]x[/red]", "name=val_accuracy, direction=max"),
        *("model.dropout", "0.9722 ± 0.0031"),
        *("0.9722 ± 0.0010", 'a, "b"', "0.6667", "keras=3.15.1"),
        f"entries/{entry.id}/model.bin",
    ):
        assert text in shown.out
    assert json.loads(cli("show", "@-1", "--json").out) == entry.document


def test_show_and_best_have_the_baselines(add: Add, cli: Cli) -> None:
    """Over both parts, and say it of an entry that does not beat them; those from elsewhere may
    hold anything; an older entry has none.
    """
    one, two = ({"accuracy": value} for value in (0.5, 0.975))
    made = {"majority": {"validation": one, "test": one}, "hgb": {"validation": two}}
    entry = add(baselines=made)
    shown = cli("show", "@0").out
    assert "part         metric     majority   hgb\n" in shown
    assert "validation   accuracy   0.5000     0.9750\n" in shown
    assert "test         accuracy   0.5000     -\n" in shown
    assert (
        "Warning\n  mlp does not beat the baseline hgb beyond noise: accuracy 0.9722 ± 0.0031 "
        "against 0.9750\n"
    ) in shown
    assert "0.9750 hgb" in cli("best").out
    assert json.loads(cli("best", "--json").out)["baselines"] == made == entry.value("baselines")
    add(baselines={"a.b": 1, "odd": {"validation": {"accuracy": "x"}}, "hgb": []}, mean=1.0)
    shown = cli("show", "@1").out
    assert "validation   accuracy   -     -     -\n" in shown
    assert "does not beat" not in shown
    assert "best baseline" in cli("best").out
    add()
    assert "Baselines" not in cli("show", "@2").out


def test_show_copes_with_a_failed_entry(failed: Failed, cli: Cli) -> None:
    """Its error is shown; sections without content are left out."""
    broken = failed()
    assert f"{broken.id} has no trials" in cli("trials", "@0", exit_code=2).err
    shown = cli("show", "@0").out
    assert "  message  no such layer\n           [red]x\n  stage    search\n" in shown
    assert "Search" not in shown


def test_show_copes_with_a_lost_report_and_a_foreign_manager(
    add: Add, root: Path, cli: Cli
) -> None:
    """The rest is shown, and what is wrong is said."""
    lost = add()
    lost.artefact("classification_report").unlink()
    assert "not available" in cli("show", lost.id).out
    text = (root / "history.json").read_text()
    (root / "history.json").write_text(
        text.replace('"manager":"classification"', '"manager":"theirs"')
    )
    assert "'theirs'" in cli("show", lost.id).out
    assert listed(cli) == [lost.id]


def test_an_imported_entry_is_told_apart(add: Add, imported: Imported, cli: Cli) -> None:
    """By its status; its metric is the task's, or else its first; `show` has its origin and notes,
    which an entry of a run has none of.
    """
    run = add()
    like = imported("classification", {"loss": 1.0, "accuracy": 0.74})
    imported("regression", {"q": 2})
    rows = cli("list", "--columns", "id,status,metric").out.splitlines()[2:]
    assert rows[1].endswith("complete (imported)   0.7400 accuracy")
    assert rows[2].endswith("complete (imported)   2.0000 q")
    shown = cli("show", like.id).out
    assert "kind=keras-tuner, path=old/project" in shown
    assert "Notes\n  It holds no model.\n  Nothing was [red]refitted.\n" in shown
    assert "Notes" not in cli("show", run.id).out


@pytest.mark.parametrize("command", [["show", "@0"], ["compare", "@0", "@1"]])
def test_a_page_folds_where_the_terminal_is_narrow(
    add: Add, cli: Cli, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Every line fits; a list leaves out columns, and says which, unless it is to be wide."""
    monkeypatch.setenv("COLUMNS", "50")
    made = [add(overrides=["x" * 99]).id, add(data={"fingerprint": "f" * 99}).id]
    assert max(map(len, cli(*command).out.splitlines())) == 50
    assert listed(cli) == made
    shown = cli("list").out.splitlines()
    assert shown[0].split() == ["id", "status", "metric"]
    assert (
        " ".join(shown[4:])
        == "--wide shows more: created, experiment, pipeline, task, trials, search"
    )
    assert cli("list", "--wide").out.splitlines()[0].split() == [*COLUMNS]


def test_long_names_lose_their_middle_and_are_still_understood(
    add: Add, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id as a narrow table has it names the entry."""
    made = add(pipeline="a-pipeline-with-a-very-long-name-of-its-own")
    add(pipeline="a-pipeline-with-another-name")
    assert listed(cli)[0] == made.id
    monkeypatch.setenv("COLUMNS", "80")
    shortened = listed(cli)[0]
    assert (len(shortened), "…" in shortened) == (16, True)
    assert json.loads(cli("show", shortened, "--json").out)["id"] == made.id


def test_no_color_means_no_styles(add: Add, root: Path) -> None:
    """Also in a terminal, which shows them otherwise (https://no-color.org)."""
    add()
    for value, styled in ({"NO_COLOR": "1"}, False), ({}, True):
        ours, theirs = os.openpty()
        subprocess.run(
            [sys.executable, "-m", "history", "--root", str(root), "list"],
            stdout=theirs,
            check=True,
            cwd=REPOSITORY,
            env={**os.environ, "TERM": "xterm", **value},
        )
        os.close(theirs)
        assert (b"\x1b[" in os.read(ours, 100_000)) == styled
        os.close(ours)


def test_control_characters_of_a_name_do_not_reach_the_terminal(add: Add, cli: Cli) -> None:
    """An escape sequence in an imported name is shown, not obeyed; on stderr too."""
    entry = add(experiment="\x1b[31mred\u202e")
    written = [cli("list").out, cli("show", "@0").out, cli("remove", entry.id, exit_code=2).err]
    for text in written:
        assert "\x1b" not in text
        assert r"\x1b[31mred\u202e" in text


@pytest.mark.parametrize("form", [["export", "--csv"], ["export", "--json"], ["list", "--json"]])
def test_what_is_for_programs_does_not_steer_a_terminal(
    add: Add, root: Path, form: list[str]
) -> None:
    """In a file and through a pipe, every letter of it is as it was."""
    add(experiment="\x9b31mred")
    command = [sys.executable, "-m", "history", "--root", str(root), *form]
    ours, theirs = os.openpty()
    subprocess.run(command, stdout=theirs, check=True, cwd=REPOSITORY)
    os.close(theirs)
    shown = os.read(ours, 100_000)
    os.close(ours)
    assert rb"\x9b31mred" in shown
    assert shown.decode().replace("\r", "").replace("\n", "").isprintable()
    piped = subprocess.run(command, capture_output=True, check=True, cwd=REPOSITORY).stdout
    assert "\x9b31mred" in piped.decode()
    assert piped.count(b"\n") == shown.count(b"\n")


@pytest.fixture
def searched(add: Add, tmp_path: Path) -> Entry:
    """An entry with four trials, one of them failed, and two refits."""
    trials = [
        {
            "trial_id": f"000{n}",
            "status": "COMPLETED" if score else "FAILED",
            "score": score,
            "values": {"model.h1": 2**n, "model.a.rate": 0.1 / (n + 1), "fit.rate": 8},
            "best_epoch": n,
            "started": "2026-11-30T10:00:00+00:00",
            "seconds": 1.5,
            "history": [{"loss": [2.0, 1.0]}],
            "message": None if score else "Traceback\nValueError: no [red]room",
        }
        for n, score in enumerate((0.5, 0.9, None, 0.7))
    ]
    refits = [{"seed": n, "history": {"loss": [3.0, 2.0, 1.0 - n]}} for n in range(2)]
    made = {"trials": json.dumps(trials).encode(), "history": json.dumps(refits).encode()}
    return add(contents=made, validation={"metrics": {"accuracy": 0.9}, "kept": 1})


def test_show_answers_first(searched: Entry, cli: Cli) -> None:
    """Score, search, values and the learning curves of the stored refit; artefacts last."""
    lines = cli("show", searched.id).out.splitlines()
    assert lines[0] == searched.id
    assert "0.9800 val_accuracy in trial 0003, 4/5 trials, 12.3 s, random" in lines[4]
    titles = [line for line in lines if line and not line.startswith(" ")]
    assert titles[1:3] == ["Best values", "Learning curves of refit 2 of 2, 3 epochs"]
    assert "loss     3.0000   █▆▁   0.0000" in lines
    assert "Artefacts" in titles[-1]


def test_trials_are_listed_best_first_with_the_values_that_differ(
    searched: Entry, cli: Cli
) -> None:
    """Their names as short as tells them apart; then what all share, and why some have failed."""
    header, _, *lines = cli("trials", searched.id).out.splitlines()
    assert header.split() == ["trial_id", "score", "h1", "a.rate", "best_epoch", "seconds"]
    assert [line.split()[:3] for line in lines[:4]] == [
        ["0001", "0.9", "2"],
        ["0003", "0.7", "8"],
        ["0000", "0.5", "1"],
        ["0002", "FAILED", "4"],
    ]
    assert lines[5:] == [
        *("The same in all", "  fit.rate  8", ""),
        *("Failed", "  0002  ValueError: no [red]room"),
    ]


def test_trials_are_sorted_and_limited_for_programs_too(searched: Entry, cli: Cli) -> None:
    """By any key or the end of a value's name, as JSON with everything, or as CSV."""
    stored = json.loads(searched.artefact("trials").read_bytes())
    best = json.loads(cli("trials", "@0", "--json", "--limit", "2").out, parse_constant=pytest.fail)
    assert best == [stored[1], stored[3]]
    for key in ("a.rate", "model.a.rate", "values.model.a.rate"):
        made = cli("trials", "@0", "--sort", key, "--columns", "trial_id,h1", "--csv").out
        assert made.split() == ["trial_id,values.model.h1", "0003,8", "0002,4", "0001,2", "0000,1"]
    header, row = cli("trials", "@0", "--csv", "--limit", "1").out.splitlines()
    assert header.startswith("trial_id,status,score,values.model.h1,values.model.a.rate,")
    assert row.startswith("0001,COMPLETED,0.9,2,0.05,8,1,")


# Labels


def test_tags_names_and_notes_can_be_changed_and_found(add: Add, root: Path, cli: Cli) -> None:
    """In the database and the entry's folder, which `doctor` may have to put back; the entry is the
    same otherwise. Two commands at once lose nothing.
    """
    entry, _ = add(tags=["a"]), add()
    assert cli("tag", "@0", "b", "c", "--remove", "a", "--note", "x").err == (
        f"{entry.id}: tags b, c; note x\n"
    )
    command = [sys.executable, "-m", "history", "--root", str(root), "tag", entry.id]
    both = [subprocess.Popen([*command, tag], cwd=REPOSITORY, stderr=-3) for tag in ("d", "e")]
    assert [each.wait() for each in both] == [0, 0]
    cli("tag", entry.id, "--name", "best so far", "--note", "")
    (document,) = json.loads(cli("list", "--tag", "b", "--json").out)
    assert sorted(document.pop("tags")) == ["b", "c", "d", "e"]
    assert (document.pop("name"), document.pop("note")) == ("best so far", None)
    assert document == {key: value for key, value in entry.document.items() if key != "tags"}
    (row,) = cli("list", "--tag", "b").out.splitlines()[2:]
    assert "best so far   b, c, " in row
    (root / "history.json").unlink()
    (root / "history.previous.json").unlink()
    cli("doctor", "--yes")
    assert listed(cli, "--tag", "e") == [entry.id]


def test_a_list_shows_arguments_of_the_config(add: Add, failed: Failed, cli: Cli) -> None:
    """Of any depth, to show and to sort by; an entry without a config has none."""
    made = [
        add(config=json.dumps({"seed": seed, "pipelines": {"m": {"model": {"a": {"b": size}}}}})).id
        for seed, size in ((1, 1e-4), (2, 1e-5))
    ]
    broken = failed().id
    key = "config.model.a.b"
    assert listed(cli, "--sort", key, "--columns", f"id,{key}") == [*made[::-1], broken]
    assert f"{made[1]},2,1e-05" in cli("list", "--csv", "--columns", f"id,config.seed,{key}").out


# The best


def test_best_shows_the_first_of_each_task(add: Add, failed: Failed, cli: Cli) -> None:
    """By the task's metric and direction, with its values and those tied with it: three of them,
    and how many others, so that a row stays a row.
    """
    better, near, far = add(mean=0.98), add(mean=0.979), add(mean=0.1)
    low, _ = add("regression", 1.0), add("regression", 2.0)
    failed()
    _, _, first, second, _, head, tied, _, _, values, _ = cli("best").out.splitlines()
    assert [first.split()[0], second.split()[0]] == [better.id, low.id]
    assert [head, *tied.split()] == ["Tied with", better.id, near.id]
    assert far.id not in tied
    assert values.split() == [better.id, "model.dropout=0.25"]
    for _ in range(4):
        add(mean=0.98)
    assert ", 2 more\n" in cli("best").out


def test_best_leaves_out_a_task_that_only_imported_entries_have(
    add: Add, imported: Imported, cli: Cli
) -> None:
    """Their metrics are called otherwise; it says so, and the other task is shown."""
    entry = add()
    imported("regression", {"mean_val_loss": 1.0})
    written = cli("best", "--json")
    assert json.loads(written.out)["id"] == entry.id
    assert "no entry of task regression" in written.err


def test_best_json_is_one_object_of_one_task(add: Add, cli: Cli) -> None:
    """Where several tasks are in question, --task or a metric of one of them must choose."""
    add(mean=0.1)
    best = add(mean=0.9)
    assert json.loads(cli("best", "--json").out)["id"] == best.id
    low = add("regression", 1.0)
    written = cli("best", "--json", exit_code=2)
    assert written.out == ""
    assert "--task: classification, regression" in written.err
    for choice in (["--task", "regression"], ["--metric", "rmse"]):
        assert json.loads(cli("best", "--json", *choice).out)["id"] == low.id


# Export


def test_export_writes_what_was_asked_for(
    add: Add, failed: Failed, cli: Cli, tmp_path: Path
) -> None:
    """The entries named, those that match, or all; to stdout or into a file, with a line on
    stderr.
    """
    first, second, broken = add().id, add().id, failed().id
    assert ids(cli, "export", "--json") == [first, second, broken]
    assert ids(cli, "export", "@-1", first, first[:-1], "--json") == [first, broken]
    assert ids(cli, "export", "--status", "failed", "--json") == [broken]
    for kind in ("csv", "json"):
        path = tmp_path / f"out.{kind}"
        assert cli("export", f"--{kind}", path) == ("", f"entries in {path}: 3\n")
        assert broken in path.read_text()


@pytest.mark.parametrize("place", ["history.json", "history.previous.json", "entries/x.json"])
def test_export_does_not_overwrite_the_history(add: Add, root: Path, cli: Cli, place: str) -> None:
    """Neither its database nor what lies in an entry's folder."""
    add()
    before = (root / "history.json").read_bytes()
    assert "overwrite the history" in cli("export", "--json", root / place, exit_code=2).err
    assert (root / "history.json").read_bytes() == before


def test_an_export_of_nothing_writes_nothing(add: Add, cli: Cli, tmp_path: Path) -> None:
    """Neither a file nor a line: an entry that is named must match the filters as well."""
    id, file = add("classification").id, tmp_path / "out"
    for form in ("--csv", "--json", "--archive"):
        written = cli("export", id, "--task", "regression", form, file, exit_code=2)
        assert "nothing to export" in written.err.splitlines()[-1]
    assert cli("export", "--status", "failed", "--json", exit_code=2).out == ""
    assert not file.exists()


def test_an_exported_experiment_says_and_runs_nothing_of_its_own(add: Add, cli: Cli) -> None:
    """What an entry from elsewhere holds stays a comment or a value, whatever is in it, and of its
    root keys only those that decide a result remain; the code that it would import is named.
    """
    config = {
        **{"seed": 7, "threads": 1, "backend": "jax", "deterministic": True},
        **{"hooks": {"a": {"_target_": "os.abort"}}, "trust": True, "paths": {"root": "/"}},
        **{"defaults": ["/hooks: theirs"], "hydra": {"run": {"dir": "/"}}, "mode": "check"},
        "pipelines": {
            "m\nhooks: {}": {
                "model": {"_target_": "runner.models.mlp", "a\nhooks: {}": "${oc.env:A}"},
                "data": {"_target_": "their_data.rows", "x": [{"function": "os.system"}]},
            }
        },
    }
    text = cli("export", add(config=json.dumps(config)).id, "--experiment").out
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert text.startswith("\n".join([*comments, ""]))
    assert "# It imports and runs: their_data.rows, os.system" in comments
    assert any(r"set them here: model.a\nhooks: {}" in line for line in comments)
    content = OmegaConf.to_container(OmegaConf.create(text), resolve=True)
    kept = ("seed", "threads", "backend", "deterministic")
    assert content == {key: config[key] for key in kept} | {"pipelines": config["pipelines"]}


# Errors


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("show nope", "no entry 'nope'"),
        ("show @7", "no entry '@7'"),
        ("best --metric acuracy", "did you mean 'accuracy'"),
        ("best --metric roc_auc", "matches and has this metric"),
        ("best --task regression", "no complete entry"),
        ("list --status done", "invalid choice"),
        ("list --sweep nope", "no sweep 'nope'"),
        ("list --sort experimnt", "did you mean 'experiment'"),
        ("list --sort validation.metrics.acuracy", "did you mean 'validation.metrics.accuracy'"),
        ("list --columns config.seed", "no entry has a column 'config.seed'"),
        ("tag nope x", "no entry 'nope'"),
        ("list --columns id,statu", "did you mean 'status'"),
        ("list --columns id,validation.odd", "no entry has a column 'validation.odd'"),
        ("list --limit 0", "above 0"),
        ("compare @0", "required: B"),
        ("compare @0 nope", "no entry 'nope'"),
        ("export", "one of the arguments --csv --json"),
        ("export --csv --json", "not allowed with"),
        ("export nope --csv", "no entry 'nope'"),
        ("export --csv /no/such/folder/x.csv", "its folder does not exist"),
        ("export --csv pipe", "it is not a file"),
        ("export --status failed --archive none.zip", "nothing to export"),
        ("import pipe", "nothing to import at"),
        ("remove @0", "nothing was removed; --yes"),
        ("lst", "invalid choice"),
        ("", "COMMAND"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    add: Add, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, message: str
) -> None:
    """The last one on stderr; stdout stays empty."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    add()
    written = cli(*command.split(), exit_code=2)
    assert written.out == ""
    assert written.err.splitlines()[-1].startswith("error: ")
    assert message in written.err.splitlines()[-1]


def test_an_empty_root_is_no_error(root: Path, cli: Cli) -> None:
    """It says so on stderr; --json prints an empty array; nothing is made."""
    root.mkdir()
    assert cli("list") == ("", f"no entries in {root}\n")
    assert ids(cli, "list", "--json") == []
    assert list(root.iterdir()) == []


def test_entries_of_a_newer_release_are_named_once_and_the_others_are_there(
    add: Add, root: Path
) -> None:
    """One line of a command, however often it reads: it lists, shows and removes the others."""
    newer = [add(pipeline=name).document for name in ("new-a", "new-b")]
    other, last = add(), add()
    store = Store(root)
    with store.changing() as table:
        table.update({"schema_version": 99}, where("pipeline").one_of(["new-a", "new-b"]))
    commands = (["list"], ["show", other.id], ["compare", other.id, last.id], ["best"])
    for command in (*commands, ["remove", other.id, last.id, "--yes"]):
        done = python("-m", "history", "--root", root, *command)
        assert done.returncode == 0
        assert done.stderr.count("has the schema version 99") == 1
        for document in newer:
            assert done.stderr.count(f"'{document['id']}'") >= 1
    assert [row["id"] for row in store.all()] == [document["id"] for document in newer]


def test_a_reader_that_stops_early_is_no_error(add: Add, root: Path) -> None:
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


def test_every_command_tells_its_arguments() -> None:
    """With --help, which also has where to find the history."""
    for name, own in subparsers.choices.items():
        told = own.format_help()
        assert told.startswith(f"usage: python -m history {name} [-h] [--root DIR]")


def test_looking_at_a_history_imports_nothing_heavy(add: Add, root: Path) -> None:
    """Neither the machine-learning packages, nor pandas, nor the runner; JSON goes without rich."""
    add()
    script = f"""
import sys
import history.view.commands as cli
def run(*commands):
    for command in commands:
        assert cli.main(["--root", {str(root)!r}, *command.split()]) == 0
heavy = "keras tensorflow keras_tuner runner numpy sklearn pandas matplotlib pytest".split()
run("list --json", "show @0 --json", "best --json", "compare @0 @0 --json", "export --csv")
print([name for name in [*heavy, "rich"] if name in sys.modules], file=sys.stderr)
run("list", "show @0", "best", "compare @0 @0")
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    assert python("-c", script).stderr == "[]\n[]\n"
