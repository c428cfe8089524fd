"""README is true: what it shows of files is in them, and what it lists is all there is."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

import runner
from history.view.commands import subparsers
from runner.config.schema import SOURCES, Data
from runner.config.section import faults, tag_of

REPOSITORY = Path(runner.__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"^```\w+\n((?:# @[^\n]*\n)?# (\S+\.yaml)\n.*?)^```", README, re.DOTALL | re.MULTILINE
)
SHIPPED = {name: block for block, name in BLOCKS if (REPOSITORY / name).exists()}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_is_shown_as_it_is(name: str) -> None:
    """But for its comments."""
    assert yaml.safe_load(SHIPPED[name]) == yaml.safe_load(
        (REPOSITORY / name).read_text(encoding="utf-8")
    )


def test_some_shipped_files_are_shown() -> None:
    """An experiment and a search space at least."""
    assert {"conf/experiment/digits.yaml", "conf/model/mlp.yaml"} <= set(SHIPPED)


def test_every_kind_of_data_is_shown_with_all_that_it_needs() -> None:
    """But for the files, which are the reader's."""
    lines = re.findall(r"^(data: \{(?:kind|_target_).*\})", README, re.MULTILINE)
    sections = [yaml.safe_load(line)["data"] for line in lines]
    found = []
    for section in sections:
        try:
            TypeAdapter(Data).validate_python(section)
        except ValidationError as error:
            found += [what for _, what in faults(error, "data") if "there is no" not in what]
    assert found == []
    kinds = {tag_of(kind)[1] for kind in get_args(SOURCES)}
    assert {section.get("kind") for section in sections} == kinds


def test_every_history_command_is_listed() -> None:
    """In the table of commands."""
    assert {name for name in subparsers.choices if f"| `{name}" not in README} == set()
