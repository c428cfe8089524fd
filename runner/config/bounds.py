"""Bounds what a config file unfolds to, before OmegaConf makes objects of it: through YAML's
aliases, a few lines can hold billions of values, and a long list takes minutes.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import yaml

from history.config import LOADER
from runner.errors import ConfigError

MOST = 10_000  # values of a file, those behind aliases included
DEEPEST = 50  # mappings and lists within each other
TOO_MUCH = (
    f"with aliases expanded it has more than {MOST:,} values, or {DEEPEST} levels; keep data of "
    "this size in a file that `data` names"
)


def bound(file: Path) -> None:
    """Raise ConfigError for a file that unfolds to too much; other faults are Hydra's to tell."""
    anchors: dict[str | None, tuple[int, int]] = {}  # what each stands for: values, levels

    def unfold(events: Iterator[yaml.Event], level: int) -> tuple[int, int]:
        values = levels = 1
        for event in events:
            if values > MOST or level + levels > DEEPEST:
                raise ConfigError(TOO_MUCH, place=relative(file))
            if isinstance(event, yaml.CollectionEndEvent):
                break
            inner = 1, 0
            if isinstance(event, yaml.AliasEvent):
                inner = anchors.get(event.anchor, inner)
            elif isinstance(event, yaml.CollectionStartEvent):
                anchors[event.anchor] = MOST, 0  # one that holds itself has no end
                inner = unfold(events, level + 1)
                anchors[event.anchor] = inner
            values += inner[0]
            levels = max(levels, inner[1] + 1)
        return values, levels

    with suppress(yaml.YAMLError, OSError, UnicodeDecodeError), file.open(encoding="utf-8") as text:
        unfold(yaml.parse(text, LOADER), 0)


def relative(path: Path) -> str:
    """Return a path from the current folder, where it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
