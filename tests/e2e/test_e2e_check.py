"""mode=check: all that can be checked without training, what a run would come to, and nothing left
behind.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_samples import refused, run_inline, write

pytestmark = pytest.mark.e2e

HEAD = (
    "# @package _global_\ndefaults: [/task: classification, /tuner: grid, _self_]\n"
    "data: {_target_: mine.rows}\n"
)
MINE = """
def rows():
    import numpy as np
    return np.random.default_rng(0).random((60, 3)), np.arange(60) % 2
def build(hp, input_shape, units):
    import keras
    hidden = keras.layers.Dense(hp.Int("more", 2, 8, step=2) + units)
    out = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input(input_shape), hidden, out])
    loss = "binary_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    return model
def bug(hp):
    raise ValueError("a bug of mine")
"""


GOOD = """mode: check
model: {_target_: mine.build, units: 1}
fit: {epochs: 3}
"""
WRONG = """pipelines:
  a: {model: {_target_: mine.build, unitz: 1}}
  b: {model: {_target_: mine.biuld}}
  c:
    model: {_target_: mine.build, units: 1}
    tuner: {kind: tpe, start_from: [{more: 4}, {moore: 4}]}
"""
BUG = """pipelines:
  a: {model: {_target_: mine.bug}}
  b: {model: {_target_: mine.build, units: 1}, tuner: {kind: tpe, max_trials: 6}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Of a user with a module and some experiments; nothing may be left there."""
    write(
        tmp_path,
        mine_py=MINE,
        conf__experiment__good_yaml=HEAD + GOOD,
        conf__experiment__wrong_yaml=HEAD + WRONG,
        conf__experiment__bug_yaml=HEAD + BUG,
    )
    yield tmp_path
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"conf", "mine.py"}


def test_a_check_says_what_a_run_would_come_to(folder: Path) -> None:
    """One row for each pipeline, in each job of a sweep; not even the root is made."""
    done = run_inline(folder, "-m", "+experiment=good", "seed=1,2")
    rows = [line.split() for line in done.out.splitlines() if line.startswith("main ")]
    assert len(rows) == 2
    for row in rows:
        assert " ".join(row).startswith("main classification 48 + 12 rows of (3,) 16 grid 4 12 1 ")
        assert row[-1] == "new"


@pytest.mark.nightly
def test_a_search_that_cannot_fit_the_disk_is_refused(folder: Path) -> None:
    """Before it starts, by a check or a run."""
    for mode in ("check", "run"):
        more = ["tuner=random", "tuner.max_trials=100000000000000", f"mode={mode}"]
        message = refused(folder, "+experiment=good", *more)
        assert "tuner.directory: the search needs 500000000" in message


@pytest.mark.nightly
def test_what_only_an_import_shows_is_told_of_all_pipelines(folder: Path) -> None:
    """With file and line, and exit code 2."""
    lines = refused(folder, "+experiment=wrong", "mode=check").splitlines()
    errors = [line.partition(" (")[0] for line in lines if "error: " in line]
    assert [error.removeprefix("error: conf/experiment/wrong.yaml:") for error in errors] == [
        "5: pipelines.a.model.unitz: build takes no argument 'unitz'; did you mean 'units'?",
        "5: pipelines.a.model: build needs the argument 'units'",
        "6: pipelines.b.model._target_: 'mine' has no 'biuld'; did you mean 'build'?",
        "9: pipelines.c.tuner.start_from[1]: unknown hyperparameter 'moore'; did you mean 'more'?",
    ]


@pytest.mark.nightly
def test_a_bug_of_the_users_keeps_its_trace(folder: Path) -> None:
    """Nothing was started: exit code 2; the other pipelines are shown, and that of one the budget
    is so small that its tuner decides nothing.
    """
    done = run_inline(folder, "+experiment=bug", "mode=check", exit_code=2)
    assert "ValueError: a bug of mine" in done.err
    assert "b: with tuner.max_trials=6, every trial is drawn at random: the" in done.err
    assert "\nb  " in done.out
    assert "\na  " not in done.out
