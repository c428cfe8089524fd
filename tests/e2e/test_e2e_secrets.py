"""What a config took from the environment, and passwords, stand nowhere."""

import os
from pathlib import Path

import pytest
from e2e_samples import entries, run, run_inline, write

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

CODE = """
import keras


def login(token):
    raise ConnectionError(f"{token!r} is no token of https://me:{token}@host")


class Tracker(keras.callbacks.Callback):
    def __init__(self, token):
        self.token = token

    def on_train_end(self, logs=None):
        if self.params["epochs"] > 1:  # not in the rehearsal
            login(self.token)


def build(num_classes, units, activation, url):
    layers = [keras.layers.Dense(units, activation), keras.layers.Dense(num_classes, "softmax")]
    model = keras.Sequential(layers)
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    return model


def notify(token):
    login(token)
"""
EXPERIMENT = """# @package _global_
defaults: [/task: classification, /data: iris, /tuner: random, _self_]
fit: {epochs: 2}
tuner: {max_trials: 2}
baselines: none
model:
  _target_: my_code.build
  units: {hp: Choice, values: [4, 8]}
  activation: {hp: Choice, values: ["${oc.env:AN_ACTIVATION}"]}
hooks: {notify: {_target_: my_code.notify, token: "${oc.env:A_TOKEN}"}}
pipelines:
  good: {}
  bad: {callbacks: {tracker: {_target_: my_code.Tracker, token: "${oc.env:A_TOKEN}"}}}
  late:
    validation:
      epochs: 3
      callbacks: {tracker: {_target_: my_code.Tracker, token: "${oc.env:A_TOKEN}"}}
"""
TOKEN, PASSWORD = "hunter2\\s3cr3t", "p4ssw0rd"


@pytest.mark.parametrize("sweep", [[], ["-m"]], ids=["run", "sweep"])
def test_no_secret_is_written_anywhere(tmp_path: Path, sweep: list[str]) -> None:
    """Not by an exception that repeats it, nor by Hydra; the values of hyperparameters stay."""
    write(tmp_path, my_code_py=CODE, conf__experiment__mine_yaml=EXPERIMENT)
    command = [*sweep, "+experiment=mine", "hydra.output_subdir=.hydra"]
    url = f"+model.url='postgresql://me:{PASSWORD}@host/db'"
    run_it = run_inline if sweep else run
    done = run_it(tmp_path, *command, url, exit_code=1, A_TOKEN=TOKEN, AN_ACTIVATION="softplus")
    written = {path: path.read_bytes() for path in tmp_path.glob("results/**/*") if path.is_file()}
    assert {"trace.txt", "result.json", "hydra.yaml", "run.log"} <= {path.name for path in written}
    assert ("multirun.yaml" in {path.name for path in written}) == bool(sweep)
    for secret in (TOKEN, "s3cr3t", PASSWORD):
        spelled = [secret.encode(), repr(secret)[1:-1].encode(), os.fsencode(secret[-6:])]
        assert [path for path, text in written.items() if any(s in text for s in spelled)] == []
        assert secret not in done.out + done.err
    assert "'${oc.env:A_TOKEN}' is no token of https://me:***@host" in done.err
    found = entries(tmp_path)
    assert found["late"]["error"]["message"].startswith("'${oc.env:A_TOKEN}' is no token")
    for row in found["good"].trials():
        assert row["values"]["model.activation"] == "softplus"
    assert found["good"]["best"]["values"]["model.activation"] == "softplus"
