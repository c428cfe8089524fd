"""Kills runs at random times, many times, and compares what they end with to a run that nobody
killed.

    python tests/soak/kill.py --kills 200

Run by hand. Prints a row per search, and exits with 1 if anything differs.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import killing  # the path is set above: the tests share it


def soak(folder: Path, model: str, tuner: str, kills: int) -> tuple[int, int, list[str]]:
    """(runs that ended, kills, differences)."""
    arguments = [f"+experiment={model}", *killing.TUNERS[tuner]]
    clock = time.monotonic()
    code, output = killing.finish(folder, "reference", arguments)
    seconds = time.monotonic() - clock
    if code != 0:
        return 0, 0, [f"the reference ended with {code}: {output[-2000:]}"]
    expected = killing.picture(folder / "reference")
    differences: list[str] = []
    done = runs = 0
    while done < kills:
        root = f"run{runs}"
        seen: dict[str, object] = {}
        while True:
            clock = time.monotonic()
            killed, output = killing.kill_at_random(folder, root, arguments, seconds)
            if not killed:
                seconds = min(
                    seconds, max(time.monotonic() - clock, 3.0)
                )  # a machine that is busy is slow at first
            now = killing.ended_trials(folder / root)
            changed = [trial for trial in seen if trial in now and now[trial] != seen[trial]]
            differences += [f"{root}: {trial} ran again" for trial in changed]
            seen |= now
            done += killed
            if not killed or killing.has_ended(folder / root):
                break
            if done >= kills:
                code, output = killing.finish(folder, root, arguments)
                if code != 0:
                    differences.append(f"{root}: ended with {code}: {output[-2000:]}")
                break
        if any(word in output for word in ("Traceback", "ERROR", "error:", "WARNING")):
            differences.append(f"{root}: its output has an error: {output[-2000:]}")
        entries = killing.entries(folder / root)
        for entry in entries:
            for row in killing.trials(folder / root, entry):
                where = next((k for k in seen if k.endswith(f"/{row['trial_id']}")), None)
                if where and seen[where] != (row["started"], row["seconds"]):
                    differences.append(f"{root}: {where} has another start in the trials table")
        if killing.picture(folder / root) != expected:
            differences.append(f"{root}: differs from the run that nobody killed")
        differences += [
            f"{root}: {path} was not purged" for path in killing.leftovers(folder / root)
        ]
        runs += 1
    return runs, done, differences


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="of the times; printed when drawn")
    parser.add_argument("--only", nargs="*", default=[], help="MODEL/TUNER, such as mlp/grid")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    random.seed(seed)
    print(f"seed {seed}", flush=True)
    cases = [
        (m, t)
        for m in killing.SOAKED
        for t in killing.TUNERS
        if not options.only or f"{m}/{t}" in options.only
    ]
    failed = False
    for index, (model, tuner) in enumerate(cases):
        share = options.kills // len(cases) + (index < options.kills % len(cases))
        with tempfile.TemporaryDirectory() as name:
            folder = killing.lay_out(Path(name) / "user")
            clock = time.monotonic()
            runs, kills, differences = soak(folder, model, tuner, share)
        print(
            f"{model:4} {tuner:10} {kills:3} kills, {runs:3} runs ended, {len(differences)} differences, "
            f"{time.monotonic() - clock:.0f} s",
            flush=True,
        )
        for difference in differences:
            print(f"     {difference}", flush=True)
        failed |= bool(differences)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
