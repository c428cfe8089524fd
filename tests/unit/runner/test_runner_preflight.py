"""What is known of a model before its first trial, and said; and what must not be refused."""

import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import keras
import keras_tuner
import numpy as np
import pytest
from runner_samples import pipeline
from training_samples import bench

from runner.errors import ConfigError, ModelError
from runner.search.spaces import populate
from runner.training import build
from runner.training.preflight import preflight
from runner.training.refit import _objective

SPARSE = "sparse_categorical_crossentropy"
ENTROPY = {"name": "entropy", "direction": "min"}


@pytest.fixture(autouse=True)
def _session() -> Iterator[None]:
    """Names that Keras numbers are not left to other tests."""
    yield
    keras.backend.clear_session(free_memory=False)


def compiled(*layers: keras.Layer, loss: object = SPARSE, metrics: Any = ("accuracy",)) -> Any:
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", loss=loss, metrics=list(metrics))
    return model


def softmax(units: int) -> keras.Model:
    """A model function: one dense layer."""
    return compiled(keras.layers.Dense(units, activation="softmax"))


def one_sigmoid() -> keras.Model:
    """A model function for two classes; it trains on three without a word."""
    return compiled(keras.layers.Dense(1, activation="sigmoid"), loss="binary_crossentropy")


def two_heads() -> keras.Model:
    """A model function whose model has two outputs, one of which Keras would train."""
    given = keras.Input((4,))
    heads = [keras.layers.Dense(3, activation="softmax", name=name)(given) for name in "ab"]
    model = keras.Model(given, heads)
    model.compile("sgd", loss=[SPARSE, None], metrics=[["accuracy"], None])
    return model


def with_lambda() -> keras.Model:
    """A model function; Keras stores a lambda as bytecode, and does not load that."""
    return compiled(keras.layers.Lambda(lambda x: x * 2), keras.layers.Dense(3, "softmax"))


def with_entropy() -> keras.Model:
    """A model function with a metric of a name that Keras does not have."""
    metric = keras.metrics.SparseCategoricalCrossentropy(name="entropy")
    return compiled(keras.layers.Dense(3, "softmax"), metrics=[metric])


def own_loss(truth: Any, predicted: Any) -> Any:
    """A loss that nobody registered."""
    return keras.losses.sparse_categorical_crossentropy(truth, predicted)


class OwnMetric(keras.metrics.Mean):  # type: ignore[misc]  # keras has no types
    """A metric that nobody registered, and whose class cannot be found by its name."""

    def update_state(self, truth: Any, predicted: Any, sample_weight: Any = None) -> None:
        super().update_state(keras.ops.mean(predicted))


OwnMetric.__qualname__ = OwnMetric.__name__ = "Nowhere"
own_loss.__name__ = "nowhere"


def with_own_metric() -> keras.Model:
    return compiled(keras.layers.Dense(3, "softmax"), metrics=["accuracy", OwnMetric()])


def with_own_loss() -> keras.Model:
    return compiled(keras.layers.Dense(3, "softmax"), loss=own_loss)


@keras.saving.register_keras_serializable("preflight")
class Scale(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """A layer whose config lacks an argument."""

    def __init__(self, factor: float, **others: Any) -> None:
        super().__init__(**others)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


def with_layer() -> keras.Model:
    return compiled(Scale(2.0), keras.layers.Dense(3, "softmax"))


class Subclassed(keras.Model):  # type: ignore[misc]  # keras has no types
    """A model without `get_config`, made from something that no config can hold."""

    def __init__(self, head: object) -> None:
        super().__init__()
        self.head = keras.layers.Dense(3, activation="softmax")

    def call(self, x: Any) -> Any:
        return self.head(x)


def subclassed() -> keras.Model:
    model = Subclassed(object())
    model.compile("sgd", loss=SPARSE, metrics=["accuracy"])
    return model


def noisy() -> keras.Model:
    """A model function: what it predicts is drawn anew each time."""
    return compiled(Restless(), keras.layers.Dense(3, "softmax"))


@keras.saving.register_keras_serializable("preflight")
class Restless(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Adds noise whenever it is called."""

    def call(self, x: Any) -> Any:
        return x + keras.random.normal(keras.ops.shape(x))


def no_input() -> keras.Model:
    """A model function: the shape is known once rows come."""
    dense = [keras.layers.Dense(5), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential(dense)
    model.compile("adam", loss=SPARSE, metrics=["accuracy"])
    return model


class Loop(keras_tuner.HyperModel):  # type: ignore[misc]  # keras_tuner has no types
    """Trains by itself a model that is not compiled; notes the rows that it was given."""

    seen: ClassVar[list[int]] = []

    def __init__(self, units: int = 3, returns: str = "number", width: int = 4) -> None:
        super().__init__()
        self.units, self.returns, self.width, self.trained = units, returns, width, False

    def build(self, hp: Any) -> keras.Model:
        given = keras.Input((self.width,))
        return keras.Model(given, keras.layers.Dense(self.units, activation="softmax")(given))

    def fit(self, hp: Any, model: Any, x: Any, y: Any, validation_data: Any, **_: Any) -> object:
        self.seen.append(len(x))
        self.trained = True
        if self.returns == "in place":
            x -= 1
        model(x[:, : self.width])
        found = {
            "in place": 0.5,
            "number": 0.5,
            "dict": {"val_loss": 0.5},
            "short": {"accuracy": 0.5},
            "other": {"loss": 1.0},
        }
        return found.get(self.returns)


def checked(target: str, **own: Any) -> object:
    """What the preflight makes of a model of this module, on the rows of iris."""
    arguments = {key: own.pop(key) for key in [*own] if key in ("units", "returns", "width")}
    model = {"_target_": f"{__name__}.{target}", **arguments}
    return preflight(bench(pipeline(model=model, **own)))


@pytest.mark.parametrize(
    ("target", "own", "words"),
    [
        ("one_sigmoid", {}, "must have 3 outputs per row"),
        ("softmax", {"units": 2}, "must have 3 outputs per row"),
        ("softmax", {"units": 5}, "must have 3 outputs per row"),
        ("two_heads", {}, "2 outputs"),
        ("with_lambda", {}, "lambda"),
        ("with_own_metric", {}, "Nowhere"),
        (
            "with_entropy",
            {"task": {"kind": "classification", "rank_by": "entrpy", "direction": "min"}},
            "task.rank_by: unknown metric 'entrpy'; did you mean 'entropy'?",
        ),
        ("LatelyWide", {}, "must have 3 outputs per row"),
        ("with_own_loss", {}, "nowhere"),
        ("with_layer", {}, "missing 1 required positional argument: 'factor'"),
        ("subclassed", {}, "get_config"),
        ("noisy", {}, "predicts something different"),
        ("with_entropy", {"objective": ENTROPY}, "validation rows it is val_entropy"),
        ("softmax", {"units": 3, "objective": {"name": "accuracy"}}, "rows it is val_accuracy"),
        ("Loop", {"units": 2}, "must have 3 outputs per row"),
        ("Loop", {"returns": "nothing"}, "returned None;"),
        ("Loop", {"returns": "in place"}, "changes the rows that it is given"),
        ("Loop", {"returns": "other"}, "unknown metric 'val_loss'"),
        ("Loop", {"width": 3}, "does not accept the rows as the data provides them"),
    ],
)
def test_what_no_trial_could_mend_is_refused_with_its_reason(
    target: str, own: dict[str, Any], words: str
) -> None:
    """As an error of the config, whatever Keras calls it and wherever it stands in its message."""
    with pytest.raises(ConfigError) as caught:
        checked(target, **own)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 1500


class LatelyWide(Loop):
    """Has its outputs once `fit` has prepared it, and predicts nothing before."""

    def build(self, hp: Any) -> keras.Model:
        return Unready()

    def fit(self, hp: Any, model: Any, x: Any, *args: Any, **kwargs: Any) -> object:
        model.ready.assign(1)
        return 0.5


@keras.saving.register_keras_serializable("preflight")
class Unready(keras.Model):  # type: ignore[misc]  # keras has no types
    """A model that must be prepared."""

    def __init__(self, **others: Any) -> None:
        super().__init__(**others)
        self.dense = keras.layers.Dense(2, activation="softmax")
        self.ready = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        if not float(self.ready.value):
            raise RuntimeError("not prepared")
        return super().predict(*args, **kwargs)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_a_metric_of_the_models_own_may_be_ranked_by() -> None:
    """Where the model reports it."""
    assert checked("with_entropy", task=BY_ENTROPY)


BY_ENTROPY = {"kind": "classification", "rank_by": "entropy", "direction": "min"}


def wide_by_choice(hp: Any) -> keras.Model:
    """A model function whose default alone suits the task."""
    return softmax(hp.Choice("outputs", [3, 4]))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"_target_": f"{__name__}.wide_by_choice"}, "with outputs=4: .* 3 outputs per row"),
        (
            {
                "_target_": f"{__name__}.softmax",
                "units": {"hp": "Int", "min_value": 3, "max_value": 5},
            },
            "with model.units=5: .* 3 outputs per row",
        ),
    ],
)
def test_outputs_that_depend_on_a_hyperparameter_are_looked_at(
    model: dict[str, Any], words: str
) -> None:
    """Before the search; and a trial that has others than the task needs has failed."""
    settings = pipeline(model=model)
    assert preflight(bench(settings))
    with pytest.raises(ConfigError, match=words):
        populate(bench(settings))
    hp = keras_tuner.HyperParameters()
    hp.values = {"model.units": 4, "outputs": 4}
    with pytest.raises(ModelError, match="3 outputs per row"):
        bench(settings).build(hp, seed=1)


def half() -> keras.Model:
    """A model function that sets a dtype policy itself."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    return softmax(3)


def test_a_dtype_policy_that_is_set_where_the_model_is_built_is_that_models_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is trained and stored with it; a model of a module that was imported before is not."""
    settings = pipeline(model={"_target_": f"{__name__}.half"})
    assert preflight(bench(settings))
    model = bench(settings).build(keras_tuner.HyperParameters(), seed=1)
    assert {layer.dtype_policy.name for layer in model.layers} == {"mixed_bfloat16"}
    monkeypatch.setattr(build, "_policies", {})
    other = pipeline(model={"_target_": f"{__name__}.softmax", "units": 3})
    assert build.new_hypermodel(other, bench(settings).dataset)[1] == "float32"


def test_a_regression_has_one_output_a_row() -> None:
    """Two units train on one target a row in silence, by broadcasting."""
    own: dict[str, Any] = {
        "task": {"kind": "regression"},
        "data": {"kind": "sklearn", "name": "diabetes"},
        "model": {"_target_": f"{__name__}.pair"},
    }
    with pytest.raises(ConfigError, match="a regression has one output per row"):
        preflight(bench(pipeline(**own)))


def pair() -> keras.Model:
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(2)])
    model.compile("sgd", loss="mse")
    return model


def test_a_model_without_an_input_is_counted_once_rows_have_come() -> None:
    """Parameters by their shapes, bytes by their dtypes."""
    found: Any = checked("no_input")
    parameters = 4 * 5 + 5 + 5 * 3 + 3
    assert found[:2] == (parameters, 4 * parameters)


@pytest.mark.parametrize("returns", ["number", "dict"])
def test_a_fit_of_ones_own_is_tried_on_few_rows(returns: str) -> None:
    """Of a model that is not compiled too."""
    Loop.seen.clear()
    assert checked("Loop", returns=returns)
    assert len(Loop.seen) == 1
    assert 0 < Loop.seen[0] <= 1024


def test_a_fit_of_ones_own_names_its_metrics_as_it_likes() -> None:
    """What it measured on validation rows need not begin with val_."""
    assert checked("Loop", returns="short", objective={"name": "accuracy"})


class Bracket(Loop):
    """A HyperModel of Hyperband, which always tells it the epochs."""

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> object:
        return super().fit(hp, model, *args, **kwargs) and {"val_loss": 1.0 / kwargs["epochs"]}


def test_a_fit_of_ones_own_is_told_the_epochs_where_trials_tell_it() -> None:
    """By Hyperband, whatever the config says of them."""
    assert checked("Bracket", tuner={"kind": "hyperband"})


def test_the_hypermodel_that_was_tried_is_not_the_one_that_is_searched() -> None:
    """It may keep what the few rows told it."""
    settings = pipeline(model={"_target_": f"{__name__}.Loop"})
    preflight(bench(settings))
    assert not bench(settings).hypermodel.trained


def drawn() -> tuple[Any, Any]:
    """A data function that sets no seed."""
    return np.random.rand(60, 4), np.random.randint(0, 3, 60)


@pytest.mark.parametrize("before", [1, 2])
def test_a_data_function_without_a_seed_draws_the_same_whatever_came_before(before: int) -> None:
    """A pipeline before it may have been tried, or taken from the history."""
    data = {"_target_": f"{__name__}.drawn", "split": {"seed": before}}
    np.random.seed(before)
    parts = bench(pipeline(data=data)).dataset.parts.values()
    sums.append(float(np.sum([np.sum(np.asarray(part.x)) for part in parts])))
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-6)


sums: list[float] = []


def test_a_default_model_that_diverges_is_no_wrong_model(caplog: pytest.LogCaptureFixture) -> None:
    """Other values may not."""
    caplog.set_level(logging.WARNING)
    assert checked("diverging")


def diverging() -> keras.Model:
    """A model function whose first step leaves no number."""
    model = softmax(3)
    model.set_weights([np.full(w.shape, np.inf) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("most", [16, 512])
def test_a_fit_that_needs_more_rows_gets_them(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole steps of its own size, say, of which few rows make none; trials get them too."""
    monkeypatch.setattr(f"{preflight.__module__}.OF_OWN_FIT", most)
    Loop.seen.clear()
    assert checked("Stepping")
    assert len(Loop.seen) == 1


def test_a_fit_that_returns_nothing_is_not_tried_again_on_all_rows() -> None:
    """It did not need more of them."""
    Loop.seen.clear()
    with pytest.raises(ConfigError, match="returned None"):
        checked("Loop", returns="nothing")
    assert len(Loop.seen) == 1


class Stepping(Loop):
    """Counts steps of 64 rows."""

    def fit(self, hp: Any, model: Any, x: Any, y: Any, validation_data: Any, **_: Any) -> object:
        return super().fit(hp, model, x, y, validation_data) if 1 / (len(x) // 64) else None


def test_default_values_that_a_fit_calls_a_failed_trial_are_one_alone() -> None:
    """Other values may do. (Keras Tuner itself needs a default model that can be built.)"""
    found: Any = checked("Choosy")
    assert found[:2] == (4 * 3 + 3, 4 * (4 * 3 + 3))


class Choosy(Loop):
    """Wants other values than the default ones."""

    def fit(self, *args: Any, **kwargs: Any) -> object:
        raise keras_tuner.errors.FailedTrialError("too small")


@pytest.mark.parametrize(("target", "known"), [("softmax", 0.4), ("Loop", 0.9)])
def test_what_a_refit_has_reached_is_told_by_its_training_if_that_is_keras_own(
    target: str, known: float
) -> None:
    """Which sees the rows as the data has them; a `fit` of one's own may not. Of a single one, too:
    one that is far worse than its trial is said.
    """
    model = {"_target_": f"{__name__}.{target}", "units": 3}
    sought = {"name": "val_accuracy", "direction": "max"}
    settings = pipeline(model=model, objective=sought)
    told = {"val_accuracy": [0.5, 0.4]}
    assert _objective(bench(settings), softmax(3), told, {"accuracy": 0.9}) == known


def test_a_layer_that_a_fit_adapts_is_no_other_model_where_rows_are_few() -> None:
    """Keras predicts on by what it compiled before, if the rows are as many as those were."""
    data = {"kind": "sklearn", "name": "iris", "split": {"validation": 0.05}}
    assert checked("Adapting", data=data)


class Adapting(keras_tuner.HyperModel):  # type: ignore[misc]  # keras_tuner has no types
    """As README has it."""

    def build(self, hp: Any) -> keras.Model:
        return compiled(keras.layers.Normalization(), keras.layers.Dense(3, "softmax"))

    def fit(self, hp: Any, model: Any, x: Any, *args: Any, **kwargs: Any) -> object:
        model.layers[0].adapt(x)
        return model.fit(x, *args, **kwargs)
