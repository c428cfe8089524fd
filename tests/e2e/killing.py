"""Kills real runs with SIGKILL and compares what they end with. Shared by the tests and the
soak.
"""

import contextlib
import io
import json
import os
import random
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import e2e_samples
import h5py
import numpy as np
from e2e_samples import REPOSITORY, Done, Process, complete, finish, outcome

# A small search for each tuner: `mlp` declares its space in the config, `own` is a HyperModel with
# conditional scopes, a tuned number of layers, and a fit of its own with a tuned batch size that
# returns a float or a dict.
GUIDED = ("max_trials=6", "num_initial_points=2", "parallel=2")
TUNERS = {
    "random": ["tuner=random", "tuner.max_trials=6"],
    "grid": ["tuner=grid", "tuner.max_trials=6"],
    **{
        guided: [f"tuner={guided}", *(f"tuner.{key}" for key in GUIDED)]
        for guided in ("bayesian", "tpe")
    },
    "hyperband": ["tuner=hyperband", "tuner.max_epochs=4", "tuner.factor=2"],
    "folds": ["tuner=random", "tuner.max_trials=4", "tuner.folds=3"],
}

EXPERIMENT = """# @package _global_
defaults:
  - /task: classification
  - /data: iris
  - /tuner: random
  - _self_
seed: 3
threads: 1
baselines: none
"""

MODELS = {
    "mlp": """
objective: {name: val_loss, direction: min}
validation: {repeats: 2}
fit: {epochs: 2, batch_size: {hp: Choice, values: [16, 32, 64]}}
model:
  _target_: runner.models.mlp
  hidden: {h1: {hp: Int, min_value: 4, max_value: 16, step: 4}}
  dropout: {hp: Float, min_value: 0.0, max_value: 0.5, step: 0.25}
  learning_rate: {hp: Float, min_value: 1e-3, max_value: 1e-1, sampling: log}
""",
    "own": """
validation: {repeats: 2}
fit: {epochs: 2}
objective: {name: score, direction: max}
model: {_target_: patterns.Own, returns: dict}
""",
    # A pipeline for each tuner; a float is minimised or maximised as the objective says. One of
    # them compiles what it trains, which takes longer than these few steps.
    "all": """
fit: {epochs: 2}
objective: {name: score, direction: max}
model: {_target_: patterns.Own, returns: dict, eager: true}
validation: {repeats: 1}
tuner: {max_trials: 3}
data: {split: {test: 0}}
pipelines:
  hyperband:
    data: {split: {test: 0.2}}
    tuner: {kind: hyperband, max_epochs: 2, factor: 2}
    validation: {repeats: 2}
  random:
    tuner: {executions_per_trial: 2}
    model: {returns: float}
  grid:
    tuner: {kind: grid, max_trials: 3}
    model: {eager: false}
  bayesian: {tuner: {kind: bayesian, max_trials: 4, num_initial_points: 2, parallel: 2}}
  tpe: {tuner: {kind: tpe, max_trials: 4, num_initial_points: 1, parallel: 2}}
""",
}
SOAKED = ("mlp", "own")

PATTERNS = '''
"""HyperModel patterns that Keras Tuner's users write."""

import keras
import keras_tuner


class Own(keras_tuner.HyperModel):
    def __init__(self, input_shape, num_classes, returns, eager=False):
        super().__init__()
        self.shape, self.classes = input_shape, num_classes
        self.returns, self.eager = returns, eager

    def build(self, hp):
        model = keras.Sequential([keras.Input(self.shape)])
        kind = hp.Choice("kind", ["deep", "wide"])
        with hp.conditional_scope("kind", ["deep"]):
            if kind == "deep":
                for i in range(hp.Int("layers", 1, 2)):
                    units = hp.Choice(f"units_{i}", [4, 8])
                    model.add(keras.layers.Dense(units, activation="relu"))
        with hp.conditional_scope("kind", ["wide"]):
            if kind == "wide":
                model.add(keras.layers.Dense(hp.Int("width", 16, 32, step=16), activation="relu"))
        model.add(keras.layers.Dropout(0.2))
        model.add(keras.layers.Dense(self.classes, activation="softmax"))
        rate = hp.Choice("learning_rate", [0.1, 0.01])
        loss = "sparse_categorical_crossentropy"
        optimizer = keras.optimizers.Adam(rate)
        model.compile(optimizer, loss, metrics=["accuracy"], run_eagerly=self.eager)
        return model

    def fit(self, hp, model, x, y, validation_data, callbacks=None, **kwargs):
        size = hp.Choice("batch_size", [64, 128])
        history = model.fit(
            x, y, validation_data=validation_data, batch_size=size, callbacks=callbacks, **kwargs
        )
        score = -float(history.history["val_loss"][-1])
        return {"score": score, "other": 1.0} if self.returns == "dict" else score
'''

# Runs before anything else in the child and its workers, and kills the child and who is at it, with
# a real SIGKILL, at a place in their work: before or after the n-th change on disk whose path
# matches, as in KILL_AT="before:trial_0002/result.json#2".
KILLER = """
import io, os, re, shutil, signal, sys

def kill():
    known = sys.modules.get("multiprocessing.process")
    parent = known and known.parent_process()
    if parent:
        os.kill(parent.pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)

def arm(at):
    when, _, rest = at.partition(":")
    pattern, _, number = rest.partition("#")
    left = [int(number or 1)]
    def wrap(module, name, position):
        real = getattr(module, name)
        def wrapped(*args, **kwargs):
            path = args[position] if len(args) > position else ""
            named = isinstance(path, (str, os.PathLike))
            hit = named and re.search(pattern, os.fspath(path)) is not None
            mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
            if name == "open" and "w" not in str(mode):
                hit = False
            if hit:
                left[0] -= 1
                if left[0] == 0 and when == "before":
                    kill()
            result = real(*args, **kwargs)
            if hit and left[0] == 0:
                kill()
            return result
        setattr(module, name, wrapped)
    for name, position in dict(replace=1, rename=1, link=1, unlink=0, rmdir=0).items():
        wrap(os, name, position)
    wrap(shutil, "move", 0)
    wrap(io, "open", 0)

if os.environ.get("KILL_AT"):
    arm(os.environ["KILL_AT"])
"""


def lay_out(folder: Path) -> Path:
    """A user's folder with the experiments and the HyperModel; returns it."""
    experiments = {f"conf__experiment__{name}_yaml": EXPERIMENT + m for name, m in MODELS.items()}
    e2e_samples.write(folder, killer__sitecustomize_py=KILLER, patterns_py=PATTERNS, **experiments)
    return folder


def start(
    folder: Path, root: str, *arguments: str, kill_at: str = "", inline: bool = True
) -> Process:
    """Start `python -m runner` in a folder; it kills itself at a place, if one is named."""
    path = os.pathsep.join([str(folder / "killer"), str(REPOSITORY)])
    environment = {"PYTHONPATH": path, "KILL_AT": kill_at}
    arguments = (*arguments, f"paths.root={root}")
    if inline:
        return e2e_samples.start_inline(folder, *arguments, first=KILLER, **environment)
    return e2e_samples.start(folder, *arguments, **environment)


def run(folder: Path, root: str, *arguments: str, kill_at: str = "", inline: bool = True) -> Done:
    """Run to the end, or to the place where it is to be killed."""
    process = start(folder, root, *arguments, kill_at=kill_at, inline=inline)
    return finish(process, -signal.SIGKILL if kill_at else 0)


def living(session: int) -> dict[int, str]:
    """The processes of a session that have not ended, by id, with what runs there."""
    commands = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            stat = path.read_text().rpartition(")")[2].split()
            if int(stat[3]) == session and stat[0] != "Z":
                commands[int(path.parent.name)] = (path.parent / "cmdline").read_text()
    return commands


def kill_at_random(
    folder: Path, root: str, arguments: list[str], most: float
) -> tuple[int, bool, str]:
    """Kill a run after a random time below `most` seconds, seldom in its first two, which are all
    imports, and, before that, up to two of its workers or the server that they come from: a trial
    that three die of has failed. (How many were killed, whether the run was, output.)
    """
    process = start(folder, root, *arguments, inline=False)
    kills = 0
    begun = time.monotonic()
    end = random.uniform(0.1 if random.random() < 0.1 else 2.0, most)
    for moment in [*sorted(random.uniform(2.0, most) for _ in range(2)), end]:
        while time.monotonic() - begun < min(moment, end) and process.poll() is None:
            time.sleep(0.005)
        others = [pid for pid, what in living(process.pid).items() if "forkserver" in what]
        if moment < end and others:
            kills += 1
            with contextlib.suppress(OSError):  # it has just ended
                os.kill(random.choice(others), signal.SIGKILL)
    killed = process.poll() is None
    process.kill()
    done = finish(process, exit_code=None)
    return kills + killed, killed, done.out + done.err


def ended_trials(root: Path) -> dict[str, Any]:
    """When each trial that has ended was started: what must never change again."""
    started = {}
    for path in root.glob("trials/*/*/trial_*/result.json"):
        result = json.loads(path.read_text())
        search = path.parents[1]
        name = f"{search.parent.name}/{search.name}/{result['trial_id']}"
        started[name] = result["started"], result["seconds"]
    return started


def weights(path: Path) -> dict[str, Any]:
    """Every array of a saved model, by its place in the file."""
    arrays: dict[str, Any] = {}

    def collect(name: str, item: Any) -> None:
        if hasattr(item, "shape"):
            array = np.array(item)
            arrays[name] = array.dtype.str, array.shape, array.tobytes()

    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        file.visititems(collect)
    return arrays


def picture(folder: Path, root: str = "results") -> dict[str, Any]:
    """All that complete pipelines decided, without what may differ: ids, times, durations."""
    entries = complete(folder, root)
    pictures = {}
    for entry in entries:
        pictures[entry["pipeline"]] = {
            "trials": outcome(entry.trials()),
            "best": entry["best"],
            "refits": outcome(entry.refits()),
            "weights": weights(entry.path("model")),
        }
    assert len(pictures) == len(entries)
    return pictures


def has_ended(root: Path) -> bool:
    """Whether a run's hooks have ended: the same command would start a new run."""
    return (root / "history.json").exists() and not list(root.glob("runs/*.open"))


def leftovers(root: Path) -> list[str]:
    """Trial data that a run should have purged."""
    paths = root.glob("trials/*/*")
    return [str(path) for path in paths if path.is_dir() and ".locks" not in path.parts]
