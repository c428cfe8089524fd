"""What a history costs as it grows: time and memory of looking at it and of storing one entry more.

    python benchmarks/growth.py [--sizes 100 1000 10000] [--rounds 3]

`list` and its memory are those of a whole process, `python -m history list` with its output thrown
away; the others run in this process. The peer is TinyDB with its own storage, on the same
documents, and its column is the ratio of our time to its.
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson
from tinydb import TinyDB

from history.catalogue import History
from history.entry import new_id
from history.store import TABLE, Store

REPOSITORY = Path(__file__).resolve().parents[1]
TARGETS = {
    "list": 1.0,
    "insert": 1.0,
    "memory": 500.0,
}  # seconds, seconds, MB: at 10,000 entries on two cores

LISTING = """
import resource, subprocess, sys, time
clock = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def document(number: int) -> dict[str, Any]:
    """Return an entry as a run of the shipped `digits` stores it: about 5 kB, with three refits."""
    id = new_id("mlp")
    reports = ("classification_report", "confusion_matrix")
    names = ["model", "config", "identity", "trials", "oracle", "history", "changes", *reports]
    names += [f"test_{name}" for name in reports]
    parameters = [
        f"model.{name}" for name in ("hidden.h1", "hidden.h2", "dropout", "activation", "l2")
    ]
    space = [
        {
            "class_name": "Float",
            "config": {"name": name, "default": 0.0, "conditions": [], "min_value": 0.0, "step": 1},
        }
        for name in parameters
    ]
    metrics = ("accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc")
    means = dict.fromkeys(metrics, 0.9123456789 + number / 1e6)
    return {
        "id": id,
        "schema_version": 2,
        "created": (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)).isoformat(),
        "origin": {"kind": "run"},
        "run_id": f"20260101-{number:06}",
        "experiment": "digits",
        "pipeline": "mlp",
        "task": "classification",
        "manager": "classification",
        "status": "complete",
        "seed": number,
        "fingerprint": f"{number:064x}",
        "search": {
            "tuner": "random",
            "objective": {"name": "val_accuracy", "direction": "max"},
            "space": space,
            "oracle": {"max_trials": 20, "seed": number, "max_retries_per_trial": 0},
            "trials": {"total": 20, "completed": 19, "failed": 1},
            "seconds": 61.25 + number,
        },
        "best": {
            "trial_id": "07",
            "score": 0.975,
            "values": dict.fromkeys(parameters, 0.125 + number),
        },
        "validation": {
            "repeats": 3,
            "metrics": dict(means),
            "deviation": dict.fromkeys(metrics, 0.0123456789),
            "kept": 0,
        },
        "test": {"metrics": dict(means), "deviation": dict.fromkeys(metrics, 0.0123456789)},
        "data": {
            "source": {"kind": "sklearn", "name": "digits"},
            "classes": [str(digit) for digit in range(10)],
            "split": {"kind": None, "validation": 0.2, "test": 0.2, "seed": 0},
            "fingerprint": f"{number:064x}",
            "shapes": {"train": [1000, 64], "test": [300, 64]},
        },
        "environment": {
            "python": "3.11.2",
            "packages": {f"package-{index}": f"{index}.0.{number % 10}" for index in range(12)},
            "git": {"commit": f"{number:040x}", "dirty": False},
            "host": "example",
            "platform": "Linux-x86_64-with-glibc2.41",
            "processor": "x86_64",
            "cores": 2,
            "accelerator": None,
            "threads": 2,
            "backend": "tensorflow",
        },
        "timings": {"preparation": 0.5, "search": 61.25, "validation": 9.75},
        "config_hash": f"{number:064x}",
        "overrides": ["tuner.max_trials=20", f"seed={number}"],
        "artefacts": {
            name: {
                "path": f"entries/{id}/{name}.bin",
                "bytes": 60_000 + number,
                "sha256": f"{number:064x}",
            }
            for name in names
        },
    }


def seconds(function: Callable[..., object], *arguments: object) -> float:
    clock = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - clock


def listing(root: Path) -> tuple[float, float]:
    """Seconds and MB of the process, which a small one starts: Linux counts the memory of its
    parent as its own.
    """
    command = [sys.executable, "-m", "history", "--root", str(root), "list"]
    done = subprocess.run(
        [sys.executable, "-c", LISTING, *command], capture_output=True, cwd=REPOSITORY, check=True
    )
    taken, memory = map(float, done.stdout.split())
    return taken, memory / 1000


def measure(folder: Path, size: int, rounds: int) -> dict[str, float]:
    """Return the medians of `rounds`, on a history of `size` entries."""
    documents = [document(number) for number in range(size)]
    tables = {TABLE: {str(number): row for number, row in enumerate(documents, 1)}}
    root = folder / str(size)
    root.mkdir()
    Store(root).write(tables)
    peers = folder / f"peer-{size}.json"
    peers.write_text(json.dumps(tables))
    store, peer = Store(root), TinyDB(peers)
    took: dict[str, list[float]] = {key: [] for key in ("list", "memory", "insert", "peer", "get")}
    for number in range(rounds):
        listed, memory = listing(root)
        took["list"].append(listed)
        took["memory"].append(memory)
        new = document(size + number)
        took["insert"].append(seconds(store.insert, new))
        took["peer"].append(seconds(peer.table(TABLE).insert, copy.deepcopy(new)))
        took["get"].append(seconds(History(root).get, documents[size // 2]["id"]))
    medians = {key: statistics.median(values) for key, values in took.items()}
    return {**medians, "bytes": len(orjson.dumps(documents)) / size}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1000, 3000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("entries  bytes each     list   memory   insert  TinyDB's  ratio      get")
    late = []
    with tempfile.TemporaryDirectory() as name:
        for size in options.sizes:
            found = measure(Path(name), size, options.rounds)
            ratio = found["insert"] / found["peer"]
            print(
                f"{size:7,} {found['bytes']:11,.0f} {found['list']:6.2f} s "
                f"{found['memory']:5.0f} MB {found['insert']:6.3f} s {found['peer']:7.3f} s "
                f"{ratio:6.2f} {found['get']:6.3f} s",
                flush=True,
            )
            late += [
                f"{key} at {size:,}: {found[key]:.2f}"
                for key, most in TARGETS.items()
                if found[key] > most
            ]
    print(f"medians of {options.rounds}; above the target: {', '.join(late) or 'none'}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
