"""Keras Tuner's own guides as a user's code: training loops, preprocessing, numbers of one's own;
and what can be known before the first trial, through the real door.
"""

from pathlib import Path

import numpy as np
import pytest
from e2e_samples import Document, Done, entries, refused, run, run_inline, write

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

MINE = '''
import keras
import keras_tuner
import numpy as np


def rows():
    """Three classes, told apart by numbers that are far from nought."""
    drawn = np.random.default_rng(0)
    y = np.arange(240) % 3
    return 1000 + 100 * np.eye(3)[y] + drawn.normal(size=(240, 3)), y


class Loop(keras_tuner.HyperModel):
    """The guide "Tune hyperparameters in your custom training loop"."""

    def build(self, hp):
        given = keras.Input((3,))
        hidden = keras.layers.Rescaling(1 / 100, offset=-10)(given)
        hidden = keras.layers.Dense(hp.Choice("units", [8, 16]), activation="relu")(hidden)
        return keras.Model(given, keras.layers.Dense(3)(hidden))

    def fit(self, hp, model, x, y, validation_data, callbacks=None, **kwargs):
        import tensorflow as tf

        size = hp.Int("batch_size", 32, 128, step=32, default=64)
        training = tf.data.Dataset.from_tensor_slices((x, y)).batch(size)
        validation = tf.data.Dataset.from_tensor_slices(validation_data).batch(size)
        optimizer = keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log"))
        loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        mean = keras.metrics.Mean()

        @tf.function
        def step(batch, labels):
            with tf.GradientTape() as tape:
                loss = loss_fn(labels, model(batch))
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables))

        for callback in callbacks:
            callback.set_model(model)
        best = float("inf")
        for epoch in range(2):
            for batch in training:
                step(*batch)
            for batch, labels in validation:
                mean.update_state(loss_fn(labels, model(batch)))
            loss = float(mean.result())
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs={"my_metric": loss})
            mean.reset_state()
            best = min(best, loss)
        return best


def compiled(units=8, rate=0.05):
    """The guide's Sequential, without an Input."""
    layers = [keras.layers.Dense(units, "relu"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential(layers)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(rate), loss=loss, metrics=["accuracy"])
    return model


class Prepared(keras_tuner.HyperModel):
    """The guide's "Tune data preprocessing": fit scales the rows, and the model does not."""

    def build(self, hp):
        return compiled(hp.Int("units", 8, 16))

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        centre, spread = x.mean(axis=0), x.std(axis=0)
        held_out = (validation_data[0] - centre) / spread, validation_data[1]
        return model.fit((x - centre) / spread, y, validation_data=held_out, epochs=15, **kwargs)


class Measured(keras_tuner.HyperModel):
    """The guide's HyperModel that returns its own numbers."""

    def build(self, hp):
        model = keras.Sequential([keras.layers.Rescaling(1 / 100, offset=-10), compiled()])
        model.compile("adam", loss="sparse_categorical_crossentropy")
        return model

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        model.fit(x, y, batch_size=hp.Choice("size", [16, 32]), epochs=2, **kwargs)
        x, y = validation_data
        right = model.predict(x, verbose=0).argmax(axis=1) == y
        return {"metric_a": right.mean(), "metric_b": -1.0}


def one_sigmoid():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
    model.compile("sgd", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def surrogate(hp):
    raise RuntimeError("no \\ud83d today")


class Huge(keras_tuner.HyperModel):
    def build(self, hp):
        return compiled()

    def fit(self, hp, model, x, *args, **kwargs):
        if len(x) > 100:  # not before the first trial
            raise RuntimeError(10**5000, "\\udcff")
        return model.fit(x, *args, **kwargs)
'''

HEAD = """# @package _global_
defaults: [/task: classification, /tuner: random, _self_]
data: {_target_: mine.rows}
tuner: {max_trials: 2}
objective: {name: val_accuracy, direction: max}
baselines: none
"""

GUIDES = f"""{HEAD}
pipelines:
  loop:
    model: {{_target_: mine.Loop}}
    objective: {{name: my_metric, direction: min}}
  measured:
    model: {{_target_: mine.Measured}}
    objective: {{name: metric_a, direction: max}}
  sequential:
    model: {{_target_: mine.compiled}}
    fit: {{epochs: 1}}
  prepared:
    model: {{_target_: mine.Prepared}}
"""


WRONG = HEAD + "model: {_target_: mine.one_sigmoid}\n"
FAILING = f"""{HEAD}fit: {{epochs: 1}}
pipelines:
  early: {{model: {{_target_: mine.surrogate}}}}
  late: {{model: {{_target_: mine.Huge}}}}
  good: {{model: {{_target_: mine.compiled}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a user who follows the guides."""
    folder = tmp_path_factory.mktemp("guides")
    write(
        folder,
        mine_py=MINE,
        conf__experiment__guides_yaml=GUIDES,
        conf__experiment__failing_yaml=FAILING,
        conf__experiment__wrong_yaml=WRONG,
    )
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    return run_inline(folder, "+experiment=guides")


@pytest.fixture
def ran(folder: Path, done: Done) -> dict[str, Document]:
    """The entries."""
    return entries(folder)


def test_the_guides_run_to_their_end(folder: Path, ran: dict[str, Document]) -> None:
    """A loop around a model that is not compiled, numbers of one's own, a model without an input;
    metrics are ours, from what the model predicts.
    """
    assert ran.keys() == {"loop", "measured", "sequential", "prepared"}
    for entry in ran.values():
        assert entry["status"] == "complete"
        assert 0 <= entry["validation"]["metrics"]["accuracy"] <= 1
        predicted = entry.model().predict(np.ones((1, 3)), verbose=0)
        assert predicted.shape == (1, 3)
    loop = ran["loop"]
    rows = loop.trials()
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert loop["best"]["values"].keys() == {"units", "batch_size", "rate"}
    assert loop["best"]["score"] == min(row["score"] for row in rows)
    assert loop.refits()[0]["history"] == {}


def test_what_fit_alone_does_to_the_rows_is_said_and_the_trial_data_stays(
    folder: Path, done: Done, ran: dict[str, Document]
) -> None:
    """The refit is measured on the rows as the data has them; others are not suspected."""
    entry = ran["prepared"]
    assert entry["best"]["score"] > 0.8
    assert entry["validation"]["metrics"]["accuracy"] < 0.5
    warnings = {name: entry["validation"].get("warning") for name, entry in ran.items()}
    warning = warnings.pop("prepared")
    assert {*warnings.values()} == {None}
    assert "val_accuracy" in warning
    assert "belongs in a layer of the model" in warning
    assert f"WARNING prepared: {warning}" in done.err
    kept = [path.name for path in (folder / "results" / "trials").iterdir()]
    assert kept == ["guides-prepared"]
    assert warning[:60] in run(folder, "show", entry["id"], module="history").out


def test_a_training_loop_of_ones_own_is_reproduced_and_predicts(
    folder: Path, ran: dict[str, Document]
) -> None:
    """From what is stored of it, though it reported one number alone."""
    id = ran["loop"]["id"]
    assert f"{id}: identical" in run_inline(folder, f"reproduce={id}", "trust=true").out
    write(folder, new_csv="a,b,c\n1100,1000,1000\n1000,1000,1100\n")
    run(folder, f"predict={id}", "input=new.csv", "output=told.csv")
    assert len((folder / "told.csv").read_text().splitlines()) == 3


def test_a_check_of_the_guides_passes_and_says_how_large_the_models_are(folder: Path) -> None:
    """Of a model that has no input before rows come, too."""
    done = run_inline(folder, "+experiment=guides", "mode=check", "paths.root=none")
    cells = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert f" {3 * 8 + 8 + 8 * 3 + 3} " in cells["sequential"]
    assert not (folder / "none").exists()


@pytest.mark.parametrize("mode", ["run", "check"])
def test_an_output_that_does_not_suit_the_classes_is_refused(folder: Path, mode: str) -> None:
    """Before the first trial, in a run as in a check; nothing was started."""
    command = ["+experiment=wrong", f"mode={mode}", "paths.root=none"]
    assert "for 3 classes it must have 3 outputs per row" in refused(folder, *command)
    assert not [path for path in (folder / "none").rglob("*") if path.is_file()]


def test_a_message_that_cannot_be_written_ends_nothing(folder: Path) -> None:
    """A letter that is none, a number too long to be told: both fail alone, and are recorded."""
    done = run_inline(folder, "+experiment=failing", "paths.root=odd", exit_code=1)
    stored = entries(folder, "odd")
    status = {name: entry["status"] for name, entry in stored.items()}
    assert status == {"early": "failed", "late": "failed", "good": "complete"}
    assert stored["early"]["error"]["message"].startswith("no ")
    assert "--- Logging error ---" not in done.err


def test_a_changed_source_file_begins_a_new_search_and_says_where_the_old_one_is(
    tmp_path: Path,
) -> None:
    """Loudly: its trials are not used, and not thrown away."""
    experiment = HEAD + "fit: {epochs: 1}\nmodel: {_target_: mine.compiled}\nhooks: {purge: null}\n"
    write(tmp_path, mine_py=MINE, conf__experiment__one_yaml=experiment)
    run_inline(tmp_path, "+experiment=one")
    [old] = (tmp_path / "results" / "trials" / "one-main").iterdir()
    write(tmp_path, mine_py=MINE + "\n# mended\n")
    done = run_inline(tmp_path, "+experiment=one")
    [line] = [line for line in done.err.splitlines() if "a new search beside" in line]
    assert "WARNING" in line
    assert f"{old}, whose trials stay there, unused" in line
    assert len([*old.glob("trial_*/result.json")]) == 1
