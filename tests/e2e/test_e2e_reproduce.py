"""Past executions are reproduced from the history alone, reused, and taken to another root."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e_samples import Done, entries, finish, history, refits, run, run_both, sha256, start, write

pytestmark = pytest.mark.e2e

MODELS = """
from pathlib import Path

import keras
import numpy as np

Path("imported.txt").write_text("yes")


def build(hp, num_classes):
    layers = [keras.layers.Dense(hp.Int("first", 4, 8), activation="relu")]
    deep = hp.Boolean("deep")
    with hp.conditional_scope("deep", [True]):
        if deep:
            layers.append(keras.layers.Dropout(hp.Float("dropout", 0.1, 0.4)))
    model = keras.Sequential([*layers, keras.layers.Dense(num_classes, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def rows():
    with np.load("rows.npz") as arrays:
        return arrays["x"], arrays["y"]
"""

PAIR = """# @package _global_
defaults: [/task: classification, /tuner: random, _self_]
tuner: {max_trials: 3}
fit: {epochs: 2}
validation: {repeats: 2}
pipelines:
  own:
    data: {_target_: my_code.rows, split: {test: 0.2}}
    model: {_target_: my_code.build}
  shipped:
    data: {kind: sklearn, name: iris, split: {test: 0.2}}
    model: {_target_: runner.models.mlp, hidden: {h1: {hp: Int, min_value: 4, max_value: 16}}, learning_rate: 0.01}
    tuner: {kind: hyperband, max_epochs: 3}
"""


def make_rows(folder: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 3, 150)
    np.savez(folder / "rows.npz", x=draw.normal(size=(150, 4)) + y[:, None], y=y)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment has run: a pipeline of own code and one of ours; then its YAML is lost."""
    folder = tmp_path_factory.mktemp("reproduce")
    write(folder, my_code_py=MODELS, conf__experiment__pair_yaml=PAIR)
    make_rows(folder, 1)
    done = run(folder, "+experiment=pair")
    assert done.exit_code == 0, done.err
    (folder / "conf").rename(folder / "conf.lost")
    (folder / "imported.txt").unlink()
    return folder


def verdict(folder: Path, root: str = "results") -> dict[str, Any]:
    """What the newest run left."""
    newest = max(
        (folder / root / "runs").glob("*/result.json"), key=lambda path: path.stat().st_mtime
    )
    found: dict[str, Any] = json.loads(newest.read_bytes())
    return found


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*") if path.is_file()
    }


def test_foreign_code_is_listed_and_refused_before_it_is_imported(folder: Path) -> None:
    """Without trust=true and without a terminal: exit code 2, every path, nothing run and nothing
    changed.
    """
    before = tree(folder / "results" / "entries")
    done = run(folder, f"reproduce={entries(folder)['own']['id']}")
    assert done.exit_code == 2
    assert "my_code.build" in done.err
    assert "my_code.rows" in done.err
    assert "trust=true" in done.err
    assert not (folder / "imported.txt").exists()
    assert tree(folder / "results" / "entries") == before


def test_an_entry_reproduces_bit_for_bit_without_its_yaml(folder: Path) -> None:
    """Metrics of every repeat and epoch and the weights are those of then; the history stays as it
    was.
    """
    found = entries(folder)
    own, shipped = run_both(
        start(folder, f"reproduce={found['own']['id'][:8]}", "trust=true"),
        start(folder, f"reproduce={found['shipped']['id']}", "reproduce_search=true"),
    )
    for done, pipeline in ((own, "own"), (shipped, "shipped")):
        assert done.exit_code == 0, done.err
        assert f"{found[pipeline]['id']}: identical" in done.out
    assert entries(folder) == found
    assert not list((folder / "results").glob("trials/**/*.json"))


def test_an_archive_reproduces_in_another_root(folder: Path, tmp_path: Path) -> None:
    """Exported, imported elsewhere and run again there, it is identical."""
    id = entries(folder)["shipped"]["id"]
    done = finish(start(folder, "export", id, "--archive", tmp_path / "one.zip", module="history"))
    assert done.exit_code == 0, done.err
    other = tmp_path / "other"
    done = finish(start(other, "import", tmp_path / "one.zip", module="history"))
    assert done.exit_code == 0, done.err
    (document,) = history(other, "list")
    assert document["id"] == id
    assert document["origin"]["kind"] == "archive"
    done = run(other, f"reproduce={id}")
    assert (done.exit_code, f"{id}: identical" in done.out) == (0, True), done.err


def test_changed_data_diverges_and_says_where_first(folder: Path, tmp_path: Path) -> None:
    """Exit code 3: the first metric, repeat and epoch, and that the data and a setting are
    others.
    """
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    make_rows(elsewhere, 2)
    done = run(
        elsewhere, f"reproduce={entries(folder)['own']['id']}", "trust=true", "validation.repeats=1"
    )
    assert done.exit_code == 3, done.err
    assert "diverged" in done.out
    assert "first difference: repeat 1, epoch 1," in done.out
    assert "data.content" in done.out
    assert "validation.settings.repeats: 2 → 1" in done.out
    assert verdict(elsewhere)["kind"] == "diverged"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reproduce=shipped", "seed=3"], "seed=3 on the command line: comes from the history"),
        (["reproduce=nothing"], "no entry 'nothing'"),
        (["reproduce=shipped", "+experiment=digits"], "leave the experiment out"),
        (["reproduce=shipped", "predict=shipped"], "cannot be done together"),
        (
            ["reproduce_search=true"],
            "reproduce_search=true on the command line: needs reproduce=ENTRY",
        ),
        (["reproduce=shipped", "fit.epoch=3"], "did you mean 'epochs'?"),
    ],
)
def test_a_wrong_request_is_refused(folder: Path, arguments: list[str], said: str) -> None:
    """In one line, with exit code 2, before anything heavy is imported."""
    done = run(folder, *arguments)
    assert (done.exit_code, done.out) == (2, ""), done.err
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.fixture(scope="module")
def reused(folder: Path) -> tuple[Path, Done]:
    """The config is back, with a third pipeline and a raised budget; the run may reuse."""
    again = folder.parent / f"{folder.name}-again"
    shutil.copytree(folder, again)
    (again / "conf.lost").rename(again / "conf")
    text = (again / "conf/experiment/pair.yaml").read_text(encoding="utf-8")
    third = (
        "  third: {data: {kind: sklearn, name: wine}, model: {_target_: runner.models.linear}}\n"
    )
    (again / "conf/experiment/pair.yaml").write_text(text + third, encoding="utf-8")
    return again, run(again, "+experiment=pair", "reuse=true", "pipelines.own.tuner.max_trials=4")


def test_what_the_history_holds_is_reused_and_the_rest_runs(reused: tuple[Path, Done]) -> None:
    """The unchanged pipeline is taken and marked so; the changed one says which key; the new one
    runs.
    """
    folder, done = reused
    assert done.exit_code == 0, done.err
    documents = history(folder, "list")
    assert [document["pipeline"] for document in documents] == ["own", "shipped", "own", "third"]
    assert f"shipped: reused from the history: {documents[1]['id']}" in done.err
    assert "own:   budget.max_trials: 3 → 4" in done.err
    assert "third: nothing to reuse" in done.err
    (row,) = [line for line in done.out.splitlines() if documents[1]["id"] in line]
    assert "reused" in row
    result = verdict(folder)
    assert result["reused"] == ["shipped"]
    assert result["entries"]["shipped"] == documents[1]["id"]


def test_an_exported_experiment_runs_the_same_pipeline(folder: Path, tmp_path: Path) -> None:
    """Its result is the entry's, bit for bit; the file names nothing of where the entry was
    made.
    """
    original = entries(folder)["shipped"]
    done = finish(start(folder, "export", original["id"], "--experiment", module="history"))
    assert done.exit_code == 0, done.err
    assert str(folder) not in done.out
    write(tmp_path, conf__experiment__again_yaml=done.out)
    done = run(tmp_path, "+experiment=again")
    assert done.exit_code == 0, done.err
    again = entries(tmp_path)["shipped"]
    assert again["fingerprint"] == original["fingerprint"]
    kept = ("seed", "validation", "test", "epochs", "history")
    both = refits(tmp_path, again), refits(folder, original)
    rows = [[[row[key] for key in kept] for row in found] for found in both]
    assert rows[0] == rows[1]
