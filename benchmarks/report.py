"""How long a browser takes to open the trials of a search: benchmarks/data/trials, 500 of them.

    python -m benchmarks report [--rounds 9]

Needs the extra `report`, Playwright and Chromium. Seconds from the request of the page, which is a
file, to the first plot that is drawn, and to the last of those that a window of 1280 by 900 shows.
The ratio is to 50 trials, each round one after the other.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import history
from benchmarks.table import REPOSITORY
from history import Entry, registry
from history.report import pages

TRIALS = REPOSITORY / "benchmarks/data/trials/cars.json"
SIZES = (50, 500)
SHOWN = """() => [...document.querySelectorAll(".plot")]
    .filter((plot) => plot.getBoundingClientRect().top < innerHeight)
    .every((plot) => plot.querySelector(".main-svg"))"""


def store(root: Path, count: int) -> Entry:
    """Store an entry with so many trials; of the file, the first ones again at the end."""
    kept = json.loads(TRIALS.read_text("utf-8"))
    rows = [
        {
            "trial_id": f"{number:04}",
            "status": "COMPLETED",
            "score": values[-1],
            "values": dict(zip(kept["specs"], values, strict=False)),
            "started": f"2026-01-01T{number // 60:02}:{number % 60:02}:00+00:00",
            "seconds": 50.0,
        }
        for number, values in enumerate((kept["trials"] * 2)[:count])
    ]
    space = [
        {"class_name": spec["hp"], "config": {"name": name, "conditions": [], **spec}}
        for name, spec in kept["specs"].items()
    ]
    others = ("model", "config", "oracle", "predictions_plot", "regression_report")
    files = {"trials": rows, **{name: {} for name in others}}
    for name, content in files.items():
        (root.parent / f"{name}.json").write_text(json.dumps(content), "utf-8")
    objective = {"name": "val_loss", "direction": "min"}
    return registry.manager("regression", root).add(
        {
            **{"experiment": "cars", "pipeline": f"trials{count}", "run_id": "r"},
            "search": {
                "space": space,
                "objective": objective,
                "trials": {"total": count, "completed": count, "failed": 0},
            },
            "status": "complete",
            "validation": {"metrics": {"rmse": 1.0}, "repeats": 1},
        },
        {name: root.parent / f"{name}.json" for name in files},
    )


def opened(browser: Any, page: Path) -> tuple[float, float]:
    """Return the seconds until the first plot, and until all that the window shows."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        tab, begun = context.new_page(), time.perf_counter()
        tab.goto(f"file://{page}", wait_until="commit")
        tab.wait_for_selector(".plot .main-svg")
        first = time.perf_counter()
        tab.wait_for_function(SHOWN)
        return first - begun, time.perf_counter() - begun


def main(arguments: Sequence[str], about: str) -> int:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser("python -m benchmarks report", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args(arguments).rounds
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        root = Path(name) / "results"
        entries = [store(root, count) for count in SIZES]
        pages.write(history.open(root), entries, Path(name) / "report")
        found = [Path(name) / "report" / entry.id / "explore.html" for entry in entries]
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        took = [[opened(browser, page) for page in found] for _ in range(rounds + 1)][1:]
        browser.close()
    print(about)
    for place, what in enumerate(("the first plot", "all that the window shows")):
        few, many = ([one[side][place] for one in took] for side in (0, 1))
        ratio = statistics.median(b / a for a, b in zip(few, many, strict=True))
        print(
            f"{what}: {SIZES[1]} trials {statistics.median(many):.2f} s "
            f"({min(many):.2f} to {max(many):.2f}), {ratio:.2f} times that of {SIZES[0]}"
        )
    return 0
