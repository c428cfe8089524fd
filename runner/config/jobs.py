"""Configs as Hydra will compose them, of a run and of all jobs of a sweep, so that they can be
checked before it does.

Composing takes Hydra a tenth of a second, most of it for the files. Jobs that differ in values
alone share them: the values are laid over a copy, by Hydra's own hand.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from runner.config.compose import parse

SWEEPER = f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}"


def given(hydra_config: Any, kind: str = "task") -> list[str]:
    """The arguments of a composed config; an interpolation in them is not theirs to resolve."""
    return [str(o) for o in OmegaConf.to_container(hydra_config.overrides[kind], resolve=False)]  # type: ignore[union-attr]


def all_given(hydra_config: Any) -> list[str]:
    """Its arguments, those that Hydra keeps for itself included."""
    return [*given(hydra_config, "hydra"), *given(hydra_config)]


class Composer:
    """Composes configs as Hydra does, each choice of files once.

    Args:
        loader: Hydra's.
        name: of the primary config.
    """

    def __init__(self, loader: ConfigLoaderImpl, name: str) -> None:
        self.loader, self.name = loader, name
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    @property
    def folders(self) -> list[Path]:
        """Where configs are looked for, in this order."""
        return [
            Path(source.path) for source in self.loader.get_sources() if source.scheme() == "file"
        ]

    def files(self, arguments: Sequence[str]) -> DictConfig:
        """What the files alone say, those that the command line chooses, less what it takes
        away.
        """
        composed = self._files(arguments)
        return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])

    def job(self, arguments: Sequence[str]) -> DictConfig:
        """The config that Hydra will compose for a job, open to changes."""
        overrides = parse(arguments)
        self.loader.validate_sweep_overrides_legal(overrides, RunMode.RUN, from_shell=True)
        config = copy.deepcopy(self._files(arguments))
        self.loader._apply_overrides_to_config(
            [o for o in overrides if not self._chooses(o)], config
        )
        OmegaConf.set_struct(config, False)
        with open_dict(config.hydra):
            config.hydra.overrides.task = [
                o.input_line for o in overrides if not o.is_hydra_override()
            ]
            config.hydra.overrides.hydra = [
                o.input_line for o in overrides if o.is_hydra_override()
            ]
        return config

    def sweeps(self, arguments: Sequence[str]) -> bool:
        """Whether a command without `-m` is a sweep all the same."""
        return (
            "hydra.mode=MULTIRUN" in arguments
            or self._files(arguments).hydra.mode == RunMode.MULTIRUN
        )

    def sweep(self, arguments: Sequence[str]) -> DictConfig:
        """The config that Hydra will compose for a sweep as a whole."""
        return self.loader.load_configuration(self.name, list(arguments), RunMode.MULTIRUN)

    def jobs(self, sweep: DictConfig) -> list[list[str]]:
        """The arguments of each job of a sweep; none for a sweeper that makes them up as it
        goes.
        """
        if sweep.hydra.sweeper._target_ != SWEEPER:
            return []
        fixed = [f"{key}={value}" for key, value in (sweep.hydra.sweeper.params or {}).items()]
        overrides = parse([*fixed, *given(sweep.hydra)], self.loader)
        batches: list[list[list[str]]] = BasicSweeper.split_arguments(overrides, None)
        return [[*given(sweep.hydra, "hydra"), *job] for job in batches[0]]

    def chosen(self, arguments: Sequence[str]) -> tuple[str, ...]:
        """Those of the arguments that decide which files there are."""
        return tuple(
            str(override.input_line) for override in parse(arguments) if self._chooses(override)
        )

    def _files(self, arguments: Sequence[str]) -> DictConfig:
        chosen = self.chosen(arguments)
        if chosen not in self._composed:
            self._composed[chosen] = self.loader.load_configuration(
                self.name, list(chosen), RunMode.RUN
            )
        return self._composed[chosen]

    def _chooses(self, override: Override) -> bool:
        if override.is_delete() or override.key_or_group == "hydra.searchpath":
            return True
        group = self.loader.repository.group_exists(override.key_or_group)
        return group and not isinstance(override.value(), Mapping)
