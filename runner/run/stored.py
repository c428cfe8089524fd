"""An experiment from an entry of the history: its original YAML may be gone. Imports nothing that
the entry names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from history.catalogue import History
from history.entry import Entry
from history.errors import InputError, UntrustedCode
from history.exchange.config import SURROUNDINGS, stored_config
from runner.config import compose
from runner.config.check import plain_config
from runner.config.schema import Experiment, Run
from runner.config.trust import foreign_code
from runner.errors import ConfigError, Problem

NEEDED = ("model", "config", "history")  # artefacts that there is nothing to compare without


@dataclass(frozen=True)
class Reproduction:
    """An entry that is to be run again, and the experiment of its one pipeline."""

    entry: Entry
    experiment: Experiment
    search: bool  # its search is repeated too

    @property
    def run(self) -> Run:
        return self.experiment.run

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return next(iter(self.experiment.pipelines))


def reproduction(run: Run, overrides: Sequence[str]) -> Reproduction:
    """What `reproduce=ENTRY` asks for.

    Args:
        run: the root keys of this command.
        overrides: of this command; those of sections (a data file that has moved) lie over what was
            stored.

    Raises:
        InputError: no such entry, one that holds nothing to reproduce, or a wrong override.
        UntrustedCode: it names code, and `trust` is not set; what an override names is the user's
        own word. IntegrityError: its config is not what was stored.
    """
    entry = History(run.paths.root, run.history.kind).get(str(run.reproduce))
    if entry.status == "failed" or any(name not in entry.value("artefacts", {}) for name in NEEDED):
        why = (
            "it failed"
            if entry.status == "failed"
            else "it was imported without its config or model"
        )
        raise InputError(f"entry {entry.id} cannot be reproduced: {why}")
    root_keys, name, sections = stored_config(entry)
    changes = _sections_only(overrides)
    here = {key: value for key, value in plain_config(run).items() if key in SURROUNDINGS}
    then = {key: value for key, value in root_keys.items() if key not in SURROUNDINGS}
    foreign = foreign_code(sections)
    if foreign and not run.trust:
        raise UntrustedCode(f"reproducing {entry.id}", foreign)
    experiment = compose.stored_experiment(
        entry.experiment, {**then, **here}, {name: sections}, changes
    )
    return Reproduction(entry, experiment, run.reproduce_search)


def _sections_only(overrides: Sequence[str]) -> list[str]:
    """The overrides of sections; others may only say where and how to run."""
    problems, kept = [], []
    for override in compose.parse(overrides):
        key = override.key_or_group
        if compose.is_value(override):
            kept.append(str(override.input_line))
        elif key.split(".")[0] not in SURROUNDINGS:
            problems.append(
                Problem(
                    key, "comes from the history; only keys of sections (data.path=...) can differ"
                )
            )
    if problems:
        raise ConfigError(problems)
    return kept
