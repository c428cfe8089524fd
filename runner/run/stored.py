"""Rebuilds an experiment from an entry of the history, whose original YAML may be gone. Imports
nothing that the entry names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from history.catalogue import History
from history.config import SURROUNDINGS, stored_config
from history.entry import Entry
from history.errors import InputError, UntrustedCode
from runner.config import arguments, compose
from runner.config.schema import Experiment, Run
from runner.config.trust import foreign_code
from runner.errors import ConfigError, Problem

NEEDED = ("model", "config", "history")  # artefacts that there is nothing to compare without


@dataclass(frozen=True)
class Reproduction:
    """An entry that is to be run again, and the experiment of its one pipeline."""

    entry: Entry
    experiment: Experiment


def reproduction(run: Run, overrides: Sequence[str]) -> Reproduction:
    """Return what `reproduce=ENTRY` asks for.

    Args:
        run: the root keys of this command.
        overrides: of this command; those of sections (a data file that has moved) lie over what was
            stored.

    Raises:
        InputError: no such entry, one that holds nothing to reproduce, or a wrong override.
        UntrustedCode: it names code, and `trust` is not set; what an override names is the user's
            own word.
        IntegrityError: its config is not what was stored.
    """
    entry = History(run.paths.root).get(str(run.reproduce))
    if entry.status == "failed":
        raise InputError(f"entry {entry.id} cannot be reproduced: it failed")
    if any(name not in entry.value("artefacts", {}) for name in NEEDED):
        raise InputError(
            f"entry {entry.id} cannot be reproduced: it was imported without its config or model"
        )
    keys, name, sections = stored_config(entry)
    changes, problems = [], []
    for override in arguments.parse(overrides):
        key = override.key_or_group
        if arguments.effect(override) == "section":
            changes.append(str(override.input_line))
        elif key.split(".")[0] not in SURROUNDINGS:
            what = "comes from the history; only keys of sections (data.path=...) can differ"
            problems.append(Problem(key, what))
    if problems:
        raise ConfigError(problems)
    if (foreign := foreign_code(sections)) and not run.trust:
        raise UntrustedCode(f"reproducing {entry.id}", foreign)
    keys |= {key: value for key, value in run.model_dump().items() if key in SURROUNDINGS}
    tree = {**keys, "pipelines": {name: sections}}
    experiment = compose.experiment(entry.experiment, tree, changes, stored=True)
    return Reproduction(entry, experiment)
