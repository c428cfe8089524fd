"""Bounds what a config file unfolds to, before OmegaConf makes objects of it: through YAML's
aliases, a few lines can hold billions of values, and a long list takes minutes.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import yaml
from hydra._internal.core_plugins import file_config_source  # no public way leads in between
from hydra.plugins.config_source import ConfigResult

from runner.errors import ConfigError

MOST = 10_000  # values of a file, those behind aliases included
DEEPEST = 50  # mappings and lists within each other
TOO_MUCH = (
    f"with aliases expanded it has more than {MOST:,} values, or {DEEPEST} levels; keep data of "
    "this size in a file that `data` names"
)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, if it is there, is much faster


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's own, which reads every config file, with bounds."""

    def load_config(self, config_path: str) -> ConfigResult:
        bound(Path(self.path, f"{config_path.removesuffix('.yaml')}.yaml"))
        return super().load_config(config_path)


def bound(file: Path) -> None:
    """Raise ConfigError for a file that unfolds to too much; other faults are Hydra's to tell."""
    known: dict[str | None, tuple[int, int]] = {}  # what an anchor stands for: values, levels

    def unfold(events: Iterator[yaml.Event], level: int) -> tuple[int, int]:
        values, levels = 1, 1
        for event in events:
            if values > MOST or level + levels > DEEPEST:
                raise ConfigError(TOO_MUCH, "", relative(file))
            if isinstance(event, yaml.CollectionEndEvent):
                break
            inner = (
                known.get(event.anchor, (1, 0)) if isinstance(event, yaml.AliasEvent) else (1, 0)
            )
            if isinstance(event, yaml.CollectionStartEvent):
                known[event.anchor] = MOST, 0  # one that holds itself has no end
                inner = known[event.anchor] = unfold(events, level + 1)
            values, levels = values + inner[0], max(levels, inner[1] + 1)
        return values, levels

    with suppress(yaml.YAMLError, OSError, UnicodeDecodeError), file.open(encoding="utf-8") as text:
        unfold(iter(yaml.parse(text, LOADER)), 0)


def relative(path: Path) -> str:
    """Return a path from the current folder, where it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
