"""Runs of `executor=inline` as forks of one process that has imported Keras, once for all of them:
each is a process of its own, with the real command line, but for the seconds that it would import.
For tests of what a run says and stores; those of processes and of imports start real ones.
"""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

SERVER = """
import gc, io, json, os, runpy, signal, sys, traceback

gc.disable()
import keras, keras_tuner, matplotlib.pyplot, matplotlib.backends.backend_svg
import hydra.experimental, hydra.core.override_parser.overrides_parser, pydantic, tinydb, yaml
import pandas, sklearn.compose, sklearn.datasets, sklearn.ensemble, sklearn.linear_model
import sklearn.metrics, sklearn.model_selection, sklearn.pipeline

figure = matplotlib.figure.Figure()  # the first one reads the fonts
figure.text(0, 0, "x")
figure.savefig(io.BytesIO(), format="svg")
gc.freeze()
gc.enable()


def run(asked):
    os.setsid()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, name in enumerate((os.devnull, asked["out"], asked["err"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[:0] = ["", *os.environ["PYTHONPATH"].split(os.pathsep)]
    sys.argv = ["runner", *asked["arguments"]]
    code = 1
    try:
        exec(asked["first"], {"__name__": "first"})
        runpy.run_module("runner", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if os.fork() == 0:  # one that waits for it
        child = os.fork() or run(asked)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        with open(asked["ended"] + ".part", "w") as file:
            file.write(str(os.waitstatus_to_exitcode(status)))
        os.rename(asked["ended"] + ".part", asked["ended"])
        os._exit(0)
    while True:  # those before it
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            break
"""
_folder = tempfile.TemporaryDirectory(prefix="forking-")
_numbers = itertools.count()
_server: list["subprocess.Popen[str]"] = []


def _serving() -> "subprocess.Popen[str]":
    if not _server:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=_folder.name,
            env={
                **os.environ,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "KERAS_BACKEND": "tensorflow",
                "PYTHONIOENCODING": "utf-8",
            },
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        _server.append(process)
    return _server[0]


class Forked:
    """A run; as much of subprocess.Popen as the tests need."""

    def __init__(
        self,
        folder: Path,
        arguments: list[str],
        environment: Mapping[str, str],
        *,
        first: str = "",
        terminal: str = "",
    ) -> None:
        """Start it.

        Args:
            folder: where.
            arguments: of `python -m runner`.
            environment: the variables; PYTHONPATH is one.
            first: code that runs before all else.
            terminal: the device that stdout and stderr are, in place of files.
        """
        self.place, self.returncode = Path(_folder.name, str(next(_numbers))), None
        self.out = self.place.with_suffix(".out")
        self.err = self.place.with_suffix(".err")
        asked = {
            "folder": str(folder),
            "arguments": [*arguments, "executor=inline"],
            "environment": dict(environment),
            "out": terminal or str(self.out),
            "err": terminal or str(self.err),
            "ended": str(self.place),
            "first": first,
        }
        server = _serving()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"{json.dumps(asked)}\n")
        server.stdin.flush()
        self.pid = int(server.stdout.readline())

    returncode: int | None

    def poll(self) -> int | None:
        with contextlib.suppress(FileNotFoundError):
            self.returncode = int(self.place.read_text())
        return self.returncode

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        end = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < end, self.err.read_text("utf-8")
            time.sleep(0.01)
        return self.out.read_text("utf-8"), self.err.read_text("utf-8")

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
