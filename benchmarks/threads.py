"""Whether a core does more with a trial of its own or as one of two that share a trial: the choice
of the default of `threads`.

    python -m benchmarks.threads [--rounds 3] > the table

In turn, the same trainings as two processes side by side of one thread each, the same with one
inter-op thread too, and as one process of two threads. Time is that until all have ended; CPU is
what they used of all cores, which a busy machine changes less.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.table import REPOSITORY, interleaved

TRIALS = 4
WORK = {  # rows, the shape of one, epochs
    "MLP of 64 units on 10 columns": (265, (10,), 10),
    "MLP of 64 units on 8 x 8 pixels": (1077, (8, 8, 1), 10),
    "CNN of 32 and 64 filters on 8 x 8 pixels": (1077, (8, 8, 1), 5),
    "CNN of 32 and 64 filters on 28 x 28 pixels": (2000, (28, 28, 1), 2),
    "MLP of 3 x 2048 units on 64 columns": (1077, (64,), 3),
    "LSTM of 64 units on 50 steps of 8 columns": (1000, (50, 8), 2),
}
SIDES = {"2 x 1": (2, 1, 0), "2 x 1, inter 1": (2, 1, 1), "1 x 2": (1, 2, 0)}


def model(name: str, shape: tuple[int, ...]) -> Any:
    from keras import Input, Sequential, layers

    sizes = [int(word) for word in name.split() if word.isdecimal()]
    inner = {
        "MLP of 3": [
            layers.Flatten(),
            *(layers.Dense(2048, activation="relu") for _ in range(3)),
        ],
        "MLP of 64": [layers.Flatten(), layers.Dense(64, activation="relu")],
        "CNN of 32": [
            *(layers.Conv2D(size, 3, padding="same", activation="relu") for size in sizes[:2]),
            layers.Flatten(),
        ],
        "LSTM of 64": [layers.LSTM(64)],
    }
    (body,) = (found for key, found in inner.items() if name.startswith(key))
    made = Sequential([Input(shape), *body, layers.Dense(10, activation="softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def train(name: str, trials: int, threads: int, inter: int) -> None:
    """Train, in this process; for `run`, which starts it."""
    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(inter)
    rows, shape, epochs = WORK[name]
    drawn = np.random.default_rng(0)
    x, y = drawn.normal(size=(rows, *shape)).astype("float32"), drawn.integers(0, 10, rows)

    def fit(epochs: int) -> None:
        keras.backend.clear_session(free_memory=False)
        model(name, shape).fit(x, y, validation_split=0.2, epochs=epochs, verbose=0)

    fit(1)
    print("ready", flush=True)
    sys.stdin.readline()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(trials):
        fit(epochs)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
    os._exit(0)


def run(name: str, side: str) -> list[float]:
    """Return the seconds until all have ended, and those of CPU."""
    processes, threads, inter = SIDES[side]
    arguments = [TRIALS // processes, threads, inter]
    code = f"from benchmarks.threads import train\ntrain({name!r}, *{arguments})"
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            text=True,
            cwd=REPOSITORY,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [json.loads(process.communicate()[0]) for process in started]
    return [max(wall for wall, _ in found), sum(cpu for _, cpu in found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        "| Trials | two workers of one thread: seconds (CPU) | ... and one inter-op thread "
        "| one worker of two threads | time, two workers to one |\n|---|---|---|---|---|"
    )
    for name in WORK:
        cpu: dict[str, list[float]] = {side: [] for side in SIDES}

        def timed(side: str, name: str = name, cpu: dict[str, list[float]] = cpu) -> float:
            wall, used = run(name, side)
            cpu[side].append(used)
            return wall

        took = interleaved([*SIDES], timed, options.rounds)
        cells = [
            f"{statistics.median(took[side]):.1f} ({statistics.median(cpu[side]):.1f})"
            for side in SIDES
        ]
        each = [one / two for one, two in zip(took["2 x 1"], took["1 x 2"], strict=True)]
        ratio = f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"
        print(f"| {name} | {' | '.join(cells)} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
