"""Measure what things cost, and print the table of docs/costs.md.

    python -m benchmarks [ROW...] [--rounds 3] [--trials 20] [--write] [--profile]
    python -m benchmarks bounds [--trials 30] [--write]    disk and memory
    python -m benchmarks tables [FOLDER]    how good the models are: benchmarks/tables.py
    python -m benchmarks tuners [--seeds 20]    which tuner finds how much: benchmarks/tuners.py
    python -m benchmarks report    how long 500 trials take to open: benchmarks/report.py
    python -m benchmarks pictures    those of README, from a run of digits: benchmarks/pictures.py

All rows take about ten minutes; nothing else should run meanwhile. Ratios are of one round each,
whose sides run in turn (table.py); a line has the median of the rounds and how far they spread.
"""

import argparse
import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path

from benchmarks import bounds, commands, pictures, report, searches, tables, tuners
from benchmarks.table import HEAD, REPOSITORY, Figure, side

ROWS = (*searches.COMPARED, "outside", "books", "digits", "answers")
PAGE = REPOSITORY / "docs" / "costs.md"
BEGIN, END = "<!-- python -m benchmarks --write -->", "<!-- end -->"
PACKAGES = ("keras", "keras-tuner", "tensorflow", "jax")


def machine() -> str:
    """Say on what was measured."""
    cpus, memory = Path("/proc/cpuinfo"), Path("/proc/meminfo")  # of Linux
    model = re.search(r"model name\s*: (.+)", cpus.read_text() if cpus.exists() else "")
    size = re.search(r"MemTotal:\s*(\d+)", memory.read_text() if memory.exists() else "")
    parts = [
        f"{os.cpu_count()} cores ({model[1] if model else platform.machine()})",
        f"{int(size[1]) / 2**20:.0f} GB" if size else "",
        f"Python {platform.python_version()}",
        *(
            f"{name} {found.version}"
            for name in PACKAGES
            for found in importlib.metadata.distributions(name=name)
        ),
        f"load before {os.getloadavg()[0]:.1f}",
    ]
    return ", ".join(filter(None, parts))


def main() -> int:
    if sys.argv[1:2] == ["tables"]:
        return tables.main(sys.argv[2:], machine())
    if sys.argv[1:2] == ["tuners"]:
        return tuners.main(sys.argv[2:], machine())
    if sys.argv[1:2] == ["report"]:
        return report.main(sys.argv[2:], machine())
    if sys.argv[1:2] == ["pictures"]:
        return pictures.main(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, help="of each search; 20, of bounds 30")
    parser.add_argument("--write", action="store_true", help="put the table into docs/costs.md")
    parser.add_argument("--profile", action="store_true", help="where a trial's time goes, inline")
    options = parser.parse_args()
    rows = options.rows or [*ROWS]
    if rows == ["bounds"]:
        bounds.measure(machine(), options.trials or 30, options.write)
        return 0
    if unknown := {*rows} - {*ROWS}:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; known: {', '.join(ROWS)}")
    figures, about, trials = list[Figure](), machine(), options.trials or 20
    if together := [row for row in searches.COMPARED if row in rows]:
        figures += searches.compared(together, options.rounds, trials)
    if "outside" in rows:
        figures += searches.outside(options.rounds, trials)
    if "books" in rows:
        figures += searches.books()
    if "digits" in rows:
        figures += commands.digits(options.rounds)
    if "answers" in rows:
        figures += commands.answers(options.rounds)
    table = "\n".join([about, "", HEAD, *map(str, figures)])
    print(table)
    if options.write:
        before, mark, rest = PAGE.read_text("utf-8").partition(BEGIN)
        after = rest[rest.index(END) :]
        PAGE.write_text(f"{before}{mark}\n{table}\n{after}", "utf-8")
    if options.profile:
        side("ours", "--profile")
    return 0


if __name__ == "__main__":
    sys.exit(main())
