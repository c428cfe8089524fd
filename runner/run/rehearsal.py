"""mode=check: plans every pipeline, trains nothing, leaves nothing, and says what a run would come
to.
"""

import sys
import traceback

from rich import console, filesize, text

from history.store import Store
from history.view.text import EntryRows
from runner.config.schema import BayesianTuner, Experiment, HyperbandTuner, Run
from runner.report.terminal import show
from runner.run.experiment import open_run
from runner.run.plan import Plan, plan_all
from runner.search.oracles import Oracle, new_oracle, populate
from runner.search.state import RESULT, Values
from runner.training.build import Bench, bench

MOST = 3_000  # trials that are counted; counting so many takes a few seconds
RECORD = 5_000  # bytes of a trial's JSON files, as measured with 10 epochs of 4 metrics
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
        InputError: a pipeline or a hook cannot work as it is configured: all of them are told.
        HistoryError: the history cannot be read.
    """
    sys.dont_write_bytecode = True  # of the user's own modules
    Store(experiment.root).all()
    rows, verdict, code = [], "nothing is wrong", 0
    for planned in plan_all(experiment, open_run(experiment)["run_id"]).values():
        if not isinstance(planned, Plan):
            traceback.print_exception(planned)
            verdict, code = "not all of it can run", 2  # as nothing was started
            continue
        pipeline, shapes, size = planned.pipeline, planned.data["shapes"], planned.size
        ready, nothing = bench(pipeline), (0, 0, 0)  # what is taken from the history costs nothing
        trials, epochs, disk = forecast(experiment.run, ready, size[1]) if size else nothing
        parts = " + ".join(str(shape[0]) for shape in shapes.values())
        ended = len(list(planned.place.folder.glob(f"trial_*/{RESULT}")))
        state = f"{ended} trials are there already" if ended else "new"
        rows.append(
            (
                planned.name,
                pipeline.task.kind,
                f"{parts} rows of {tuple(shapes['train'][1:])}",
                f"{size[0]:,}" if size else "-",
                pipeline.tuner.kind,
                f"{trials:,}{' or more' if trials == MOST else ''}",
                "?" if epochs is None else f"{epochs:,}",
                str(pipeline.validation.repeats if size else 0),
                filesize.decimal(disk),
                f"taken from the history: {planned.known.id}" if planned.known else state,
            )
        )
    head = text.Text(f"{experiment.name}: {verdict}; a run comes to about this", style="bold")
    show(console.Group(head, EntryRows(COLUMNS, rows)))
    return code


def forecast(run: Run, bench: Bench, weights: int) -> tuple[int, int | None, int]:
    """Return what a pipeline's search comes to, with the default model, as far as its space is
    known: trials; epochs of all of them, None where a HyperModel with its own fit decides; and
    bytes on disk at the peak, the stored model included.

    Args:
        run: the settings.
        bench: the pipeline's.
        weights: of the default model, in bytes.
    """
    tuner, oracle = bench.pipeline.tuner, new_oracle(run, bench.pipeline)
    populate(oracle, bench)
    trials, asked = getattr(tuner, "max_trials", None) or MOST, list[Values]()
    if not isinstance(tuner, BayesianTuner):  # slow to ask, and seldom at its end before
        asked = ask_all(oracle, min(trials, MOST))
        trials = trials if len(asked) == MOST else len(asked)
    longest = bench.fit_arguments(oracle.get_space()).get("epochs")
    epochs, kept = longest and trials * longest, 2  # checkpoints: the best, the newest
    if isinstance(tuner, HyperbandTuner):  # it goes on from checkpoints
        kept = trials
        epochs = sum(int(a["tuner/epochs"]) - int(a["tuner/initial_epoch"]) for a in asked)
    return (
        trials,
        epochs and epochs * tuner.executions_per_trial,
        (kept + STORED) * weights + trials * RECORD,
    )


def ask_all(oracle: Oracle, most: int) -> list[Values]:
    """Return the values of all trials that an oracle asks for, up to `most` of them, when all of
    them score the same.
    """
    asked = list[Values]()
    while len(asked) < most and (trial := oracle.ask()) is not None:
        asked.append(dict(trial.hyperparameters.values))
        oracle.update_trial(trial.trial_id, {oracle.objective.name: 0.0})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return asked
