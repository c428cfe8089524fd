"""How good the models are that a table gets without a word about its model, beside those of others.

    python -m benchmarks tables [FOLDER] [--splits 3] [--peer NAME=PYTHON] [--kept FILE] [--write]

Takes each CSV file of the folder (benchmarks/data unless told otherwise), of which the last column
is the target: classes, if they are words or at most ten values. Splits it three times into 60 % for
training, 20 % for validation and 20 % for test, runs the command line with its defaults, and fits
the others to the same rows. Peers that need another environment are named with their Python, in
which they are installed: `autokeras` and `ludwig`. All of it takes more than an hour on 2 cores;
what has been measured is kept in a file, and not measured again.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from pandas.api.types import is_numeric_dtype
from scipy import stats

import history
from benchmarks.commands import call
from benchmarks.table import REPOSITORY, say

DATA = REPOSITORY / "benchmarks/data"
PAGE = REPOSITORY / "docs/tables.md"
BEGIN = "<!-- python -m benchmarks tables --write -->\n"
HERE = ("linear", "forest", "hgb")  # of scikit-learn, which is here
OURS = {"ours": "ensemble", "single": ""}  # the model that is stored, and its refits one by one
TITLES = {
    "linear": "ridge / logistic",
    "forest": "random forest",
    "hgb": "HGB",
    "ours": "**this project**",
    "single": "its single refits",
    "autokeras": "AutoKeras",
    "ludwig": "Ludwig",
}
TRIALS = 2  # of AutoKeras, whose trials train up to 1,000 epochs
CLASSES = 10
LIMIT = 900  # seconds of a peer
Found = tuple[float, float] | None


@dataclass
class Table:
    """A CSV file, and what came of it: by model and split, the score of the test rows and seconds;
    None where it failed.
    """

    path: Path
    rows: int
    target: str
    task: str
    found: dict[str, dict[str, Found]]

    @classmethod
    def of(cls, path: Path, kept: dict[str, Any]) -> "Table":
        """Return it with what is kept of it."""
        table = pandas.read_csv(path)
        target = str(table.columns[-1])
        values = table[target]
        is_classes = not is_numeric_dtype(values) or values.nunique() <= CLASSES
        task = "classification" if is_classes else "regression"
        return cls(path.resolve(), len(table), target, task, kept.setdefault(path.stem, {}))

    def add(self, model: str, seed: int, found: Found) -> None:
        self.found.setdefault(model, {})[str(seed)] = found
        say(f"{self.path.stem}, split {seed}, {model}: {found}")

    def lacks(self, model: str, seed: int) -> bool:
        return str(seed) not in self.found.get(model, {})

    def values(self, model: str, place: int) -> list[float]:
        """Return the scores of all splits (0), or the seconds (1)."""
        return [each[place] for each in self.found.get(model, {}).values() if each]

    def mean(self, model: str) -> float:
        return statistics.fmean(self.values(model, 0) or [np.nan])


def measure(table: Table, seed: int, peers: Mapping[str, str]) -> None:
    """Add what ours and the others come to with one split, where that is not known."""
    if not any(table.lacks(model, seed) for model in (*OURS, *peers)):
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        split = folder / "split.npz"
        if table.lacks("ours", seed):
            ours(table, seed, folder)
            shutil.copy(next(folder.glob("results/entries/*/split.npz")), split)
        else:
            call(folder, [*keys(table, seed), "debug=true", "baselines=none"])
            shutil.copy(next(folder.glob("results/debug/entries/*/split.npz")), split)
        for peer in (peer for peer in peers if table.lacks(peer, seed)):
            arguments = [peer, table.path, table.target, table.task, split, TRIALS]
            try:
                done = subprocess.run(
                    [peers[peer], REPOSITORY / "benchmarks/peers.py", *map(str, arguments)],
                    cwd=name,
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=LIMIT,
                )
            except subprocess.SubprocessError as error:
                say(str(getattr(error, "stderr", None) or error))
                table.add(peer, seed, None)
            else:
                found = json.loads(done.stdout.splitlines()[-1])
                table.add(peer, seed, (found["score"], found["seconds"]))


def keys(table: Table, seed: int) -> list[str]:
    """Return the arguments of Python for our command line."""
    given = {
        "task": table.task,
        "data": "table",
        "tuner": "random",
        "data.path": table.path,
        "data.target": table.target,
        "data.split.seed": seed,
    }
    return ["-m", "runner", *(f"{key}={value}" for key, value in given.items())]


def ours(table: Table, seed: int, folder: Path) -> None:
    """Add what the command line comes to with its defaults."""
    seconds = call(folder, keys(table, seed))
    (entry,) = history.open(folder / "results").entries()
    metric = "accuracy" if table.task == "classification" else "r2"
    single = entry.metric(metric, "test")
    assert single is not None
    table.add("single", seed, (single, seconds))
    table.add("ours", seed, (entry.document["ensemble"]["test"][metric], seconds))


def page(tables: Sequence[Table], models: Sequence[str]) -> str:
    """Return the table: a line for each table, then what all of them come to."""
    shown = [name for name in models if any(table.values(name, 0) for table in tables)]
    lines = [
        "| | rows | " + " | ".join(TITLES[name] for name in shown) + " |",
        "|---|---|" + "---|" * len(shown),
    ]
    for table in tables:
        cells = [_spread(table, name) for name in shown]
        best = max(
            range(len(shown)), key=lambda place: np.nan_to_num(table.mean(shown[place]), nan=-9)
        )
        cells[best] = f"**{cells[best]}**"
        kind = "accuracy" if table.task == "classification" else "R²"
        lines.append(f"| {table.path.stem} ({kind}) | {table.rows:,} | {' | '.join(cells)} |")
    for task, kind in (("classification", "accuracy"), ("regression", "R²")):
        of_task = [table for table in tables if table.task == task]
        if of_task:
            means = [statistics.fmean(r.mean(name) for r in of_task) for name in shown]
            known = ["" if np.isnan(mean) else f"{mean:.3f}" for mean in means]
            lines.append(f"| mean {kind} | | {' | '.join(known)} |")
    # the single refits are no model of their own, and what lacks a table has no rank
    ranked = [name for name in shown if name != "single" and all(name in t.found for t in tables)]
    ranks = np.mean(
        [stats.rankdata([-np.nan_to_num(r.mean(name), nan=-9) for name in ranked]) for r in tables],
        axis=0,
    )
    by_name = dict(zip(ranked, ranks, strict=True))
    lines += [
        f"| mean rank of {len(ranked)} | | {' | '.join(_number(by_name.get(n)) for n in shown)} |",
        "| tables where HGB is beaten | | "
        + " | ".join("" if name == "hgb" else _beaten(tables, name) for name in shown)
        + " |",
        "| seconds, median and most | | "
        + " | ".join(_seconds([s for r in tables for s in r.values(n, 1)]) for n in shown)
        + " |",
    ]
    return "\n".join(lines) + "\n"


def _spread(table: Table, model: str) -> str:
    """Return what a model comes to on a table; nothing where it was not measured."""
    if not (scores := table.values(model, 0)):
        return "failed" if model in table.found else ""
    deviation = f" ± {statistics.stdev(scores):.3f}" if len(scores) > 1 else ""
    return f"{statistics.fmean(scores):.3f}{deviation}"


def _beaten(tables: Sequence[Table], model: str) -> str:
    """Say of how many tables a model beats HGB, among those on which it was measured."""
    known = [table for table in tables if model in table.found]
    wins = sum(table.mean(model) > table.mean("hgb") for table in known)
    return f"{wins} of {len(known)}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _seconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f}, {max(values):,.0f}" if values else ""


def main(arguments: Sequence[str], about: str) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks tables", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DATA)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--kept", type=Path, metavar="FILE", help="what has been measured, as JSON")
    parser.add_argument("--write", action="store_true", help=f"put it into {PAGE.name} of docs")
    options = parser.parse_args(arguments)
    others = dict(peer.split("=", 1) for peer in options.peer)
    if unknown := {*others} - {*TITLES}:
        parser.error(f"no such peer: {', '.join(unknown)}")
    peers, paths = (
        dict.fromkeys(HERE, sys.executable) | others,
        sorted(options.folder.glob("*.csv")),
    )
    if not paths:
        parser.error(f"no CSV file in {options.folder}")
    kept = json.loads(options.kept.read_text()) if options.kept and options.kept.exists() else {}
    tables = [Table.of(path, kept) for path in paths]
    for seed in range(options.splits):
        for table in tables:
            measure(table, seed, peers)
            if options.kept:
                options.kept.write_text(json.dumps(kept))
    text = f"{about}, {time.strftime('%Y-%m-%d')}\n\n{page(tables, [*HERE, *OURS, *others])}"
    print(text)
    if options.write:
        before = PAGE.read_text("utf-8").partition(BEGIN)[0]
        PAGE.write_text(f"{before}{BEGIN}{text}", "utf-8")
    return 0
