"""Plans a pipeline: loads its data, knows its identity and its search's folder, and fails early
where it must fail.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from history.entry import Entry
from history.errors import HistoryError
from history.files import read_json
from history.view.compare import differences
from runner.config.check import plain_config
from runner.config.schema import Experiment, HyperbandTuner, Target
from runner.config.secrets import redact
from runner.config.targets import locate
from runner.errors import short
from runner.run.identity import digest, search_parts, source_hash
from runner.run.preflight import preflight
from runner.search.state import MARKER, RESULT, Place
from runner.training import environment
from runner.training.build import bench, has_own_fit

log = logging.getLogger("runner")

RECENT = 100  # entries among which the one that is nearest is looked for


@dataclass(frozen=True)
class Plan:
    """A pipeline that can run."""

    name: str
    parts: dict[str, Any]  # all that decides the search's trials
    identity: dict[str, Any]  # that, and all that decides the rest of the pipeline
    place: Place  # of the search, marked by a digest of the parts
    fingerprint: str  # the pipeline's: the search's, and validation
    data: dict[str, Any]  # as an entry records it
    preparation: float  # seconds


def plan(experiment: Experiment, name: str) -> Plan:
    """Loads a pipeline's data, builds its default model and lets it take a batch.

    Raises:
        InputError: the config cannot work.
        Exception: whatever the user's own data and model functions raise.
    """
    run, pipeline = experiment.run, experiment.pipelines[name]
    if isinstance(pipeline.tuner, HyperbandTuner) and pipeline.fit.epochs not in (
        None,
        pipeline.tuner.max_epochs,
    ):
        log.info(
            "%s: Hyperband sets the epochs, up to %d; fit.epochs has no effect",
            name,
            pipeline.tuner.max_epochs,
        )
    dataset, maker = bench(pipeline)
    if (
        pipeline.fit.epochs is None
        and has_own_fit(maker)
        and not isinstance(pipeline.tuner, HyperbandTuner)
    ):
        log.info(
            "%s: fit.epochs is not given; the HyperModel's own fit decides (Keras' default is one epoch)",
            name,
        )
    content = dataset.fingerprint
    identity = {"source": dataset.source, "content": content}
    sources = _sources(
        {"model": pipeline.model, "data": pipeline.data, **_named(pipeline.callbacks, "callbacks")}
    )
    parts = search_parts(run, pipeline, identity, sources, environment.versions(run)) | {
        "dtype": maker.runner_dtype
    }
    search = digest(parts)
    place = _place(experiment, name, search)
    if not any(place.folder.glob(f"trial_*/{RESULT}")):
        preflight(pipeline, dataset, maker)
    described = dataset.describe(content) | {"split": plain_config(pipeline.data.split)}
    refit = _named(pipeline.validation.callbacks or {}, "validation.callbacks")
    validation = {"settings": plain_config(pipeline.validation), "sources": _sources(refit)}
    validation |= {"manager": pipeline.manager_name, "rank_by": pipeline.task.rank_by}
    budget = {
        key: getattr(pipeline.tuner, key, None) for key in ("max_trials", "hyperband_iterations")
    }
    identity = {**parts, "budget": budget, "validation": validation}
    return Plan(name, parts, identity, place, digest(identity), described, dataset.seconds)


def say_what_changed(plan: Plan) -> None:
    """Where a search starts beside older ones of the same pipeline: which keys differ from the
    newest of them.
    """
    if (plan.place.folder / MARKER).exists():
        return
    markers = sorted(
        plan.place.folder.parent.glob(f"*/{MARKER}"), key=lambda path: path.stat().st_mtime
    )
    for marker in reversed(markers):
        try:
            old = read_json(marker)["parts"]
        except (HistoryError, OSError, KeyError, TypeError):
            continue
        changed = differences(old, redact(plan.parts))
        if changed:
            log.info(
                "%s: a new search beside %s, because the config differs:", plan.name, marker.parent
            )
            _say(plan.name, changed)
        return


def say_why_not(plan: Plan, entries: Sequence[Entry]) -> None:
    """Where no entry can be reused: which keys differ from the one that is nearest."""
    if not entries:
        log.info(
            "%s: nothing to reuse: the history holds no complete entry of a pipeline of that name",
            plan.name,
        )
        return
    now = redact(plan.identity)
    changes = [(differences(_identity(entry), now), entry) for entry in reversed(entries[-RECENT:])]
    changed, nearest = min(changes, key=lambda item: len(item[0]))
    log.info("%s: not reused; from %s, the nearest, differs:", plan.name, nearest.id)
    _say(plan.name, changed or {"a value that is kept out of files": ("***", "***")})


def _identity(entry: Entry) -> Mapping[str, Any]:
    try:
        return entry.identity()
    except HistoryError:  # damaged: it differs in everything
        return {}


def _say(name: str, changed: Mapping[str, tuple[Any, Any]]) -> None:
    for key, (before, now) in changed.items():
        log.info("%s:   %s: %s → %s", name, key, short(before), short(now))


def _place(experiment: Experiment, name: str, fingerprint: str) -> Place:
    """The folder of this search alone: the newest there is, or with `fresh=true` one more beside
    it.
    """
    tuner = experiment.pipelines[name].tuner
    directory = Path(tuner.directory or experiment.root / "trials").resolve()
    locks = (directory if tuner.directory else experiment.root) / ".locks"
    project = directory / (tuner.project_name or f"{experiment.name}-{name}".replace("/", "-"))
    base = project / fingerprint[:16]
    taken = [base, *(base.with_name(f"{base.name}-{count}") for count in range(2, 1000))]
    used = [folder for folder in taken if (folder / MARKER).exists()]
    newest = used[-1] if used else base
    if experiment.run.fresh and used:
        newest = taken[taken.index(newest) + 1]
    return Place(newest, fingerprint, locks)


def _sources(sections: Mapping[str, Any]) -> dict[str, str | None]:
    """Hashes of the user's source files that sections of a config name; those that name none are
    left out.
    """
    targets = {
        where: section.target for where, section in sections.items() if isinstance(section, Target)
    }
    return {
        where: source_hash(path, locate(path, f"{where}._target_"))
        for where, path in targets.items()
    }


def _named(targets: Mapping[str, Target | None], where: str) -> dict[str, Target | None]:
    return {f"{where}.{name}": target for name, target in targets.items()}
