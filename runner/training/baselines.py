"""How simple scikit-learn models do on the same rows: what a trained model must beat to be
worth its cost.
"""

import logging
import math
import operator
import warnings
from collections.abc import Callable, Iterator
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

# A baseline: its name; its model, or the place in a window of what it predicts; the rows that it is
# fitted to; and how it sees rows.
Baseline = tuple[str, Any, dataset.Part, Callable[[dataset.Part], Any]]


def baselines(
    name: str, pipeline: schema.Pipeline, given: shared.Loaded
) -> dict[str, dict[str, Any]]:
    """Return the metrics of each baseline by the parts that are held out: name → part → metric;
    with folds, of validation rows the mean over them. One that fails is left out, and the log says
    so.

    Args:
        name: of the pipeline.
        pipeline, given: as in the search.
    """
    ready = build.bench(pipeline, given)
    divided = [ready.fold(number) for number in (*range(regimes.of(pipeline).folds), None)]
    # one thread, so that the machine decides nothing
    with threadpool_limits(1), warnings.catch_warnings(action="ignore"):
        every = [_measured(name, each.dataset) for each in divided]
    return {
        kind: {
            part: pandas.DataFrame(found).mean(skipna=False).to_dict()
            for part in schema.PARTS
            if (found := [each[kind][part] for each in every if part in each[kind]])
        }
        for kind in every[0]
        if all(kind in each for each in every)
    }


def _measured(name: str, data: dataset.Dataset) -> dict[str, dict[str, Any]]:
    """Return the metrics of each baseline on some rows; see baselines."""
    found = dict[str, dict[str, Any]]()
    for kind, model, train, seen in _all(data):
        try:
            if not isinstance(model, tuple):
                model.fit(seen(train), train.y)
            found[kind] = {
                part: evaluate.evaluate(
                    rows.y,
                    _predicted(model, seen(rows), data.classes),
                    data.classes,
                    naive_error=data.naive_error,
                ).metrics
                for part, rows in data.parts.items()
                if part != "train"
            }
        except Exception as error:
            log.warning("%s: the baseline %s is left out: %s", name, kind, message_of(error))
    return found


def _all(data: dataset.Dataset) -> Iterator[Baseline]:
    """Yield all that suit the data."""
    train, x, classes = data.train, cast(Any, data.train.x), data.classes
    columns, kind = x if isinstance(x, dict) else {}, "Classifier" if classes else "Regressor"
    yield (
        "majority" if classes else "mean",
        getattr(dummy, f"Dummy{kind}")(),
        train,
        operator.attrgetter("y"),
    )
    if isinstance(train, dataset.Stream) or any(np.ndim(each) != 1 for each in columns.values()):
        return
    most = min(ROWS, max(LEAST, CELLS // (len(columns) or x[0].size)))
    if len(train) > most:
        train = train.take(
            np.sort(np.random.default_rng(0).choice(len(train), most, replace=False))
        )
    if data.facts.past is not None:
        yield from _of_series(data, train)
    words = [name for name, column in columns.items() if dataset.is_text(column)]
    scaled = make_pipeline(
        impute.SimpleImputer(strategy="median", keep_empty_features=True),
        preprocessing.StandardScaler(),
    )
    one_hot = preprocessing.OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=WORDS
    )
    yield (
        "logistic" if classes else "ridge",
        make_pipeline(
            compose.ColumnTransformer([("words", one_hot, words)], remainder=scaled),
            linear_model.LogisticRegression(max_iter=200)
            if classes
            else linear_model.RidgeCV(ALPHAS),
        ),
        train,
        _frame,
    )
    if columns or x.ndim == 2:
        numbered = preprocessing.OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=WORDS
        )
        boosted = getattr(ensemble, f"HistGradientBoosting{kind}")(
            max_iter=min(100, max(1, BOOSTED // (len(train) * len(classes or "1")))),
            categorical_features=range(len(words)),
            random_state=0,
        )
        seen = compose.ColumnTransformer([("words", numbered, words)], remainder="passthrough")
        yield "hgb", make_pipeline(seen, boosted), train, _frame


def _of_series(data: dataset.Dataset, train: dataset.Part) -> Iterator[Baseline]:
    """Yield the last value of a window, and that of a season before the target, where it has one:
    the lag, among those that a window holds, at which the autocorrelation of the training part
    without its trend rises again, the shortest of those that are about as high.
    """
    column = data.facts.past
    lags = cast(dataset.Array, train.x)[:, ::-1, column]  # the latest first
    series = signal.detrend(np.column_stack([train.y, lags]), axis=0)
    alike = np.nan_to_num(np.corrcoef(series, rowvar=False)[0, 1:])
    peaks = signal.find_peaks([*alike, -1], **PEAK)[0]  # the last lag may be one too
    high = peaks[alike[peaks] > max(alike[peaks], default=0) - PEAK["prominence"]]
    for name, lag in (("last_value", 0), *(("seasonal", lag) for lag in high[:1])):
        yield name, np.s_[:, -1 - lag, column], train, operator.attrgetter("x")


def _frame(part: dataset.Part) -> pandas.DataFrame:
    """Return rows as a table of values; of images, every so many pixels each way."""
    if isinstance(x := part.x, dict):
        return pandas.DataFrame(x)
    step = math.ceil(math.sqrt(x[0].size / PIXELS))
    x = x[:, ::step, ::step] if x.ndim == 4 else x
    return pandas.DataFrame(x.reshape(len(x), -1).astype("float32"))


def _predicted(model: Any, x: Any, classes: tuple[str, ...] | None) -> dataset.Array:
    """Return values, or the probabilities of all classes, of which the training rows may lack
    some.
    """
    if classes is None:
        return np.asarray(x[model] if isinstance(model, tuple) else model.predict(x))
    found = np.zeros((len(x), len(classes)))
    found[:, model.classes_] = np.clip(model.predict_proba(x), 0, 1)
    return found
