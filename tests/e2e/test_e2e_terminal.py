"""What a run shows at a terminal, as the terminal has it in the end."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e_samples import LIMIT, REPOSITORY, run_inline, write
from forking import Forked

pytestmark = pytest.mark.e2e

CODE = """
import time

import keras


class Slow(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        time.sleep(0.2)


def build(input_shape, num_classes, units):
    print("building", units)
    layers = [keras.Input(input_shape), keras.layers.Dense(units)]
    model = keras.Sequential([*layers, keras.layers.Dense(num_classes, "softmax")])
    loss = "sparse_categorical_crossentropy"
    model.compile("sgd", loss, metrics=["accuracy"], run_eagerly=True)
    return model
"""
EXPERIMENT = """# @package _global_
defaults: [/task: classification, /data: iris, _self_]
fit: {epochs: 3, batch_size: 64}
baselines: none
validation: {repeats: 2}
callbacks: {slow: {_target_: my_code.Slow}}
model:
  _target_: my_code.build
  units: {hp: Int, min_value: 4, max_value: 10, step: 2}
pipelines:
  first: {tuner: {kind: grid}}
  second: {tuner: {kind: random, max_trials: 1}, validation: {repeats: 1}}
"""
CODES = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class Terminal:
    """A terminal of 24 lines and 80 columns: as much of one as is drawn with here."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.device, self.slave, self.text = os.ttyname(slave), slave, ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 65536):
                self.text += data.decode()

    def lines(self) -> list[str]:
        """What is on it, and above it, by now."""
        lines, row = [""], 0
        column = 0
        for number, letter, back, down, said in CODES.findall(self.text):
            if back:
                column = 0
            elif down:
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif said:
                lines[row] = (
                    lines[row][:column].ljust(column) + said + lines[row][column + len(said) :]
                )
                column += len(said)
            elif letter == "A":
                row -= int(number or 1)
                assert row >= 0
            elif letter == "K":
                lines[row] = ""
        return [line.rstrip() for line in lines]

    def sees(self, pattern: str) -> bool:
        return re.search(pattern, "\n".join(self.lines()), re.MULTILINE) is not None

    @property
    def has_cursor(self) -> bool:
        return self.text.rfind("\x1b[?25h") >= self.text.rfind("\x1b[?25l")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    os.close(made.slave)
    os.close(made.master)


def start_at(terminal: Terminal, folder: Path, *arguments: str, **own: str) -> Forked:
    """The experiment, as somebody starts it there."""
    write(folder, my_code_py=CODE, conf__experiment__shown_yaml=EXPERIMENT)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | own
    command = ["+experiment=shown", *arguments]
    return Forked(folder, command, environment, terminal=terminal.device)


def wait(until: Callable[[], bool], process: Forked, terminal: Terminal) -> None:
    end = time.monotonic() + LIMIT
    while not until() and process.poll() is None:
        assert time.monotonic() < end, terminal.text
        time.sleep(0.02)
    assert until(), terminal.text


def ended(process: Forked, terminal: Terminal) -> int | None:
    """Its exit code, once it has ended, and the terminal has been read."""
    wait(lambda: process.poll() is not None, process, terminal)
    time.sleep(0.1)
    return process.returncode


def test_a_terminal_shows_what_a_run_is_at_and_is_left_clean(
    tmp_path: Path, terminal: Terminal
) -> None:
    """By Ctrl-C, after which its lines stand there and no more, in colours or without; the same
    command, without a terminal, goes on, and counts the trials of the start before.
    """
    process = start_at(terminal, tmp_path, NO_COLOR="1", TERM="xterm")
    pattern = r"^worker 1  trial 0002  epoch [1-3]/3  \d s  units="
    wait(lambda: terminal.sees(pattern), process, terminal)
    shown = [line for line in terminal.lines() if line]
    assert shown[-4] == "shown     first (1 of 2): 2/4 trials"
    assert re.match(r"best      trial 000[01]  val_loss [\d.]+  units=\d$", shown[-3])
    assert re.match(
        r"left      about 0:00:0\d: 2 more trials, one every [\d.]+ s so far", shown[-2]
    )
    assert not terminal.has_cursor
    process.send_signal(signal.SIGINT)
    assert ended(process, terminal) == 130
    lines = [line for line in terminal.lines() if line]
    assert lines[-1].startswith("interrupted; finished trials are kept: re-run the same command")
    assert terminal.has_cursor
    assert not terminal.sees("^(worker|best|left|shown) ")
    assert terminal.sees(r"first: trial 0001 \(2/4\)  val_loss [\d.]+ \(best [\d.]+\)\s+units=\d")
    assert lines.count("building 4") > 1  # what a run says beside it is whole, too
    assert not re.search(r"\x1b\[[\d;]*m", terminal.text)
    best = min(float(found) for found in re.findall(r"val_loss ([\d.]+) \(best", terminal.text))
    done = run_inline(tmp_path, "+experiment=shown")
    [line] = [line for line in done.err.splitlines() if "first: trial 0002 (3/4)" in line]
    [(loss, so_far)] = re.findall(r"val_loss ([\d.]+) \(best ([\d.]+)\)", line)
    assert float(so_far) == min(best, float(loss))
    assert "\x1b" not in done.err
    assert "first: refits of trial 000" in done.err
    assert "first: refit 1 (2/2)  accuracy " in done.err


@pytest.mark.nightly
def test_a_dumb_terminal_shows_lines_alone(tmp_path: Path, terminal: Terminal) -> None:
    process = start_at(terminal, tmp_path, "only=[second]", "fit.epochs=1", TERM="dumb")
    assert ended(process, terminal) == 0
    assert terminal.sees(r"second: refit 0 \(1/1\)  accuracy")
    assert terminal.sees(r"second: trial 0000 \(1/1\)  val_loss")
    assert "\x1b[?25" not in terminal.text
