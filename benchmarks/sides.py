"""One side of a comparison, in a process of its own: prepares, waits for a line on stdin, works,
and prints how long that took, or what it found.

    python -m benchmarks.sides SIDE [--trials 20] [--threads 2] [--workers 1] [--profile] ...

All train the same models on the same rows: an MLP of 16 to 128 units on `diabetes`, 10 epochs. The
values that ours and Keras Tuner's oracle draw are the same, as they have one seed; the bare fits
take them from there. What starts a process (imports, the data, a first trial) is not counted.
"""

import argparse
import contextlib
import cProfile
import functools
import io
import json
import logging
import mmap
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import limits
from runner.config import schema
from runner.search.loop import Progress, search
from runner.training import environment
from runner.training.ledger import SearchFolder
from runner.training.seeds import derive_seed
from runner.workers import start, tasks

FIT: dict[str, Any] = {"epochs": 10, "batch_size": 32}
TUNERS: dict[str, Callable[[int], schema.Tuner]] = {
    "random": lambda trials: schema.RandomTuner(max_trials=trials),
    "hyperband": lambda _: schema.HyperbandTuner(max_epochs=10),  # 30 trials
}
Work = Callable[[], object]


def settings(given: argparse.Namespace, model: str) -> tuple[schema.Run, schema.Pipeline]:
    """Return the run, and its pipeline with a model of models.py."""
    workers = given.workers
    run = schema.Run(
        seed=given.seed,
        threads=given.threads,
        backend=given.backend,
        paths=schema.Paths(root=str(given.root)),
        executor=schema.ProcessesExecutor(workers=workers) if workers else schema.InlineExecutor(),
    )
    return run, schema.Pipeline(
        task=schema.Task(kind="regression"),
        data=schema.SklearnData(name="diabetes"),
        model=schema.Model.model_validate({"_target_": f"benchmarks.models.{model}"}),
        tuner=schema.RandomTuner(max_trials=given.trials),
        objective=schema.Objective(name="val_loss"),
        fit=schema.Fit(**FIT),
    )


@contextlib.contextmanager
def searcher(given: argparse.Namespace, model: str = "build") -> Iterator[Callable[[Any], None]]:
    """Give a search by this project, which calls a function after each trial; its workers have
    begun, and have done a trial or two.
    """
    run, pipeline = settings(given, model)
    with start.start(run) as workers:
        data = workers.data(pipeline).result()
        space = workers.submit(tasks.preflight, pipeline, data).result().space

        def go(told: Callable[[Any], None], name: str, trials: int) -> None:
            tuner = TUNERS[given.tuner if name == "second" else "random"](trials)
            of = pipeline.model_copy(update={"tuner": tuner})
            place = SearchFolder(given.folder / "search" / name, name, given.folder)
            search(run, of, place, {"pipeline": name}, told, workers, data, space)

        go(lambda _: None, "first", 2 * workers.slots)
        yield lambda told: go(told, "second", given.trials)


@contextlib.contextmanager
def ours(given: argparse.Namespace) -> Iterator[Work]:
    """Give a search by this project."""
    with searcher(given) as go:
        yield lambda: go(lambda _: None)


@contextlib.contextmanager
def outside(given: argparse.Namespace) -> Iterator[Work]:
    """Give what finds the seconds of a trial: in all, fitting, and building the model."""
    with searcher(given, "Timed") as go:
        parts: list[list[float]] = []

        def told(done: Progress) -> None:
            curves: Any = done.result.executions[0]["history"]
            parts.append([curves[name][0] for name in ("fit", "build")])

        def work() -> list[float]:
            clock = time.perf_counter()
            go(told)
            each = (time.perf_counter() - clock) / given.trials
            return [each, *map(statistics.mean, zip(*parts, strict=True))]

        yield work


@contextlib.contextmanager
def books(given: argparse.Namespace) -> Iterator[Work]:
    """Give what finds the seconds of each trial that the parent takes, with trials that take
    none.
    """
    environment.prepare(limits.RUN)
    yield lambda: limits.told("random", given.trials, given.folder)[0]


@contextlib.contextmanager
def disk(given: argparse.Namespace) -> Iterator[Work]:
    """Give what finds the bytes that the trials of a search take at most."""
    FIT["epochs"] = 1

    def work() -> float:
        go(lambda _: None)
        found = json.loads((given.folder / "search/second/oracle.json").read_text())
        return float(found["peak_bytes"])

    with searcher(given, "large") as go:
        yield work


@contextlib.contextmanager
def plain_disk(given: argparse.Namespace) -> Iterator[Work]:
    """Give what finds the bytes that a search by Keras Tuner itself leaves, which deletes none."""
    FIT["epochs"] = 1
    go = _keras_tuner(given, "large")[1]

    def work() -> float:
        go()
        folder = given.folder / "second"
        return float(sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()))

    yield work


@contextlib.contextmanager
def memory(given: argparse.Namespace) -> Iterator[Work]:
    """Give what finds the megabytes that the run's processes have of their own after each trial:
    of the worker that trains, and of all together.
    """
    FIT["epochs"] = 2
    found: list[tuple[float, float]] = []

    def told(_: Progress) -> None:
        own = [private(pid) / 1e6 for pid in (os.getpid(), *children(os.getpid()))]
        found.append((max(own), sum(own)))

    def work() -> list[tuple[float, float]]:
        go(told)
        return found

    with searcher(given) as go:
        yield work


def children(pid: int) -> Iterator[int]:
    """Yield the processes below one."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            yield child
            yield from children(child)


def private(pid: int) -> float:
    """Return the bytes that are a process's alone."""
    with contextlib.suppress(OSError):  # it has just ended
        pages = [*map(int, Path(f"/proc/{pid}/statm").read_text().split())]
        return (pages[1] - pages[2]) * mmap.PAGESIZE
    return 0.0


@contextlib.contextmanager
def plain(given: argparse.Namespace) -> Iterator[Work]:
    """Give a search by Keras Tuner itself, after a first trial."""
    yield _keras_tuner(given)[1]


@contextlib.contextmanager
def bare(given: argparse.Namespace) -> Iterator[Work]:
    """Give the fits alone, as a plain Keras script would do them, after a first one."""
    tuner, _, rows, build = _keras_tuner(given)
    drawn = [tuner.oracle.create_trial(f"t{n}").hyperparameters for n in range(given.trials)]

    def work() -> None:
        for hp in drawn:
            build(hp).fit(
                *rows.train.given(), validation_data=rows.validation.given(), **FIT, verbose=0
            )

    yield work


def _keras_tuner(given: argparse.Namespace, model: str = "build") -> tuple[Any, Work, Any, Any]:
    """Return a tuner of Keras Tuner's, its search, the data and the model function."""
    from runner.data.sources import load

    run, pipeline = settings(given, "build")
    environment.prepare(run)
    import keras_tuner

    from benchmarks import models

    rows = load(pipeline.data, "regression")
    build = functools.partial(getattr(models, model), facts=rows.facts)
    seed, kinds = derive_seed(run.seed, "oracle"), {"hyperband": keras_tuner.Hyperband}
    made = [
        kinds.get(tuner, keras_tuner.RandomSearch)(
            build,
            "val_loss",
            10 if tuner == "hyperband" else trials,
            seed=seed,
            directory=given.folder,
            project_name=name,
        )
        for name, tuner, trials in (("first", "random", 1), ("second", given.tuner, given.trials))
    ]

    def go(tuner: Any) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            tuner.search(
                *rows.train.given(), validation_data=rows.validation.given(), **FIT, verbose=0
            )

    go(made[0])
    return made[1], functools.partial(go, made[1]), rows, build


SIDES = {
    "bare": bare,
    "ours": ours,
    "plain": plain,
    "outside": outside,
    "books": books,
    "disk": disk,
    "plain disk": plain_disk,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="0: executor=inline")
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--tuner", default="random", choices=TUNERS)
    parser.add_argument("--root", type=Path, help="whose compilation cache JAX uses")
    parser.add_argument("--profile", action="store_true", help="print one to stderr")
    given = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as name, cProfile.Profile() as profile:
        profile.disable()
        given.folder = Path(name).resolve()
        given.root = given.root or given.folder
        with SIDES[given.side](given) as work:
            print("ready", flush=True)
            sys.stdin.readline()
            if given.profile:
                profile.enable()
            clock = time.perf_counter()
            found = work()
            took = time.perf_counter() - clock
            profile.disable()
            print(json.dumps(took if found is None else found), flush=True)
    if given.profile:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
