"""Validation: refits the best hyperparameters over several seeds and evaluates each refit."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from history import files, model_file
from history.ranking import PARTS, Direction, merit
from runner.config.schema import Objective, Run
from runner.data.dataset import Part
from runner.errors import ModelError, machine_is_at_fault
from runner.training import build, evaluate, memory, seeds

BATCH = 256  # rows predicted at a time; results do not depend on it beyond rounding, so it is fixed
# By how much of itself the objective of refits may be worse than that of the trial: a loss varies
# more than an accuracy does. By how many deviations, where there are several. And by how much it
# may be worse than their own training reported, by the same weights.
FAR = {"max": 0.3, "min": 0.7}
DEVIATIONS = 4
NEAR = 0.1
PROBE = 8  # rows on which a saved model must predict what the trained one does


@dataclass(frozen=True)
class Ranking:
    """The validation metric that decides which repeat's model is kept."""

    metric: str
    direction: Direction


@dataclass(frozen=True)
class Validated:
    """All repeats of a refit. `refits` has a row for each, as Entry.refits gives them: its seed,
    its metrics by the parts that are held out, its curves as `history`. `files` are the artefacts
    of the repeat that is kept.
    """

    refits: list[files.JsonObject]
    reached: list[float | None]  # by each, the search's objective, on validation rows as they are
    kept: int
    files: dict[str, Path]
    seconds: float

    @property
    def parts(self) -> list[str]:
        """The parts that are held out: validation, perhaps test."""
        return [part for part in PARTS if part in self.refits[0]]

    def summary(self, part: str) -> dict[str, dict[str, float]]:
        """Return mean and sample standard deviation of each metric over the repeats; no deviation
        of a single one.
        """
        rows = [refit[part] for refit in self.refits]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return {
            "metrics": {name: statistics.fmean(values) for name, values in columns.items()},
            "deviation": {n: _deviation(v) for n, v in columns.items() if len(rows) > 1},
        }

    def doubt(self, objective: Objective, best: Mapping[str, Any]) -> str | None:
        """Say what no noise explains: refits that are far worse than the trial that they repeat, or
        than their own training reported. None where there is nothing to say.

        Args:
            objective: of the search.
            best: the trial's row.
        """
        name, sense = objective.name, objective.sense
        reached = [value for value in self.reached if value is not None]
        if not reached:
            return None
        noise = DEVIATIONS * _deviation(reached) if len(reached) > 1 else 0.0
        # After its best epoch the trial may have become worse, as refits may that train for all.
        late = [v for told in best["history"] for v in told.get(name, [])[best["best_epoch"] :]]
        worst = min(late or [best["score"]], key=lambda value: merit(value, sense))
        pairs = [
            ("the best trial", worst, statistics.fmean(reached), FAR[sense], noise),
            *(
                ("their own training", refit["history"][name][-1], value, NEAR, 0.0)
                for refit, value in zip(self.refits, self.reached, strict=True)
                if value is not None and refit["history"].get(name)
            ),
        ]
        for who, expected, value, share, noise in pairs:
            gap = merit(expected, sense) - merit(value, sense)
            if gap > max(noise, share * max(abs(expected), abs(value))):
                return (
                    f"{name} is {value:.5g} for the refits, and was {expected:.5g} in {who}; what "
                    "a `fit` of your own does to the rows, a layer of the model must do; more "
                    "repeats (validation.repeats) tell chance from fault"
                )
        return None


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if np.isfinite(values).all() else math.nan


def validate(
    run: Run,
    bench: build.Bench,
    hyperparameters: Mapping[str, object],
    ranking: Ranking,
    folder: Path,
    notify: Callable[[int, files.JsonObject], None],
) -> Validated:
    """Refit and evaluate.

    Args:
        run, bench: as in the search.
        hyperparameters: Keras Tuner's config of the best trial's.
        ranking: which repeat's model is kept: the best on the validation rows.
        folder: where the artefacts go: model.keras, the reports and plots, the curves of every
            epoch.
        notify: called with each repeat's number and row.

    Raises:
        ModelError: a model predicts something else than the task, or does not load back as it was
        saved.
    """
    started, settings = time.perf_counter(), bench.pipeline.validation
    held_out = {name: part for name, part in bench.dataset.parts.items() if name != "train"}
    overrides = settings.model_dump(include={"epochs", "batch_size"}, exclude_none=True)
    section = bench.pipeline.callbacks if settings.callbacks is None else settings.callbacks
    refits, reached = list[files.JsonObject](), list[float | None]()
    made: dict[str, Path] = {}
    kept, highest = 0, 0.0
    for repeat in range(settings.repeats):
        clock, hp = time.perf_counter(), build.values_of(hyperparameters)
        seed = seeds.derive_seed(run.seed, "validation", repeat)
        model = bench.build(hp, seed)
        returned = bench.train(model, hp, build.new_callbacks(section, "callbacks"), overrides)
        predicted = {name: part.predict(model, BATCH) for name, part in held_out.items()}
        classes, logits = bench.dataset.classes, evaluate.gives_logits(model)
        results = {
            name: evaluate.evaluate(part.y, predicted[name], classes, logits=logits)
            for name, part in held_out.items()
        }
        told, metrics = build.curves(returned), results["validation"].metrics
        row = {
            "seed": seed,
            **{name: result.metrics for name, result in results.items()},
            "epochs": max(map(len, told.values()), default=0),
            "seconds": time.perf_counter() - clock,
            "history": told,
        }
        refits.append(row)
        reached.append(_objective(bench, model, told, metrics))
        found = merit(metrics[ranking.metric], ranking.direction)
        if repeat == 0 or found > highest:
            kept, highest = repeat, found
            made = {"model": store(model, folder / "model.keras", held_out["validation"])}
            for name, part in held_out.items():
                made |= evaluate.artefacts(results[name], part.y, predicted[name], folder, name)
        notify(repeat, row)
    made["history"] = folder / "history.json"
    made["history"].write_bytes(files.to_json(refits))
    return Validated(refits, reached, kept, made, time.perf_counter() - started)


def _objective(
    bench: build.Bench, model: "keras.Model", told: build.Curves, metrics: Mapping[str, float]
) -> float | None:
    """Return a trained model's objective on the validation rows as the data has them, which a `fit`
    of its own may not have seen; None where nothing tells it.
    """
    objective, rows = bench.pipeline.objective.name, bench.dataset.validation
    name = objective.removeprefix("val_")
    with suppress(Exception):  # it is not compiled, or for targets of another form
        if not bench.has_own_fit:
            # of one alone, nothing tells how far chance goes
            return told[objective][-1] if bench.pipeline.validation.repeats > 1 else None
        if name not in metrics:
            metrics = model.evaluate(*rows.given(), verbose=0, return_dict=True)
        return float(metrics[name])
    return None


def store(model: "keras.Model", path: Path, part: Part) -> Path:
    """Save a model and prove that it loads back: an artefact that does not is worth nothing.

    Raises:
        ModelError: it does not, or predicts something else then.
    """
    rows = part.take(slice(PROBE)).x
    # Keras would store the private class of an optimizer of PyTorch's, which no other backend can
    # load (seen with keras 3.15); it trains no more. With mixed precision, it is within another.
    optimizer = getattr(model, "optimizer", None)  # a model that is not compiled has none
    for each in (optimizer, getattr(optimizer, "inner_optimizer", None)):
        public = getattr(keras.optimizers, type(each).__name__, None)
        if public and type(each).__module__.startswith("keras.src.backend."):
            each.__class__ = public
    wrong = "does not take the rows as the data has them; what `fit` does to them it must do itself"
    try:
        expected = model.predict(rows, verbose=0)
        wrong = "cannot be stored; a model or layer of your own needs get_config()"
        files.write_atomic(path, memory.saved(model.save, path.name))
        wrong = (
            f"does not load back from {path.name}; a layer, loss or metric of your own needs "
            "@keras.saving.register_keras_serializable() and get_config()"
        )
        found = keras.models.load_model(path).predict(rows, verbose=0)
    except Exception as error:
        if machine_is_at_fault(error):
            raise
        raise ModelError(
            f"the trained model {wrong}. Keras says: {model_file.reason(error)}"
        ) from error
    if not np.allclose(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True):
        raise ModelError(f"the model loaded back from {path.name} predicts something else than it")
    return path
