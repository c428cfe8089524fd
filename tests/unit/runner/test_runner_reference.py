"""REFERENCE.md is what the schema says, and the schema says what each key means."""

import dataclasses
import inspect

import pytest
from runner_samples import REPOSITORY

from runner.config import schema as settings
from runner.config.reference import meanings, reference

SCHEMAS = [
    schema
    for _, schema in inspect.getmembers(settings, inspect.isclass)
    if dataclasses.is_dataclass(schema)
    and schema.__module__ == settings.__name__
    and schema is not settings.Experiment
]


def test_the_reference_is_what_the_schema_gives() -> None:
    """Write it anew with `python -m runner.config.reference > REFERENCE.md`."""
    assert (REPOSITORY / "REFERENCE.md").read_text(encoding="utf-8") == reference()


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_every_key_says_what_it_means(schema: type) -> None:
    """In a comment beside its field, or above it."""
    assert [name for name, meaning in meanings(schema).items() if not meaning] == []


def test_every_argument_of_a_shipped_model_says_what_it_means() -> None:
    """In its docstring: no row of the reference has an empty last cell, but for groups, whose names
    speak.
    """
    keys = reference().split("## Groups")[0]
    assert [
        line for line in keys.splitlines() if line.startswith("| ") and line.endswith("|  |")
    ] == []
    assert "### `runner.models.mlp`" in keys
