"""What searches cost: beside the bare Keras fits, beside Keras Tuner, and on several cores."""

import statistics
import tempfile
from importlib.util import find_spec

from benchmarks.table import Figure, interleaved, ratios, side

MANY = 3_000  # trials, of which the bookkeeping is measured

# What runs in turn. Of two workers each has one thread, as has each of the two searches.
SIDES: dict[str, tuple[object, ...]] = {
    "bare": ("bare",),
    "one": ("ours", "--workers", 1),
    "plain": ("plain",),
    "two": ("ours", "--workers", 2, "--threads", 1),
    "apart": ("ours", "--threads", 1),
    "jax": ("ours", "--workers", 1, "--backend", "jax"),
    "jax two": ("ours", "--workers", 2, "--threads", 1, "--backend", "jax"),
}
# Of each row: what is compared with what, and the target.
COMPARED: dict[str, list[tuple[str, str, str, float | None, bool]]] = {
    "overhead": [
        ("time, one worker, to the same bare Keras fits", "one", "bare", 0.95, False),
        ("time, Keras Tuner, to the same bare Keras fits", "plain", "bare", None, False),
    ],
    "throughput": [
        (
            "throughput, 2 workers on 2 cores, to two independent one-process searches side by "
            "side of half the trials",
            *("apart", "two", 0.90, True),
        ),
        ("throughput, 2 workers on 2 cores, to Keras Tuner", "plain", "two", 2.3, True),
    ],
    "jax": [
        ("time, JAX with a warm cache, 2 workers, to Keras Tuner", "jax two", "plain", 0.25, False),
        ("time, JAX with a warm cache, one worker, to Keras Tuner", "jax", "plain", None, False),
    ],
}


def compared(rows: list[str], rounds: int, trials: int) -> list[Figure]:
    """Return the figures of some rows of COMPARED, all measured within the same rounds."""
    lines = [line for row in rows for line in COMPARED[row]]
    if find_spec("jax") is None:
        lines = [line for line in lines if "jax" not in line[1]]
    needed = {name for line in lines for name in line[1:3]}
    with tempfile.TemporaryDirectory() as root:

        def run(name: str) -> float:
            kind, *own = SIDES[name]
            if name.startswith("jax"):
                own += ["--root", root]
            count = 2 if name == "apart" else 1
            seconds: list[float] = side(kind, "--trials", trials // count, *own, count=count)
            return max(seconds)

        for name in needed & {"jax", "jax two"}:
            run(name)  # compiles
        took = interleaved([name for name in SIDES if name in needed], run, rounds)
    about = f"random search, {trials} trials of 10 epochs: "
    return [
        Figure(about + work, ratios(took[one], took[other]), target, least=least)
        for work, one, other, target, least in lines
    ]


def outside(rounds: int, trials: int) -> list[Figure]:
    """Return the cost of a trial outside `fit`."""
    found = [side("outside", "--workers", 1, "--trials", trials)[0] for _ in range(rounds)]
    building = statistics.median(build for _, _, build in found)
    note = f"{building:.2f} s of it build the model"
    each = [in_all - fit for in_all, fit, _ in found]
    return [Figure("cost of a trial outside `fit`", each, 0.10, "s", note=note)]


def books() -> list[Figure]:
    """Return what a trial costs beside its own time, as a search grows."""
    (found,) = side("books", "--trials", MANY)
    windows = {100: found[50:150], MANY: found[-100:]}
    return [
        Figure(
            f"bookkeeping of a trial at {number:,} trials",
            [1000 * statistics.median(window)],
            5.0,
            "ms",
            note="ask, tell and files; median of a hundred trials",
        )
        for number, window in windows.items()
    ]
