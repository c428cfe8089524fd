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


def soak(folder: Path, model: str, tuner: str, kills: int) -> tuple[int, list[str]]:
    """Kill and resume until there were so many kills and the run has ended: (runs, differences)."""
    arguments = [f"+experiment={model}", *killing.TUNERS[tuner]]
    clock = time.monotonic()
    code, output = killing.finish(folder, "reference", arguments)
    if code != 0:
        return 0, [f"the reference ended with {code}: {output[-2000:]}"]
    seconds, expected = time.monotonic() - clock, killing.picture(folder / "reference")
    differences: list[str] = []
    runs = 0
    while kills > 0:
        root, seen = f"run{runs}", dict[str, object]()
        killed, runs = True, runs + 1
        while killed and not killing.has_ended(folder / root):
            killed, output = killing.kill_at_random(folder, root, arguments, seconds)
            kills -= killed
            now = killing.ended_trials(folder / root)
            again = [trial for trial in seen if trial in now and now[trial] != seen[trial]]
            differences += [f"{root}: {trial} ran again" for trial in again]
            seen |= now
        if any(word in output for word in ("Traceback", "ERROR", "error:", "cannot be used")):
            differences.append(f"{root}: its output has an error: {output[-2000:]}")
        for entry in killing.entries(folder / root):
            for row in killing.trials(folder / root, entry):
                told = [seen[trial] for trial in seen if trial.endswith(f"/{row['trial_id']}")]
                if told not in ([], [(row["started"], row["seconds"])]):
                    differences.append(f"{root}: trial {row['trial_id']} has another start")
        if killing.picture(folder / root) != expected:
            differences.append(f"{root}: differs from the run that nobody killed")
        left = killing.leftovers(folder / root)
        differences += [f"{root}: {path} was not purged" for path in left]
    return runs, differences


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="of the times; printed"
    )
    parser.add_argument("--only", nargs="*", default=[], help="MODEL/TUNER, such as mlp/grid")
    options = parser.parse_args()
    random.seed(options.seed)
    print(f"seed {options.seed}", flush=True)
    cases = [
        (m, t)
        for m in killing.SOAKED
        for t in killing.TUNERS
        if not options.only or f"{m}/{t}" in options.only
    ]
    failed = False
    for model, tuner in cases:
        with tempfile.TemporaryDirectory() as name:
            folder, clock = killing.lay_out(Path(name) / "user"), time.monotonic()
            runs, differences = soak(folder, model, tuner, options.kills // len(cases))
        spent = f"{runs:3} runs, {time.monotonic() - clock:.0f} s"
        print(f"{model:4} {tuner:10} {spent}, {len(differences)} differences", flush=True)
        print(*(f"     {difference}" for difference in differences), sep="\n", flush=True)
        failed |= bool(differences)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
