"""What several test modules that train have in common: tasks, done in this process."""

from collections.abc import Callable, Mapping
from pathlib import Path

from runner.config.schema import Pipeline, Run
from runner.data.shared import Loaded
from runner.search import spaces
from runner.search.loop import Outcome, Progress, search
from runner.training import build
from runner.training.ledger import SearchFolder
from runner.training.refit import combine, refit
from runner.training.validated import BestTrial, Ranking, Validated
from runner.workers.executors import Workers

_loaded: dict[str, Loaded] = {}


def loaded(pipeline: Pipeline) -> Loaded:
    """A pipeline's data, loaded once for all that have the same."""
    source = repr((pipeline.task.kind, pipeline.data))
    if source not in _loaded:
        _loaded[source] = build.load_data(pipeline, None)
    return _loaded[source]


def bench(pipeline: Pipeline) -> build.Bench:
    """A pipeline's data and HyperModel."""
    return build.bench(pipeline, loaded(pipeline))


def run_search(
    run: Run, pipeline: Pipeline, place: SearchFolder, notify: Callable[[Progress], None]
) -> Outcome:
    """A search by this process, in a space as it is found by building the model. Of the trials that
    ran in it, it notifies.
    """
    space = spaces.populate(bench(pipeline))
    marker, workers = {"pipeline": "main"}, Workers(run)

    def of_now(progress: Progress) -> None:
        if progress.ran:
            notify(progress)

    return search(run, pipeline, place, marker, of_now, workers, loaded(pipeline), space)


def validated(
    run: Run,
    pipeline: Pipeline,
    hyperparameters: Mapping[str, object],
    ranking: Ranking,
    folder: Path,
) -> Validated:
    """All refits."""
    best = BestTrial(SearchFolder(folder, "", folder), "0000", hyperparameters, 1)
    refits = [
        refit(run, pipeline, loaded(pipeline), best, number, folder / f"refit-{number}")
        for number in range(pipeline.validation.repeats)
    ]
    _, mean = combine(pipeline, loaded(pipeline), refits, folder / "refit-mean")
    return Validated.of(refits, ranking, folder, 0.0, mean)
