"""How simple scikit-learn models do on the same rows: what a trained model must beat to be
worth its cost.
"""

import logging
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas
from scipy import signal
from sklearn import compose, dummy, ensemble, impute, linear_model, preprocessing
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from runner.config import schema
from runner.data import dataset, shared
from runner.errors import message_of
from runner.training import build, evaluate, regimes

log = logging.getLogger("runner")

# What a model is fitted to: so many rows, of which more are sampled, and about so many values.
ROWS, LEAST, CELLS = 10_000, 500, 10**6
PIXELS = 1024  # of an image, of which more are taken in steps
WORDS = 254  # different ones of a column; rarer ones are as one (HGB knows no more)
BOOSTED = 3 * 10**6  # rows of all trees: of many classes, each with its own, there are fewer steps
PEAK = {"height": 0.2, "prominence": 0.1}  # of an autocorrelation that rises again, once fallen
ALPHAS = np.logspace(-3, 3, 7)  # of ridge, of which leave-one-out chooses

Metrics = dict[str, dict[Any, float]]  # by part and name
_targets = operator.attrgetter("y")
_windows = operator.attrgetter("x")


@dataclass(frozen=True)
class Baseline:
    """A model, the rows that it is fitted to, and how it sees rows."""

    name: str
    model: Any
    train: dataset.Part
    features: Callable[[dataset.Part], Any]


@dataclass(frozen=True)
class Lag:
    """Predicts the value that stands so many steps before the last one of a window."""

    lag: int
    column: int

    def fit(self, x: dataset.Array, y: dataset.Array) -> None:
        """Do nothing."""

    def predict(self, x: dataset.Array) -> dataset.Array:
        return x[:, -1 - self.lag, self.column]


def baselines(
    name: str, pipeline: schema.Pipeline, data: shared.Loaded
) -> dict[str, dict[str, Any]]:
    """Return the metrics of each baseline by the parts that are held out: name → part → metric;
    with folds, of validation rows the mean over them. One that fails is left out, and the log says
    so.

    Args:
        name: of the pipeline.
        pipeline, data: as in the search.
    """
    ready = build.bench(pipeline, data)
    folds = (*range(regimes.of(pipeline).folds), None)
    # one thread, so that the machine decides nothing
    with threadpool_limits(1), warnings.catch_warnings(action="ignore"):
        measured = [_measured(name, ready.fold(number).dataset) for number in folds]
    common = [kind for kind in measured[0] if all(kind in each for each in measured)]
    return {kind: _mean([each[kind] for each in measured]) for kind in common}


def _mean(measured: Sequence[Metrics]) -> Metrics:
    """Return the mean metrics of each part, over those that have it."""
    means = {}
    for part in schema.PARTS:
        rows = [each[part] for each in measured if part in each]
        if rows:
            means[part] = pandas.DataFrame(rows).mean(skipna=False).to_dict()
    return means


def _measured(name: str, data: dataset.Dataset) -> dict[str, Metrics]:
    """Return the metrics of each baseline on some rows; see baselines."""
    measured = {}
    for baseline in _all(data):
        try:
            baseline.model.fit(baseline.features(baseline.train), baseline.train.y)
            measured[baseline.name] = {
                part: _metrics(baseline, data, rows)
                for part, rows in data.parts.items()
                if part != "train"
            }
        except Exception as error:
            reason = message_of(error)
            log.warning("%s: the baseline %s is left out: %s", name, baseline.name, reason)
    return measured


def _metrics(baseline: Baseline, data: dataset.Dataset, rows: dataset.Part) -> dict[str, float]:
    """Return the metrics of a fitted baseline."""
    model = baseline.model
    x = baseline.features(rows)
    if data.classes is None:
        predicted = model.predict(x)
    else:  # of all classes, of which the training rows may lack some
        predicted = np.zeros((len(x), len(data.classes)))
        predicted[:, model.classes_] = np.clip(model.predict_proba(x), 0, 1)
    return evaluate.evaluate(
        rows.y, predicted, data.classes, naive_error=data.naive_error
    ).result.metrics


def _all(data: dataset.Dataset) -> Iterator[Baseline]:
    """Yield all that suit the data."""
    train, x = data.train, cast(Any, data.train.x)
    columns = x if isinstance(x, dict) else {}
    if data.classes:
        yield Baseline("majority", dummy.DummyClassifier(), train, _targets)
    else:
        yield Baseline("mean", dummy.DummyRegressor(), train, _targets)
    if isinstance(train, dataset.Stream) or any(np.ndim(each) != 1 for each in columns.values()):
        return
    most = min(ROWS, max(LEAST, CELLS // (len(columns) or x[0].size)))
    if len(train) > most:
        sample = np.random.default_rng(0).choice(len(train), most, replace=False)
        train = train.take(np.sort(sample))
    if data.facts.past is not None:
        yield from _of_series(data.facts.past, train)
    words = [name for name, column in columns.items() if dataset.is_text(column)]
    if data.classes:
        logistic = linear_model.LogisticRegression(max_iter=200)
        yield Baseline("logistic", _linear(logistic, words), train, _frame)
    else:
        yield Baseline("ridge", _linear(linear_model.RidgeCV(ALPHAS), words), train, _frame)
    if columns or x.ndim == 2:
        yield Baseline("hgb", _boosted(data.classes, len(train), words), train, _frame)


def _linear(model: Any, words: Sequence[str]) -> Any:
    """Return a model that sees numbers scaled, and words as one column each."""
    scaled = make_pipeline(
        impute.SimpleImputer(strategy="median", keep_empty_features=True),
        preprocessing.StandardScaler(),
    )
    one_hot = preprocessing.OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=WORDS
    )
    columns = compose.ColumnTransformer([("words", one_hot, words)], remainder=scaled)
    return make_pipeline(columns, model)


def _boosted(classes: tuple[str, ...] | None, rows: int, words: Sequence[str]) -> Any:
    """Return boosted trees, which know words by number."""
    numbered = preprocessing.OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=WORDS
    )
    columns = compose.ColumnTransformer([("words", numbered, words)], remainder="passthrough")
    kind = "Classifier" if classes else "Regressor"
    model = getattr(ensemble, f"HistGradientBoosting{kind}")(
        max_iter=min(100, max(1, BOOSTED // (rows * len(classes or "1")))),
        categorical_features=range(len(words)),
        random_state=0,
    )
    return make_pipeline(columns, model)


def _of_series(column: int, train: dataset.Part) -> Iterator[Baseline]:
    """Yield the last value of a window, and that of a season before the target, where it has one:
    the lag, among those that a window holds, at which the autocorrelation of the training part
    without its trend rises again, the shortest of those that are about as high.
    """
    yield Baseline("last_value", Lag(0, column), train, _windows)
    lags = cast(dataset.Array, train.x)[:, ::-1, column]  # the latest first
    series = signal.detrend(np.column_stack([train.y, lags]), axis=0)
    alike = np.nan_to_num(np.corrcoef(series, rowvar=False)[0, 1:])
    peaks = signal.find_peaks([*alike, -1], **PEAK)[0]  # the last lag may be one too
    high = peaks[alike[peaks] > max(alike[peaks], default=0) - PEAK["prominence"]]
    if len(high):
        yield Baseline("seasonal", Lag(high[0], column), train, _windows)


def _frame(part: dataset.Part) -> pandas.DataFrame:
    """Return rows as a table of values; of images, every so many pixels each way."""
    x = part.x
    if isinstance(x, dict):
        return pandas.DataFrame(x)
    if x.ndim == 4:
        step = math.ceil(math.sqrt(x[0].size / PIXELS))
        x = x[:, ::step, ::step]
    return pandas.DataFrame(x.reshape(len(x), -1).astype("float32"))
