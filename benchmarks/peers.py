"""What others make of a table without being told more than its target: called in a process of its
own, with the Python where the peer is installed.

    PYTHON benchmarks/peers.py PEER TABLE.csv TARGET TASK SPLIT.npz TRIALS

Each is fitted to the training rows; a peer that chooses by validation rows gets those that ours
chooses by. Prints the score of the test rows (accuracy, or R²), and the seconds that it took.
"""

import json
import sys
import tempfile
import time
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

Table = pd.DataFrame
MOST = 254  # words of a column that HGB knows


class Given(NamedTuple):
    """A table, split, with the column that is to be predicted."""

    peer: str
    train: Table
    validation: Table
    test: Table
    target: str
    is_classes: bool
    trials: int  # of a peer that searches

    def x(self, part: Table) -> Table:
        return part.drop(columns=self.target)


def words(table: Table) -> list[str]:
    """Return the columns that are no numbers."""
    return [str(name) for name in table if not pd.api.types.is_numeric_dtype(table[name])]


def of_scikit_learn(given: Given) -> Any:
    """Words one-hot, numbers scaled, missing ones the median; boosted trees take all as it is."""
    from sklearn import compose, ensemble, impute, linear_model, pipeline, preprocessing

    x, kind = given.x(given.train), "Classifier" if given.is_classes else "Regressor"
    named, remainder = words(x), "passthrough"
    if given.peer == "hgb":
        coder = preprocessing.OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MOST
        )
        model = getattr(ensemble, f"HistGradientBoosting{kind}")(
            categorical_features=range(len(named)), random_state=0
        )
    else:
        coder = preprocessing.OneHotEncoder(handle_unknown="ignore")
        median = impute.SimpleImputer(strategy="median")
        remainder = pipeline.make_pipeline(median, preprocessing.StandardScaler())
        if given.peer == "forest":
            model = getattr(ensemble, f"RandomForest{kind}")(random_state=0, n_jobs=-1)
        elif given.is_classes:
            model = linear_model.LogisticRegression(max_iter=1000)
        else:
            model = linear_model.RidgeCV(np.logspace(-3, 3, 7))
    seen = compose.ColumnTransformer([("words", coder, named)], remainder=remainder)
    fitted = pipeline.make_pipeline(seen, model).fit(x, given.train[given.target])
    return fitted.predict(given.x(given.test))


def of_autokeras(given: Given) -> Any:
    """Give it arrays, of words where there are any, without empty cells."""
    import autokeras

    def array(part: Table) -> Any:
        x = given.x(part)
        filled = x.fillna(dict.fromkeys(words(x), ""))
        return filled.to_numpy(object if words(x) else float)

    kind = "Classifier" if given.is_classes else "Regressor"
    with tempfile.TemporaryDirectory() as folder:
        model = getattr(autokeras, f"StructuredData{kind}")(
            max_trials=given.trials, directory=folder, seed=0
        )
        train, held = ((array(part), part[given.target].to_numpy()) for part in given[1:3])
        model.fit(*train, validation_data=held, verbose=0)
        return np.asarray(model.predict(array(given.test), verbose=0)).ravel()


def of_ludwig(given: Given) -> Any:
    """Its default combiner and trainer; a category for each column of words."""
    from ludwig.api import LudwigModel

    named = words(given.train)
    config = {
        "input_features": [
            {"name": name, "type": "category" if name in named else "number"}
            for name in given.x(given.train)
        ],
        "output_features": [
            {"name": given.target, "type": "category" if given.is_classes else "number"}
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        model = LudwigModel(config, logging_level=40)  # errors
        sets = dict(zip(("training_set", "validation_set", "test_set"), given[1:4], strict=True))
        model.train(**sets, output_directory=folder)
        return model.predict(given.test)[0][f"{given.target}_predictions"].to_numpy()


PEERS = {
    "linear": of_scikit_learn,
    "forest": of_scikit_learn,
    "hgb": of_scikit_learn,
    "autokeras": of_autokeras,
    "ludwig": of_ludwig,
}


def main() -> None:
    peer, path, target, task, split, trials = sys.argv[1:]
    table, rows = pd.read_csv(path), np.load(split)
    train, held, test = (table.iloc[rows[part]] for part in ("train", "validation", "test"))
    clock = time.perf_counter()
    given = Given(peer, train, held, test, target, task == "classification", int(trials))
    found, truth = PEERS[peer](given), given.test[target].to_numpy()
    seconds = time.perf_counter() - clock
    if given.is_classes:  # whose names come back as text, or as floats
        said, meant = (
            pd.Series(values).astype(str).str.removesuffix(".0") for values in (found, truth)
        )
        score = np.mean(said == meant)
    else:
        score = 1 - np.sum((truth - found) ** 2) / np.sum((truth - truth.mean()) ** 2)
    print(json.dumps({"score": float(score), "seconds": seconds}))


if __name__ == "__main__":
    main()
