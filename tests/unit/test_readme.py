"""README is true: what it shows of files is in them, and what it lists is all there is."""

import re
from pathlib import Path

import pytest
import yaml

import runner
from history.__main__ import _parser

REPOSITORY = Path(runner.__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w+\n((?:# @[^\n]*\n)?# (\S+\.yaml)\n.*?)^```", README, re.DOTALL | re.MULTILINE)
SHIPPED = {name: block for block, name in BLOCKS if (REPOSITORY / name).exists()}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_is_shown_as_it_is(name: str) -> None:
    """But for its comments."""
    assert yaml.safe_load(SHIPPED[name]) == yaml.safe_load((REPOSITORY / name).read_text(encoding="utf-8"))


def test_some_shipped_files_are_shown() -> None:
    """An experiment and a search space at least."""
    assert {"conf/experiment/digits.yaml", "conf/model/mlp.yaml"} <= set(SHIPPED)


@pytest.mark.parametrize(
    "group", [path.name for path in sorted((REPOSITORY / "conf").iterdir()) if len([*path.glob("*.yaml")]) > 1]
)
def test_every_choice_of_a_group_is_listed(group: str) -> None:
    """In the table of groups."""
    (row,) = re.findall(rf"^\| `{group}` \| (.*) \|$", README, re.MULTILINE)
    assert set(re.findall(r"`([a-z_]+)`", row)) >= {path.stem for path in (REPOSITORY / "conf" / group).glob("*.yaml")}


def test_every_history_command_is_listed() -> None:
    """In the table of commands."""
    (commands,) = (action.choices for action in _parser()._actions if isinstance(action.choices, dict))
    assert {name for name in commands if f"| `{name}" not in README} == set()
