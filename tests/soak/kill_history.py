"""Kills writers of a history at random moments, many times; then lets many of them write at once.

    python tests/soak/kill_history.py --kills 500

First a process that inserts and removes documents is killed, then one that adds and removes entries
with their folders; after each kill, what was acknowledged must be there and what was removed must
not. Run by hand. Exits with 1 if anything is wrong.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "history"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import history_killing as killing  # the path is set above: the tests share it

LIVES = (
    25  # kills of one history, before a new one is begun: the first writes are the most delicate
)


def soak(
    kills: int, chance: random.Random, writer: killing.Writer, check: killing.Check, longest: float
) -> list[str]:
    wrong: list[str] = []
    added = removed = 0
    clock = time.monotonic()
    for first in range(0, kills, LIVES):
        said = killing.Said()
        with tempfile.TemporaryDirectory() as name:
            root = Path(name) / "results"
            for number in range(first, min(first + LIVES, kills)):
                killing.kill(writer, root, chance, said, longest)
                wrong += [f"after kill {number}: {what}" for what in check(root, said)]
        added, removed = added + len(said.added), removed + len(said.removed)
    print(
        f"{writer.__name__:17} {kills} kills, {added} added and {removed} removed and "
        f"acknowledged, {len(wrong)} wrong, {time.monotonic() - clock:.0f} s",
        flush=True,
    )
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="of each of the two")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="of the times; printed"
    )
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--inserts", type=int, default=100, help="of each writer")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(f"seed {options.seed}", flush=True)
    wrong = soak(
        options.kills, chance, killing.insert_documents, killing.wrong_in_the_database, longest=0.06
    )
    wrong += soak(
        options.kills, chance, killing.add_entries, killing.wrong_after_mending, longest=0.2
    )
    clock = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        lost = killing.write_at_once(Path(name) / "results", options.writers, options.inserts)
    print(
        f"{options.writers} writers of {options.inserts} documents at once: {len(lost)} wrong, "
        f"{time.monotonic() - clock:.0f} s",
        flush=True,
    )
    print(*(f"     {what}" for what in [*wrong, *lost]), sep="\n")
    return 1 if wrong or lost else 0


if __name__ == "__main__":
    sys.exit(main())
