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
from runner.training import build, evaluate, memory, regimes, seeds, trial, validated
from runner.training.callbacks import Epochs

PROBE = 8  # rows on which a saved model must predict what the trained one does


def refit(
    run: schema.Run,
    pipeline: schema.Pipeline,
    data: shared.Loaded,
    best: validated.BestTrial,
    repeat: int,
    folder: Path,
) -> validated.Refit:
    """Refit and evaluate once, or keep the best trial's own model.

    Args:
        run, pipeline, data: as in the search.
        best: the best trial.
        repeat: the number of the refit, from 0.
        folder: where the artefacts go: model.keras, the reports and plots, and what callbacks
            write; its name is the refit's id.

    Raises:
        ModelError: a model predicts something else than the task, or does not load back as it was
            saved.
    """
    clock = time.perf_counter()
    regime = regimes.of(pipeline)
    fold = regime.fold_of(repeat)
    bench = build.bench(pipeline, data).fold(fold)
    if regime.keeps_trial:
        model, seed, curves = trial.own_model(run, bench, best.folder, best.trial_id)
    else:
        seed = seeds.derive_seed(run.seed, "validation", repeat)
        model, curves = _refitted(bench, best, seed, folder)
    metrics, artefacts = _stored(bench, model, folder, is_of_fold=fold is not None)
    row = {
        "seed": seed,
        **metrics,
        "epochs": max(map(len, curves.values()), default=0),
        "seconds": time.perf_counter() - clock,
        "history": curves,
    }
    reached = _objective(bench, model, curves, metrics.get("validation", {}))
    return validated.Refit(row, reached, artefacts)


def _refitted(
    bench: build.Bench, best: validated.BestTrial, seed: int, folder: Path
) -> tuple["keras.Model", build.Curves]:
    """Train a model with the best hyperparameters; return it and its curves."""
    pipeline, settings = bench.pipeline, bench.pipeline.validation
    hp = build.values_of(best.hyperparameters)
    callbacks = build.new_callbacks(
        pipeline.callbacks if settings.callbacks is None else settings.callbacks,
        "callbacks",
        folder.name,
        folder / schema.CALLBACKS,
    )
    callbacks.append(Epochs(folder))
    overrides = regimes.of(pipeline).fit_arguments(best.epochs)
    overrides |= settings.model_dump(include={"epochs", "batch_size"}, exclude_none=True)
    model = bench.build(hp, seed, overrides)
    return model, build.curves(bench.train(model, hp, callbacks, overrides))


def combine(
    pipeline: schema.Pipeline,
    data: shared.Loaded,
    refits: Sequence[validated.Refit],
    folder: Path,
) -> tuple[dict[str, Path], validated.Refit | None]:
    """Return what refits come to together: the artefacts of a report on the rows of all folds, if
    there are any; and their mean, one model that is evaluated and stored, if it is wanted, of whose
    row there are the metrics alone.

    Args:
        pipeline, data: as in the search.
        refits: all of them.
        folder: where the artefacts go.

    Raises:
        ModelError: they have no mean.
    """
    bench = build.bench(pipeline, data).fold(None)
    classes = bench.dataset.classes
    pooled = dict[str, Path]()
    predictions = [np.load(refit.files["predicted"]) for refit in refits if refit.is_of_fold]
    if predictions:
        truth = np.concatenate([each["truth"] for each in predictions])
        predicted = np.concatenate([each["predicted"] for each in predictions])
        folder.mkdir(parents=True)
        pooled = evaluate.evaluate(truth, predicted, classes).artefacts(folder)
    if not pipeline.is_ensemble:
        return pooled, None
    keras.backend.clear_session(free_memory=False)
    models = [refit.files["model"] for refit in refits if not refit.is_of_fold]
    metrics, artefacts = _stored(bench, mean(models, is_classification=classes is not None), folder)
    return pooled, validated.Refit(metrics, files=artefacts)


def mean(stored: Sequence[Path], *, is_classification: bool) -> "keras.Model":
    """Return the mean of stored models, of classes that of their probabilities, made of Keras'
    layers alone.

    Raises:
        ModelError: the models are none of Keras' layers from inputs to outputs.
    """
    models = [keras.models.load_model(path, compile=False) for path in stored]
    first = models[0]
    if not getattr(first, "inputs", None):
        raise ModelError(
            "it is not a graph of layers from inputs to outputs, so the mean of the refits "
            "cannot be stored; set validation.ensemble to false"
        )
    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name),
        first.inputs[0] if isinstance(first, keras.Sequential) else first.input,
    )
    outputs = []
    for number, model in enumerate(models, start=1):
        logits = is_classification and evaluate.gives_logits(model)
        model.name = f"refit_{number}"
        output = model(inputs)
        if logits:
            kind = "softmax" if output.shape[-1] > 1 else "sigmoid"
            output = keras.layers.Activation(kind)(output)
        outputs.append(output)
    return keras.Model(inputs, keras.layers.Average()(outputs))


def _stored(
    bench: build.Bench, model: "keras.Model", folder: Path, *, is_of_fold: bool = False
) -> tuple[dict[str, dict[str, float]], dict[str, Path]]:
    """Evaluate a model on the parts that are held out, store it, and return its metrics by part and
    its artefacts; of a fold, store what it predicts.
    """
    data = bench.dataset
    held_out = {name: part for name, part in data.parts.items() if name != "train"}
    logits = evaluate.gives_logits(model)
    evaluations = {}
    for name, part in held_out.items():
        predicted = model.predict(part.given()[0], batch_size=dataset.BATCH, verbose=0)
        evaluations[name] = evaluate.evaluate(
            part.y,
            np.asarray(predicted),
            data.classes,
            logits=logits,
            naive_error=data.naive_error,
        )
    folder.mkdir(parents=True, exist_ok=True)
    artefacts = {}
    if is_of_fold:
        path = folder / "predicted.npz"
        rows = evaluations["validation"]
        np.savez(path, truth=rows.truth, predicted=rows.predicted)
        artefacts["predicted"] = path
    else:
        probe = held_out.get("validation", data.train)
        artefacts["model"] = store(model, folder / "model.keras", probe)
        for name, evaluation in evaluations.items():
            artefacts |= evaluation.artefacts(folder, name)
    metrics = {}
    for name, evaluation in evaluations.items():
        common = evaluation.result.metrics
        metrics[name] = common | own_metrics(bench, model, held_out[name], common)
    return metrics, artefacts


def _objective(
    bench: build.Bench, model: "keras.Model", curves: build.Curves, metrics: Mapping[str, float]
) -> float | None:
    """Return a trained model's objective on the validation rows as the data has them, which its
    training may not have seen so; None where nothing tells it.
    """
    objective = bench.pipeline.objective.name
    name = objective.removeprefix("val_")
    is_refit = not regimes.of(bench.pipeline).keeps_trial
    if objective in curves and is_refit and not bench.has_own_fit:
        return curves[objective][-1]
    if name in metrics:
        return float(metrics[name])
    with suppress(Exception):  # it is not compiled, or for targets of another form
        rows = bench.dataset.validation.given()
        return float(model.evaluate(*rows, verbose=0, return_dict=True)[name])
    return None


def own_metrics(
    bench: build.Bench, model: "keras.Model", part: dataset.Part, others: Collection[str]
) -> dict[str, float]:
    """Return what a model of the user's was compiled to report, over rows as the data has them, but
    its loss and other metrics by name; nothing where it is not compiled, or for targets of
    another form.
    """
    if bench.pipeline.model.target.rpartition(".")[0] == check.OURS:
        return {}  # they report nothing else than every result has
    reported = {}
    with suppress(Exception):
        reported = model.evaluate(
            *part.given(), batch_size=dataset.BATCH, verbose=0, return_dict=True
        )
    return {
        name: float(value)
        for name, value in reported.items()
        if np.size(value) == 1 and name not in (*others, "loss")
    }


def store(model: "keras.Model", path: Path, part: dataset.Part) -> Path:
    """Save a model and prove that it loads back: an artefact that does not is worth nothing.

    Raises:
        ModelError: it does not, or predicts something else then.
    """
    rows = part.take(slice(PROBE)).x
    # Keras would store the private class of an optimizer of PyTorch's, which no other backend can
    # load (seen with keras 3.15); it trains no more. With mixed precision, it is within another.
    optimizer = getattr(model, "optimizer", None)  # a model that is not compiled has none
    for part_of_it in (optimizer, getattr(optimizer, "inner_optimizer", None)):
        kind = type(part_of_it)
        public = getattr(keras.optimizers, kind.__name__, None)
        if public and kind.__module__.startswith("keras.src.backend."):
            part_of_it.__class__ = public
    fault = (
        "does not accept the rows as the data provides them; what `fit` does to them belongs "
        "inside the model"
    )
    try:
        expected = model.predict(rows, verbose=0)
        fault = "cannot be stored; a model or layer of your own needs get_config()"
        files.write_atomic(path, memory.saved(model.save, path.name))
        fault = (
            f"does not load back from {path.name}; a layer, loss or metric of your own needs "
            "@keras.saving.register_keras_serializable() and get_config()"
        )
        predicted = keras.models.load_model(path).predict(rows, verbose=0)
    except Exception as error:
        if machine_is_at_fault(error):
            raise
        raise ModelError(
            f"the trained model {fault}. Keras says: {model_file.reason(error)}"
        ) from error
    if not np.allclose(predicted, expected, rtol=1e-4, atol=1e-5, equal_nan=True):
        raise ModelError(f"the model loaded back from {path.name} predicts something different")
    return path
