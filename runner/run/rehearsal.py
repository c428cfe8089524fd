"""mode=check: plans every pipeline, trains nothing, leaves nothing behind, and estimates what a run
would take.
"""

import traceback
from dataclasses import dataclass

from rich import filesize

from history.store import Store
from history.view.page import Page, Part, Section, Table, Text
from runner.config.schema import Experiment, GuidedTuner
from runner.report.terminal import show
from runner.run import opened, plan, starting
from runner.run.experiment import open_file
from runner.training import ledger, regimes
from runner.workers import start

MOST = 3_000  # trials that are counted, which takes a few seconds
STORED = 3  # size of a model stored with the state of Adam, in times of its weights

COLUMNS = (
    "pipeline",
    "task",
    "data",
    "parameters",
    "tuner",
    "trials",
    "epochs",
    "refits",
    "disk",
    "search",
)


@dataclass(frozen=True)
class Cost:
    """What a search takes with the default model, as far as its space is known."""

    trials: int = 0
    epochs: int | None = 0  # of all trials; None if a HyperModel with its own fit decides
    bytes: int = 0  # on disk at the peak, including the stored model


def rehearse(experiment: Experiment) -> int:
    """Print what a run of the experiment would do, and return the exit code.

    Raises:
        InputError: pipelines or hooks cannot work as configured; all of them are reported.
        HistoryError: the history cannot be read.
    """
    Store(experiment.root).all()
    run_id = None if experiment.run.fresh else opened.read(open_file(experiment))["run_id"]
    experiment = starting.resolved(experiment, run_id)
    rows = []
    readings: list[Part] = []
    code = 0
    with start.start(experiment.run) as workers:
        plans = plan.plan_all(experiment, workers, run_id)
        costs = {
            name: workers.submit(cost, planned, workers.slots)
            for name, planned in plans.items()
            if isinstance(planned, plan.Plan)
        }
        for name, planned in plans.items():
            if isinstance(planned, Exception):
                traceback.print_exception(planned)
                code = 2  # as nothing was started
                continue
            rows.append(_row(planned, costs[name].result()))
            if "read" in planned.data:
                readings.append(Text(f"{name}: {planned.data['read']}"))
    verdict = "some of it cannot run" if code else "no problems found"
    title = f"{experiment.name}: {verdict}; a run would take about this"
    show(Page([Section(title, [Table(COLUMNS, rows), *readings])]))
    return code


def _row(planned: plan.Plan, cost: Cost) -> tuple[str, ...]:
    """Return a pipeline's row of the table with COLUMNS."""
    pipeline = planned.pipeline
    size = planned.size
    rows = " + ".join(str(shape[0]) for shape in planned.data["shapes"].values())
    trials = f"{cost.trials:,}"
    if cost.trials == MOST:
        trials += " or more"
    ended = len(list(planned.search.folder.glob(f"trial_*/{ledger.RESULT}")))
    search = f"{ended} trials exist already" if ended else "new"
    if planned.entry:
        search = f"taken from the history: {planned.entry.id}"
    return (
        planned.name,
        pipeline.task.kind,
        f"{rows} rows of {planned.inputs}",
        f"{size.parameters:,}" if size else "-",
        pipeline.tuner.kind,
        trials,
        "?" if cost.epochs is None else f"{cost.epochs:,}",
        str(regimes.of(pipeline).refits if size else 0),
        filesize.decimal(cost.bytes),
        search,
    )


def cost(planned: plan.Plan, slots: int) -> Cost:
    """Return what a pipeline takes, nothing if it is taken from the history. Runs in a worker.

    Args:
        planned: the pipeline.
        slots: how many trials run at once.
    """
    from runner.search import oracles
    from runner.training.build import bench, values_of

    pipeline = planned.pipeline
    size = planned.size
    tuner = pipeline.tuner
    if size is None:
        return Cost()
    trials = getattr(tuner, tuner.limit) or MOST
    regime = regimes.of(pipeline)
    asked = list[ledger.Values]()
    if not isinstance(tuner, GuidedTuner):  # they are slow to ask, and seldom exhaust a space
        oracle = oracles.new_oracle(planned.run, pipeline, size.space, {})
        asked = oracles.ask_all(oracle, min(trials, MOST))
        if len(asked) < MOST:
            trials = len(asked)
    arguments = bench(pipeline, planned.loaded).fit_arguments(values_of(size.space))
    epochs = arguments.get("epochs")
    if regime.continues:
        epochs = sum(int(v["tuner/epochs"]) - int(v["tuner/initial_epoch"]) for v in asked)
    elif epochs:
        epochs *= trials
    # all refits exist at once, beside the best checkpoint
    refits = size.bytes * (STORED + pipeline.is_ensemble) * pipeline.validation.repeats
    peak = max(plan.bytes_of(size, trials, slots), refits)
    return Cost(trials, epochs and epochs * regime.executions, peak)
