"""What `tuner.parallel` costs in quality and saves in time: what its defaults were chosen by.

    python -m benchmarks.parallel [--seeds 10] [--processes 2] [--tuners bayesian]

Quality: the regret, how far the best trial is from the best there is, after 30 trials of Bayesian
optimisation, and after Hyperband's whole schedule, on functions that are quickly computed; as a
ratio to `parallel=1` under the same seed. Time: how busy 2, 4 and 8 workers are when the trials
last differently long (lognormal, a deviation of a half in the logarithm; in Hyperband times their
epochs).
"""

import argparse
import heapq
import itertools
import math
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from runner.config.schema import (
    BayesianTuner,
    HyperbandTuner,
    Model,
    Objective,
    Pipeline,
    Run,
    SklearnData,
    Task,
)
from runner.config.space import declare

if TYPE_CHECKING:
    from runner.search.oracles import Oracle
    from runner.training.ledger import Proposal, TrialResult

AHEAD = {"bayesian": (1, 2, 4, 8), "hyperband": (1, 4, 8, 16, 32)}
WORKERS = (2, 4, 8)
TRIALS = 30
TUNERS: Mapping[str, Callable[[int], Any]] = {
    "bayesian": lambda ahead: BayesianTuner(max_trials=TRIALS, parallel=ahead),
    "hyperband": lambda ahead: HyperbandTuner(max_epochs=9, factor=3, parallel=ahead),
}
UNIT = {"hp": "Float", "min_value": 0.0, "max_value": 1.0}
RATE = {"hp": "Float", "min_value": 1e-4, "max_value": 1e-1, "sampling": "log"}
Values = Mapping[str, Any]


def branin(v: Values) -> float:
    x, y = 15 * v["x"] - 5, 15 * v["y"]
    waves = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return float(waves + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887)


def hartmann(v: Values) -> float:
    x = np.array([v[f"x{n}"] for n in range(6)])
    widths = np.array(
        [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8],
         [17, 8, 0.05, 10, 0.1, 14]]
    )  # fmt: skip
    places = 1e-4 * np.array(
        [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
         [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]
    )  # fmt: skip
    heights = np.array([1, 1.2, 3, 3.2])
    return float(3.32237 - heights @ np.exp(-(widths * (x - places) ** 2).sum(1)))


def valley(v: Values) -> float:
    """Return Rosenbrock's function, one of its axes a learning rate."""
    x, y = 4 * (math.log10(v["rate"]) + 4) / 3 - 2, 4 * v["y"] - 2
    return float(math.log1p((1 - x) ** 2 + 100 * (y - x**2) ** 2) + (v["z"] - 0.3) ** 2)


def kinds(v: Values) -> float:
    """Return the depth of a bowl; there is one for each kind."""
    place, depth = {"a": (0.2, 0.3), "b": (0.7, 0.0), "c": (0.5, 0.1)}[v["kind"]]
    low = (math.log10(v["rate"]) + 4) / 3
    return float(depth + (low - place) ** 2 + 0.5 * (v["x"] - 1 + place) ** 2)


FUNCTIONS: Mapping[str, tuple[dict[str, Any], Callable[[Values], float]]] = {
    "branin": ({"x": UNIT, "y": UNIT}, branin),
    "valley": ({"rate": RATE, "y": UNIT, "z": UNIT}, valley),
    "kinds": ({"kind": {"hp": "Choice", "values": [*"abc"]}, "rate": RATE, "x": UNIT}, kinds),
    "hartmann": ({f"x{n}": UNIT for n in range(6)}, hartmann),
}


@dataclass(frozen=True)
class Search:
    """What a search came to: its regret, and of each trial how many had been told when it was asked
    for, and its epochs.
    """

    tuner: str
    function: str
    ahead: int
    regret: float
    trials: Sequence[tuple[int, int]]


def new(tuner: Any, specs: Mapping[str, Any], seed: int) -> "Oracle":
    """Return an oracle as the loop makes it."""
    import keras_tuner

    from runner.search.oracles import new_oracle

    space = keras_tuner.HyperParameters()
    declare({"": specs}, space)
    settings = Pipeline(
        task=Task(kind="regression"),
        data=SklearnData(name="diabetes"),
        model=Model.model_validate({"_target_": "runner.models.linear"}),
        tuner=tuner,
        objective=Objective(name="val_loss"),
    )
    return new_oracle(Run(seed=seed), settings, space.get_config(), {})


def answer(asked: "Proposal", score: float) -> "TrialResult":
    """Return what a trial came to."""
    from runner.training.ledger import TrialResult

    return TrialResult(
        trial_id=asked.trial_id,
        asked=asked.hyperparameters["values"],
        hyperparameters=asked.hyperparameters,
        status="COMPLETED",
        metrics={"val_loss": score},
        started="",
        seconds=0.0,
    )


def search(case: tuple[str, str, int, int]) -> Search:
    """Ask and tell as the loop does it."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    tuner, function, ahead, seed = case
    specs, compute = FUNCTIONS[function]
    oracle = new(TUNERS[tuner](ahead), specs, seed)
    flying, trials, best, told, idle = list[Any](), list[tuple[int, int]](), math.inf, 0, False
    while True:
        while (
            not idle and len(flying) < ahead and not (tuner == "bayesian" and len(trials) == TRIALS)
        ):
            if asked := oracle.ask():
                values = asked.hyperparameters["values"]
                epochs = values.get("tuner/epochs", 1) - values.get("tuner/initial_epoch", 0)
                trials.append((told, epochs))
                flying.append(asked)
            else:
                idle = True
        if not flying:
            return Search(tuner, function, ahead, best, trials)
        asked = flying.pop(0)
        values = {name.lstrip("."): v for name, v in asked.hyperparameters["values"].items()}
        score = compute(values)
        if "tuner/epochs" in values:  # far from its end at first, some for longer than others
            slow = 1 + 9 * (37 * sum(v for v in values.values() if isinstance(v, float)) % 1)
            score += math.exp(-values["tuner/epochs"] / slow)
        best = min(best, score)
        oracle.tell(answer(asked, score))
        told, idle = told + 1, False


def busy(trials: Sequence[tuple[int, int]], workers: int, draw: np.random.Generator) -> float:
    """Return the share of their time that workers are busy, each trial being asked for when those
    before it that count have ended.
    """
    lasts = [epochs * float(draw.lognormal(0, 0.5)) for _, epochs in trials]
    free, ended = [0.0] * workers, list[float]()
    for (told, _), seconds in zip(trials, lasts, strict=True):
        begin = max([heapq.heappop(free), *ended[:told]])
        ended.append(begin + seconds)
        heapq.heappush(free, begin + seconds)
    return sum(lasts) / (workers * max(ended))


def rows(found: Sequence[Search], tuners: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| tuner | `parallel` | regret, ratio to 1 | busy: 2 workers | 4 | 8 |"
    yield "|---|---|---|---|---|---|"
    for tuner, ahead in [(name, number) for name in tuners for number in AHEAD[name]]:
        of_both = [
            [each for each in found if (each.tuner, each.ahead) == (tuner, number)]
            for number in (1, ahead)
        ]
        logs = [math.log(b.regret / a.regret) for a, b in zip(*of_both, strict=True)]
        middle = statistics.fmean(logs)
        error = statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else 0.0
        low, high = math.exp(middle - 2 * error), math.exp(middle + 2 * error)
        draw = np.random.default_rng(1)
        shares = [
            statistics.fmean(busy(each.trials, n, draw) for each in of_both[1] for _ in range(20))
            for n in WORKERS
        ]
        quality = f"{math.exp(middle):.2f} ({low:.2f} to {high:.2f})" if ahead > 1 else "1"
        cells = [tuner, str(ahead), quality, *(f"{share:.0%}" for share in shares)]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--tuners", nargs="+", default=[*TUNERS], choices=[*TUNERS])
    options = parser.parse_args()
    cases = [
        case
        for tuner in options.tuners
        for case in itertools.product([tuner], FUNCTIONS, AHEAD[tuner], range(options.seeds))
    ]
    with ProcessPoolExecutor(options.processes) as pool:
        found = [*pool.map(search, sorted(cases, key=lambda case: case[3]))]
    print(f"{options.seeds} seeds, {', '.join(FUNCTIONS)}; in brackets two standard errors")
    print("\n".join(rows(found, options.tuners)))


if __name__ == "__main__":
    main()
