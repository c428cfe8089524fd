"""What a search takes of disk and memory, however long it is: docs/bounds.md.

    python -m benchmarks bounds [--write] [--trials 30]

The disk takes six minutes, the memory, over 500 trials, about six.
"""

import statistics
from collections.abc import Iterator
from pathlib import Path

from rich import filesize

from benchmarks.table import HEAD, REPOSITORY, Figure, side

PAGE = REPOSITORY / "docs" / "bounds.md"
SEEDS = 3  # searches
MANY, EARLY, WINDOW = 500, 20, 10  # trials; of which the median is taken
TEXT = """\
# Disk and memory of long searches

Made by `python -m benchmarks bounds --write`. Disk: the most that a search's files take at any
time (`search.peak_bytes` of an entry), compared with what Keras Tuner itself has on disk at the end
(it deletes nothing), for an MLP of 0.3 to 1.1 million parameters on `diabetes`, trained with Adam;
medians of {seeds} searches, each with its own seed, and their range.
Memory: what the processes of a run use, without shared pages, over {many} trials of 2 epochs with
one worker and TensorFlow; medians of {window} trials around the ones that are named.

{machine}

{table}
"""


def disk(trials: int) -> Iterator[Figure]:
    """Yield what searches take of disk, to plain Keras Tuner's."""
    for tuner, said in (
        ("random", f"random search, {trials} trials"),
        ("hyperband", "Hyperband (max_epochs=10, factor=3: 30 trials)"),
    ):
        pairs = list[tuple[float, float]]()
        for seed in range(SEEDS):
            given = ("--tuner", tuner, "--trials", trials, "--seed", seed, "--workers")
            pairs += zip(side("disk", *given, 1), side("plain disk", *given, 0), strict=True)
        ours, theirs = (
            filesize.decimal(int(statistics.median(s))) for s in zip(*pairs, strict=True)
        )
        yield Figure(
            f"{said}: disk, to Keras Tuner",
            [one / other for one, other in pairs],
            0.10,
            note=f"{ours} against {theirs}",
        )


def memory() -> Iterator[Figure]:
    """Yield how memory grows."""
    (found,) = side("memory", "--workers", 1, "--threads", 1, "--trials", MANY)
    for what, own in zip(("the worker", "all processes"), zip(*found, strict=True), strict=True):
        early = statistics.median(own[EARLY - WINDOW // 2 : EARLY + WINDOW // 2])
        late = statistics.median(own[-WINDOW:])
        note = f"{early:.0f} MB, {late:.0f} MB, at most {max(own[EARLY:]):.0f} MB"
        about = f"memory of {what}, at trial {MANY} to that at trial {EARLY}"
        yield Figure(about, [late / early], 1.10, note=note)


def measure(machine: str, trials: int, write: bool) -> None:
    """Print the table, and write the page."""
    table = "\n".join([HEAD, *map(str, (*disk(trials), *memory()))])
    print(machine, table, sep="\n\n")
    if write:
        Path(PAGE).write_text(
            TEXT.format(machine=machine, table=table, many=MANY, window=WINDOW, seeds=SEEDS),
            "utf-8",
        )
