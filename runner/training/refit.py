"""Validation: refits the best hyperparameters, each repeat with its own seed, and evaluates."""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import keras
import numpy as np

from foundation import files
from history import model_file
from runner.config import check, schema
from runner.data import dataset, shared
from runner.errors import ModelError, machine_is_at_fault
from runner.training import build, evaluate, memory, seeds, validated

PROBE = 8  # rows on which a saved model must predict what the trained one does


def refit(
    run: schema.Run,
    pipeline: schema.Pipeline,
    given: shared.Loaded,
    hyperparameters: Mapping[str, object],
    repeat: int,
    folder: Path,
    epochs: int | None = None,
) -> validated.Refit:
    """Refit and evaluate once. With folds, no validation rows are looked at while it trains: the
    first refits are of a fold each, and measured on its rows; the others of all rows but test.

    Args:
        run, pipeline, given: as in the search.
        hyperparameters: Keras Tuner's config of the best trial's.
        repeat: the number of the refit, from 0.
        folder: where the artefacts go: model.keras, the reports and plots, and what callbacks
            write; its name is the refit's id.
        epochs: of a refit with folds, unless the config says it.

    Raises:
        ModelError: a model predicts something else than the task, or does not load back as it was
            saved.
    """
    clock, bench = time.perf_counter(), build.bench(pipeline, given)
    settings, hp = pipeline.validation, build.values_of(hyperparameters)
    seed = seeds.derive_seed(run.seed, "validation", repeat)
    overrides = settings.model_dump(include={"epochs", "batch_size"}, exclude_none=True)
    callbacks = build.new_callbacks(
        pipeline.callbacks if settings.callbacks is None else settings.callbacks,
        "callbacks",
        folder.name,
        folder / schema.CALLBACKS,
    )
    if folds := pipeline.tuner.folds:
        bench = bench.fold(repeat if repeat < folds else None)
        overrides = {"epochs": epochs, **overrides, "validation_data": None}
    model = bench.build(hp, seed, overrides)
    told = build.curves(bench.train(model, hp, [*callbacks, build.Epochs(folder)], overrides))
    return stored(bench, model, seed, told, clock, folder)


def stored(
    bench: build.Bench,
    model: "keras.Model",
    seed: int,
    told: build.Curves,
    clock: float,
    folder: Path,
) -> validated.Refit:
    """Evaluate and store a trained model.

    Args:
        bench: what it was trained on.
        model: the model.
        seed: of its training.
        told: by its training.
        clock: when that began, as time.perf_counter has it.
        folder: where the artefacts go.
    """
    metrics, made = _stored(bench, model, folder)
    row = {
        "seed": seed,
        **metrics,
        "epochs": max(map(len, told.values()), default=0),
        "seconds": time.perf_counter() - clock,
        "history": told,
    }
    return validated.Refit(row, _objective(bench, model, told, metrics.get("validation", {})), made)


def join(
    pipeline: schema.Pipeline, given: shared.Loaded, stored: Sequence[Path], folder: Path
) -> validated.Refit:
    """Join refits to one model, their mean, evaluate and store it. Of its row there are the metrics
    alone.

    Args:
        pipeline, given: as in the search.
        stored: the files of the refits' models.
        folder: where the artefacts go.

    Raises:
        ModelError: they cannot be joined.
    """
    bench = build.bench(pipeline, given)
    if pipeline.tuner.folds:
        bench = bench.fold(None)
    keras.backend.clear_session(free_memory=False)
    model = mean(stored, is_classification=bench.dataset.classes is not None)
    metrics, made = _stored(bench, model, folder)
    return validated.Refit(metrics, None, made)


def pool(
    pipeline: schema.Pipeline, given: shared.Loaded, stored: Sequence[Path], folder: Path
) -> dict[str, Path]:
    """Report on the rows of all folds together, and return the artefacts.

    Args:
        pipeline, given: as in the search.
        stored: the files of what the model of each fold predicts of its rows.
        folder: where the artefacts go.
    """
    found = [np.load(path) for path in stored]
    truth, predicted = (np.concatenate([f[name] for f in found]) for name in found[0])
    classes = build.bench(pipeline, given).dataset.classes
    return evaluate.artefacts(
        evaluate.evaluate(truth, predicted, classes), truth, predicted, folder
    )


def mean(stored: Sequence[Path], *, is_classification: bool) -> "keras.Model":
    """Return the mean of stored models, of classes that of their probabilities, made of Keras'
    layers alone.

    Raises:
        ModelError: the models are none of Keras' layers from inputs to outputs.
    """
    models = [keras.models.load_model(path, compile=False) for path in stored]
    first, flows = models[0], []
    if not getattr(first, "inputs", None):
        raise ModelError(
            "it is not a graph of layers from inputs to outputs, so the mean of the refits "
            "cannot be stored; set validation.ensemble to false"
        )
    inputs = keras.tree.map_structure(
        lambda one: keras.Input(batch_shape=one.shape, dtype=one.dtype, name=one.name),
        first.inputs[0] if isinstance(first, keras.Sequential) else first.input,
    )
    for number, model in enumerate(models, start=1):
        logits = is_classification and evaluate.gives_logits(model)
        model.name = f"refit_{number}"
        flows.append(model(inputs))
        if logits:
            flows[-1] = keras.layers.Activation(
                "softmax" if flows[-1].shape[-1] > 1 else "sigmoid"
            )(flows[-1])
    return keras.Model(inputs, keras.layers.Average()(flows))


def _stored(
    bench: build.Bench, model: "keras.Model", folder: Path
) -> tuple[dict[str, dict[str, float]], dict[str, Path]]:
    """Evaluate a model on the parts that are held out, store it, and return its metrics by part and
    its artefacts; of a fold, store what it predicts.
    """
    held_out = {name: part for name, part in bench.dataset.parts.items() if name != "train"}
    predicted = {
        name: np.asarray(model.predict(part.given()[0], batch_size=dataset.BATCH, verbose=0))
        for name, part in held_out.items()
    }
    classes, logits = bench.dataset.classes, evaluate.gives_logits(model)
    results = {
        name: evaluate.evaluate(
            part.y,
            predicted[name],
            classes,
            logits=logits,
            naive_error=bench.dataset.naive_error,
        )
        for name, part in held_out.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    if bench.pipeline.tuner.folds and "validation" in held_out:
        made, rows = {"predicted": folder / "predicted.npz"}, predicted["validation"]
        if classes is not None:
            rows = evaluate.probabilities(rows, len(classes), logits=logits)
        np.savez(made["predicted"], truth=held_out["validation"].y, predicted=rows)
    else:
        probe = held_out.get("validation", bench.dataset.train)
        made = {"model": store(model, folder / "model.keras", probe)}
        for name, part in held_out.items():
            made |= evaluate.artefacts(
                results[name], part.y, predicted[name], folder, name, logits=logits
            )
    return {
        name: result.metrics | own_metrics(bench, model, held_out[name], result.metrics)
        for name, result in results.items()
    }, made


def _objective(
    bench: build.Bench, model: "keras.Model", told: build.Curves, metrics: Mapping[str, float]
) -> float | None:
    """Return a trained model's objective on the validation rows as the data has them, which its
    training may not have seen so; None where nothing tells it.
    """
    objective, settings = bench.pipeline.objective.name, bench.pipeline.validation
    name = objective.removeprefix("val_")
    with suppress(Exception):  # it is not compiled, or for targets of another form
        if objective in told and settings.weights == "refit" and not bench.has_own_fit:
            return told[objective][-1]
        if name not in metrics:
            rows = bench.dataset.validation.given()
            metrics = model.evaluate(*rows, verbose=0, return_dict=True)
        return float(metrics[name])
    return None


def own_metrics(
    bench: build.Bench, model: "keras.Model", part: dataset.Part, known: Collection[str]
) -> dict[str, float]:
    """Return what a model of the user's was compiled to report, over rows as the data has them, but
    its loss and what is known by that name; nothing where it is not compiled, or for targets of
    another form.
    """
    if bench.pipeline.model.target.rpartition(".")[0] == check.OURS:
        return {}  # they report nothing else than every result has
    with suppress(Exception):
        found = model.evaluate(*part.given(), batch_size=dataset.BATCH, verbose=0, return_dict=True)
        return {
            name: float(value)
            for name, value in found.items()
            if np.size(value) == 1 and name not in (*known, "loss")
        }
    return {}


def store(model: "keras.Model", path: Path, part: dataset.Part) -> Path:
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
    wrong = (
        "does not accept the rows as the data provides them; what `fit` does to them belongs "
        "inside the model"
    )
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
        raise ModelError(f"the model loaded back from {path.name} predicts something different")
    return path
