"""mode=check: plans every pipeline, trains nothing, leaves nothing, and says what a run would come
to.
"""

import traceback

from rich import filesize

from history.store import Store
from history.view.page import Page, Part, Section, Table, Text
from runner.config.schema import Experiment, GuidedTuner, Pipeline, Run
from runner.data.shared import Loaded
from runner.report.terminal import show
from runner.run import opened, plan, starting
from runner.run.experiment import open_file
from runner.search import state
from runner.training import regimes
from runner.workers import start

MOST = 3_000  # trials that are counted; counting so many takes a few seconds
STORED = 3  # times its weights is a model that is stored with the state of Adam

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


def rehearse(experiment: Experiment) -> int:
    """Print what a run of the experiment would do, and return the exit code.

    Raises:
        InputError: a pipeline or a hook cannot work as it is configured: all of them are reported.
        HistoryError: the history cannot be read.
    """
    Store(experiment.root).all()
    rows, verdict, code = [], "no problems found", 0
    going_on = None if experiment.run.fresh else opened.left(open_file(experiment))["run_id"]
    experiment = starting.resolved(experiment, going_on)
    with start.start(experiment.run) as workers:
        plans = plan.plan_all(experiment, workers, going_on)
        forecasts = {
            name: workers.submit(
                forecast,
                planned.run,
                planned.pipeline,
                planned.given,
                planned.size,
                workers.slots,
            )
            for name, planned in plans.items()
            if isinstance(planned, plan.Plan)
        }
        for name, planned in plans.items():
            if not isinstance(planned, plan.Plan):
                traceback.print_exception(planned)
                verdict, code = "some of it cannot run", 2  # as nothing was started
                continue
            pipeline, shapes, size = planned.pipeline, planned.data["shapes"], planned.size
            trials, epochs, disk = forecasts[name].result()
            ended = len(list(planned.place.folder.glob(f"trial_*/{state.RESULT}")))
            rows.append(
                (
                    planned.name,
                    pipeline.task.kind,
                    " + ".join(str(shape[0]) for shape in shapes.values())
                    + f" rows of {planned.data.get('inputs') or tuple(shapes['train'][1:])}",
                    f"{size.parameters:,}" if size else "-",
                    pipeline.tuner.kind,
                    f"{trials:,}{' or more' if trials == MOST else ''}",
                    "?" if epochs is None else f"{epochs:,}",
                    str(regimes.of(pipeline).refits if size else 0),
                    filesize.decimal(disk),
                    f"taken from the history: {planned.known.id}"
                    if planned.known
                    else f"{ended} trials exist already" * bool(ended) or "new",
                )
            )
    title = f"{experiment.name}: {verdict}; a run would take about this"
    parts: list[Part] = [Table(COLUMNS, rows)]
    for name, planned in plans.items():
        if isinstance(planned, plan.Plan) and "read" in planned.data:
            parts.append(Text(f"{name}: {planned.data['read']}"))
    show(Page([Section(title, parts)]))
    return code


def forecast(
    run: Run, pipeline: Pipeline, given: Loaded, size: state.Size | None, slots: int
) -> tuple[int, int | None, int]:
    """Return what a pipeline's search comes to, with the default model, as far as its space is
    known: trials; epochs of all of them, None where a HyperModel with its own fit decides; and
    bytes on disk at the peak, the stored model included. What is taken from the history costs
    nothing. Done by a worker.

    Args:
        run, pipeline, given: the settings, and the data.
        size: of the default model; None: it is taken from the history.
        slots: how many trials run at once.
    """
    from runner.search import oracles
    from runner.training.build import bench, values_of

    if size is None:
        return 0, 0, 0
    tuner = pipeline.tuner
    trials, asked = getattr(tuner, tuner.limit) or MOST, list[state.Values]()
    if not isinstance(tuner, GuidedTuner):  # slow to ask, and seldom at its end before
        asked = oracles.ask_all(
            oracles.new_oracle(run, pipeline, size.space, {}), min(trials, MOST)
        )
        trials = trials if len(asked) == MOST else len(asked)
    longest = bench(pipeline, given).fit_arguments(values_of(size.space)).get("epochs")
    epochs = longest and trials * longest
    regime = regimes.of(pipeline)
    if regime.continues:
        epochs = sum(int(a["tuner/epochs"]) - int(a["tuner/initial_epoch"]) for a in asked)
    # then all refits are there at once, beside the best checkpoint
    return (
        trials,
        epochs and epochs * regime.executions,
        max(
            plan.bytes_of(size, trials, slots),
            size.bytes * (STORED + pipeline.is_ensemble) * pipeline.validation.repeats,
        ),
    )
