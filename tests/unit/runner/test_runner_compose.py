"""Inheritance, overrides and the list of all mistakes."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import hydra
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from runner_samples import MLP, SECTIONS, SHIPPED, from_files, from_hydra, problems

from history import registry
from history.exchange.config import _unescaped, literal_yaml, texts
from history.registry import manager_class
from runner import cli
from runner.config.choices import conf_folder
from runner.config.compose import effective, experiment, overlay
from runner.config.jobs import Composer
from runner.config.schema import HyperbandTuner, RandomTuner, Target


@pytest.fixture(autouse=True)
def fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Roots count from the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


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


def test_a_pipeline_inherits_every_root_section() -> None:
    """And adds to it; nothing of another tuner is left."""
    made = from_files(TWO).pipelines
    assert made["a"].tuner == RandomTuner(max_trials=4)
    assert made["b"].tuner == HyperbandTuner(max_epochs=3)
    assert (made["a"].fit.epochs, made["a"].fit.batch_size) == (4, None)
    assert (made["b"].fit.epochs, made["b"].fit.batch_size) == (4, 8)
    assert made["a"].model == made["b"].model


def test_without_pipelines_there_is_one_called_main() -> None:
    """Made of the root sections."""
    made = from_files(SECTIONS)
    assert list(made.pipelines) == ["main"]
    assert made.pipelines["main"].model.args["hidden"] == MLP["hidden"]


def test_an_objective_is_replaced_whole() -> None:
    """Half of one would carry the direction of the other."""
    files = {
        **SECTIONS,
        "model": {"_target_": "mine.build"},
        "objective": {"name": "val_mean_iou", "direction": "max"},
        "pipelines": {"a": {}, "b": {"objective": {"name": "val_loss"}}},
    }
    made = from_files(files).pipelines
    assert [(p.objective.name, p.objective.sense) for p in made.values()] == [
        ("val_mean_iou", "max"),
        ("val_loss", "min"),
    ]


def test_a_root_override_reaches_every_pipeline_that_has_the_key() -> None:
    """Also one that states its own; `max_trials` does not touch Hyperband."""
    made = from_files(
        TWO, "tuner.max_trials=7", "fit.batch_size=16", "tuner.executions_per_trial=2"
    ).pipelines
    assert made["a"].tuner == RandomTuner(max_trials=7, executions_per_trial=2)
    assert made["b"].tuner == HyperbandTuner(max_epochs=3, executions_per_trial=2)
    assert [p.fit.batch_size for p in made.values()] == [16, 16]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_pipeline_override_beats_a_root_override(order: tuple[int, int]) -> None:
    """In whatever order the two were given."""
    given = ["fit.epochs=2", "pipelines.b.fit.epochs=9"]
    made = from_files(TWO, *(given[i] for i in order)).pipelines
    assert [p.fit.epochs for p in made.values()] == [2, 9]


def test_an_override_of_one_pipeline_leaves_the_others_as_they_are() -> None:
    """Though they inherit the same mapping."""
    files = {**SECTIONS, "pipelines": {"a": {}, "b": {}}}
    made = from_files(
        files, "pipelines.a.model.hidden.h1.max_value=8", "pipelines.a.tuner.max_trials=1"
    ).pipelines
    assert [p.model.args["hidden"]["h1"]["max_value"] for p in made.values()] == [8, 16]
    assert [p.tuner for p in made.values()] == [
        RandomTuner(max_trials=1),
        RandomTuner(max_trials=4),
    ]


def test_a_hyperparameter_is_narrowed_fixed_and_replaced_by_overrides() -> None:
    """A key of it, a plain value, another hyperparameter."""
    narrowed, fixed, replaced = (
        from_files(SECTIONS, override).pipelines["main"].model.args["learning_rate"]
        for override in (
            "model.learning_rate.max_value=0.05",
            "model.learning_rate=0.02",
            "model.learning_rate={hp: Choice, values: [0.1, 0.2]}",
        )
    )
    assert narrowed == {**MLP["learning_rate"], "max_value": 0.05}
    assert fixed == 0.02
    assert replaced == {"hp": "Choice", "values": [0.1, 0.2]}


def test_an_override_that_no_pipeline_takes_is_an_error() -> None:
    """With the key that was probably meant."""
    found = problems(lambda: from_files(TWO, "tuner.max_trals=3"))
    assert "did you mean 'max_trials'" in found["tuner.max_trals"]
    assert "no pipeline takes it" in found["tuner.max_trals"]


def test_a_relative_interpolation_follows_the_pipeline() -> None:
    """What a root section says of its neighbours holds within each pipeline."""
    files = {
        **SECTIONS,
        "fit": {"epochs": 4, "batch_size": "${.epochs}"},
        "validation": {"epochs": "${..fit.epochs}"},
        "pipelines": {"a": {}, "b": {"fit": {"epochs": 7}}, "c": {}},
    }
    made = from_files(files, "pipelines.c.fit.epochs=9").pipelines
    assert [(p.fit.batch_size, p.validation.epochs) for p in made.values()] == [
        (4, 4),
        (7, 7),
        (9, 9),
    ]


def test_an_absolute_interpolation_reaches_the_root() -> None:
    """From wherever it stands."""
    files = {**SECTIONS, "seed": 11, "data": {**SECTIONS["data"], "split": {"seed": "${seed}"}}}
    assert from_files(files).pipelines["main"].data.split.seed == 11


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


def test_a_condition_on_an_unknown_hyperparameter_is_refused() -> None:
    """It could never hold, and the value would be left out for ever."""
    units = {**MLP["hidden"]["h1"], "parent_name": "model.deep", "parent_values": [True]}
    found = problems(lambda: from_files({**SECTIONS, "model": {**MLP, "hidden": {"h1": units}}}))
    assert any("model.deep" in what for what in found.values())


@pytest.mark.parametrize(("fixed", "expected"), [("sgd", True), ("adam", False)])
def test_a_condition_may_name_what_is_fixed(fixed: str, expected: bool) -> None:
    """On the command line, say: where it holds it is left out, elsewhere there is nothing to
    search.
    """
    momentum = {"hp": "Float", "min_value": 0.0, "max_value": 0.9}
    on = {"parent_name": "model.optimizer.name", "parent_values": ["sgd"]}
    name = {"hp": "Choice", "values": ["sgd", "adam"]}
    model = {**MLP, "optimizer": {"name": name, "momentum": {**momentum, **on}}}
    found = (
        from_files({**SECTIONS, "model": model}, f"model.optimizer.name={fixed}")
        .pipelines["main"]
        .model.args
    )
    assert found["optimizer"] == {"name": fixed, "momentum": momentum if expected else None}


def test_a_chain_of_conditions_is_refused() -> None:
    """Keras Tuner would not find the parent."""
    units = MLP["hidden"]["h1"]
    hidden = {
        "h1": {**units, "parent_name": "model.deep", "parent_values": [True]},
        "h2": {**units, "parent_name": "model.hidden.h1", "parent_values": [16]},
    }
    model = {"_target_": "mine.build", "hidden": hidden, "deep": {"hp": "Boolean"}}
    found = problems(lambda: from_files({**SECTIONS, "model": model}))
    assert len(found) == 1
    assert "is conditional itself" in next(iter(found.values()))


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
    assert "did you mean" not in problems(lambda: from_files({**TWO, "only": []}))["only"]


def test_a_root_that_cannot_be_written_to_is_found_by_trying(tmp_path: Path) -> None:
    """And trying leaves nothing behind."""
    (tmp_path / "file").touch()
    found = problems(lambda: from_files({**SECTIONS, "paths": {"root": "file/root"}}))
    assert str(tmp_path / "file" / "root") in found["paths.root"]
    from_files({**SECTIONS, "paths": {"root": "deep/er/root"}})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_root_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    """Empty or not."""
    (tmp_path / "results").mkdir()
    from_files(SECTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_the_effective_config_is_whole_and_composes_to_the_same() -> None:
    """It says what each pipeline inherited, and nothing is left to resolve."""
    made = from_files(TWO, "seed=3")
    again = DictConfig(OmegaConf.create(effective(made)))
    name = again.pop("experiment")
    assert experiment(again, again, (), name).pipelines == made.pipelines
    assert (name, again.seed) == ("named", 3)
    assert again.pipelines.b.fit.epochs == 4


@pytest.mark.parametrize("text", ["${seed}", r"\${seed}", r"\\${seed}", r"\d $"])
def test_text_that_looks_like_an_interpolation_stays_text(text: str) -> None:
    """Composed again, and read back from an entry."""
    written = literal_yaml({"text": text})
    assert OmegaConf.to_container(OmegaConf.create(written), resolve=True) == {"text": text}
    assert texts(OmegaConf.to_container(OmegaConf.create(written)), _unescaped) == {"text": text}


# --- through Hydra, with the configs that are shipped


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_experiment_checks_clean(name: str, tmp_path: Path) -> None:
    """Its ranking metric is one of its manager's, and checking leaves no file."""
    made = from_hydra(f"experiment={name}")
    assert made.pipelines
    for content in made.pipelines.values():
        assert content.task.rank_by in manager_class(content.manager_name).metrics
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_experiments_use_every_tuner() -> None:
    """Between them."""
    used = {
        p.tuner.kind
        for name in SHIPPED
        for p in from_hydra(f"experiment={name}").pipelines.values()
    }
    assert used == {"random", "grid", "bayesian", "hyperband"}


def test_digits_means_what_its_file_says() -> None:
    """Two pipelines in the order of first mention, sections inherited."""
    made = from_hydra("experiment=digits").pipelines
    assert list(made) == ["mlp", "cnn"]
    assert made["cnn"].tuner == HyperbandTuner(max_epochs=9, factor=3, hyperband_iterations=1)
    assert made["mlp"].tuner == RandomTuner(max_trials=10)
    assert [(p.fit.epochs, p.fit.batch_size) for p in made.values()] == [(10, 32), (10, 64)]
    assert [p.model.target for p in made.values()] == ["runner.models.mlp", "runner.models.cnn"]
    assert [p.validation.repeats for p in made.values()] == [3, 3]


def test_root_overrides_through_hydra_reach_those_that_have_the_key() -> None:
    """Also over what a pipeline's own file says; the pipeline's own override comes last."""
    made = from_hydra(
        "experiment=digits",
        "tuner.max_trials=5",
        "fit.batch_size=8",
        "pipelines.mlp.fit.batch_size=4",
    ).pipelines
    assert made["mlp"].tuner == RandomTuner(max_trials=5)
    assert made["cnn"].tuner == HyperbandTuner(max_epochs=9)
    assert [p.fit.batch_size for p in made.values()] == [4, 8]


def test_a_pipeline_can_be_taken_out() -> None:
    """By Hydra's own `~`."""
    assert list(from_hydra("experiment=digits", "~pipelines.cnn").pipelines) == ["mlp"]


def test_only_sets_the_order_through_hydra() -> None:
    """A name that is not there is one problem."""
    assert list(from_hydra("experiment=digits", "only=[cnn,mlp]").pipelines) == ["cnn", "mlp"]
    assert (
        "did you mean 'mlp'"
        in problems(lambda: from_hydra("experiment=digits", "only=[mpl]"))["only"]
    )


@pytest.mark.parametrize("tuner", ["random", "grid", "bayesian", "hyperband"])
def test_each_tuner_can_be_chosen_for_one_pipeline(tuner: str) -> None:
    """The other one keeps its own, and no key of the replaced one is left."""
    made = from_hydra("experiment=digits", f"+tuner@pipelines.mlp.tuner={tuner}").pipelines
    assert (made["mlp"].tuner.kind, made["cnn"].tuner.kind) == (tuner, "hyperband")
    made = from_hydra("experiment=digits", f"tuner@pipelines.cnn.tuner={tuner}").pipelines
    assert (made["mlp"].tuner.kind, made["cnn"].tuner.kind) == ("random", tuner)


@pytest.mark.parametrize("tuner", ["random", "grid", "bayesian", "hyperband"])
def test_each_tuner_can_be_chosen_for_all_that_do_not_choose(tuner: str) -> None:
    """A group choice at the root is what pipelines inherit."""
    made = from_hydra("experiment=mixed", f"tuner={tuner}", "~tuner.max_trials").pipelines
    assert {p.tuner.kind for p in made.values()} == {tuner}


@pytest.mark.parametrize("data", ["breast_cancer", "digits", "iris", "wine"])
def test_each_table_can_be_chosen(data: str) -> None:
    """By its group."""
    made = from_hydra("experiment=digits", "only=[mlp]", f"data={data}").pipelines["mlp"]
    assert (
        made.data
        == from_files(
            {**SECTIONS, "data": {"kind": "sklearn", "name": data, "split": {"test": 0.2}}}
        )
        .pipelines["main"]
        .data
    )


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


def test_a_whole_section_given_on_the_command_line_replaces_one_of_another_kind() -> None:
    """As it does in a file: nothing of the replaced one is left."""
    target = "{_target_: my.rows, size: 10}"
    made = from_hydra("experiment=digits", "only=[mlp]", f"data={target}").pipelines["mlp"]
    assert (
        made.data
        == from_files({**SECTIONS, "data": {"_target_": "my.rows", "size": 10}})
        .pipelines["main"]
        .data
    )


def test_a_users_conf_folder_adds_to_ours_and_shadows_it(fresh_folder: Path) -> None:
    """Found in the current folder, without a flag."""
    for path, text in {
        "conf/experiment/mine.yaml": "# @package _global_\ndefaults: [/task: classification, /data: iris, /model: mlp, "
        "/tuner: random, _self_]\nfit: {epochs: 2}\n",
        "conf/data/iris.yaml": "kind: sklearn\nname: wine\n",
    }.items():
        (fresh_folder / path).parent.mkdir(parents=True, exist_ok=True)
        (fresh_folder / path).write_text(text)
    made = from_hydra("experiment=mine").pipelines["main"]
    assert made.fit.epochs == 2
    assert (
        made.data
        == from_files({**SECTIONS, "data": {"kind": "sklearn", "name": "wine"}})
        .pipelines["main"]
        .data
    )


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
    assert given.pipelines["mlp"] == replace(short[0], tuner=RandomTuner(max_trials=3))


def test_a_debug_run_is_apart_and_leaves_nothing() -> None:
    """In a root of its own, whatever the experiment says of reuse and hooks."""
    made = from_hydra("experiment=digits", "hooks=none", "debug=default").run
    assert (made.paths.root, made.fresh, made.reuse) == ("results/debug", True, False)
    assert made.hooks["purge"] is not None


def test_a_preset_leaves_what_a_pipeline_keeps_from_its_model() -> None:
    """A HyperModel whose own fit sets the epochs is not given them: `fit.epochs` is null there."""
    files = {
        **SECTIONS,
        "debug": {"fit": {"epochs": 1}},
        "pipelines": {"own": {"fit": {"epochs": None}}, "other": {}},
    }
    made = from_files(files).pipelines
    assert (made["own"].fit.epochs, made["other"].fit.epochs) == (None, 1)


def test_a_mistake_in_a_preset_is_reported() -> None:
    """Sections and keys alike."""
    preset = {"fit": {"epoch": 1}, "tunr": {}, "validation": 3}
    found = problems(lambda: from_files({**SECTIONS, "debug": preset}))
    assert "did you mean 'epochs'" in found["debug.fit.epoch"]
    assert "did you mean 'tuner'" in found["debug.tunr"]
    assert found["debug.validation"] == "must be a mapping"


def test_a_job_of_a_sweep_is_composed_as_hydra_does_it() -> None:
    """Values over a copy of the files, whichever job came before."""
    cli._register()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        loader = GlobalHydra.instance().config_loader()
        composer = Composer(cast(ConfigLoaderImpl, loader), "config")
        for job in (
            ["experiment=digits", "seed=1", "pipelines.mlp.fit.epochs=3", "++threads=1"],
            ["experiment=digits", "seed=2", "fit={batch_size: 8}", "~pipelines.cnn"],
            ["experiment=mixed", "tuner=grid", "hooks.purge=null", "+tuner.project_name=x"],
        ):
            expected = loader.load_configuration("config", list(job), RunMode.RUN)
            found = composer.job(job)
            assert found.hydra.runtime.choices == expected.hydra.runtime.choices
            assert found.hydra.overrides.task == expected.hydra.overrides.task
            assert {key: found[key] for key in found if key != "hydra"} == {
                key: expected[key] for key in expected if key != "hydra"
            }


def test_a_manager_must_keep_entries_of_the_task_and_ask_for_what_a_run_makes() -> None:
    """Said before a search whose entry it would refuse."""

    @registry.register("of_plots")
    # a class that is looked up
    class Plots(registry.manager_class("classification")):  # type: ignore[misc]
        artefacts = ("classification_report", "plot_of_mine")

    try:
        found = problems(
            lambda: from_files({**SECTIONS, "pipelines": {"a": {"manager": "of_plots"}}})
        )
        assert "plot_of_mine, which a run does not make" in found["pipelines.a.manager"]
    finally:
        registry._classes.pop("of_plots")
    found = problems(lambda: from_files({**SECTIONS, "manager": "regression"}))
    assert (
        "entries of the task regression, the task of this pipeline is classification"
        in found["pipelines.main.manager"]
    )
