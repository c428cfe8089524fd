"""The other backends of Keras, where they are installed: the same experiment, search to
reproduction.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from e2e_samples import Done, Rows, documents, entries, finish, outcome, python, run, start

import history

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

SMALL = (
    "+experiment=digits",
    "tuner.max_trials=2",
    "fit.epochs=2",
    "validation.repeats=1",
    "data.split.test=0",
    "baselines=none",
)
# Of Hyperband; 3 promotes a trial, but JAX compiles each one anew.
MAX_EPOCHS = {"jax": 2, "torch": 3}
INSTALLED = [name for name in MAX_EPOCHS if find_spec(name)]
needs_jax = pytest.mark.skipif("jax" not in INSTALLED, reason="jax is not installed")

SHARES = """
import os, sys
from runner.training import environment
from runner.config.schema import Run

environment.prepare(Run(backend=sys.argv[1], threads=1))
import keras

def ticks():
    found = {}
    for task in os.listdir("/proc/self/task"):
        stat = open(f"/proc/self/task/{task}/stat").read()
        fields = stat[stat.rindex(")") + 2 :].split()
        found[task] = int(fields[11]) + int(fields[12])
    return found

def work(times):
    for _ in range(times):
        keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix))

matrix = keras.ops.ones((1500, 1500))
work(1)
before = ticks()
work(15)
spent = [after - before.get(task, 0) for task, after in ticks().items()]
print(max(spent) / sum(spent))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`digits` under each backend that is installed, side by side."""
    folders = {name: tmp_path_factory.mktemp(name) for name in INSTALLED}
    started = [
        start(folder, *SMALL, f"backend={name}", f"tuner.max_epochs={MAX_EPOCHS[name]}")
        for name, folder in folders.items()
    ]
    for process in started:
        finish(process)
    return folders


@pytest.mark.parametrize("backend", INSTALLED)
def test_an_experiment_runs_under_the_backend(ran: dict[str, Path], backend: str) -> None:
    """Random search and Hyperband; the entries record the backend and its version."""
    stored = entries(ran[backend])
    status = {name: entry["status"] for name, entry in stored.items()}
    assert status == {"mlp": "complete", "cnn": "complete"}
    for entry in stored.values():
        assert entry["environment"]["backend"] == backend
        assert backend in entry["environment"]["packages"]
        assert "tensorflow" not in entry["environment"]["packages"]
    values = [row["values"] for row in stored["cnn"].trials()]
    assert any("tuner/trial_id" in each for each in values) == (MAX_EPOCHS[backend] > 2)


PREDICT = """
import sys, history, numpy as np
model = history.open("results").get(sys.argv[1]).load_model()
np.save("predicted.npy", model.predict(np.load("rows.npy"), verbose=0))
import keras
assert keras.backend.backend() == sys.argv[2]
"""


@pytest.mark.parametrize("backend", INSTALLED)
def test_a_model_predicts_the_same_under_tensorflow(ran: dict[str, Path], backend: str) -> None:
    """A stored model belongs to no backend: here, in the tests' own process, it is loaded with
    TensorFlow.
    """
    folder = ran[backend]
    entry = history.open(folder / "results").entries(pipeline="mlp")[-1]
    rows = np.random.default_rng(0).normal(size=(5, 8, 8, 1))
    np.save(folder / "rows.npy", rows)
    python(folder, PREDICT, entry.id, backend, KERAS_BACKEND=backend)
    here = entry.load_model().predict(rows, verbose=0)
    np.testing.assert_allclose(here, np.load(folder / "predicted.npy"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", INSTALLED)
def test_a_reproduction_is_identical(ran: dict[str, Path], backend: str) -> None:
    """Every epoch, metric and weight; the backend is taken from the entry."""
    again = run(ran[backend], f"reproduce={entries(ran[backend])['mlp']['id']}")
    assert ": identical" in again.out


@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="the time of each thread is read from /proc"
)
def test_threads_limits_what_one_training_computes_with(backend: str, tmp_path: Path) -> None:
    """With one thread, one thread takes all of the time."""
    [share] = python(tmp_path, SHARES, backend)
    assert float(share) > 0.8


@needs_jax
def test_what_jax_compiled_is_found_again_and_changes_nothing(tmp_path: Path) -> None:
    """The same trials from a search that compiled all itself, one without a cache, one that found
    all compiled, and one that found nothing but the halves of files that a kill leaves. A check
    leaves nothing.
    """
    small = (*SMALL, "only=[mlp]", "tuner.max_trials=1", "backend=jax", "fresh=true")

    def found(done: Done, folder: Path) -> Rows:
        assert "cache" not in done.err
        return outcome(documents(folder)[-1].trials())

    on, off = tmp_path / "on", tmp_path / "off"
    without = start(off, *small, JAX_ENABLE_COMPILATION_CACHE="0")
    cold = run(on, *small)
    expected = found(finish(without), off)
    assert found(cold, on) == expected
    files = sorted(on.rglob("*-cache"))
    assert files
    assert found(run(on, *small), on) == expected
    assert sorted(on.rglob("*-cache")) == files
    for path in files:
        os.truncate(path, path.stat().st_size // 2)
    assert found(run(on, *small), on) == expected
    run(tmp_path / "check", *small, "mode=check")
    assert list((tmp_path / "check").iterdir()) == []
