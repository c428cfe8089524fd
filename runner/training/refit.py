"""Validation: refits the best hyperparameters over several seeds and evaluates each refit."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from history.files import to_json
from history.ranking import Direction
from runner.config.schema import Pipeline, Run
from runner.data.dataset import Dataset
from runner.errors import ModelError
from runner.training import evaluate as tasks
from runner.training.build import bench, build, callbacks, curves, fit_arguments, train, values_of
from runner.training.seeds import derive_seed

BATCH = 256  # rows predicted at a time; results do not depend on it beyond rounding, so it is fixed
PROBE = 8  # rows on which a saved model must predict what the trained one does


@dataclass(frozen=True)
class Ranking:
    """The validation metric that decides which repeat's model is kept."""

    metric: str
    direction: Direction

    def better(self, value: float, than: float) -> bool:
        """Whether a value is better; NaN never is, and anything is better than NaN."""
        if np.isnan(value) or np.isnan(than):
            return bool(np.isnan(than) and not np.isnan(value))
        return value > than if self.direction == "max" else value < than


@dataclass
class Validated:
    """All repeats of a refit. `runs` holds a row per repeat, `files` the artefacts of the repeat
    that is kept.
    """

    runs: list[dict[str, Any]] = field(default_factory=list)
    kept: int = 0
    files: dict[str, Path] = field(default_factory=dict)
    seconds: float = 0.0

    def summary(self, part: str) -> dict[str, Any]:
        """Mean and sample standard deviation of each metric over the repeats; no deviation of a
        single one.
        """
        rows = [run[part] for run in self.runs]
        means = {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}
        spread = (
            {name: _deviation([row[name] for row in rows]) for name in rows[0]}
            if len(rows) > 1
            else {}
        )
        return {"metrics": means, "deviation": spread}


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if np.isfinite(values).all() else float("nan")


def validate(
    run: Run,
    pipeline: Pipeline,
    dataset: Dataset,
    hyperparameters: dict[str, Any],
    ranking: Ranking,
    folder: Path,
    notify: Callable[[int, dict[str, Any]], None],
) -> Validated:
    """Refits and evaluates.

    Args:
        run, pipeline, dataset: as in the search.
        hyperparameters: Keras Tuner's config of the best trial's.
        ranking: which repeat's model is kept: the best on the validation rows.
        folder: where the artefacts go: model.keras, the reports and plots, the curves of every
            epoch.
        notify: called with each repeat's number and row.

    Raises:
        ModelError: a model predicts something else than the task, or does not load back as it was
        saved.
    """
    started = time.perf_counter()
    done = Validated()
    refits = []
    for repeat in range(pipeline.validation.repeats):
        clock = time.perf_counter()
        seed = derive_seed(run.seed, "validation", repeat)
        model, epochs = _refit(pipeline, dataset, hyperparameters, seed)
        row: dict[str, Any] = {"seed": seed}
        files: dict[str, Path] = {}
        results = {}
        for name, part in dataset.parts().items():
            if name == "train":
                continue
            predicted = part.predict(model, BATCH)
            logits = tasks.gives_logits(model)
            result = tasks.evaluate(
                pipeline.task.kind, part.y, predicted, dataset.classes, logits=logits
            )
            row[name] = result.metrics
            results[name] = (result, part.y, predicted)
        row["epochs"] = max((len(values) for values in epochs.values()), default=0)
        row["seconds"] = time.perf_counter() - clock
        done.runs.append(row)
        refits.append({**row, "history": epochs})
        value, best = (done.runs[i]["validation"][ranking.metric] for i in (repeat, done.kept))
        if repeat == 0 or ranking.better(value, best):
            for name, (result, truth, predicted) in results.items():
                prefix = "" if name == "validation" else f"{name}_"
                files |= tasks.artefacts(result, truth, predicted, folder, prefix)
            done.files = {"model": _save(model, folder / "model.keras", dataset), **files}
            done.kept = repeat
        notify(repeat, row)
    done.files["history"] = folder / "history.json"
    done.files["history"].write_bytes(to_json(refits))
    done.seconds = time.perf_counter() - started
    return done


def _refit(
    pipeline: Pipeline, dataset: Dataset, hyperparameters: dict[str, Any], seed: int
) -> tuple[Any, dict[str, list[float]]]:
    """A model trained from scratch with a trial's values, and its metrics per epoch."""
    maker = bench(pipeline)[1]
    hp = values_of(hyperparameters)
    model = build(maker, hp, seed)
    own = pipeline.validation
    arguments = fit_arguments(pipeline, dataset, maker, hp)
    arguments |= {
        k: v for k, v in (("epochs", own.epochs), ("batch_size", own.batch_size)) if v is not None
    }
    section, where = (
        (pipeline.callbacks, "callbacks")
        if own.callbacks is None
        else (own.callbacks, "validation.callbacks")
    )
    returned = train(maker, hp, model, dataset, callbacks=callbacks(section, where), **arguments)
    return model, curves(returned)


def _save(model: Any, path: Path, dataset: Dataset) -> Path:
    """Saves a model and proves that it loads back: an artefact that does not is worth nothing."""
    rows = dataset.validation.head(PROBE).x
    expected = model.predict(rows, verbose=0)
    _of_no_backend(model.optimizer)
    model.save(path)
    try:
        loaded = keras.models.load_model(path)
        found = loaded.predict(rows, verbose=0)
    except Exception as error:
        raise ModelError(
            f"the trained model does not load back from {path.name}; a layer of your own needs "
            f"@keras.saving.register_keras_serializable() and get_config(). Keras says: {str(error)[:300]}"
        ) from error
    if not np.allclose(found, expected, rtol=1e-4, atol=1e-5):
        raise ModelError(
            f"the model loaded back from {path.name} predicts something else than the trained one"
        )
    return path


def _of_no_backend(optimizer: Any) -> None:
    """Gives an optimizer of PyTorch's the public class of its name: Keras would store the private
    one, and a model that no other backend can load (seen with keras 3.15). It trains no more.
    """
    public = getattr(keras.optimizers, type(optimizer).__name__, None)
    if public is not None and type(optimizer).__module__.startswith("keras.src.backend."):
        optimizer.__class__ = public
    if hasattr(optimizer, "inner_optimizer"):  # of mixed precision
        _of_no_backend(optimizer.inner_optimizer)
