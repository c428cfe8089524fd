"""What several test modules of the runner share: configs and how they are composed."""

import functools
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import DictConfig
from pydantic import TypeAdapter, ValidationError

import runner
from history import registry
from history.entry import Entry
from history.manager import COMMON_ARTEFACTS
from runner.config import compose, plugins
from runner.config.arguments import as_typed, for_hydra
from runner.config.choices import conf_folder
from runner.config.schema import Data, Experiment, Pipeline
from runner.config.section import faults
from runner.data.dataset import Dataset
from runner.data.sources import load
from runner.errors import ConfigError, Problem

REPOSITORY = Path(runner.__file__).parents[1]
SHIPPED = sorted(path.stem for path in (REPOSITORY / "conf" / "experiment").glob("*.yaml"))

MLP: dict[str, Any] = {
    "_target_": "runner.models.mlp",
    "hidden": {"h1": {"hp": "Int", "min_value": 4, "max_value": 16, "step": 4}},
    "learning_rate": {"hp": "Float", "min_value": 1e-3, "max_value": 1e-1, "sampling": "log"},
}
SECTIONS: dict[str, Any] = {
    "task": {"kind": "classification"},
    "data": {"kind": "sklearn", "name": "iris"},
    "model": MLP,
    "tuner": {"kind": "random", "max_trials": 4},
}


@functools.cache  # the shipped configs do not change
def from_hydra(*overrides: str) -> Experiment:
    """The experiment that these command-line arguments name, composed by Hydra as the command line
    does it.
    """
    plugins.register()
    given = for_hydra(overrides)
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        return from_files(hydra.compose("config", given), *map(as_typed, given))


def from_files(files: Mapping[str, Any], *overrides: str) -> Experiment:
    """The experiment of a config that is written out here, with command-line values over it."""
    return compose.experiment("named", compose.plain(DictConfig(files)), overrides)


def problems(compose_it: Callable[[], object]) -> dict[str, str]:
    """The problems that composing reports, by the key that they are reported at, each key once."""
    with pytest.raises(ConfigError) as caught:
        compose_it()
    found = caught.value.problems
    assert len({problem.where for problem in found}) == len(found), found
    return {problem.where: problem.what for problem in found}


def read(value: Any, annotation: Any, at: str = "here") -> tuple[Any, list[Problem]]:
    """What a section, or a union of sections, makes of a value, and its complaints."""
    try:
        return TypeAdapter(annotation).validate_python(value), []
    except ValidationError as error:
        return None, [Problem(*fault) for fault in faults(error, at)]


def where(found: Iterable[Problem]) -> list[str]:
    return [problem.where for problem in found]


def pipeline(**sections: Any) -> Pipeline:
    """A checked pipeline of SECTIONS with these sections in place of theirs."""
    made, found = read({**SECTIONS, **sections}, Pipeline)
    assert found == []
    assert isinstance(made, Pipeline)
    return made


def stored(root: Path, status: str = "complete", config: str = "c", **document: object) -> Entry:
    """A stored entry of the pipeline `mlp` of a classification, which has every artefact."""
    manager = registry.manager("classification", root)
    with tempfile.TemporaryDirectory() as folder:
        files = {
            name: Path(folder, f"{name}.bin")
            for name in (*COMMON_ARTEFACTS, *manager.artefacts, "history")
        }
        for name, path in files.items():
            path.write_text(config if name == "config" else name)
        return manager.add({"pipeline": "mlp", "status": status, **document}, files)


def data(task: str = "classification", **section: Any) -> Dataset:
    """The rows that a section `data` names."""
    settings, found = read(section, Data, "data")
    assert found == []
    return load(settings, task)
