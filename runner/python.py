"""Runs from Python: a command in a process of its own, so that a notebook neither imports Keras nor
loses what it has set up. Its stderr is passed on as it comes.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence

from foundation import errors
from history import Entry, History


def run(experiment: str | None, overrides: Sequence[str]) -> dict[str, Entry]:
    """See `runner.run`."""
    arguments = [] if experiment is None else [f"experiment={experiment}"]
    arguments += [overrides] if isinstance(overrides, str) else overrides
    for argument in arguments:
        if argument.startswith("-"):
            raise errors.InputError(f"{argument}: only KEY=VALUE can be given here, and no option")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),  # a notebook adds to it
        "PYTHONIOENCODING": "utf-8",
    }
    with (
        tempfile.TemporaryFile() as out,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "runner", "--json", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
        ) as process,
    ):
        try:
            message = _pass_on(process.stderr or ())
        finally:
            process.send_signal(signal.SIGINT)  # where this is interrupted, and else of no effect
        code = process.wait()
        out.seek(0)
        result = json.loads(out.read() or "{}")
    if code:
        lines = message.replace("error: ", "").replace("\n       ", "\n").strip()
        why = result.get("error") or lines
        kind = errors.InputError if code == 2 else errors.ExperimentError
        raise kind(why or f"the run ended with exit code {code}; what it wrote says why")
    sys.stderr.write(message)
    entries = result.get("entries", {})
    return {name: History(result["root"]).get(id) for name, id in entries.items()}


def _pass_on(lines: Iterable[str]) -> str:
    """Show what the command says, and return the rest of it from the first error on."""
    message = ""
    for line in lines:
        if message or line.startswith("error: "):
            message += line
        else:
            sys.stderr.write(line)
    return message
