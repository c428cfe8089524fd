"""Rebuilds an experiment from an entry alone, and imports nothing that the entry names."""

from collections.abc import Sequence
from dataclasses import dataclass

from foundation import errors
from history import Entry, catalogue, config
from runner.config import arguments, compose, schema
from runner.errors import ConfigError, Problem

NEEDED = ("model", "config", "history")  # artefacts that a comparison needs


@dataclass(frozen=True)
class Reproduction:
    """An entry that is to be run again, and the experiment that consists of its pipeline."""

    entry: Entry
    experiment: schema.Experiment

    @property
    def keeps_trial(self) -> bool:
        """Whether its model is that of the best trial, not a refit."""
        (pipeline,) = self.experiment.pipelines.values()
        return pipeline.validation.weights == "trial"


def reproduction(run: schema.Run, overrides: Sequence[str]) -> Reproduction:
    """Return what `reproduce=ENTRY` asks for.

    Args:
        run: the root keys of this command.
        overrides: of this command; those of sections (a data file that has moved) override the
            stored config.

    Raises:
        InputError: there is no such entry, it cannot be reproduced, or an override is wrong.
        UntrustedCode: its config names code, and `trust` is not set. Code that overrides name is
            trusted.
        IntegrityError: its config has changed since it was stored.
    """
    entry = catalogue.History(run.paths.root).get(str(run.reproduce))
    if entry.status == "failed":
        raise errors.InputError(f"entry {entry.id} cannot be reproduced: it failed")
    if any(name not in entry.artefacts for name in NEEDED):
        raise errors.InputError(
            f"entry {entry.id} cannot be reproduced: it was imported without its config or model"
        )
    keys, name, sections = config.stored_config(entry)
    own = run.model_dump(exclude=set(config.DECIDING))
    of_sections = []
    problems = []
    for override in arguments.parse(overrides):
        key = override.key_or_group
        if arguments.effect(override) == "section":
            of_sections.append(str(override.input_line))
        elif key.split(".")[0] not in own:
            what = "comes from the history; only keys of sections (data.path=...) can be overridden"
            problems.append(Problem(key, what))
    if problems:
        raise ConfigError(problems)
    foreign = config.foreign_code(sections)
    if foreign and not run.trust:
        raise errors.UntrustedCode(f"reproducing {entry.id}", foreign)
    content = keys | own | {"pipelines": {name: sections}}
    experiment = compose.experiment(entry.experiment, content, of_sections, stored=True)
    return Reproduction(entry, experiment)
