"""Projects that Keras Tuner itself has just made, read by the history."""

import json
from pathlib import Path

import pytest
from e2e_samples import finish, start, write

from history.exchange.keras_tuner import read_project

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

SEARCH = """
import json

import keras
import keras_tuner
import numpy as np

keras.utils.set_random_seed(1)
x = np.random.default_rng(1).normal(size=(60, 4))
y = (x.sum(axis=1) > 0).astype(int)


def build(hp):
    units = hp.Int("units", 4, 16)
    layers = [keras.layers.Dense(units), keras.layers.Dense(2, activation="softmax")]
    model = keras.Sequential(layers)
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    return model


plain = {"objective": "val_accuracy", "max_trials": 3, "executions_per_trial": 2}
bands = {"objective": "val_loss", "max_epochs": 3}
shared = {"directory": "projects", "seed": 1}
tuners = {
    "plain": keras_tuner.RandomSearch(build, project_name="plain", **plain, **shared),
    "bands": keras_tuner.Hyperband(build, project_name="bands", **bands, **shared),
}
told = {}
for name, tuner in tuners.items():
    tuner.search(x, y, validation_split=0.3, epochs=2, verbose=0)
    [best] = tuner.oracle.get_best_trials(1)
    objective = {"name": tuner.oracle.objective.name, "direction": tuner.oracle.objective.direction}
    values = best.hyperparameters.values
    told[name] = {
        "objective": objective,
        "space": tuner.oracle.get_space().get_config()["space"],
        "best": {"trial_id": best.trial_id, "score": float(best.score), "values": values},
        "trials": list(tuner.oracle.end_order),
    }
with open("told.json", "w") as file:
    json.dump(told, file)
"""


def test_a_project_is_read_as_keras_tuner_itself_tells_it(tmp_path: Path) -> None:
    """Objective, space, best trial and trials, of a random search and of Hyperband."""
    write(tmp_path, search_py=SEARCH)
    done = finish(start(tmp_path, module="search"))
    assert done.exit_code == 0, done.err
    told = json.loads((tmp_path / "told.json").read_text())
    for name, tuner in {"plain": None, "bands": "hyperband"}.items():
        folder = tmp_path / "projects" / name
        found = read_project(folder)
        document, best = found.document, folder / f"trial_{told[name]['best']['trial_id']}"
        search = document["search"]
        assert document["best"] == told[name]["best"]
        assert {key: search[key] for key in ("objective", "space")} == {
            key: told[name][key] for key in ("objective", "space")
        }
        assert (document["experiment"], document["pipeline"], document["task"]) == (
            "projects",
            name,
            "classification",
        )
        assert search["tuner"] == tuner
        count = len(told[name]["trials"])
        assert search["trials"] == {"total": count, "completed": count, "failed": 0}
        assert [trial.trial_id for trial in found.trials] == told[name]["trials"]
        assert found.files == {
            "oracle": folder / "oracle.json",
            "weights": best / "checkpoint.weights.h5",
            "build_config": best / "build_config.json",
        }
