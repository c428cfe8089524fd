"""REFERENCE.md and the JSON Schema of editors are what the schema says, which says what each key
means.
"""

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from documentation import BLOCKS, FILES
from jsonschema import Draft7Validator
from omegaconf import OmegaConf
from runner_samples import REPOSITORY

from docs.reference import experiment_schema, reference
from runner import models
from runner.config.choices import answer, conf_folder

SHIPPED = sorted(conf_folder().glob("**/*.yaml"))
LINE = re.compile(r"^# yaml-language-server: \$schema=(\S+)$", re.MULTILINE)


def test_the_reference_is_what_the_schema_gives() -> None:
    """Write it anew with `python -m docs.reference`."""
    assert (REPOSITORY / "REFERENCE.md").read_text(encoding="utf-8") == reference()


def test_every_key_says_what_it_means() -> None:
    """In its docstring: no row has an empty last cell, and each ends on its line."""
    rows = [line for line in reference().splitlines() if line.startswith("| ")]
    assert [line for line in rows if line.endswith("|  |") or not line.endswith(" |")] == []


@pytest.mark.parametrize(
    "model", [models.series, models.linear, models.mlp, models.cnn, models.lstm]
)
def test_every_argument_of_a_shipped_model_is_in_the_reference(model: Callable[..., Any]) -> None:
    """With its default in the signature, and with its meaning in the docstring."""
    _, _, told = reference().partition(f"## runner.models.{model.__name__}\n")
    for name, argument in inspect.signature(model).parameters.items():
        assert f"\n    {name}: " in told.split("##")[0]
        assert str(argument) in told.split("##")[0]


def complaints(text: str, definition: str = "File") -> list[str]:
    """What is wrong with a YAML text."""
    schema = {**experiment_schema(), "$ref": f"#/$defs/{definition}"}
    content = OmegaConf.to_container(OmegaConf.create(text))
    return [error.message for error in Draft7Validator(schema).iter_errors(content)]


def test_the_shipped_schema_is_current_and_printed() -> None:
    """Write it anew with `python -m docs.reference`."""
    text = (conf_folder() / "schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == experiment_schema()
    assert answer(["schema"]) == text.rstrip()
    Draft7Validator.check_schema(experiment_schema())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_shipped_file_names_the_schema_that_it_fits(path: Path) -> None:
    """A group's file the definition of its group."""
    text = path.read_text(encoding="utf-8")
    [named] = LINE.findall(text)
    file, _, definition = named.partition("#/$defs/")
    assert (path.parent / file).resolve() == (conf_folder() / "schema.json").resolve()
    assert definition in ("", path.parent.name)
    assert complaints(text, definition or "File") == []


def test_the_files_that_the_pages_show_name_it_too() -> None:
    """Those of the reader's own folder, beside what `runner schema` prints."""
    assert len(FILES) > 3
    for text in FILES.values():
        [named] = LINE.findall(text)
        assert complaints(text, named.partition("#/$defs/")[2] or "File") == []


def test_all_yaml_that_the_pages_show_fits_it() -> None:
    """Parts of files, too; of several ways to say `data`, each."""
    texts = [text for language, text in BLOCKS if language == "yaml"]
    for text in texts:
        for part in re.split(r"^(?=data: )", text, flags=re.MULTILINE):
            assert text in FILES.values() or complaints(part) == [], part


@pytest.mark.parametrize(
    "text",
    [
        "fit: {epochs: '${validation.epochs}', batch_size: '???', shuffle: {hp: Boolean}}",
        "model: {_target_: a.b, x: {y: [{hp: Choice, values: [1, 2]}, null]}}",
        "pipelines: {a: null, b: {tuner: {max_trials: 3}, data: '???'}}",
        "hooks: {purge: null}",
        "data: {_target_: a.b, anything: {at: [all]}}",
    ],
)
def test_what_may_be_written_fits(text: str) -> None:
    """Interpolations, missing values, hyperparameters, parts of what is inherited."""
    assert complaints(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "valdation: {}",
        "fit: {epohcs: 3}",
        "fit: {epochs: ten}",
        "tuner: {max_trails: 3}",
        "tuner: {kind: grid, max_epochs: 3}",
        "data: {kind: npz, pth: a.npz}",
        "pipelines: {a: {fit: {epohcs: 3}}}",
        "model: {_target_: a.b, x: {y: [{hp: Int, min_valu: 2}]}}",
        "callbacks: {stop: {target: a.b}, other: 3}",
        "defaults: {tuner: random}",
    ],
)
def test_a_mistake_does_not_fit(text: str) -> None:
    """A typo in a key above all."""
    assert complaints(text) != []
