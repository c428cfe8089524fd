"""What several test modules of the runner share: configs and how they are composed."""

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf

from runner import cli
from runner.config import compose
from runner.config.check import Reader
from runner.config.choices import conf_folder
from runner.config.schema import Experiment, Pipeline
from runner.errors import ConfigError, Problem

REPOSITORY = Path(cli.__file__).parents[1]
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
    cli._register()
    given = list(overrides)
    values = {
        override.input_line for override in compose.parse(given) if compose.is_value(override)
    }
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        config, base = (
            hydra.compose("config", overrides=chosen)
            for chosen in (given, [override for override in given if override not in values])
        )
    OmegaConf.set_struct(config, False)
    return compose.experiment(config, base, given, "named")


def from_files(files: Mapping[str, Any], *overrides: str) -> Experiment:
    """The experiment of a config that is written out here, with command-line values over it."""
    base = DictConfig(dict(files))
    config = base.copy()
    for override in compose.parse(list(overrides)):
        OmegaConf.update(config, override.key_or_group, override.value(), force_add=True)
    return compose.experiment(config, base, list(overrides), "named")


def problems(compose_it: Callable[[], object]) -> dict[str, str]:
    """The problems that composing reports, by the key that they are reported at, each key once."""
    with pytest.raises(ConfigError) as caught:
        compose_it()
    found = caught.value.problems
    assert len({problem.where for problem in found}) == len(found), found
    return {problem.where: problem.what for problem in found}


def read(value: Any, annotation: Any) -> tuple[Any, list[Problem]]:
    """What a reader makes of a value, and its complaints."""
    reader = Reader()
    return reader.read(value, annotation, "here"), reader.problems


def where(found: Iterable[Problem]) -> list[str]:
    return [problem.where for problem in found]


def pipeline(**sections: Any) -> Pipeline:
    """A checked pipeline of SECTIONS with these sections in place of theirs."""
    made, found = read({**SECTIONS, **sections}, Pipeline)
    assert found == []
    assert isinstance(made, Pipeline)
    return made
