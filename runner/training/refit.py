"""Validation: refits the best hyperparameters over several seeds and evaluates each refit."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from history.files import to_json
from history.ranking import Direction, merit
from runner.config.schema import Run
from runner.data.dataset import Dataset
from runner.errors import ModelError
from runner.training.build import Bench, Curves, curves, new_callbacks, values_of
from runner.training.evaluate import artefacts, evaluate, gives_logits
from runner.training.seeds import derive_seed

BATCH = 256  # rows predicted at a time; results do not depend on it beyond rounding, so it is fixed
PROBE = 8  # rows on which a saved model must predict what the trained one does


@dataclass(frozen=True)
class Ranking:
    """The validation metric that decides which repeat's model is kept."""

    metric: str
    direction: Direction


@dataclass(frozen=True)
class Refit:
    """One repeat. `metrics` are those of each part that is held out: validation, perhaps test."""

    seed: int
    metrics: dict[str, dict[str, float]]
    curves: Curves
    seconds: float

    def plain(self) -> dict[str, object]:
        """Return what an entry's history.json holds of it."""
        epochs = max((len(values) for values in self.curves.values()), default=0)
        counts = {"epochs": epochs, "seconds": self.seconds}
        return {"seed": self.seed, **self.metrics, **counts, "history": self.curves}


@dataclass(frozen=True)
class Validated:
    """All repeats of a refit. `files` are the artefacts of the repeat that is kept."""

    refits: tuple[Refit, ...]
    kept: int
    files: dict[str, Path]
    seconds: float

    @property
    def parts(self) -> list[str]:
        """The parts that are held out: validation, perhaps test."""
        return list(self.refits[0].metrics)

    def summary(self, part: str) -> dict[str, dict[str, float]]:
        """Return mean and sample standard deviation of each metric over the repeats; no deviation
        of a single one.
        """
        rows = [refit.metrics[part] for refit in self.refits]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        means = {name: statistics.fmean(values) for name, values in columns.items()}
        several = columns if len(rows) > 1 else {}
        deviation = {name: _deviation(values) for name, values in several.items()}
        return {"metrics": means, "deviation": deviation}


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if np.isfinite(values).all() else math.nan


def validate(
    run: Run,
    bench: Bench,
    hyperparameters: Mapping[str, object],
    ranking: Ranking,
    folder: Path,
    notify: Callable[[int, Refit], None],
) -> Validated:
    """Refit and evaluate.

    Args:
        run, bench: as in the search.
        hyperparameters: Keras Tuner's config of the best trial's.
        ranking: which repeat's model is kept: the best on the validation rows.
        folder: where the artefacts go: model.keras, the reports and plots, the curves of every
            epoch.
        notify: called with each repeat's number and result.

    Raises:
        ModelError: a model predicts something else than the task, or does not load back as it was
        saved.
    """
    started, settings = time.perf_counter(), bench.pipeline.validation
    held_out = {name: part for name, part in bench.dataset.parts.items() if name != "train"}
    overrides = settings.model_dump(include={"epochs", "batch_size"}, exclude_none=True)
    section = bench.pipeline.callbacks if settings.callbacks is None else settings.callbacks
    refits = []
    files: dict[str, Path] = {}
    kept, highest = 0, 0.0
    for repeat in range(settings.repeats):
        clock = time.perf_counter()
        seed, hp = derive_seed(run.seed, "validation", repeat), values_of(hyperparameters)
        model = bench.build(hp, seed)
        returned = bench.train(model, hp, new_callbacks(section, "callbacks"), overrides)
        predicted = {name: part.predict(model, BATCH) for name, part in held_out.items()}
        classes, logits = bench.dataset.classes, gives_logits(model)
        results = {
            name: evaluate(part.y, predicted[name], classes, logits=logits)
            for name, part in held_out.items()
        }
        metrics = {name: result.metrics for name, result in results.items()}
        refits.append(Refit(seed, metrics, curves(returned), time.perf_counter() - clock))
        found = merit(metrics["validation"][ranking.metric], ranking.direction)
        if repeat == 0 or found > highest:
            kept, highest = repeat, found
            files = {"model": _save(model, folder / "model.keras", bench.dataset)}
            for name, part in held_out.items():
                files |= artefacts(results[name], part.y, predicted[name], folder, name)
        notify(repeat, refits[-1])
    files["history"] = folder / "history.json"
    files["history"].write_bytes(to_json([refit.plain() for refit in refits]))
    return Validated(tuple(refits), kept, files, time.perf_counter() - started)


def _save(model: "keras.Model", path: Path, dataset: Dataset) -> Path:
    """Save a model and prove that it loads back: an artefact that does not is worth nothing."""
    rows = dataset.validation.take(slice(PROBE)).x
    expected = model.predict(rows, verbose=0)
    # Keras would store the private class of an optimizer of PyTorch's, which no other backend can
    # load (seen with keras 3.15); it trains no more. With mixed precision, it is within another.
    for optimizer in (model.optimizer, getattr(model.optimizer, "inner_optimizer", None)):
        public = getattr(keras.optimizers, type(optimizer).__name__, None)
        if public and type(optimizer).__module__.startswith("keras.src.backend."):
            optimizer.__class__ = public
    model.save(path)
    try:
        found = keras.models.load_model(path).predict(rows, verbose=0)
    except Exception as error:
        raise ModelError(
            f"the trained model does not load back from {path.name}; a layer of your own needs "
            "@keras.saving.register_keras_serializable() and get_config(). "
            f"Keras says: {str(error)[:300]}"
        ) from error
    if not np.allclose(found, expected, rtol=1e-4, atol=1e-5):
        raise ModelError(f"the model loaded back from {path.name} predicts something else than it")
    return path
