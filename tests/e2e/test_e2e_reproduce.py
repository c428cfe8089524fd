"""Past executions are reproduced from the history alone, reused, and taken to another root."""

import json
from pathlib import Path

import pytest
import yaml
from e2e_samples import documents, entries, finish, refused, run, run_inline, start_inline, write
from world import EXPERIMENTS, World, make_rows

pytestmark = pytest.mark.e2e


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Path:
    """A copy of what has run, without its experiments."""
    return world.copy(tmp_path / "copy", "conf")


@pytest.fixture
def own(world: World) -> str:
    """The entry of a pipeline whose code and data are the user's."""
    id: str = world.entries["pair", "own"]["id"]
    return id


def test_foreign_code_is_listed_and_refused_before_it_is_imported(folder: Path, own: str) -> None:
    """Without trust=true and without a terminal: exit code 2, every path, nothing run and nothing
    changed.
    """
    before = (folder / "results" / "history.json").read_bytes()
    message = refused(folder, f"reproduce={own}")
    for words in ("my_code.build", "my_code.rows", "trust=true"):
        assert words in message
    assert not (folder / "imported.txt").exists()
    message = refused(folder, "reproduce=shipped", "seed=3")
    assert "seed=3 on the command line: comes from the history" in message
    assert (folder / "results" / "history.json").read_bytes() == before


@pytest.mark.parametrize(
    ("experiment", "pipeline", "arguments"),
    [
        ("pair", "own", ["trust=true", "reproduce_search=true"]),
        ("scores", "folds", ["trust=true"]),
        ("scores", "kept", ["trust=true"]),
        pytest.param("houses", "main", [], marks=pytest.mark.nightly),
    ],
)
def test_an_entry_reproduces_bit_for_bit(
    world: World, folder: Path, experiment: str, pipeline: str, arguments: list[str]
) -> None:
    """Metrics of every repeat and epoch and the weights are those of then, and so is every trial,
    if asked; the trials that led to the best one are trained again where need be; the history stays
    as it was.
    """
    before, entry = documents(folder), world.entries[experiment, pipeline]
    done = run_inline(folder, f"reproduce={entry['id'][:-1]}", *arguments)
    assert f"{entry['id']}: identical" in done.out
    of_mean = "every epoch and metric of 2 refits and of their mean"
    assert (of_mean in done.out) == ("ensemble" in entry)
    assert documents(folder) == before


@pytest.mark.nightly
def test_every_trial_reproduces_in_another_root(world: World, tmp_path: Path) -> None:
    """Of an entry that came as an archive."""
    id, archive = world.entries["pair", "shipped"]["id"], tmp_path / "one.zip"
    run(world.folder, "export", id, "--archive", archive, module="history")
    run(tmp_path / "other", "import", archive, module="history")
    done = run_inline(tmp_path / "other", f"reproduce={id}", "reproduce_search=true")
    assert f"{id}: identical" in done.out
    assert entries(tmp_path / "other")["shipped"]["origin"]["kind"] == "archive"
    assert not list(tmp_path.glob("other/results/trials/**/*.json"))


@pytest.mark.nightly
def test_changed_data_diverges_and_says_where_first(folder: Path, own: str) -> None:
    """Exit code 3: the first metric, repeat and epoch, and that the data and a setting are
    others.
    """
    make_rows(folder, 2)
    command = [f"reproduce={own}", "trust=true", "validation.repeats=1"]
    done = run_inline(folder, *command, exit_code=3)
    for words in (
        f"{own}: diverged",
        "first difference: repeat 1, epoch 1,",
        "data.content",
        "validation.settings.repeats: 2 → 1",
    ):
        assert words in done.out
    results = folder.glob("results/runs/*/result.json")
    assert "diverged" in [json.loads(path.read_bytes()).get("kind") for path in results]


@pytest.mark.nightly
def test_code_and_files_that_changed_are_seen_where_nothing_names_them(
    world: World, tmp_path: Path, own: str
) -> None:
    """A module that one's own imports, and a file of `fingerprint`: no old result is reused, no
    search goes on with other code, and a reproduction says what it is that changed.
    """
    folder = world.copy(tmp_path / "changed")
    write(folder, my_helpers_py="activation = 'tanh'", base_txt="now")
    verdict = start_inline(folder, f"reproduce={own}", "trust=true")
    done = run_inline(folder, "+experiment=pair", "only=[own]", "reuse=true")
    out = finish(verdict, exit_code=3).out
    assert f"own: not reused; from {own}, the closest entry, differs:" in done.err
    for text in (out, done.err):
        assert "  code.my_helpers: " in text
        assert "  files.base.txt: " in text
        assert "code.my_code" not in text
    assert "first difference: repeat 1, epoch 1," in out
    assert "unchanged: the model's settings, the data's rows, packages and machine\n" in out


@pytest.mark.nightly
def test_what_the_history_holds_is_reused_and_the_rest_runs(world: World, tmp_path: Path) -> None:
    """The unchanged pipeline, exported as an experiment of its own, is taken and marked so; the
    changed one says which key, and starts from the best trial that the history has of it; the new
    one runs. Entries keep what they started from as values.
    """
    folder, old, shipped = world.copy(tmp_path / "again"), *world.of("pair").values()
    exported = run(folder, "export", shipped["id"], "--experiment", module="history").out
    assert str(world.folder) not in exported
    kept = EXPERIMENTS["pair"].partition("  shipped:")[0]
    third = "  third: {data: {kind: sklearn, name: wine}, model: {_target_: runner.models.linear}}"
    write(folder, conf__experiment__exported_yaml=exported)
    write(folder, conf__experiment__pair_yaml=f"{kept}{third}\n")
    taken = run_inline(folder, "+experiment=exported", "reuse=true")
    assert f"shipped: reused from the history: {shipped['id']}" in taken.err
    [row] = [line for line in taken.out.splitlines() if shipped["id"] in line]
    assert "reused" in row
    budget, guess = "pipelines.own.tuner.max_trials=4", "pipelines.own.tuner.start_from=[best]"
    done = run_inline(folder, "+experiment=pair", "reuse=true", budget, guess)
    assert "own:   budget.max_trials: 3 → 4" in done.err
    assert "third: nothing to reuse" in done.err
    assert f"own: starts from best: {old['id']}" in done.err
    new, last = documents(folder)[len(world.entries) :]
    assert [new["pipeline"], last["pipeline"]] == ["own", "third"]
    best = old["best"]["values"]
    assert new.trials()[0]["values"] == best
    assert shipped.trials()[0]["values"]["model.hidden.h1"] == 9
    for entry, started_from in ((new, best), (shipped, {"model.hidden.h1": 9})):
        [sections] = yaml.safe_load(entry.path("config").read_text())["pipelines"].values()
        assert sections["tuner"]["start_from"] == [started_from]
