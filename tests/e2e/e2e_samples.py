"""What the end-to-end tests share: the real command line in processes of its own."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from forking import Forked

import runner

REPOSITORY = Path(runner.__file__).parents[1]
LIMIT = 600  # seconds that nothing here should ever take, on a machine that is busy either


@dataclass(frozen=True)
class Done:
    """A process that has ended."""

    exit_code: int
    out: str
    err: str


@dataclass(frozen=True)
class Ran:
    """A folder in which an experiment has run: how it ended, and its entries by pipeline."""

    folder: Path
    done: Done
    entries: dict[str, dict[str, Any]]


def interruptible() -> None:
    """A job that a shell starts in the background ignores Ctrl-C, and so would all that it
    starts.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(
    folder: Path, *arguments: object, module: str = "runner", **environment: str
) -> "subprocess.Popen[str]":
    """`python -m runner ...` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=folder,
        preexec_fn=interruptible,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONIOENCODING": "utf-8",
            "COLUMNS": "300",
            **environment,
        },
    )


def start_inline(folder: Path, *arguments: object, **environment: str) -> Forked:
    """The same with executor=inline, in a process that need not import Keras."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "300", **environment}
    return Forked(folder, [*map(str, arguments)], {**os.environ, **given})


def finish(process: "subprocess.Popen[str] | Forked") -> Done:
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode is not None
    return Done(process.returncode, out, err)


def run_inline(folder: Path, *arguments: object, **environment: str) -> Done:
    return finish(start_inline(folder, *arguments, **environment))


def run(folder: Path, *arguments: object, **environment: str) -> Done:
    return finish(start(folder, *arguments, **environment))


def run_both(
    one: "subprocess.Popen[str] | Forked", other: "subprocess.Popen[str] | Forked"
) -> tuple[Done, Done]:
    """Two processes that run side by side."""
    return finish(one), finish(other)


def history(folder: Path, *arguments: object) -> Any:
    """What `python -m history ... --json` prints: strict JSON and nothing else."""
    done = finish(start(folder, *arguments, "--json", module="history"))
    assert (done.exit_code, done.err) == (0, ""), done
    return json.loads(done.out, parse_constant=pytest.fail)


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of `results`, by pipeline, each of which must have but one."""
    documents = history(folder, "list")
    found = {document["pipeline"]: document for document in documents}
    assert len(found) == len(documents)
    return found


def artefact(folder: Path, document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The rows of a JSON artefact of an entry."""
    path = folder / "results" / document["artefacts"][name]["path"]
    rows: list[dict[str, Any]] = json.loads(path.read_bytes(), parse_constant=pytest.fail)
    return rows


def trials(folder: Path, document: dict[str, Any]) -> list[dict[str, Any]]:
    return artefact(folder, document, "trials")


def refits(folder: Path, document: dict[str, Any]) -> list[dict[str, Any]]:
    return artefact(folder, document, "history")


def told(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What two equal searches agree in."""
    return [
        (r["trial_id"], r["status"], r["score"], r["values"], r["best_epoch"], r["history"])
        for r in rows
    ]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(folder: Path, **files: str) -> None:
    """Files below a folder; `__` in a name is a slash, the last `_` before the suffix a dot."""
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        path = folder / f"{stem.replace('__', '/')}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str] | Forked") -> None:
    """Until a condition holds, while the process runs."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def stop(process: "subprocess.Popen[str]", number: signal.Signals) -> Done:
    """Sends a signal; how the process ended."""
    process.send_signal(number)
    return finish(process)
