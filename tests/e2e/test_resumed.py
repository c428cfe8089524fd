"""What continues a search, what starts one beside it, and what is said of it."""

import re
import time
from pathlib import Path

import killing
import pytest

pytestmark = pytest.mark.e2e

SMALL = ["+experiment=mlp", "validation.repeats=1"]
FAILING = """
import keras


def build(hp, input_shape, num_classes):
    if hp.Int("units", 1, 50) > 1:  # the default builds; every trial fails
        raise RuntimeError("no memory for this one")
    model = keras.Sequential([keras.Input(input_shape), keras.layers.Dense(num_classes, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return killing.lay_out(tmp_path / "user")


def test_a_raised_budget_continues_the_search_and_a_changed_config_starts_one_beside_it(
    folder: Path,
) -> None:
    code, _ = killing.finish(
        folder, "r", [*SMALL, "tuner.max_trials=5"], kill_at="before:trial_0003/result.json"
    )
    assert code == -9
    seen = killing.ended_trials(folder / "r")
    code, output = killing.finish(
        folder,
        "r",
        [*SMALL, "tuner.max_trials=6", "fit.epochs=1"],
        kill_at="before:trial_0001/result.json",
    )
    assert code == -9
    assert "fit.epochs: 2 → 1" in output
    searches = [path for path in (folder / "r" / "trials").glob("mlp-main/*") if path.is_dir()]
    assert len(searches) == 2
    code, output = killing.finish(folder, "r", [*SMALL, "tuner.max_trials=6", "hooks.purge=null"])
    assert code == 0, output
    assert "main: going on after trial 3, from" in output
    now = killing.ended_trials(folder / "r")
    assert {key: now[key] for key in seen} == seen
    (entry,) = killing.entries(folder / "r")
    assert entry["search"]["trials"] == {"total": 6, "completed": 6, "failed": 0}
    scores = [row["score"] for row in killing.trials(folder / "r", entry)]
    for trial in (4, 5, 6):  # the best so far is that of all starts
        assert re.search(rf"trial {trial}/6 .* \(best {min(scores[:trial]):.5g}\)", output)


def test_a_changed_source_file_of_the_users_model_starts_a_new_search(folder: Path) -> None:
    arguments = ["+experiment=own", "tuner.max_trials=2", "validation.repeats=1"]
    code, _ = killing.finish(folder, "r", arguments, kill_at="before:trial_0001/result.json")
    assert code == -9
    source = folder / "patterns.py"
    source.write_text(source.read_text().replace("Dropout(0.2)", "Dropout(0.3)"))
    code, output = killing.finish(folder, "r", arguments)
    assert code == 0, output
    assert "sources.model:" in output
    assert "going on after trial" not in output


def test_two_runs_of_one_command_wait_for_each_other_and_find_the_same(folder: Path) -> None:
    arguments = [*SMALL, "tuner.max_trials=12"]
    first = killing.start(folder, "r", arguments)
    while not list((folder / "r").glob("trials/*/*/trial_0000")):
        assert first.poll() is None
        time.sleep(0.05)
    code, output = killing.finish(folder, "r", arguments)
    first.communicate(timeout=60)
    assert (first.returncode, code) == (0, 0), output
    assert f"is in use by process {first.pid} on" in output
    one, other = killing.entries(folder / "r")
    assert one["run_id"] != other["run_id"]
    assert one["best"] == other["best"]
    assert one["validation"]["metrics"] == other["validation"]["metrics"]


def test_failed_trials_are_counted_over_a_restart(folder: Path) -> None:
    (folder / "failing.py").write_text(FAILING)
    text = (folder / "conf/experiment/mlp.yaml").read_text().split("model:")[0]
    (folder / "conf/experiment/failing.yaml").write_text(
        f"{text}model: {{_target_: failing.build}}\n"
    )
    arguments = ["+experiment=failing", "tuner.max_trials=20"]
    code, _ = killing.finish(folder, "r", arguments, kill_at="before:trial_0002/result.json")
    assert code == -9
    code, output = killing.finish(folder, "r", arguments)
    assert code == 1
    assert "3 trials failed one after the other" in output
    assert output.count("failed: RuntimeError: no memory for this one") == 1
    (entry,) = killing.entries(folder / "r")
    assert entry["status"] == "failed"
    assert entry["search"]["trials"] == {"total": 3, "completed": 0, "failed": 3}
    messages = [row["message"] for row in killing.trials(folder / "r", entry)]
    assert all("Traceback" in message and "failing.py" in message for message in messages)
    code, output = killing.finish(
        folder, "r", [*arguments, "tuner.max_consecutive_failed_trials=4"]
    )
    assert code == 1
    assert "4 trials failed one after the other" in output


def test_a_fresh_run_starts_anew_and_destroys_nothing(folder: Path) -> None:
    arguments = [*SMALL, "tuner.max_trials=2", "hooks.purge=null"]
    code, _ = killing.finish(folder, "r", arguments, kill_at="before:trial_0001/result.json")
    assert code == -9
    seen = killing.ended_trials(folder / "r")
    code, output = killing.finish(folder, "r", [*arguments, "fresh=true"])
    assert code == 0, output
    assert "going on" not in output
    searches = sorted(
        path.name for path in (folder / "r" / "trials").glob("mlp-main/*") if path.is_dir()
    )
    assert len(searches) == 2
    assert searches[1] == f"{searches[0]}-2"
    assert len(seen) == 1


def test_an_unknown_objective_ends_before_the_first_trial_with_what_is_reported(
    folder: Path,
) -> None:
    code, output = killing.finish(
        folder, "r", [*SMALL, "objective.name=val_acuracy", "objective.direction=max"]
    )
    assert code == 2
    assert "objective.name=val_acuracy on the command line: unknown metric 'val_acuracy'" in output
    assert "did you mean 'val_accuracy'?" in output
    assert not (folder / "r" / "trials").exists()
    assert killing.entries(folder / "r") == []
