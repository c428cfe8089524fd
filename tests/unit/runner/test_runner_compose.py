"""Inheritance, overrides and the list of all mistakes."""

from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf
from runner_samples import MLP, SECTIONS, SHIPPED, from_files, from_hydra, problems

from foundation.trees import lookup, texts
from history import registry
from history.config import _unescaped, literal_yaml
from runner import cli
from runner.config import plugins
from runner.config.arguments import for_hydra
from runner.config.choices import conf_folder
from runner.config.compose import effective, overlay
from runner.config.schema import HyperbandTuner, RandomTuner, TableData, Target


@pytest.fixture(autouse=True)
def fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Roots count from the current folder."""
    monkeypatch.chdir(tmp_path)


TWO: dict[str, Any] = {
    **SECTIONS,
    "fit": {"epochs": 4},
    "pipelines": {
        "a": {},
        "b": {"tuner": {"kind": "hyperband", "max_epochs": 3}, "fit": {"batch_size": 8}},
    },
}


@pytest.mark.parametrize(
    ("base", "top", "expected"),
    [
        ({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}, {"a": 1, "b": {"c": 2, "d": 3}}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"kind": "x", "a": 1}, {"kind": "y"}, {"kind": "y"}),
        ({"kind": "x", "a": 1}, {"kind": "x", "b": 2}, {"kind": "x", "a": 1, "b": 2}),
        ({"kind": "x", "a": 1}, {"b": 2}, {"kind": "x", "a": 1, "b": 2}),
        ({"_target_": "m.f", "a": 1}, {"_target_": "m.g"}, {"_target_": "m.g"}),
        ({"kind": "sklearn", "name": "iris"}, {"_target_": "m.g"}, {"_target_": "m.g"}),
        ({"_target_": "m.f", "a": 1}, {"kind": "npz"}, {"kind": "npz"}),
        ({"hp": "Int", "step": 2}, {"hp": "Float", "step": 0.1}, {"hp": "Float", "step": 0.1}),
        (
            {"hp": "Int", "min_value": 1},
            {"max_value": 9},
            {"hp": "Int", "min_value": 1, "max_value": 9},
        ),
        ({"hp": "Int"}, 3, 3),
        (3, {"hp": "Int"}, {"hp": "Int"}),
    ],
)
def test_one_section_is_laid_over_another(base: Any, top: Any, expected: Any) -> None:
    """Key by key, but another kind, target or hyperparameter replaces what lies below."""
    before = OmegaConf.create({"base": base, "top": top})
    assert overlay(base, top) == expected
    assert OmegaConf.create({"base": base, "top": top}) == before


ABC: dict[str, Any] = {"a": {}, "b": {"fit": {"epochs": 7}}, "c": {}}
RATE = MLP["learning_rate"]
IOU = {"name": "val_mean_iou", "direction": "max"}
SGD = {"parent_name": "model.optimizer.name", "parent_values": ["sgd"]}
MOMENTUM = {"hp": "Float", "min_value": 0.0, "max_value": 0.9}
OPTIMIZER = {"name": {"hp": "Choice", "values": ["sgd", "adam"]}, "momentum": {**MOMENTUM, **SGD}}
MERGED: dict[str, tuple[dict[str, Any], list[str], dict[str, Any]]] = {
    "root sections are inherited, a pipeline's own lie over them": (
        TWO,
        [],
        {"a.tuner.max_trials": 4, "a.fit.epochs": 4, "a.fit.batch_size": None}
        | {"b.tuner.max_epochs": 3, "b.tuner.max_trials": None, "b.fit.epochs": 4}
        | {"b.fit.batch_size": 8, "b.model.hidden": MLP["hidden"]},
    ),
    "without pipelines there is one, main": ({}, [], {"main.model.hidden": MLP["hidden"]}),
    "an objective is replaced whole: half of one has the direction of the other": (
        {"model": {"_target_": "mine.build"}, "objective": IOU}
        | {"pipelines": {"a": {}, "b": {"objective": {"name": "val_loss"}}}},
        [],
        {"a.objective": IOU, "b.objective.name": "val_loss", "b.objective.direction": None},
    ),
    "also by the command line": (
        {"model": {"_target_": "mine.build"}, "objective": IOU},
        ["objective={name: val_loss}"],
        {"main.objective.name": "val_loss", "main.objective.direction": None},
    ),
    "one pipeline's argument beats that of all, given before it": (
        {"pipelines": ABC},
        ["pipelines.b.fit.epochs=9", "fit.epochs=2"],
        {"a.fit.epochs": 2, "b.fit.epochs": 9},
    ),
    "or after it": (
        {"pipelines": ABC},
        ["fit.epochs=2", "pipelines.b.fit.epochs=9"],
        {"a.fit.epochs": 2, "b.fit.epochs": 9},
    ),
    "an argument for one pipeline leaves alone what the others inherit too": (
        {"pipelines": ABC},
        ["pipelines.a.model.hidden.h1.max_value=8", "pipelines.a.tuner.max_trials=1"],
        {"a.model.hidden.h1.max_value": 8, "c.model.hidden.h1.max_value": 16}
        | {"a.tuner.max_trials": 1, "c.tuner.max_trials": 4},
    ),
    "a pipeline may be added": (
        {"pipelines": {"a": {}}},
        ["+pipelines.b.fit.epochs=9"],
        {"a.fit.epochs": None, "b.fit.epochs": 9, "b.tuner.max_trials": 4},
    ),
    "a hyperparameter is narrowed": (
        {},
        ["model.learning_rate.max_value=0.05"],
        {"main.model.learning_rate": {**RATE, "max_value": 0.05}},
    ),
    "fixed": ({}, ["model.learning_rate=0.02"], {"main.model.learning_rate": 0.02}),
    "or replaced": (
        {},
        ["model.learning_rate={hp: Choice, values: [0.1, 0.2]}"],
        {"main.model.learning_rate": {"hp": "Choice", "values": [0.1, 0.2]}},
    ),
    "a relative interpolation follows the pipeline, an absolute one reaches the root": (
        {"seed": 11, "data": {**SECTIONS["data"], "split": {"seed": "${seed}"}}, "pipelines": ABC}
        | {"fit": {"epochs": 4, "batch_size": "${.epochs}"}}
        | {"validation": {"epochs": "${..fit.epochs}"}},
        ["pipelines.c.fit.epochs=9", "pipelines.a.validation.batch_size=${seed}"],
        {"a.fit.batch_size": 4, "b.fit.batch_size": 7, "c.fit.batch_size": 9}
        | {"b.validation.epochs": 7, "b.data.split.seed": 11, "a.validation.batch_size": 11},
    ),
    "a preset leaves null what a HyperModel's own fit sets": (
        {"debug": {"fit": {"epochs": 1}}, "pipelines": {"a": {"fit": {"epochs": None}}, "c": {}}},
        [],
        {"a.fit.epochs": None, "c.fit.epochs": 1},
    ),
    "a condition on what is fixed is left out where it holds": (
        {"model": {**MLP, "optimizer": OPTIMIZER}},
        ["model.optimizer.name=sgd"],
        {"main.model.optimizer.momentum": MOMENTUM},
    ),
    "and where it does not, so is the hyperparameter": (
        {"model": {**MLP, "optimizer": OPTIMIZER}},
        ["model.optimizer.name=adam"],
        {"main.model.optimizer.name": "adam", "main.model.optimizer.momentum": None},
    ),
}


@pytest.mark.parametrize("case", MERGED)
def test_layers_are_merged(case: str) -> None:
    """Root sections, a pipeline's own, the preset, the command line."""
    files, overrides, expected = MERGED[case]
    made = from_files({**SECTIONS, **files}, *overrides).pipelines
    found: dict[str, Any] = {name: pipeline.model_dump() for name, pipeline in made.items()}
    assert {key: lookup(found, key) for key in expected} == expected


def test_all_mistakes_of_all_pipelines_and_of_the_root_are_reported_together() -> None:
    """One correction round is enough."""
    files = {
        **SECTIONS,
        "threads": 0,
        "sed": 1,
        "pipelines": {
            "a": {"manager": "tiny"},
            "B": {"task": {"rank_by": "rmse"}},
            "c": {"data": {"kind": "sklearn", "name": "irsi"}},
        },
        "only": ["d"],
    }
    assert set(problems(lambda: from_files(files))) == {
        "threads",
        "sed",
        "pipelines.a.manager",
        "pipelines.B",
        "pipelines.B.task.rank_by",
        "pipelines.c.data.name",
        "only",
    }


def test_an_override_that_only_a_pipeline_left_out_takes_is_refused() -> None:
    """It would be without effect, and nobody would notice."""
    found = problems(lambda: from_files({**TWO, "only": ["b"]}, "tuner.max_trials=3"))
    assert found == {"tuner.max_trials": "only a would take it, which `only` leaves out"}


def test_only_filters_after_all_have_been_checked_and_sets_the_order() -> None:
    """A mistake in a pipeline that will not run is still a mistake."""
    assert list(from_files({**TWO, "only": ["b", "a"]}).pipelines) == ["b", "a"]
    assert list(from_files({**TWO, "only": ["b"]}).pipelines) == ["b"]
    assert list(
        problems(lambda: from_files({**TWO, "only": ["a"]}, "pipelines.b.fit.epochs=0"))
    ) == ["pipelines.b.fit.epochs"]
    assert list(problems(lambda: from_files({**TWO, "only": []}))) == ["only"]


def test_a_root_that_cannot_be_written_to_is_found_by_trying(tmp_path: Path) -> None:
    """And trying leaves nothing behind."""
    (tmp_path / "file").touch()
    found = problems(lambda: from_files({**SECTIONS, "paths": {"root": "file/root"}}))
    assert str(tmp_path / "file" / "root") in found["paths.root"]
    from_files({**SECTIONS, "paths": {"root": "deep/er/root"}})
    (tmp_path / "results").mkdir()
    from_files(SECTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "results"]


def test_a_folder_for_trials_that_cannot_be_written_to_is_found_by_trying(tmp_path: Path) -> None:
    """A file in its place, a name that the file system does not take, a folder of the kernel's;
    and names of pipelines that would make such a name. All of them at once, and nothing is left.
    """
    (tmp_path / "file").touch()
    given = {
        "file": {"tuner": {"directory": "file"}},
        "below": {"tuner": {"directory": "file/trials"}},
        "long": {"tuner": {"directory": "deep/" + "x" * 300}},
        "project": {"tuner": {"project_name": "x" * 300}},
        "kernel": {"tuner": {"directory": "/proc/trials"}},
        "right": {"tuner": {"directory": "deep/er"}},
    }
    found = problems(lambda: from_files({**SECTIONS, "pipelines": given}))
    assert {key.split(".")[1] for key in found} == given.keys() - {"right"}
    assert {key.split(".", 2)[2] for key in found} == {"tuner.directory"}
    assert "Not a directory" in found["pipelines.file.tuner.directory"]
    assert "File name too long" in found["pipelines.project.tuner.directory"]
    assert (
        "letters"
        in problems(lambda: from_files({**SECTIONS, "pipelines": {"x" * 101: {}}}))[
            f"pipelines.{'x' * 101}"
        ]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_effective_config_is_whole_and_composes_to_the_same() -> None:
    """It says what each pipeline inherited, and nothing is left to resolve."""
    made = from_files({**TWO, "seed": 3})
    again = DictConfig(OmegaConf.create(effective(made)))
    assert (again.pop("experiment"), again.seed) == ("named", 3)
    assert again.pipelines.b.fit.epochs == 4
    assert from_files(again).pipelines == made.pipelines


@pytest.mark.parametrize("text", ["${seed}", r"\${seed}", r"\\${seed}", r"\d $"])
def test_text_that_looks_like_an_interpolation_stays_text(text: str) -> None:
    """Composed again, and read back from an entry."""
    written = literal_yaml({"text": text})
    assert OmegaConf.to_container(OmegaConf.create(written), resolve=True) == {"text": text}
    assert texts(OmegaConf.to_container(OmegaConf.create(written)), _unescaped) == {"text": text}


CSV = {"_target_": "keras.callbacks.CSVLogger", "filename": "${trial.folder}/log.csv"}


def test_what_a_callback_says_of_its_trial_is_text_until_that_runs() -> None:
    """Beside what is resolved at once; composed again it is the same. All else is a mistake."""
    name = "${paths.root}/${trial.id}-${ trial.execution }"
    made = from_files(
        {
            **SECTIONS,
            "paths": {"root": "r"},
            "callbacks": {"log": CSV, "own": {"_target_": "a.b", "names": [name]}},
            "artefacts": ["*.csv"],
        }
    )
    callbacks = made.pipelines["main"].callbacks
    assert callbacks["log"] == Target.model_validate(CSV)
    assert callbacks["own"] == Target.model_validate(
        {"_target_": "a.b", "names": ["r/${trial.id}-${ trial.execution }"]}
    )
    again = DictConfig(OmegaConf.create(effective(made)))
    again.pop("experiment")
    assert from_files(again).pipelines == made.pipelines
    wrong = {"_target_": "a.b", "path": "${trial.ids}"}
    found = problems(
        lambda: from_files(
            {**SECTIONS, "validation": {"callbacks": {"own": wrong}}, "artefacts": ["*.csv"]},
            "tuner.project_name=${trial.id}",
        )
    )
    place = "pipelines.main."
    assert found.pop(f"{place}validation.callbacks.own.path").startswith(
        "unknown value of a trial 'ids'; did you mean 'id'?"
    )
    assert found == {
        f"{place}tuner.project_name": "only arguments of callbacks can use ${trial.id}",
        f"{place}artefacts": "no callback writes to ${trial.folder}, where these files are looked "
        "for",
    }


@pytest.mark.parametrize("pattern", ["", ".", "/tmp/*", "../*", "a/../*", "**.csv", 1])
def test_artefacts_are_looked_for_below_the_folder_of_the_trial(pattern: object) -> None:
    """A pattern that leads elsewhere, or that is none, is refused before anything runs."""
    given = {**SECTIONS, "callbacks": {"log": CSV}, "artefacts": ["**/*.csv", pattern]}
    assert [*problems(lambda: from_files(given))] == ["pipelines.main.artefacts[1]"]


# --- through Hydra, with the configs that are shipped


def test_artefacts_are_a_list_in_files_and_on_the_command_line() -> None:
    """Through Hydra, in which sections are mappings."""
    made = from_hydra(
        "experiment=digits",
        "+callbacks.log={_target_: keras.callbacks.CSVLogger, filename: ${trial.folder}/log.csv}",
        "artefacts=['*.csv']",
    )
    for each in made.pipelines.values():
        assert each.callbacks["log"] == Target.model_validate(CSV)
        assert each.artefacts == ["*.csv"]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_experiment_checks_clean(name: str, tmp_path: Path) -> None:
    """And checking leaves no file."""
    assert from_hydra(f"experiment={name}").pipelines
    assert list(tmp_path.iterdir()) == []


def test_root_overrides_through_hydra_reach_those_that_have_the_key() -> None:
    """Also over what a pipeline's own file says; the pipeline's own override comes last. Pipelines
    stand in the order of first mention, and may be taken out.
    """
    made = from_hydra(
        "experiment=digits",
        "tuner.max_trials=5",
        "tuner.executions_per_trial=2",
        "fit.batch_size=8",
        "pipelines.mlp.fit.batch_size=4",
    ).pipelines
    assert made["mlp"].tuner == RandomTuner(max_trials=5, executions_per_trial=2)
    assert made["cnn"].tuner == HyperbandTuner(max_epochs=6, executions_per_trial=2)
    assert [(name, p.fit.batch_size) for name, p in made.items()] == [("mlp", 4), ("cnn", 8)]
    assert list(from_hydra("experiment=digits", "~pipelines.cnn").pipelines) == ["mlp"]


@pytest.mark.parametrize("tuner", ["random", "grid", "bayesian", "tpe", "hyperband"])
def test_each_tuner_can_be_chosen_for_one_pipeline_or_for_all_that_do_not_choose(
    tuner: str,
) -> None:
    """The other one keeps its own, and no key of the replaced one is left."""
    made = from_hydra("experiment=digits", f"+tuner@pipelines.mlp.tuner={tuner}").pipelines
    assert (made["mlp"].tuner.kind, made["cnn"].tuner.kind) == (tuner, "hyperband")
    made = from_hydra("experiment=digits", f"tuner@pipelines.cnn.tuner={tuner}").pipelines
    assert (made["mlp"].tuner.kind, made["cnn"].tuner.kind) == ("random", tuner)
    made = from_hydra("experiment=mixed", f"tuner={tuner}", "~tuner.max_trials").pipelines
    assert {p.tuner.kind for p in made.values()} == {tuner}


@pytest.mark.parametrize(
    ("given", "data"),
    [
        *(
            (name, {"kind": "sklearn", "name": name, "split": {"test": 0.2}})
            for name in ("breast_cancer", "digits", "iris", "wine")
        ),
        ("{_target_: my.rows, size: 10}", {"_target_": "my.rows", "size": 10}),
    ],
)
def test_data_are_chosen_by_group_or_given_whole(given: str, data: dict[str, Any]) -> None:
    """Nothing of the replaced section is left, as in a file."""
    made = from_hydra("experiment=digits", "only=[mlp]", f"data={given}").pipelines["mlp"]
    assert made.data == from_files({**SECTIONS, "data": data}).pipelines["main"].data


def test_a_choice_that_is_empty_takes_something_away(tmp_path: Path) -> None:
    """So no pipeline can have anything of it, and none is refused for that."""
    (tmp_path / "conf" / "callbacks").mkdir(parents=True)
    (tmp_path / "conf" / "callbacks" / "none.yaml").write_text("{}")
    found = from_files({**SECTIONS, "callbacks": {}}, "callbacks=none")
    assert found.pipelines["main"].callbacks == {}


def test_callbacks_and_hooks_are_chosen_and_taken_out_by_name() -> None:
    """As groups, and one of them by null."""
    made = from_hydra(
        "experiment=digits",
        "+callbacks=early_stopping",
        "hooks.purge=null",
        "callbacks.early_stopping.patience=2",
    )
    for content in made.pipelines.values():
        target = content.callbacks["early_stopping"]
        assert isinstance(target, Target)
        assert (target.target, target.args["patience"]) == ("keras.callbacks.EarlyStopping", 2)
    assert made.run.hooks == {"purge": None}
    assert from_hydra("experiment=digits", "hooks=none").run.hooks == {}


def test_a_debug_run_lies_over_what_pipelines_say_themselves() -> None:
    """One trial of one epoch and one refit, for every tuner; the command line still lies over
    it.
    """
    short = [
        made
        for name in ("digits", "diabetes")
        for made in from_hydra(f"experiment={name}", "debug=default").pipelines.values()
    ]
    assert {made.tuner.kind for made in short} == {"random", "hyperband", "grid", "bayesian"}
    for made in short:
        budget = (
            made.tuner.max_epochs
            if isinstance(made.tuner, HyperbandTuner)
            else made.tuner.max_trials
        )
        assert (budget, made.fit.epochs, made.validation.repeats) == (1, 1, 1)
    given = from_hydra(
        "experiment=digits", "debug=default", "pipelines.cnn.fit.epochs=2", "tuner.max_trials=3"
    )
    assert given.pipelines["cnn"].fit.epochs == 2
    assert given.pipelines["mlp"] == short[0].model_copy(
        update={"tuner": RandomTuner(max_trials=3)}
    )


def test_a_debug_run_is_apart_and_leaves_nothing() -> None:
    """In a root of its own, whatever the experiment says of reuse and hooks."""
    made = from_hydra("experiment=digits", "hooks=none", "debug=default").run
    assert (made.paths.root, made.fresh, made.reuse) == ("results/debug", True, False)
    assert made.hooks["purge"] is not None


def test_a_mistake_in_a_preset_is_reported() -> None:
    """Sections and keys alike."""
    preset = {"fit": {"epoch": 1}, "tunr": {}, "validation": 3}
    found = problems(lambda: from_files({**SECTIONS, "debug": preset}))
    assert "did you mean 'epochs'" in found["debug.fit.epoch"]
    assert found["debug.tunr"] == found["debug.validation"]
    assert found["debug.tunr"].startswith("must be a mapping, and one of task, data, model, tuner")


def test_a_manager_must_keep_entries_of_the_task_and_ask_for_what_a_run_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is refused before a search whose entry it could not keep."""
    found = problems(lambda: from_files({**SECTIONS, "manager": "regression"}))
    assert (
        "entries of the task regression, but the task of this pipeline is classification"
        in found["pipelines.main.manager"]
    )
    monkeypatch.setattr(registry, "_classes", {**registry._classes})  # goes back at the end

    @registry.register("of_plots")
    class Plots(registry.manager_class("classification")):  # type: ignore[misc]  # looked up
        artefacts = ("classification_report", "plot_of_mine")

    found = problems(lambda: from_files({**SECTIONS, "manager": "of_plots"}))
    assert "plot_of_mine, which a run does not produce" in found["pipelines.main.manager"]


@pytest.mark.parametrize("name", ["first name", "make=model", "a.b[1]", "x, y (cm)", "a:b {c}"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_column_of_any_name_can_be_set_on_the_command_line(
    name: str, quote: str, tmp_path: Path
) -> None:
    """In quotes, which Hydra's grammar refuses for a key, beside those that it takes."""
    (tmp_path / "rows.csv").touch()
    given = f"data.columns={{{quote}{name}{quote}: category, zip : ignore}}"
    table = f"data={{kind: table, path: {tmp_path / 'rows.csv'}, target: y}}"
    made = from_hydra("experiment=digits", "only=[mlp]", table, given).pipelines["mlp"]
    assert isinstance(made.data, TableData)
    assert made.data.columns == {name: "category", "zip": "ignore"}


def test_a_tilde_on_the_command_line_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unquoted too, which Hydra's grammar refuses, in lists and mappings, and of the run's own
    output; what is quoted stays as it is.
    """
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    typed = [
        "paths.root=~/r",
        "data.path={train: ~/a b.csv, test: ~/c}",
        "~fit",
        "-cd=~",
        "a='~,~'",
    ]
    assert for_hydra(typed[:1]) == ["paths.root='~/r'"]
    assert [for_hydra([each], values=False)[0].lstrip("+") for each in typed[1:]] == [
        "data.path={train: '~/a b.csv', test: '~/c'}",
        "~fit",
        "-cd=~",
        "a='~,~'",
    ]
    plugins.register()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        given = for_hydra(["+experiment=digits", "paths.root=~/r"])
        composed = hydra.compose("config", given, return_hydra_config=True)
        cli.Check().on_run_start(composed)
        assert composed.hydra.run.dir.startswith(f"{tmp_path}/home/r/runs/")
