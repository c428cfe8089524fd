"""Kills runs and their workers at random times, many times, and compares what they end with to a
run of one worker that nobody killed.

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
from e2e_samples import documents


def soak(
    folder: Path, model: str, tuner: str, workers: int, kills: int
) -> tuple[int, int, list[str]]:
    """Kill and resume until there were so many kills and the run has ended: (kills, runs,
    differences).
    """
    arguments = [f"+experiment={model}", *killing.TUNERS[tuner]]
    clock = time.monotonic()
    killing.run(folder, "reference", *arguments, "executor.workers=1", inline=False)
    seconds = time.monotonic() - clock
    expected = killing.picture(folder, "reference")
    arguments.append(f"executor.workers={workers}")
    differences: list[str] = []
    done = runs = 0
    while done < kills:
        root, seen = f"run{runs}", dict[str, object]()
        killed, runs = True, runs + 1
        while killed and not killing.has_ended(folder / root):
            number, killed, output = killing.kill_at_random(folder, root, arguments, seconds)
            done += number
            now = killing.ended_trials(folder / root)
            again = [trial for trial in seen if trial in now and now[trial] != seen[trial]]
            differences += [f"{root}: {trial} ran again" for trial in again]
            seen |= now
        if any(word in output for word in ("Traceback", "ERROR", "error:", "cannot be used")):
            differences.append(f"{root}: its output has an error: {output[-2000:]}")
        for entry in documents(folder, root):
            for row in entry.trials():
                starts = [seen[trial] for trial in seen if trial.endswith(f"/{row['trial_id']}")]
                if starts not in ([], [(row["started"], row["seconds"])]):
                    differences.append(f"{root}: trial {row['trial_id']} has another start")
        if killing.picture(folder, root) != expected:
            differences.append(f"{root}: differs from the run that nobody killed")
        left = killing.leftovers(folder / root)
        differences += [f"{root}: {path} was not purged" for path in left]
    return done, runs, differences


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="of the times; printed"
    )
    parser.add_argument(
        "--only", nargs="*", default=[], help="MODEL/TUNER/WORKERS, such as mlp/grid/3"
    )
    options = parser.parse_args()
    random.seed(options.seed)
    print(f"seed {options.seed}", flush=True)
    cases = [
        (m, t, w)
        for m in killing.SOAKED
        for t in killing.TUNERS
        for w in (1, 3)
        if (m, t) != ("own", "folds")  # a `fit` of its own has none
        if not options.only or f"{m}/{t}/{w}" in options.only
    ]
    killed, failed = 0, False
    for number, (model, tuner, workers) in enumerate(cases):
        with tempfile.TemporaryDirectory() as name:
            folder, clock = killing.lay_out(Path(name) / "user"), time.monotonic()
            aim = (options.kills - killed) // (len(cases) - number)
            kills, runs, differences = soak(folder, model, tuner, workers, max(1, aim))
        killed += kills
        spent = f"{kills:3} kills, {runs:2} runs, {time.monotonic() - clock:.0f} s"
        head = f"{model:4} {tuner:10} {workers} workers"
        print(f"{head} {spent}, {len(differences)} differences", flush=True)
        print(*(f"     {difference}" for difference in differences), sep="\n", flush=True)
        failed |= bool(differences)
    print(f"{killed} kills", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
