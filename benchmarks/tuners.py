"""How far tuners come with as many trials: ours, and those of plain Keras Tuner and plain Optuna.

    python -m benchmarks tuners [--seeds 20] [--trials 100] [--kept FILE] [--write]
    python -m benchmarks tuners --tabulate [NAME...]

Each tuner searches eight spaces: five functions that are quickly computed, and three tables of what
trainings of an MLP came to, of which a search gets the score of the nearest point. Ours are asked
and told in the order of the loop, the others one trial after the other. What has been measured is
kept in a file, and not measured again. All of it takes an hour on 2 cores, most of which is Keras
Tuner's Gaussian process.

With `--tabulate`, makes these tables (benchmarks/data/trials): each by a random search of the
command line over a table of benchmarks/data.
"""

import argparse
import functools
import importlib.metadata
import json
import math
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy import linalg, stats

import history
from benchmarks import parallel
from benchmarks.commands import call
from benchmarks.table import REPOSITORY, say
from runner.config import schema
from runner.config.space import declare, hyperparameters

BUDGETS = (10, 30, 100)  # trials, after which it is seen how good the best one is
POINTS = 300  # of a table
TYPICAL = 1000  # random points, the median of which counts 100 %
DATA = REPOSITORY / "benchmarks/data"
TRIALS = DATA / "trials"
PAGE = REPOSITORY / "docs/tuners.md"
BEGIN = "<!-- python -m benchmarks tuners --write -->\n"
Values = Mapping[str, Any]
Specs = Mapping[str, Mapping[str, Any]]
Case = tuple[str, str, int, int]  # tuner, space, seed, trials
Found = Mapping[str, float]  # regret by number of trials, and seconds
Kept = dict[str, dict[str, dict[str, Found]]]  # by tuner, space and seed


# --- spaces


@dataclass(frozen=True)
class Space:
    """What is searched."""

    specs: Specs  # by name; what a condition names comes before it
    compute: Callable[[Values], float]  # the score, which is to be small
    best: float = 0.0  # score


UNITS = {"hp": "Int", "min_value": 4, "max_value": 256, "sampling": "log"}
RATE = {"hp": "Float", "min_value": 1e-4, "max_value": 1e-1, "sampling": "log"}
DROPOUT = {"hp": "Float", "min_value": 0.0, "max_value": 0.5}
BATCH = {"hp": "Choice", "values": [8, 16, 32, 64, 128]}
NETWORK: Specs = {
    "layers": {"hp": "Int", "min_value": 1, "max_value": 3, "step": 1},
    "units1": UNITS,
    "units2": UNITS | {"parent_name": "layers", "parent_values": [2, 3]},
    "units3": UNITS | {"parent_name": "layers", "parent_values": [3]},
    "optimizer": {"hp": "Choice", "values": ["adam", "rmsprop", "sgd"]},
    "momentum": parallel.UNIT | {"parent_name": "optimizer", "parent_values": ["sgd"]},
    "rate": RATE,
}


def network(v: Values) -> float:
    """Return what might be a network's loss: of conditions, whole numbers and a category."""
    momentum = v.get("momentum", 0.5)
    depth = {1: 0.4, 2: 0.0, 3: 0.1}[v["layers"]]
    kind = {"adam": 0.1, "rmsprop": 0.2, "sgd": 2 * (momentum - 0.8) ** 2}[v["optimizer"]]
    widths = [math.log2(v[f"units{n}"]) - 7 + n for n in range(1, v["layers"] + 1)]
    rate = math.log10(v["rate"]) + (1.5 + momentum if v["optimizer"] == "sgd" else 3)
    return float(depth + kind + statistics.fmean(width**2 for width in widths) / 10 + rate**2 / 2)


def place(specs: Specs, values: Values) -> list[float]:
    """Return where values lie in the unit cube; of what has no order, each two are 1 apart."""
    found = list[float]()
    for name, spec in specs.items():
        value, known = values[name], spec.get("values")
        if known and isinstance(value, str):
            found += [math.sqrt(0.5) * (value == one) for one in known]
        elif known:
            found.append(known.index(value) / (len(known) - 1))
        else:
            low, high = spec["min_value"], spec["max_value"]
            if spec.get("sampling") == "log":
                low, high, value = math.log(low), math.log(high), math.log(value)
            found.append((value - low) / (high - low))
    return found


def tabulated(path: Path) -> Space:
    """Return a space with the scores that a file tells."""
    kept = json.loads(path.read_text("utf-8"))
    specs, rows = kept["specs"], kept["trials"]
    places = np.array([place(specs, dict(zip(specs, row, strict=False))) for row in rows])
    scores = np.array([row[-1] for row in rows])

    def compute(values: Values) -> float:
        distances = ((places - place(specs, values)) ** 2).sum(1)
        return float(scores[distances.argmin()])

    return Space(specs, compute, float(scores.min()))


@functools.cache
def spaces() -> Mapping[str, Space]:
    return {
        **{name: Space(*given) for name, given in parallel.FUNCTIONS.items()},
        "network": Space(NETWORK, network),
        **{path.stem: tabulated(path) for path in sorted(TRIALS.glob("*.json"))},
    }


# --- tables of trials


@dataclass(frozen=True)
class Searched:
    """A table of rows, and what is searched with it."""

    task: str
    target: str
    epochs: int
    batch_size: Any
    model: Mapping[str, Any]  # arguments of the MLP


SEARCHED = {
    "cars": Searched(
        "regression",
        "Miles_per_Gallon",
        20,
        BATCH,
        {"hidden": {"h1": UNITS}, "dropout": DROPOUT, "learning_rate": RATE},
    ),
    "slid": Searched(
        "regression",
        "wages",
        6,
        BATCH,
        {
            "hidden": {
                "h1": {"hp": "Int", "min_value": 8, "max_value": 128, "step": 8},
                "h2": {"hp": "Int", "min_value": 0, "max_value": 64, "step": 8},
            },
            "dropout": DROPOUT,
            "learning_rate": RATE,
        },
    ),
    "titanic": Searched(
        "classification",
        "survived",
        10,
        32,
        {
            "hidden": {"h1": UNITS},
            "activation": {"hp": "Choice", "values": ["relu", "sigmoid", "tanh"]},
            "optimizer": {"hp": "Choice", "values": ["adam", "rmsprop", "sgd"]},
            "learning_rate": RATE,
        },
    ),
}


def tabulate(name: str) -> None:
    """Write what random trials over a table come to, by the loss of their validation rows."""
    given = SEARCHED[name]
    trees = {
        "fit": {"epochs": given.epochs, "batch_size": given.batch_size},
        "model": {"_target_": "runner.models.mlp", **given.model},
    }
    experiment = {
        "defaults": [{"/task": given.task}, {"/data": "table"}, {"/tuner": "random"}, "_self_"],
        "data": {"path": str(DATA / f"{name}.csv"), "target": given.target},
        "tuner": {"max_trials": POINTS},
        "objective": {"name": "val_loss", "direction": "min"},
        **trees,
    }
    with tempfile.TemporaryDirectory() as root:
        file = Path(root, "conf/experiment", f"{name}.yaml")
        file.parent.mkdir(parents=True)
        file.write_text(f"# @package _global_\n{json.dumps(experiment)}", "utf-8")
        seconds = call(Path(root), ["-m", "runner", f"+experiment={name}"])
        (entry,) = history.open(Path(root) / "results").entries()
        trials = json.loads(entry.artefact("trials").read_text("utf-8"))
    specs = {path: spec for tree in trees for path, spec in hyperparameters(trees[tree], tree)}
    rows = [
        json.dumps([*(trial["values"][path] for path in specs), trial["score"]])
        for trial in trials
        if trial["status"] == "COMPLETED"
    ]
    TRIALS.mkdir(exist_ok=True)
    text = f'{{"specs": {json.dumps(specs)},\n"trials": [\n' + ",\n".join(rows) + "\n]}\n"
    (TRIALS / f"{name}.json").write_text(text, "utf-8")
    say(f"{name}: {len(rows)} trials in {seconds:.0f} s")


# --- tuners


class Tuner(Protocol):
    """Chooses what is tried next; told the score of each choice, in their order."""

    ahead: int  # choices at a time

    def ask(self) -> tuple[Any, Values]: ...

    def tell(self, asked: Any, score: float) -> None: ...


class Ours:
    """As the search loop makes it."""

    def __init__(
        self, specs: Specs, seed: int, tuner: "schema.RandomTuner | schema.GuidedTuner"
    ) -> None:
        self.oracle = parallel.new(tuner, specs, seed)
        self.ahead = getattr(tuner, "parallel", 1)

    def ask(self) -> tuple[Any, Values]:
        asked = self.oracle.ask()
        assert asked is not None, "the space is exhausted"
        return asked, asked.hyperparameters["values"]

    def tell(self, asked: Any, score: float) -> None:
        self.oracle.tell(parallel.answer(asked, score))


def predict(process: Any, x: np.ndarray, return_std: bool) -> tuple[np.ndarray, np.ndarray]:
    """Predict the numbers that scikit-learn does, for a single point in a fifth of the time: what
    is given is not looked at first.
    """
    near = process.kernel_(x, process.X_train_)
    v = linalg.solve_triangular(process.L_, near.T, lower=True, check_finite=False)
    variance = np.maximum(process.kernel_.diag(x) - np.einsum("ij,ji->i", v.T, v), 0)
    scale, middle = process._y_train_std, process._y_train_mean
    return scale * (near @ process.alpha_) + middle, np.sqrt(variance * scale**2)


class KerasTuner:
    """An oracle of Keras Tuner's, with its defaults; it writes no files."""

    ahead = 1

    def __init__(self, specs: Specs, seed: int, kind: str) -> None:
        import keras_tuner

        space = keras_tuner.HyperParameters()
        declare({"": specs}, space)
        self.oracle: Any = getattr(keras_tuner.oracles, kind)(
            objective=keras_tuner.Objective("score", "min"),
            max_trials=max(BUDGETS),
            seed=1000 * seed,  # it draws its trials by seed + number: neighbours would share them
            hyperparameters=space,
        )
        self.oracle.verbose = 0
        self.oracle.save = self.oracle._save_trial = lambda *_: None
        if hasattr(self.oracle, "gpr"):
            self.oracle.gpr.predict = functools.partial(predict, self.oracle.gpr)

    def ask(self) -> tuple[Any, Values]:
        trial = self.oracle.create_trial("tuner0")
        assert trial.status == "RUNNING", "the space is exhausted"
        return trial, trial.hyperparameters.values

    def tell(self, asked: Any, score: float) -> None:
        self.oracle.update_trial(asked.trial_id, {"score": score})
        asked.status = "COMPLETED"
        self.oracle.end_trial(asked)


class Optuna:
    """A sampler of Optuna's, with its defaults but for those that are given."""

    ahead = 1

    def __init__(self, specs: Specs, seed: int, kind: str, **settings: Any) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.specs = specs
        self.study = optuna.create_study(
            sampler=getattr(optuna.samplers, kind)(seed=seed, **settings)
        )

    def ask(self) -> tuple[Any, Values]:
        trial, values = self.study.ask(), dict[str, Any]()
        for name, spec in self.specs.items():
            if (
                "parent_name" in spec
                and values.get(spec["parent_name"]) not in (spec["parent_values"])
            ):
                continue
            if "values" in spec:
                values[name] = trial.suggest_categorical(name, spec["values"])
            else:
                given = {"log": spec.get("sampling") == "log"}
                given |= {key: spec[key] for key in ("step",) if key in spec}
                suggest = getattr(trial, f"suggest_{spec['hp'].lower()}")
                values[name] = suggest(name, spec["min_value"], spec["max_value"], **given)
        return trial, values

    def tell(self, asked: Any, score: float) -> None:
        self.study.tell(asked, score)


TUNERS: Mapping[str, Callable[[Specs, int], Tuner]] = {
    "`random`": lambda s, seed: Ours(s, seed, schema.RandomTuner()),
    "`bayesian`": lambda s, seed: Ours(s, seed, schema.BayesianTuner()),
    "`bayesian`, one by one": lambda s, seed: Ours(s, seed, schema.BayesianTuner(parallel=1)),
    "`tpe`": lambda s, seed: Ours(s, seed, schema.TpeTuner()),
    "`tpe`, one by one": lambda s, seed: Ours(s, seed, schema.TpeTuner(parallel=1)),
    "Keras Tuner, random": lambda s, seed: KerasTuner(s, seed, "RandomSearchOracle"),
    "Keras Tuner, Bayesian": lambda s, seed: KerasTuner(s, seed, "BayesianOptimizationOracle"),
    # the default of Optuna 4, and that of Optuna 5
    "Optuna, univariate TPE": lambda s, seed: Optuna(s, seed, "TPESampler", multivariate=False),
    "Optuna, multivariate TPE": lambda s, seed: Optuna(s, seed, "TPESampler", multivariate=True),
}


# --- the measurement


def alone() -> None:
    """Have a process use one core."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from threadpoolctl import threadpool_limits

    import runner.search.oracles  # noqa: F401  # with what else loads libraries

    threadpool_limits(1)


def search(case: Case) -> Found:
    """Return what a search comes to, and the seconds of a processor that choosing takes."""
    name, searched, seed, trials = case
    space, found, best, begun = (
        spaces()[searched],
        dict[str, float](),
        math.inf,
        time.process_time(),
    )
    tuner = TUNERS[name](space.specs, seed)
    flying = deque(tuner.ask() for _ in range(min(tuner.ahead, trials)))
    for number in range(1, trials + 1):
        asked, values = flying.popleft()
        score = space.compute(values)
        best = min(best, score)
        tuner.tell(asked, score)
        if number + len(flying) < trials:
            flying.append(tuner.ask())
        if number in BUDGETS:
            found[str(number)] = float(best - space.best)
    return {**found, "seconds": time.process_time() - begun}


def measure(kept: Kept, cases: Iterable[Case], processes: int, save: Callable[[], None]) -> None:
    """Add what searches come to."""
    with ProcessPoolExecutor(processes, initializer=alone) as pool:
        running = {pool.submit(search, case): case for case in cases}
        for number, future in enumerate(as_completed(running), 1):
            name, space, seed, _ = running[future]
            found = future.result()
            kept.setdefault(name, {}).setdefault(space, {})[str(seed)] = found
            say(f"{number} of {len(running)}: {name}, {space}, seed {seed}: {found}")
            save()


def missing(kept: Kept, seeds: int, trials: int) -> Iterator[Case]:
    """Yield the searches that are not kept, one seed after the other."""
    budgets = {str(number) for number in BUDGETS if number <= trials}
    for seed in range(1, seeds + 1):  # 0 is any, to Keras Tuner
        for name in TUNERS:
            for space in spaces():
                if budgets - {*kept.get(name, {}).get(space, {}).get(str(seed), {})}:
                    yield name, space, seed, trials


# --- the page


def typical(space: Space) -> float:
    """Return the regret of random points, the median."""
    drawn = Optuna(space.specs, 0, "RandomSampler")
    return statistics.median(space.compute(drawn.ask()[1]) for _ in range(TYPICAL)) - space.best


def regrets(kept: Kept, seeds: int, budgets: Sequence[int]) -> np.ndarray:
    """Return the regrets in per cent, by space, number of trials, tuner and seed."""
    found = np.empty((len(spaces()), len(budgets), len(TUNERS), seeds))
    for at, (title, space) in enumerate(spaces().items()):
        whole = typical(space)
        for column, name in enumerate(TUNERS):
            for seed in range(seeds):
                one = kept[name][title][str(seed + 1)]
                found[at, :, column, seed] = [100 * one[str(n)] / whole for n in budgets]
    return found


def page(kept: Kept, seeds: int, trials: int) -> str:
    """Return the table: of each space and number of trials the regret, then what all come to."""
    budgets = [number for number in BUDGETS if number <= trials]
    found = regrets(kept, seeds, budgets)
    lines = ["| | trials | " + " | ".join(TUNERS) + " |", "|---|---|" + "---|" * len(TUNERS)]
    for space, by_number in zip(spaces(), found, strict=True):
        for number, regret in zip(budgets, by_number, strict=True):
            lines.append(_line(space, number, regret))
    for number, mean in zip(budgets, found.mean(0), strict=True):
        lines.append(_line("mean regret", number, mean, of_mean=True))
    for number, rank in zip(budgets, stats.rankdata(found, axis=2).mean(0), strict=True):
        lines.append(_line("mean rank", number, rank, of_mean=True))
    took = [[one["seconds"] for by in kept[n].values() for one in by.values()] for n in TUNERS]
    cells = [f"{statistics.fmean(seconds):.2g}" for seconds in took]
    lines.append(f"| seconds of choosing | {trials} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _line(about: str, number: int, found: np.ndarray, of_mean: bool = False) -> str:
    """Return a line: of each tuner the mean over seeds and their deviation, or two standard errors
    of that mean.
    """
    cells = [
        f"{v.mean():.3g} ± {v.std(ddof=len(v) > 1) * (2 / math.sqrt(len(v)) if of_mean else 1):.2g}"
        for v in found
    ]
    best = found.mean(axis=1).argmin()
    cells[best] = f"**{cells[best]}**"
    return f"| {about} | {number} | {' | '.join(cells)} |"


def main(arguments: Sequence[str], about: str) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks tuners", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=max(BUDGETS), help="of each search")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kept", type=Path, metavar="FILE", help="what has been measured, as JSON")
    parser.add_argument("--write", action="store_true", help=f"put it into {PAGE.name} of docs")
    parser.add_argument("--tabulate", nargs="*", metavar="NAME", choices=SEARCHED)
    options = parser.parse_args(arguments)
    if options.tabulate is not None:
        for name in options.tabulate or SEARCHED:
            tabulate(name)
        return 0
    file: Path | None = options.kept
    kept: Kept = json.loads(file.read_text()) if file and file.exists() else {}

    def save() -> None:
        if file:
            part = file.with_suffix(".part")
            part.write_text(json.dumps(kept))
            part.replace(file)

    cases = [*missing(kept, options.seeds, options.trials)]
    measure(kept, cases, options.processes, save)
    optuna = importlib.metadata.version("optuna")
    head = f"{about}, optuna {optuna}, {options.seeds} seeds, {time.strftime('%Y-%m-%d')}"
    text = f"{head}\n\n{page(kept, options.seeds, options.trials)}"
    print(text)
    if options.write:
        before = PAGE.read_text("utf-8").partition(BEGIN)[0]
        PAGE.write_text(f"{before}{BEGIN}{text}", "utf-8")
    return 0
