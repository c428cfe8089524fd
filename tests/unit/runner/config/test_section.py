"""Plain data becomes checked sections, and every mistake is reported at once."""

from typing import Any

import pytest
from pydantic import Field
from runner_samples import SECTIONS, SHIPPED, from_hydra, pipeline, read

from foundation.errors import suggest, unknown
from runner.config.check import Unresolved, known_keys, read_experiment
from runner.config.schema import (
    Data,
    Fit,
    Model,
    Pipeline,
    RandomTuner,
    Run,
    Tuner,
)
from runner.config.section import Section
from runner.errors import ConfigError
from runner.run.plan import overwritten


class House(Section):
    name: str
    count: int = 1
    size: float = 1.0
    sold: bool = False
    tricks: list[str] = Field(default=[])
    rooms: dict[str, int] = Field(default={})


def complaints(pipeline: dict[str, Any], **root: Any) -> dict[str, str]:
    """What is wrong with a pipeline `a`, and with root keys, by place."""
    with pytest.raises(ConfigError) as caught:
        read_experiment("named", {**root, "pipelines": {"a": pipeline}}, [])
    found = caught.value.problems
    assert len({problem.where for problem in found}) == len(found)
    return {problem.where: problem.what for problem in found}


def test_all_problems_of_all_sections_are_reported_at_once() -> None:
    """In one pass, each at its own key; faults between keys too."""
    given = {
        "tsak": {},
        "data": {"kind": "sklearn", "name": "irsi", "split": {"validation": 0.6, "test": 0.6}},
        "model": {"_target_": "mlp", "x": {"hp": "Flaot"}, "y": [{"hp": "Int", "min_value": 1}]},
        "tuner": {"kind": "random", "max_trials": "ten", "max_trails": 3, "max_epochs": 1},
        "fit": {"epochs": 0, "class_weight": {"a": "x"}, "repeats": 2},
        "callbacks": {"stop": {"_target_": "a.b", "patience": {"hp": "Int"}}},
    }
    assert list(complaints(given, seed=True, thread=1)) == [
        "seed",
        "thread",
        "pipelines.a.task",
        "pipelines.a.data.split",
        "pipelines.a.data.name",
        "pipelines.a.model._target_",
        "pipelines.a.model.x.hp",
        "pipelines.a.model.y[0].max_value",
        "pipelines.a.tuner.max_trials",
        "pipelines.a.tuner.max_trails",
        "pipelines.a.tuner.max_epochs",
        "pipelines.a.fit.epochs",
        "pipelines.a.fit.class_weight.a",
        "pipelines.a.fit.repeats",
        "pipelines.a.callbacks.stop.patience",
        "pipelines.a.tsak",
    ]


def test_an_unknown_key_is_told_what_is_near_and_where_it_belongs() -> None:
    """The near word first, then all that are known, then the sections that take it."""
    tuner = {"kind": "grid", "max_epochs": 1, "max_trails": 2}
    data = {"kind": "sklearn", "name": "irsi"}
    given = {**SECTIONS, "tuner": tuner, "fit": {"repeats": 2}, "data": data}
    found = complaints(given, max_trials=1)
    start = "unknown value 'irsi'; did you mean 'iris'? (known: breast_cancer, "
    assert found["pipelines.a.data.name"].startswith(start)
    assert found["pipelines.a.tuner.max_trails"].startswith(
        "unknown key 'max_trails'; did you mean 'max_trials'? (known: "
    )
    assert found["pipelines.a.tuner.max_epochs"].endswith("; it is a key of another kind")
    assert found["pipelines.a.fit.repeats"].endswith("; it is a key of validation")
    assert found["max_trials"].endswith("; it is a key of tuner")


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    """A far word gets the list alone."""
    assert suggest("zzz", ["rooms", "name"]) == ""
    assert unknown("pet", "zzz", ["cat"]) == "unknown pet 'zzz' (known: cat)"
    assert unknown("pet", "zzz", []) == "unknown pet 'zzz' (known: none)"


KINDS = "(random, grid, bayesian, tpe, hyperband)"


@pytest.mark.parametrize(
    ("given", "at", "words"),
    [
        ({"kind": "rando"}, "here.kind", "unknown kind 'rando'; did you mean 'random'? (known: "),
        ({"max_trials": 1}, "here.kind", f"is required {KINDS}"),
        ({}, "here.kind", f"is required {KINDS}"),
        ("random", "here", "must be a mapping, not 'random'"),
        (None, "here", "must be a mapping, not None"),
    ],
)
def test_a_wrong_tag_is_one_clear_problem(given: Any, at: str, words: str) -> None:
    """Which keys it needs, which values are known."""
    [problem] = read(given, Tuner)[1]
    assert (problem.where, problem.what[: len(words)]) == (at, words)


def test_a_target_is_told_from_a_kind_and_may_have_an_argument_of_that_name() -> None:
    """`_target_` wins; without either, both are named."""
    made = read({"_target_": "a.b", "kind": "x", "target": "y", "args": 1}, Data)[0]
    assert (made.target, made.args) == ("a.b", {"kind": "x", "target": "y", "args": 1})
    kinds = "sklearn, table, npz, images, windows"
    wanted = f"is required ({kinds}, or the key _target_)"
    assert read({}, Data)[1][0].what == wanted


def test_what_cannot_be_had_is_named_wherever_it_stands_and_nothing_else_is_said_of_it() -> None:
    """`???` and interpolations that lead nowhere."""
    lost = Unresolved("cannot be resolved")
    found = complaints(
        {
            **SECTIONS,
            "data": {"kind": "npz", "path": "???"},
            "model": {"_target_": "a.b", "x": {"y": [1, lost]}},
            "tuner": {"kind": "???"},
            "objective": {"name": lost},
        },
        threads="???",
    )
    missing = "a value is missing; give one in the config or on the command line"
    assert found == {
        "threads": missing,
        "pipelines.a.data.path": missing,
        "pipelines.a.model.x.y[1]": "cannot be resolved",
        "pipelines.a.tuner.kind": missing,
        "pipelines.a.objective.name": "cannot be resolved",
    }


@pytest.mark.parametrize(("key", "text"), [(True, "true"), (1, "1"), (1.5, "1.5"), (None, "null")])
def test_keys_that_yaml_did_not_read_as_text_are_refused(key: Any, text: str) -> None:
    """`on:` is True in YAML; silently dropping it would lose a setting."""
    found = complaints({**SECTIONS, "model": {"_target_": "a.b", "x": {key: 1}}}, **{"fresh": True})
    assert f"as {text}" in found[f"pipelines.a.model.x.{text}"]
    with pytest.raises(ConfigError, match=f"^{text}: YAML reads"):
        read_experiment("named", {key: 1}, [])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("name", 1, "must be text, not 1"),
        ("name", True, "must be text, not True"),
        ("count", True, "must be a whole number, not True"),
        ("count", "1", "must be a whole number, not '1'"),
        ("count", 1.0, "must be a whole number, not 1.0"),
        ("count", None, "must be a whole number, not null"),
        ("count", {}, "must be a whole number, not {}"),
        ("size", True, "must be a number, not True"),
        ("size", "1.5", "must be a number, not '1.5'"),
        ("size", float("nan"), "must be finite, not nan"),
        ("sold", 1, "must be true or false, not 1"),
        ("sold", "yes", "must be true or false, not 'yes'"),
        ("tricks", "x", "must be a list, not 'x'; write [x]"),
        ("rooms", [1], "must be a mapping, not [1]"),
    ],
)
def test_no_scalar_is_taken_for_another(key: str, value: Any, words: str) -> None:
    """Above all a boolean is no number, though Python says so. A whole number becomes one."""
    assert type(read({"name": "a", "size": 3}, House)[0].size) is float
    [problem] = read({"name": "a", key: value}, House)[1]
    assert (problem.where, problem.what) == (f"here.{key}", words)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_understood_reads_back_as_the_same(name: str) -> None:
    """Its plain data and reading are each other's inverse over every shipped experiment."""
    experiment = from_hydra(f"experiment={name}")
    assert read(experiment.run.model_dump(), Run) == (experiment.run, [])
    for content in experiment.pipelines.values():
        assert read(content.model_dump(), Pipeline) == (content, [])


def test_plain_data_shares_nothing_with_the_section_and_keeps_the_order_of_arguments() -> None:
    """Changing one leaves the other as it was; layers come in the order in which they are named."""
    given = {"z": {"b": 1, "a": [1]}, "_target_": "a.b", "y": 2}
    made = read(given, Model)[0]
    plain = made.model_dump()
    assert (list(plain), list(plain["z"])) == (["_target_", "z", "y"], ["b", "a"])
    plain["z"]["a"].append(2)
    assert made.args["z"]["a"] == [1]


def test_a_value_that_may_be_searched_is_complained_about_as_what_it_is() -> None:
    """A number as a number, a list as what it was meant for, a search space as one."""
    found = read({"epochs": "ten", "batch_size": [1, 2], "shuffle": {"hp": "Int"}}, Fit)[1]
    assert [(p.where, p.what) for p in found] == [
        ("here.epochs", "must be a whole number, not 'ten'"),
        (
            "here.batch_size",
            "must be a whole number, not [1, 2]; to search them: {hp: Choice, values: [1, 2]}",
        ),
        ("here.shuffle.min_value", "is required"),
        ("here.shuffle.max_value", "is required"),
    ]


@pytest.mark.parametrize("section", ["task", "model", "objective", "fit", "validation"])
def test_a_list_is_no_section(section: str) -> None:
    found = complaints({**SECTIONS, section: [1]})
    assert found[f"pipelines.a.{section}"] == "must be a mapping, not [1]"


def test_the_keys_of_a_section_follow_from_its_kind() -> None:
    """Where it is not known yet, they are those of all kinds."""
    assert "max_epochs" in known_keys("tuner")
    assert "max_epochs" not in known_keys("tuner", {"kind": "grid"})
    assert "depth" in known_keys("model", {"_target_": "a.b", "depth": 1})


@pytest.mark.parametrize(
    ("callback", "given", "executions", "is_said"),
    [
        ("CSVLogger", {"filename": "log.csv"}, 1, True),
        ("CSVLogger", {"filename": "${trial.folder}/log.csv"}, 2, False),
        ("CSVLogger", {"filename": "logs/${trial.id}.csv"}, 1, False),
        ("CSVLogger", {"filename": "logs/${trial.id}.csv"}, 2, True),
        ("CSVLogger", {"filename": "logs/${trial.id}/${trial.execution}.csv"}, 2, False),
        ("ModelCheckpoint", {"filepath": "m.keras", "monitor": "loss"}, 1, True),
        ("BackupAndRestore", {"backup_dir": "b"}, 1, True),
        ("TensorBoard", {}, 1, True),  # it has a default
        ("EarlyStopping", {"monitor": "loss"}, 1, False),
    ],
)
def test_callbacks_whose_trials_write_over_each_other_are_said(
    callback: str, given: dict[str, str], executions: int, is_said: bool
) -> None:
    """Keras' own, by the argument that says where; of the search and of the refits."""
    section = {"one": {"_target_": f"keras.callbacks.{callback}", **given}, "none": None}
    tuner = {"kind": "random", "executions_per_trial": executions}
    for where, sections in (
        ("callbacks", {"callbacks": section}),
        ("validation.callbacks", {"validation": {"callbacks": section}}),
    ):
        found = [*overwritten(pipeline(tuner=tuner, **sections))]
        assert [said.startswith(f"{where}.one.") for said in found] == [True] * is_said


def test_a_checked_section_cannot_change() -> None:
    """Behind the boundary nobody checks again."""
    made = RandomTuner(max_trials=3)
    with pytest.raises(ValueError, match="frozen"):
        made.max_trials = 0
