"""What the end-to-end tests share: the real command line in processes of its own, and what it
leaves on disk.
"""

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

Rows = list[dict[str, Any]]
Process = subprocess.Popen[str] | Forked


@dataclass(frozen=True)
class Done:
    """A process that has ended."""

    exit_code: int
    out: str
    err: str


def interruptible() -> None:
    """A job that a shell starts in the background ignores Ctrl-C, and so would all that it
    starts.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(
    folder: Path, *arguments: object, module: str = "runner", **environment: str
) -> subprocess.Popen[str]:
    """Start `python -m runner ...` in a folder, as the head of a session of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=folder,
        start_new_session=True,
        preexec_fn=interruptible,
        env=_environment(environment),
    )


def start_inline(folder: Path, *arguments: object, first: str = "", **environment: str) -> Forked:
    """Start the same with executor=inline, in a process that need not import Keras, after code
    that is to run first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return Forked(folder, [*map(str, arguments)], _environment(environment), first=first)


def _environment(own: dict[str, str]) -> dict[str, str]:
    common = {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8", "COLUMNS": "300"}
    return os.environ | common | own


def finish(process: Process, exit_code: int | None = 0) -> Done:
    """Wait for a process, which is to end with this exit code, if one is given."""
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode is not None
    assert exit_code in (None, process.returncode), out + err
    return Done(process.returncode, out, err)


def run(folder: Path, *arguments: object, exit_code: int | None = 0, **environment: str) -> Done:
    return finish(start(folder, *arguments, **environment), exit_code)


def run_inline(
    folder: Path, *arguments: object, exit_code: int | None = 0, **environment: str
) -> Done:
    return finish(start_inline(folder, *arguments, **environment), exit_code)


def python(folder: Path, code: str, *arguments: str, **environment: str) -> list[str]:
    """The lines that code prints, in a process of its own, which finds the folder's modules."""
    path = os.pathsep.join([str(REPOSITORY), str(folder)])
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path} | environment,
        timeout=LIMIT,
        check=True,
    )
    return done.stdout.splitlines()


def refused(folder: Path, *arguments: object) -> str:
    """What a command says that is refused: on stderr, without a trace, with exit code 2."""
    done = run_inline(folder, *arguments, exit_code=2)
    assert done.out == ""
    assert "Traceback" not in done.err
    return done.err


def history(folder: Path, *arguments: object) -> Any:
    """What `python -m history ... --json` prints: strict JSON and nothing else."""
    done = run(folder, *arguments, "--json", module="history")
    assert done.err == ""
    return json.loads(done.out, parse_constant=pytest.fail)


class Document(dict[str, Any]):
    """An entry's document, and the files that it names, below a root."""

    root: Path

    def path(self, artefact: str) -> Path:
        path: str = self["artefacts"][artefact]["path"]
        return self.root / path

    def trials(self) -> Rows:
        rows: Rows = _read(self.path("trials"))
        return rows

    def refits(self) -> Rows:
        rows: Rows = _read(self.path("history"))
        return rows

    def model(self) -> Any:
        """By Keras alone."""
        import keras

        return keras.models.load_model(self.path("model"), safe_mode=True)


def documents(folder: Path, root: str = "results") -> list[Document]:
    """What the history in a folder holds, oldest first."""
    path = folder / root / "history.json"
    if not path.exists():
        return []
    stored = [Document(each) for each in _read(path)["entries"].values()]
    for document in stored:
        document.root = path.parent
    return stored


def complete(folder: Path, root: str = "results") -> list[Document]:
    return [entry for entry in documents(folder, root) if entry["status"] == "complete"]


def entries(folder: Path, root: str = "results") -> dict[str, Document]:
    """The same by pipeline, each of which must have but one."""
    stored = documents(folder, root)
    by_pipeline = {document["pipeline"]: document for document in stored}
    assert len(by_pipeline) == len(stored)
    return by_pipeline


def _read(path: Path) -> Any:
    """Strict JSON."""
    return json.loads(path.read_bytes(), parse_constant=pytest.fail)


def outcome(rows: Rows) -> Rows:
    """What equal trials, or refits, agree in: all but the time that they took."""
    return [{k: v for k, v in row.items() if k not in ("started", "seconds")} for row in rows]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(folder: Path, **files: str) -> None:
    """Files below a folder; `__` in a name is a slash, the last `_` before the suffix a dot."""
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        path = folder / f"{stem.replace('__', '/')}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def wait_until(condition: Callable[[], bool], process: Process) -> None:
    """Until a condition holds, while the process runs."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
