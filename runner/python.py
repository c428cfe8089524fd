"""Runs from Python: a command in a process of its own, so that a notebook neither imports Keras nor
loses what it has set up. What that says on stderr is said here, as it comes.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from foundation import errors
from history import Entry, History


def run(experiment: str | None, overrides: Sequence[str]) -> dict[str, Entry]:
    """See `runner.run`."""
    given = [
        *([] if experiment is None else [f"experiment={experiment}"]),
        *([overrides] if isinstance(overrides, str) else overrides),
    ]
    if options := [each for each in given if each.startswith("-")]:
        raise errors.InputError(f"{options[0]}: only KEY=VALUE can be given here, and no option")
    told = ""  # of what is wrong; it is raised
    with (
        tempfile.TemporaryFile() as out,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "runner", "--json", *given],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),  # a notebook adds
                "PYTHONIOENCODING": "utf-8",
            },
            encoding="utf-8",
        ) as process,
    ):
        try:
            for line in process.stderr or ():
                if told or line.startswith("error: "):
                    told += line
                else:
                    sys.stderr.write(line)
        finally:
            process.send_signal(signal.SIGINT)  # where this is interrupted, and else of no effect
        code = process.wait()
        out.seek(0)
        result = json.loads(out.read() or "{}")
    if code:
        why = result.get("error") or told.replace("error: ", "").replace("\n       ", "\n").strip()
        raise (errors.InputError if code == 2 else errors.ExperimentError)(
            why or f"the run ended with exit code {code}; what it wrote says why"
        )
    sys.stderr.write(told)
    return {name: History(result["root"]).get(id) for name, id in result.get("entries", {}).items()}
