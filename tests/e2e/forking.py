"""Runs of `executor=inline` as forks of one process that has imported Keras, once for all of them:
each is a process of its own, with the real command line, but for the seconds that it would import.
For tests of what a run says and stores; those of processes and of imports start real ones.
"""

import contextlib
import functools
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


def run(request):
    os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, name in enumerate((os.devnull, request["out"], request["err"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[:0] = ["", *os.environ["PYTHONPATH"].split(os.pathsep)]
    sys.argv = ["runner", *request["arguments"]]
    code = 1
    try:
        exec(request["first"], {"__name__": "first"})
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
    request = json.loads(line)
    if os.fork() == 0:  # one that waits for it
        child = os.fork() or run(request)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        with open(request["ended"] + ".part", "w") as file:
            file.write(str(os.waitstatus_to_exitcode(status)))
        os.rename(request["ended"] + ".part", request["ended"])
        os._exit(0)
    while True:  # those before it
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            break
"""
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONIOENCODING": "utf-8",
}
_folder = tempfile.TemporaryDirectory(prefix="forking-")
_numbers = itertools.count()


@functools.cache
def _server() -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=_folder.name,
        env=os.environ | ENVIRONMENT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


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
        self.returncode: int | None = None
        self.ended = Path(_folder.name, str(next(_numbers)))  # a file with the exit code
        self.out = self.ended.with_suffix(".out")
        self.err = self.ended.with_suffix(".err")
        request = {
            "folder": str(folder),
            "arguments": [*arguments, "executor=inline"],
            "environment": dict(environment),
            "out": terminal or str(self.out),
            "err": terminal or str(self.err),
            "ended": str(self.ended),
            "first": first,
        }
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"{json.dumps(request)}\n")
        server.stdin.flush()
        self.pid = int(server.stdout.readline())

    def poll(self) -> int | None:
        with contextlib.suppress(FileNotFoundError):
            self.returncode = int(self.ended.read_text())
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
