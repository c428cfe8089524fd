"""Past executions are reproduced from the history alone, reused, and taken to another root."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from e2e_samples import (
    entries,
    finish,
    history,
    run,
    run_both,
    run_inline,
    start,
    start_inline,
    trials,
    write,
)

pytestmark = pytest.mark.e2e

MODELS = """
from pathlib import Path

import keras
import numpy as np

Path("imported.txt").write_text("yes")


def build(hp, num_classes):
    from my_helpers import activation  # which a change of this file alone does not show

    assert Path("base.txt").read_text()
    layers = [keras.layers.Dense(hp.Int("first", 4, 8), activation=activation)]
    deep = hp.Boolean("deep")
    with hp.conditional_scope("deep", [True]):
        if deep:
            layers.append(keras.layers.Dropout(hp.Float("dropout", 0.1, 0.4)))
    model = keras.Sequential([*layers, keras.layers.Dense(num_classes, activation="softmax")])
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
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
baselines: none
pipelines:
  own:
    data: {_target_: my_code.rows, split: {test: 0.2}}
    model: {_target_: my_code.build}
    fingerprint: {files: [base.txt]}
  shipped:
    data: {kind: sklearn, name: iris, split: {test: 0.2}}
    model:
      _target_: runner.models.mlp
      hidden: {h1: {hp: Int, min_value: 4, max_value: 16}}
      learning_rate: 0.01
    tuner: {kind: hyperband, max_epochs: 3, start_from: [best, {model.hidden.h1: 9}]}
"""


def make_rows(folder: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 3, 150)
    np.savez(folder / "rows.npz", x=draw.normal(size=(150, 4)) + y[:, None], y=y)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment has run: a pipeline of own code and one of ours; then its YAML is lost."""
    folder = tmp_path_factory.mktemp("reproduce")
    own = {"my_code_py": MODELS, "my_helpers_py": "activation = 'relu'", "base_txt": "then"}
    write(folder, **own, conf__experiment__pair_yaml=PAIR)
    make_rows(folder, 1)
    done = run(folder, "+experiment=pair", "hooks.purge=null")
    assert done.exit_code == 0, done.err
    (folder / "conf").rename(folder / "conf.lost")
    (folder / "imported.txt").unlink()
    return folder


def test_foreign_code_is_listed_and_refused_before_it_is_imported(folder: Path) -> None:
    """Without trust=true and without a terminal: exit code 2, every path, nothing run and nothing
    changed.
    """
    before = entries(folder)
    done = run(folder, f"reproduce={entries(folder)['own']['id']}")
    assert done.exit_code == 2
    assert "my_code.build" in done.err
    assert "my_code.rows" in done.err
    assert "trust=true" in done.err
    assert not (folder / "imported.txt").exists()
    done = run(folder, "reproduce=shipped", "seed=3")
    assert (done.exit_code, done.out) == (2, "")
    assert "seed=3 on the command line: comes from the history" in done.err
    assert entries(folder) == before


def test_entries_reproduce_bit_for_bit_without_their_yaml_and_in_another_root(
    folder: Path, tmp_path: Path
) -> None:
    """Metrics of every repeat and epoch and the weights are those of then, and those of every
    trial; the history stays as it was. One of the two was taken elsewhere as an archive.
    """
    found, other = entries(folder), tmp_path / "other"
    own, shipped = found["own"]["id"], found["shipped"]["id"]
    archive = tmp_path / "one.zip"
    for where, arguments in (
        (folder, ["export", shipped, "--archive", archive]),
        (other, ["import", archive]),
    ):
        done = finish(start(where, *arguments, module="history"))
        assert done.exit_code == 0, done.err
    both = run_both(
        start(folder, f"reproduce={own[:8]}", "trust=true"),
        start_inline(other, f"reproduce={shipped}", "reproduce_search=true"),
    )
    for done, id in zip(both, (own, shipped), strict=True):
        assert (done.exit_code, f"{id}: identical" in done.out) == (0, True), done
    assert entries(folder) == found
    assert entries(other)["shipped"]["origin"]["kind"] == "archive"
    assert not list(other.glob("results/trials/**/*.json"))


@pytest.mark.nightly
def test_changed_data_diverges_and_says_where_first(folder: Path, tmp_path: Path) -> None:
    """Exit code 3: the first metric, repeat and epoch, and that the data and a setting are
    others.
    """
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    make_rows(elsewhere, 2)
    own = entries(folder)["own"]["id"]
    done = run_inline(elsewhere, f"reproduce={own}", "trust=true", "validation.repeats=1")
    assert done.exit_code == 3, done.err
    assert f"{own}: diverged" in done.out
    assert "first difference: repeat 1, epoch 1," in done.out
    assert "data.content" in done.out
    assert "validation.settings.repeats: 2 → 1" in done.out
    results = (elsewhere / "results" / "runs").glob("*/result.json")
    assert "diverged" in [json.loads(path.read_bytes()).get("kind") for path in results]


@pytest.mark.nightly
def test_code_and_files_that_changed_are_seen_where_nothing_names_them(
    folder: Path, tmp_path: Path
) -> None:
    """A module that one's own imports, and a file of `fingerprint`: no old result is reused, no
    search goes on with other code, and a reproduction says what it is that changed.
    """
    changed, own = tmp_path / "changed", entries(folder)["own"]["id"]
    shutil.copytree(folder, changed)
    (changed / "conf.lost").rename(changed / "conf")
    write(changed, my_helpers_py="activation = 'tanh'", base_txt="now")
    verdict, done = run_both(
        start_inline(changed, f"reproduce={own}", "trust=true"),
        start_inline(changed, "+experiment=pair", "only=[own]", "reuse=true"),
    )
    assert done.exit_code == 0, done.err
    assert f"own: not reused; from {own}, the closest entry, differs:" in done.err
    assert "own: a new search beside" in done.err
    for said in (verdict.out, done.err):
        assert "  code.my_helpers: " in said
        assert "  files.base.txt: " in said
        assert "code.my_code" not in said
    assert "first difference: repeat 1, epoch 1," in verdict.out
    assert "unchanged: the model's settings, the data's rows, packages and machine\n" in verdict.out


@pytest.mark.nightly
def test_what_the_history_holds_is_reused_and_the_rest_runs(folder: Path, tmp_path: Path) -> None:
    """The unchanged pipeline, exported as an experiment of its own, is taken and marked so; the
    changed one says which key, and starts from the best trial that the history has of it; the new
    one runs. Entries keep what they started from as values.
    """
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    (again / "conf.lost").rename(again / "conf")
    shipped = entries(folder)["shipped"]["id"]
    done = finish(start(again, "export", shipped, "--experiment", module="history"))
    assert str(folder) not in done.out
    kept = PAIR.partition("  shipped:")[0]
    third = (
        "  third: {data: {kind: sklearn, name: wine}, model: {_target_: runner.models.linear}}\n"
    )
    write(again, conf__experiment__exported_yaml=done.out, conf__experiment__pair_yaml=kept + third)
    taken, done = run_both(
        start_inline(again, "+experiment=exported", "reuse=true"),
        start_inline(
            *(again, "+experiment=pair", "reuse=true", "pipelines.own.tuner.max_trials=4"),
            "pipelines.own.tuner.start_from=[best]",
        ),
    )
    assert (taken.exit_code, done.exit_code) == (0, 0), taken.err + done.err
    assert f"shipped: reused from the history: {shipped}" in taken.err
    [row] = [line for line in taken.out.splitlines() if shipped in line]
    assert "reused" in row
    assert "own:   budget.max_trials: 3 → 4" in done.err
    assert "third: nothing to reuse" in done.err
    made = history(again, "list")
    assert [document["pipeline"] for document in made] == ["own", "shipped", "own", "third"]
    old, first, new, _ = made
    assert f"own: starts from best: {old['id']}" in done.err
    assert trials(again, new)[0]["values"] == old["best"]["values"]
    assert trials(again, first)[0]["values"]["model.hidden.h1"] == 9
    for document, start_from in ((new, old["best"]["values"]), (first, {"model.hidden.h1": 9})):
        config = (again / "results" / document["artefacts"]["config"]["path"]).read_text()
        [sections] = yaml.safe_load(config)["pipelines"].values()
        assert sections["tuner"]["start_from"] == [start_from]
