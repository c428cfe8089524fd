"""Where the limits lie at 100 machines and 10,000 trials, computed from figures measured here.

    python -m benchmarks.limits [--trials 3000] > docs/limits.md

The parent's time is that of the search loop with workers that answer at once: asks, tells and
files, and nothing else; of Bayesian optimisation, that of an ask. It is counted in seconds of a
processor, so that other work on the machine does not matter.
"""

import argparse
import contextlib
import itertools
import json
import logging
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import filesize
from threadpoolctl import threadpool_limits

from runner.config import schema
from runner.data.shared import Loaded
from runner.search.loop import search
from runner.training import environment
from runner.training.ledger import ORACLE, RESULT, SearchFolder, TrialResult
from runner.workers.executors import Workers

MACHINES, TRIALS = 100, 10_000
COMPLETED = (100, 400, 900)  # trials, at which Bayesian optimisation is asked
CUBE = 3.0  # the power of the number of trials that a Gaussian process takes in the end
RUN = schema.Run()
Points = Sequence[tuple[int, float]]  # numbers of trials, and seconds
REPOSITORY = Path(__file__).resolve().parents[1]
NAMES = [f"model.h{n}" for n in range(5)]
TUNERS: dict[str, dict[str, Any]] = {
    "random": {"max_trials": TRIALS},
    "grid": {"max_trials": TRIALS},
    "hyperband": {"max_epochs": 81, "hyperband_iterations": 1000, "parallel": MACHINES},
    "bayesian": {"max_trials": TRIALS, "parallel": MACHINES},
}
SPACE = [
    {
        "class_name": "Float",
        "config": {"name": name, "default": 0.0, "conditions": [], "sampling": "linear"}
        | {"min_value": 0.0, "max_value": 1.0, "step": None},
    }
    for name in NAMES
]
REAL = "task=classification data=digits model=mlp tuner=random tuner.max_trials=3 hooks=none"


def pipeline(kind: str) -> schema.Pipeline:
    return schema.Pipeline.model_validate(
        {
            "task": {"kind": "classification"},
            "data": {"kind": "sklearn", "name": "digits"},
            "model": {"_target_": "runner.models.mlp"},
            "tuner": {"kind": kind, **TUNERS[kind]},
            "objective": {"name": "val_accuracy", "direction": "max"},
        }
    )


def answer(trial_id: str, hyperparameters: dict[str, Any]) -> TrialResult:
    """Return what a trial of ten epochs does, without training."""
    values = hyperparameters["values"]
    score = sum(math.sin(9 * values[name] + n) for n, name in enumerate(NAMES))
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return TrialResult(
        status="COMPLETED",
        metrics=dict.fromkeys(names, score),
        executions=[{"seed": 1, "history": dict.fromkeys(names, [score] * 10)}],
        trial_id=trial_id,
        asked=values,
        hyperparameters=hyperparameters,
        started="2026-01-01T00:00:00+00:00",
        seconds=1.0,
    )


class Instant(Workers):
    """Answers at once."""

    slots = MACHINES

    def submit(self, function: Callable[..., Any], /, *given: Any, **_: Any) -> Future[Any]:
        future, place, trial_id = Future[Any](), given[3], given[4]
        future.set_result(answer(trial_id, given[5]))
        path = place.trial(trial_id) / RESULT
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(vars(future.result())))
        return future


def told(kind: str, trials: int, folder: Path) -> tuple[list[float], float]:
    """Return the parent's seconds for each trial, and those of going on after all of them."""
    place, clocks = SearchFolder(folder / kind / "0", "0", folder), [time.process_time()]

    def stop(_: object) -> None:
        clocks.append(time.process_time())
        if len(clocks) > trials:
            raise InterruptedError

    for start in ("", "again"):
        begun = time.process_time()
        with contextlib.suppress(InterruptedError):
            space = {"space": SPACE, "values": {}}
            made, workers, data = pipeline(kind), Instant(RUN), Loaded("", {}, 0.0, 0)
            search(RUN, made, place, {"pipeline": start}, stop, workers, data, space)
    ended = time.process_time()
    return [b - a for a, b in itertools.pairwise(clocks)][:trials], ended - begun


def asked(completed: int) -> float:
    """Return the seconds of asking for a trial of Bayesian optimisation with as many completed, and
    one running on each machine.
    """
    from runner.search.oracles import new_oracle

    space = {"space": SPACE, "values": {}}
    drawn = new_oracle(RUN, pipeline("random"), space, {})
    known = [drawn.ask() for _ in range(completed + MACHINES)]
    values = {each.trial_id: each.hyperparameters["values"] for each in known if each}
    oracle = new_oracle(RUN, pipeline("bayesian"), space, values)
    for each in [oracle.ask() for _ in known][:completed]:
        assert each is not None
        oracle.tell(answer(each.trial_id, each.hyperparameters))
    with threadpool_limits(1):
        clock = time.process_time()
        oracle.ask()
        return time.process_time() - clock


def nothing(number: int) -> int:
    return number


def dask() -> tuple[float, float]:
    """Return the seconds from a task to its result, alone, at best, and those of a processor that
    scheduler and client take for one of many, with one worker.
    """
    from distributed import Client, LocalCluster

    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        executor, alone = client.get_executor(pure=False), []
        for number in range(100):
            clock = time.perf_counter()
            executor.submit(nothing, number).result()
            alone.append(time.perf_counter() - clock)
        clock = time.process_time()
        for future in [executor.submit(nothing, number) for number in range(2000)]:
            future.result()
        return min(alone), (time.process_time() - clock) / 2000


def real(folder: Path) -> dict[str, int]:
    """Return the bytes that a small run leaves, by kind."""
    command = [sys.executable, "-m", "runner", *REAL.split(), f"paths.root={folder}"]
    subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    (search_folder,) = {path.parents[1] for path in folder.rglob(f"trial_*/{RESULT}")}
    (entry,) = (folder / "entries").iterdir()
    trials = [*search_folder.glob("trial_*")]
    told = [path for trial in trials for path in trial.glob("*.json")]
    return {
        "trial": sum(path.stat().st_size for path in told) // len(trials),
        "checkpoint": max(path.stat().st_size for path in folder.rglob("*.weights.h5")),
        "oracle": (search_folder / ORACLE).stat().st_size // len(trials),
        "entry": sum(path.stat().st_size for path in entry.iterdir()),
        "document": (entry / "entry.json").stat().st_size,
    }


def at(count: int, points: Points, least: float = 0.0) -> tuple[float, str]:
    """Return a figure at a number of trials, and a mark where it is extrapolated: by the power that
    the last points tell, or by the least one if that is more.
    """
    (low, first), (high, last) = points[-2:]
    if count <= high:
        return min((abs(n - count), value) for n, value in points)[1], ""
    power = max(least, math.log(last / first) / math.log(high / low))
    return last * (count / high) ** power, "~"


def spoken(seconds: float, mark: str = "") -> str:
    """Return a time in the unit that suits it, with its mark."""
    units = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 0.001}
    unit = next((unit for unit, size in units.items() if seconds >= 2 * size), "ms")
    value = seconds / units[unit]
    return f"{mark}{value:.{0 if value >= 10 else 1}f} {unit}"


def rows(points: Mapping[str, Points], latency: float) -> Iterator[str]:
    """Yield a row for each tuner."""
    for kind, found in points.items():
        least = CUBE if kind == "bayesian" else 0.0
        cells = [at(count, found, least) for count in (100, 1000, TRIALS)]
        busy = [((seconds + latency) * MACHINES, mark) for seconds, mark in cells[1:]]
        texts = [spoken(*cell) for cell in (*cells, *busy)]
        yield f"| {kind} | {' | '.join(texts)} |"


def page(
    points: Mapping[str, Points],
    resumed: Mapping[str, float],
    latency: tuple[float, float],
    size: Mapping[str, int],
) -> str:
    """Return the page.

    Args:
        points: of each tuner, the parent's seconds for a trial, at numbers of trials.
        resumed: of each tuner, the parent's seconds for each trial that it takes over.
        latency: of Dask, in seconds: of a task alone, and of one of many.
        size: in bytes, by kind.
    """
    table, slowest = "\n".join(rows(points, latency[1])), max(resumed.values())
    limit, mark = at(TRIALS, points["bayesian"], CUBE)
    first = max(count for count, _ in points["bayesian"])
    whole = {kind: filesize.decimal(value * TRIALS) for kind, value in size.items()}
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("keras-tuner", "distributed"))
    return f"""\
# Where the limits lie

At {MACHINES} machines and {TRIALS:,} trials, computed from what `python -m benchmarks.limits` measured on a single
machine ({machine}; {packages}), as a hundred were not available. `~` marks values that
are extrapolated, by the power law of the measured points. The network, the speed of the shared folder and the trainings
themselves are not included.

## The parent's time

A single process asks for trials, records their results and writes the state, while its workers train. N machines stay busy as
long as a trial takes longer than the parent needs for N of them. The table shows the parent's time per trial (ask, tell, files;
on one processor) after a number of trials and, with Dask's share added, the shortest trial with which {MACHINES} machines, one trial each, stay busy:

| tuner | after 100 | 1,000 | {TRIALS:,} | {MACHINES} machines busy after 1,000 | {TRIALS:,} |
|---|---|---|---|---|---|
{table}

- **Random, grid, Hyperband**: no limit in sight for trials that take longer than that, no matter how many. Hyperband and Bayesian
  optimisation keep at most `tuner.parallel` machines busy (here {MACHINES}), which is part of the search: a larger number
  makes it a different search. Possible remedy for shorter trials: several trials in one task.
- **Bayesian optimisation** is the limit: each ask fits a Gaussian process to all trials. Measured up to {first} trials,
  with {MACHINES} more running; by the cube of their number, as such fits do in the end, an ask at {TRIALS:,} would take {spoken(limit, mark)}, and
  its matrix {filesize.decimal(8 * TRIALS**2)} of memory.
  Possible remedies: fit only to the best and the newest thousand trials, or refit the kernel's parameters only every tenth ask.
  Either is still a function of the config, and would be a new search format.
- **Dask** adds {spoken(latency[0])} to a single task; one of many takes {spoken(latency[1])} of a processor in scheduler and client, so that
  {1 / latency[1]:,.0f} trials per second are its limit: {MACHINES} machines reach it with trials of {spoken(MACHINES * latency[1])}.
- **Resuming** after {TRIALS:,} trials takes {spoken(slowest * TRIALS, "~")}, as each result is read and told again.

## Disk

| what | each | {TRIALS:,} trials | kept |
|---|---|---|---|
| a trial's result and state | {filesize.decimal(size["trial"])} | {whole["trial"]} | until the purge |
| `oracle.json`, once, for each trial | {filesize.decimal(size["oracle"])} | {whole["oracle"]} | in the entry |
| a checkpoint (`mlp` on `digits`) | {filesize.decimal(size["checkpoint"])} | {whole["checkpoint"]} | \
the best one, and those of running trials; for Hyperband also those it may continue |
| an entry's files (3 trials) | {filesize.decimal(size["entry"])} | - | for good |
| its document in the database | {filesize.decimal(size["document"])} | - | for good |

- **Checkpoints**: for a model of 100 MB and 8 trials at once, Hyperband has 18 on disk at a time, 1.8 GB, no matter how many
  trials there are.
- **Files**: {TRIALS:,} folders of three files each. If a synced write takes 10 ms on the shared folder, a trial costs 30 ms in
  the worker and 10 ms in the parent, which then sets the limit: {MACHINES} machines stay busy with trials of a second.
  Possible remedy: one file of results per worker, appended to, instead of one per trial.
- **The history** has one entry for each pipeline, no matter how many trials: {TRIALS:,} entries are
  {filesize.decimal(size["document"] * TRIALS)} of database, all of which is read and written for each new entry.
  Possible remedy beyond some ten thousand: a database that writes single documents.

## Machines

- Each loads its data from the shared folder once, at the same time as the others: 1 GB is 100 GB for the file server.
  Possible remedy: let Dask hand the data from machine to machine, or keep a copy on each one's own disk.
- A lost machine costs its running trials, which run again elsewhere; a trial that was lost with four machines has failed (Dask's
  `distributed.scheduler.allowed-failures`).
- The scheduler and the parent are one process each. If either is lost, so are the running trials; run the same command again to resume.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=3000)
    trials = parser.parse_args().trials
    environment.prepare(RUN)
    logging.disable(logging.INFO)
    points: dict[str, Points] = {}
    resumed = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        latency, size = dask(), real(folder / "run")
        for kind in ("random", "grid", "hyperband"):
            seconds, again = told(kind, trials, folder)
            ends = [n for n in (100, 300, 1000, 3000, TRIALS) if n <= trials]
            points[kind] = [(n, statistics.mean(seconds[n // 2 : n])) for n in ends]
            resumed[kind] = again / trials
        points["bayesian"] = [(n, asked(n)) for n in COMPLETED]
        print(page(points, resumed, latency, size), end="")


if __name__ == "__main__":
    main()
