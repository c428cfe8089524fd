"""Plans pipelines: loads their data, knows their identities and their searches' folders, and fails
early where it must fail: a wrong model or objective costs seconds, not trainings.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from history.entry import Entry
from history.errors import HistoryError, unknown
from history.trees import differences
from runner.config.check import OURS
from runner.config.schema import Experiment, HyperbandTuner, Pipeline, Run
from runner.config.secrets import redact
from runner.config.targets import check_arguments, locate
from runner.errors import ConfigError, ModelError, Problem, short
from runner.run.identity import Identity, identify
from runner.search.state import MARKER, RESULT, Place, read_marker
from runner.training.build import Bench, bench, new_callbacks

log = logging.getLogger("runner")

ROWS = 32  # that the default model is tried on
RECENT = 100  # entries among which the one that is nearest is looked for


@dataclass(frozen=True)
class Plan:
    """A pipeline that can run."""

    name: str
    run: Run
    pipeline: Pipeline
    identity: Identity
    place: Place  # of the search
    data: Mapping[str, Any]  # as an entry records it
    preparation: float  # seconds


def plan_all(experiment: Experiment) -> dict[str, Plan | Exception]:
    """Plan every pipeline before the first one starts. All that is wrong with the input, hooks
    included, is reported at once; a code error is that pipeline's failure alone, recorded in its
    turn.

    Raises:
        ConfigError: a pipeline or a hook cannot work as it is configured.
    """
    plans: dict[str, Plan | Exception] = {}
    problems: list[Problem] = []
    for name, hook in experiment.run.hooks.items():
        try:
            if hook is not None:
                function = locate(hook.target, f"hooks.{name}._target_")
                check_arguments(function, hook.args, f"hooks.{name}", filled=["run"])
        except ConfigError as error:
            problems += error.problems
    for name in experiment.pipelines:
        section = f"pipelines.{name}"
        try:
            plans[name] = plan(experiment, name)
        except ConfigError as error:
            problems += [Problem(f"{section}.{p.where or 'data'}", p.what) for p in error.problems]
        except Exception as error:
            log.error("%s cannot run: %s: %s", name, type(error).__name__, error)
            plans[name] = error
    if problems:
        raise ConfigError(problems)
    return plans


def plan(experiment: Experiment, name: str) -> Plan:
    """Load a pipeline's data, build its default model and let it take a batch.

    Raises:
        ConfigError: the config or the data cannot work.
        Exception: whatever the user's own data and model functions raise.
    """
    run, pipeline = experiment.run, experiment.pipelines[name]
    ready = bench(pipeline)
    dataset, tuner = ready.dataset, pipeline.tuner
    if isinstance(tuner, HyperbandTuner) and pipeline.fit.epochs not in (None, tuner.max_epochs):
        what = "%s: Hyperband sets the epochs, up to %d; fit.epochs has no effect"
        log.info(what, name, tuner.max_epochs)
    content = dataset.fingerprint
    source = {"source": dataset.source, "content": content}
    identity = identify(run, pipeline, source, ready.dtype)
    place = _place(experiment, name, identity.search_fingerprint)
    if not any(place.folder.glob(f"trial_*/{RESULT}")):
        preflight(ready)
    data = dataset.describe(content) | {"split": pipeline.data.split.model_dump()}
    return Plan(name, run, pipeline, identity, place, data, dataset.seconds)


def preflight(bench: Bench) -> "keras.Model":
    """Build the default model and let it take one batch.

    A HyperModel with its own `fit` is only built: what it reports, it alone knows.

    Returns:
        The model.

    Raises:
        ConfigError: no compiled model is built, a callback does not exist or does not take its
            arguments, or the objective is not among the metrics that the model reports.
        Exception: whatever building or the batch raises.
    """
    hp, pipeline, dataset = keras_tuner.HyperParameters(), bench.pipeline, bench.dataset
    try:
        model = bench.build(hp, seed=1)
    except ModelError as error:
        problem = Problem("model._target_", f"{pipeline.model.target} {error}")
        raise ConfigError([problem]) from error
    except (TypeError, ValueError, AttributeError) as error:
        if pipeline.model.target.rpartition(".")[0] != OURS:
            raise  # the user's own code keeps its trace
        first = str(error).partition("\n")[0]
        problem = Problem("model", f"an argument is not as it must be: {first}")
        raise ConfigError([problem]) from error
    arguments = bench.fit_arguments(hp) | {"epochs": 1}
    new_callbacks(pipeline.callbacks, "callbacks")  # made, not used: one may write files
    new_callbacks(pipeline.validation.callbacks or {}, "validation.callbacks")
    if bench.has_own_fit:
        return model
    rows, held_out = (p.take(slice(ROWS)).given() for p in (dataset.train, dataset.validation))
    reported = model.fit(*rows, validation_data=held_out, verbose=0, **arguments).history
    if pipeline.objective.name not in reported:
        raise ConfigError(
            [Problem("objective.name", unknown("metric", pipeline.objective.name, reported))]
        )
    return model


def say_what_changed(plan: Plan) -> None:
    """Log, where a search starts beside older ones of the same pipeline, which keys differ from
    the newest of them.
    """
    folder = plan.place.folder
    markers = folder.parent.glob(f"*/{MARKER}")
    newest = max(markers, key=lambda path: path.stat().st_mtime, default=None)
    if newest is not None and not (folder / MARKER).exists():
        parts = (read_marker(newest.parent) or {}).get("parts")
        head = f"a new search beside {newest.parent}, because the config differs"
        _say_changes(plan.name, head, differences(parts, redact(plan.identity.of_search)))


def say_why_not(plan: Plan, entries: Sequence[Entry]) -> None:
    """Log, where no entry can be reused, which keys differ from the one that is nearest."""
    now, found = redact(plan.identity.of_pipeline), []
    for entry in reversed(entries[-RECENT:]):
        with suppress(HistoryError):  # damaged: `doctor` says so
            found.append((differences(entry.identity(), now), entry.id))
    if not found:
        log.info("%s: nothing to reuse: no complete entry of that name is there", plan.name)
        return
    changed, nearest = min(found, key=lambda item: len(item[0]))
    _say_changes(plan.name, f"not reused; from {nearest}, the nearest, differs", changed)


def _say_changes(name: str, head: str, changed: Mapping[str, tuple[object, object]]) -> None:
    if changed:
        log.info("%s: %s:", name, head)
    for key, (before, now) in changed.items():
        log.info("%s:   %s: %s → %s", name, key, short(before), short(now))


def _place(experiment: Experiment, name: str, search_fingerprint: str) -> Place:
    """Return the folder of this search alone: the newest there is or, with `fresh=true`, one more
    beside it.
    """
    tuner = experiment.pipelines[name].tuner
    directory = Path(tuner.directory or experiment.root / "trials").resolve()
    locks = (directory if tuner.directory else experiment.root) / ".locks"
    project = directory / (tuner.project_name or f"{experiment.name}-{name}".replace("/", "-"))
    base = project / search_fingerprint[:16]
    folders = [base, *(base.with_name(f"{base.name}-{count}") for count in range(2, 1000))]
    used = [index for index, folder in enumerate(folders) if (folder / MARKER).exists()]
    index = used[-1] + experiment.run.fresh if used else 0
    return Place(folders[index], search_fingerprint, locks)
