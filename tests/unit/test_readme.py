"""README and the pages below docs/ are true: what they show of files is in them, what they list is
all there is, and each command that they show is one.
"""

import ast
import re
import shlex
from pathlib import Path
from typing import get_args

import hydra
import pytest
import yaml
from documentation import BLOCKS, FILES, PAGES, REPOSITORY, WHOLE, block, commands
from pydantic import TypeAdapter, ValidationError

from history.view.commands import parser, subparsers
from runner.config import compose, plugins
from runner.config.arguments import as_typed, for_hydra
from runner.config.choices import conf_folder
from runner.config.schema import SOURCES, Data
from runner.config.section import faults, tag_of
from runner.errors import ConfigError

SHIPPED = [name for name in FILES if (REPOSITORY / name).exists()]


@pytest.mark.parametrize("name", ["houses", "flowers"])
def test_a_csv_file_needs_fifteen_lines_of_yaml(name: str) -> None:
    """A model of one's own as well."""
    assert len(block(f"# conf/experiment/{name}.yaml").splitlines()) <= 15


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_is_shown_as_it_is(name: str) -> None:
    """But for its comments."""
    assert yaml.safe_load(FILES[name]) == yaml.safe_load(
        (REPOSITORY / name).read_text(encoding="utf-8")
    )


def test_some_shipped_files_are_shown() -> None:
    """An experiment and a search space at least."""
    assert {"conf/experiment/digits.yaml", "conf/model/mlp.yaml"} <= set(SHIPPED)


def test_every_kind_of_data_is_shown_with_all_that_it_needs() -> None:
    """But for the files, which are the reader's."""
    lines = re.findall(r"^(data: \{(?:kind|_target_).*\})", WHOLE, re.MULTILINE)
    sections = [yaml.safe_load(line)["data"] for line in lines]
    complaints = []
    for section in sections:
        try:
            TypeAdapter(Data).validate_python(section)
        except ValidationError as error:
            complaints += [what for _, what in faults(error, "data")]
    assert [what for what in complaints if "does not exist" not in what] == []
    kinds = {tag_of(kind)[1] for kind in get_args(SOURCES)}
    assert {section.get("kind") for section in sections} == kinds


def test_every_history_command_is_listed() -> None:
    """In the table of commands."""
    assert {name for name in subparsers.choices if f"| `{name}" not in WHOLE} == set()


def composed(command: str) -> None:
    """Check a command as the command line does; of several values the first."""
    first = re.sub(r"=([^ ,\[{]+),\S*", r"=\1", command.removeprefix("-m "))
    given = for_hydra(shlex.split(first))
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        tree = compose.plain(hydra.compose("config", given))
    if tree["reproduce"] or tree["predict"]:
        compose.run_settings(tree)
    else:
        compose.experiment("main", tree, [*map(as_typed, given)])


def test_every_command_that_is_shown_passes_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with the files that are shown; the one that is wrong says what is shown."""
    monkeypatch.chdir(tmp_path)
    for name in ("houses", "flowers"):
        (tmp_path / f"{name}.csv").touch()
        experiment = tmp_path / f"conf/experiment/{name}.yaml"
        experiment.parent.mkdir(parents=True, exist_ok=True)
        experiment.write_text(block(f"# conf/experiment/{name}.yaml"), encoding="utf-8")
    (tmp_path / "scheduler.json").write_text('{"address": "tcp://127.0.0.1:8786"}')
    plugins.register()
    mistakes = {}
    for command in commands("runner"):
        try:
            composed(command)
        except ConfigError as error:
            mistakes[command] = [problem.what for problem in error.problems]
    [(command, problems)] = mistakes.items()
    [shown] = [text for _, text in BLOCKS if f"$ python -m runner {command}\n" in text]
    assert shown.count("\nerror: ") == len(problems)
    assert all(what.partition(" (known")[0] in shown for what in problems), problems


def test_every_command_of_the_history_that_is_shown_is_one() -> None:
    """With its options."""
    assert commands("history")
    for command in commands("history"):
        parser.parse_args(shlex.split(command.partition(" >")[0]))


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    """To a file, and to a heading of it."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        file, _, heading = target.partition("#")
        path = (REPOSITORY / name).parent / file if file else REPOSITORY / name
        if ":" in file or (path.exists() and not heading):
            continue
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        if heading not in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}:
            broken.append(target)
    assert broken == []


def test_every_page_is_linked_from_readme() -> None:
    """Nobody finds another."""
    others = [page for page in PAGES if page != "README.md"]
    assert [page for page in others if f"({page}" not in PAGES["README.md"]] == []


def test_the_python_that_is_shown_is_python() -> None:
    """The models in it run in the end-to-end tests."""
    for language, text in BLOCKS:
        if language == "python":
            ast.parse(text)
