"""Reading plain data into dataclasses."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from runner_samples import SHIPPED, from_hydra, read, where

from history.errors import suggest, unknown
from runner.config.check import KEY, REST, plain_config
from runner.config.schema import Data, Experiment, Hyperparameter, Pipeline, Run, SklearnData, Tuner


@dataclass(frozen=True, kw_only=True)
class Cat:
    kind: Literal["cat"] = "cat"
    lives: int = 9


@dataclass(frozen=True, kw_only=True)
class Dog:
    kind: Literal["dog"] = "dog"
    weight: float
    tricks: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Call:
    target: str = field(metadata={KEY: "_target_"})
    args: dict[str, Any] = field(default_factory=dict, metadata={REST: True})


@dataclass(frozen=True, kw_only=True)
class House:
    name: str
    pet: Cat | Dog | None = None
    rooms: dict[str, int] = field(default_factory=dict)
    sold: bool = False
    mode: Literal["rent", "buy"] = "buy"


def test_a_whole_record_is_read() -> None:
    """Nested records, lists and mappings come out typed, defaults filled in."""
    given = {
        "name": "a",
        "pet": {"kind": "dog", "weight": 3, "tricks": ["sit"]},
        "rooms": {"bath": 1},
    }
    expected = House(
        name="a", pet=Dog(weight=3.0, tricks=["sit"]), rooms={"bath": 1}, sold=False, mode="buy"
    )
    assert read(given, House) == (expected, [])


def test_all_problems_are_reported_at_once() -> None:
    """In one pass, each at its own key."""
    given = {
        "nam": "a",
        "pet": {"kind": "dog", "tricks": [1, "sit", None]},
        "rooms": {"bath": "one", "hall": 2},
        "sold": 1,
        "mode": "steal",
    }
    made, found = read(given, House)
    assert made is None
    assert sorted(where(found)) == sorted(
        [
            "here.nam",
            "here.name",
            "here.pet.weight",
            "here.pet.tricks[0]",
            "here.pet.tricks[2]",
            "here.rooms.bath",
            "here.sold",
            "here.mode",
        ]
    )


def test_a_misspelt_key_gets_a_suggestion() -> None:
    """The near word first, then all that are known."""
    _, found = read({"name": "a", "romos": {}}, House)
    assert [str(p) for p in found] == [
        "here.romos: unknown key 'romos'; did you mean 'rooms'? (known: name, pet, rooms, sold, mode)"
    ]


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    """A far word gets the list alone."""
    assert suggest("zzz", ["rooms", "name"]) == ""
    assert unknown("pet", "zzz", ["cat"]) == "unknown pet 'zzz' (known: cat)"
    assert unknown("pet", "zzz", []) == "unknown pet 'zzz' (known: none)"


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"kind": "cat"}, Cat()), ({"kind": "dog", "weight": 1.5}, Dog(weight=1.5)), (None, None)],
)
def test_a_union_is_told_apart_by_its_tag(given: Any, expected: Any) -> None:
    """`kind` chooses the record; null is allowed where the union says so."""
    assert read(given, Cat | Dog | None) == (expected, [])


@pytest.mark.parametrize(
    ("given", "where_", "words"),
    [
        ({"kind": "cow"}, "here.kind", "unknown kind 'cow' (known: cat, dog)"),
        ({"lives": 1}, "here", "needs the key 'kind' (cat, dog); it has: lives"),
        ({}, "here", "needs the key 'kind' (cat, dog); it has: nothing"),
        ({"kind": "???"}, "here.kind", "a value is missing (known: cat, dog)"),
        ("cat", "here", "must be a mapping, not 'cat'"),
        (None, "here", "must be a mapping, not null"),
    ],
)
def test_a_wrong_tag_is_one_clear_problem(given: Any, where_: str, words: str) -> None:
    """Which keys it needs, which values are known."""
    _, found = read(given, Cat | Dog)
    assert [(p.where, p.what) for p in found] == [(where_, words)]


def test_keys_of_the_other_member_are_unknown_in_a_union() -> None:
    """A cat has no weight: the tag decides which keys count."""
    _, found = read({"kind": "cat", "weight": 1.0}, Cat | Dog)
    assert where(found) == ["here.weight"]


def test_a_missing_value_is_named_wherever_it_stands() -> None:
    """`???` in a mapping, a list or at the top."""
    given = {"name": "???", "pet": {"kind": "dog", "weight": "???", "tricks": ["???"]}}
    _, found = read(given, House)
    assert where(found) == ["here.name", "here.pet.weight", "here.pet.tricks[0]"]
    assert {p.what for p in found} == {
        "a value is missing; give one in the config or on the command line"
    }


@pytest.mark.parametrize(("key", "text"), [(True, "true"), (1, "1"), (1.5, "1.5"), (None, "null")])
def test_keys_that_yaml_did_not_read_as_text_are_refused(key: Any, text: str) -> None:
    """`on:` is True in YAML; silently dropping it would lose a setting."""
    for annotation in (House, Call, dict[str, int]):
        _, found = read({"name": "a", "_target_": "a.b", key: 1}, annotation)
        said = [p.what for p in found if p.where == f"here.{text}"]
        assert len(said) == 1, annotation
        assert f"as {text}" in said[0]
        assert said[0].endswith("quote it")


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (3, float, 3.0),
        (3, int, 3),
        (0.5, float, 0.5),
        ("a", str, "a"),
        (True, bool, True),
        ([1, 2], list[int], [1, 2]),
    ],
)
def test_scalars_are_read(value: Any, annotation: Any, expected: Any) -> None:
    """A whole number is also a number, and becomes a float."""
    made, found = read(value, annotation)
    assert (made, type(made), found) == (expected, type(expected), [])


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (True, int),
        (True, float),
        (True, str),
        (1, bool),
        ("1", int),
        (1.0, int),
        (1, str),
        (None, int),
        ("x", list[str]),
        ([1], dict[str, int]),
        ({}, int),
        (True, Literal[1, 2]),
        (1, Literal[True]),
    ],
)
def test_no_scalar_is_taken_for_another(value: Any, annotation: Any) -> None:
    """Above all a boolean is no number, though Python says so."""
    made, found = read(value, annotation)
    assert made is None
    assert where(found) == ["here"]


def test_a_record_with_rest_keeps_what_it_does_not_name() -> None:
    """The arguments of a target, and back again."""
    given = {"_target_": "a.b", "x": 1, "y": {"z": [1, 2]}}
    made, found = read(given, Call)
    assert (made, found) == (Call(target="a.b", args={"x": 1, "y": {"z": [1, 2]}}), [])
    assert plain_config(made) == given


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_understood_reads_back_as_the_same(name: str) -> None:
    """plain_config() and the reader are each other's inverse over every shipped experiment."""
    experiment: Experiment = from_hydra(f"experiment={name}")
    assert read(plain_config(experiment.run), Run) == (experiment.run, [])
    for content in experiment.pipelines.values():
        assert read(plain_config(content), Pipeline) == (content, [])
        assert read(plain_config(content.tuner), Tuner) == (content.tuner, [])
        assert read(plain_config(content.data), Data) == (content.data, [])


def test_plain_data_shares_nothing_with_the_record() -> None:
    """Changing one leaves the other as it was."""
    record = Dog(weight=1.0, tricks=["sit"])
    plain_config(record)["tricks"].append("roll")
    assert record.tricks == ["sit"]


def test_the_closest_member_of_a_union_complains() -> None:
    """A number that may be a hyperparameter too is complained about as a number."""
    _, found = read("ten", int | Hyperparameter | None)
    assert [(p.where, p.what) for p in found] == [("here", "must be a whole number, not 'ten'")]


def test_a_literal_names_its_values() -> None:
    """With the nearest one first."""
    _, found = read({"kind": "sklearn", "name": "irsi"}, SklearnData)
    assert "did you mean 'iris'" in found[0].what
    assert found[0].where == "here.name"
