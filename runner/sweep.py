"""The jobs of a sweep, composed before the first one starts, so that all of them can be checked.

Composing takes Hydra a tenth of a second, most of it for the files. Jobs that differ in values alone share them: the
values are laid over a copy, by Hydra's own hand.
"""

import copy
from collections.abc import Mapping, Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from runner.compose import parse

SWEEPER = f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}"


def jobs(hydra_config: DictConfig, arguments: Sequence[str]) -> list[list[str]]:
    """The arguments of each job; none for a sweeper that makes them up as it goes."""
    if hydra_config.sweeper._target_ != SWEEPER:
        return []
    fixed = [f"{key}={value}" for key, value in (hydra_config.sweeper.params or {}).items()]
    batches: list[list[list[str]]] = BasicSweeper.split_arguments(parse([*fixed, *arguments]), None)
    return batches[0]


class Composer:
    """Composes configs as Hydra does, each choice of files once.

    Args:
        loader: Hydra's.
        name: of the primary config.
    """

    def __init__(self, loader: ConfigLoaderImpl, name: str) -> None:
        self.loader, self.name = loader, name
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def files(self, overrides: Sequence[str]) -> DictConfig:
        """What the files alone say, those that the command line chooses, less what it takes away."""
        composed = self._files(overrides)
        return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])

    def job(self, overrides: Sequence[str]) -> DictConfig:
        """The config that Hydra will compose for a job."""
        config = copy.deepcopy(self._files(overrides))
        values = [override for override in parse(overrides) if not self._chooses(override)]
        self.loader._apply_overrides_to_config(values, config)
        with open_dict(config.hydra):
            config.hydra.overrides.task = list(overrides)
        return config

    def chosen(self, overrides: Sequence[str]) -> tuple[str, ...]:
        """Those of the arguments that decide which files there are."""
        return tuple(str(override.input_line) for override in parse(overrides) if self._chooses(override))

    def _files(self, overrides: Sequence[str]) -> DictConfig:
        chosen = self.chosen(overrides)
        if chosen not in self._composed:
            self._composed[chosen] = self.loader.load_configuration(self.name, list(chosen), RunMode.RUN)
        return self._composed[chosen]

    def _chooses(self, override: Override) -> bool:
        group = self.loader.repository.group_exists(override.key_or_group)
        return override.is_delete() or (group and not isinstance(override.value(), Mapping))
