"""mode=check: plans every pipeline, trains nothing, leaves nothing, and says what a run would come
to.
"""

import logging
import sys
import traceback
from dataclasses import replace

from rich.console import Group
from rich.filesize import decimal
from rich.text import Text

from history import registry
from history.store import open_store
from history.view.text import EntryRows
from runner.config.schema import Experiment
from runner.report.terminal import show
from runner.run.experiment import plan_all
from runner.run.forecast import Forecast, forecast
from runner.run.pipeline import reuse, take_over
from runner.run.plan import Plan
from runner.run.preflight import preflight
from runner.run.runs import OpenRun
from runner.search.state import RESULT
from runner.training.build import bench

log = logging.getLogger("runner")

COLUMNS = (
    "pipeline",
    "task",
    "data",
    "parameters",
    "tuner",
    "trials",
    "epochs",
    "refits",
    "trial data",
    "model",
    "search",
)


def rehearse(experiment: Experiment) -> int:
    """Prints what a run of the experiment would do, and returns the exit code.

    Raises:
        InputError: a pipeline or a hook cannot work as it is configured: all of them are told.
        HistoryError: the history cannot be read.
    """
    sys.dont_write_bytecode = True  # of the user's own modules
    store = open_store(experiment.run.history.kind, experiment.root)
    store.all()
    plans = plan_all(experiment)
    rows, code = [], 0
    forecasts: dict[str, Forecast] = {}
    started = OpenRun(experiment, "-")
    for name, planned in plans.items():
        if not isinstance(planned, Plan):
            traceback.print_exception(planned)
            code = 2  # as nothing was started
            continue
        pipeline = experiment.pipelines[name]
        dataset, maker = bench(pipeline)
        found = forecast(experiment.run, pipeline, maker, preflight(pipeline, dataset, maker))
        manager = registry.manager(pipeline.manager_name, experiment.root, store)
        done = take_over(experiment, planned, started, manager)
        if done is None and experiment.run.reuse:
            done = reuse(experiment, planned, manager)
        ended = len(list(planned.place.folder.glob(f"trial_*/{RESULT}")))
        if done is None:
            forecasts[name] = replace(found, trials=max(0, found.trials - ended))
        rows.append(
            _row(
                experiment,
                planned,
                found,
                _state(ended, done.entry.id if done and done.entry else None),
            )
        )
    title = f"{experiment.name}: {'not all of it can run;' if code else 'nothing is wrong;'} a run would do this, at most"
    show(
        Group(
            Text(title, style="bold"), EntryRows(COLUMNS, rows), Text(_sum(forecasts), style="dim")
        )
    )
    return code


def _state(ended: int, entry: str | None) -> str:
    if entry:
        return f"taken from the history: {entry}"
    return f"{ended} trials are there already" if ended else "new"


def _row(experiment: Experiment, planned: Plan, found: Forecast, state: str) -> tuple[str, ...]:
    pipeline = experiment.pipelines[planned.name]
    shapes = planned.data["shapes"]
    rows = " + ".join(str(shape[0]) for shape in shapes.values())
    refits = pipeline.validation.repeats
    return (
        planned.name,
        pipeline.task.kind,
        f"{rows} rows of {tuple(shapes['train'][1:])}",
        " to ".join(dict.fromkeys(f"{count:,}" for count in found.parameters)),
        pipeline.tuner.kind,
        f"{found.trials:,}{'' if found.exact else ' or more'}",
        _or_unknown(found.epochs),
        f"{refits} x {_or_unknown(found.refit_epochs)} epochs",
        decimal(found.trial_data),
        decimal(found.model),
        state,
    )


def _or_unknown(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _sum(forecasts: dict[str, Forecast]) -> str:
    """What the pipelines that are still to run come to."""
    trials = sum(found.trials for found in forecasts.values())
    data, models = (
        sum(getattr(found, key) for found in forecasts.values()) for key in ("trial_data", "model")
    )
    to_do = f"{trials:,} trial{'s'[trials == 1 :]}"
    on_disk = f"{decimal(data)} of trial data at the peak, {decimal(models)} of models to stay"
    return f"to do: {to_do}; on disk: {on_disk}"
