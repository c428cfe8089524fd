"""What is measured against Keras Tuner must be the same work: its scores are ours."""

import json
from pathlib import Path
from subprocess import run as run_process
from sys import executable
from typing import Any

import pytest
from e2e_samples import REPOSITORY, entries, run_inline, trials, write

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

TUNERS: dict[str, dict[str, Any]] = {
    "random": {"max_trials": 3},
    "grid": {"max_trials": 3},
    "hyperband": {"max_epochs": 3, "factor": 3},
}
AT_A_TIME = {"hyperband": {"parallel": 1}}  # as Keras Tuner does it

MODELS = """
import keras


def build(hp):
    hidden = keras.layers.Dense(hp.Int("units", 4, 16, step=4), activation="relu")
    rate = hp.Float("dropout", 0.1, 0.5, step=0.2)
    layers = [hidden, keras.layers.Dropout(rate), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((10,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    return model
"""

EXPERIMENT = """
# @package _global_
defaults: [/task: regression, _self_]
data: {kind: sklearn, name: diabetes}
model: {_target_: my_models.build}
objective: {name: val_loss, direction: min}
fit: {epochs: 2, batch_size: 256}
baselines: none
"""

PLAIN = """
import contextlib, io, json, sys
import keras, keras_tuner
import tensorflow as tf
from my_models import build
from runner.config.schema import SklearnData
from runner.data.sources import load
from runner.training.seeds import derive_seed

tf.config.threading.set_intra_op_parallelism_threads(2)
data = load(SklearnData(name="diabetes"), "regression")


class Seeded(keras_tuner.Tuner):
    def run_trial(self, trial, *args, **kwargs):
        self.name = f"{int(trial.trial_id):04}"
        return super().run_trial(trial, *args, **kwargs)

    def _build_hypermodel(self, hp):
        if hasattr(self, "name"):
            keras.utils.set_random_seed(derive_seed(0, self.name, 0))
        return super()._build_hypermodel(hp)


class SeededHyperband(Seeded, keras_tuner.Hyperband):
    pass


def tuner(name, arguments):
    given = {"objective": keras_tuner.Objective("val_loss", "min"),
             "seed": derive_seed(0, "oracle"), **arguments}
    place = {"directory": "plain", "project_name": name}
    if name == "hyperband":
        return SeededHyperband(build, **given, **place)
    oracle = {"random": keras_tuner.oracles.RandomSearchOracle,
              "grid": keras_tuner.oracles.GridSearchOracle}[name]
    return Seeded(oracle(**given), build, **place)


found = {}
for name, arguments in json.loads(sys.argv[1]).items():
    made = tuner(name, arguments)
    with contextlib.redirect_stdout(io.StringIO()):
        made.search(*data.train.given(), validation_data=data.validation.given(),
                    epochs=2, batch_size=256, verbose=0)
    ended = [made.oracle.trials[trial_id] for trial_id in made.oracle.end_order]
    found[name] = [
        [trial.hyperparameters.values["units"], trial.hyperparameters.values["dropout"],
         trial.score, trial.best_step] for trial in ended
    ]
print(json.dumps(found))
"""


def test_scores_are_those_of_keras_tuner_itself_under_the_same_seeds(tmp_path: Path) -> None:
    """Bit for bit: values, scores and best epochs, in order. Keras Tuner's side is its own tuners
    and oracles; only the seed is set before each build. Bayesian optimisation chooses others.
    """
    pipelines = {
        name: {"tuner": {"kind": name, **own, **AT_A_TIME.get(name, {})}}
        for name, own in TUNERS.items()
    }
    experiment = f"{EXPERIMENT}pipelines: {json.dumps(pipelines)}\n"
    write(tmp_path, conf__experiment__plain_yaml=experiment, my_models_py=MODELS)
    done = run_inline(tmp_path, "experiment=plain", "validation.repeats=1", "threads=2")
    assert done.exit_code == 0, done.err
    ours = {
        name: [
            [
                *(row["values"][key] for key in ("units", "dropout")),
                row["score"],
                row["best_epoch"],
            ]
            for row in trials(tmp_path, document)
        ]
        for name, document in entries(tmp_path).items()
    }
    plain = run_process(
        [executable, "-c", PLAIN, json.dumps(TUNERS)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": f"{REPOSITORY}:{tmp_path}", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert plain.returncode == 0, plain.stderr
    assert ours == json.loads(plain.stdout.splitlines()[-1])
