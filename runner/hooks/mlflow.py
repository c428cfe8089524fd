"""Logs a run to MLflow, an extra: each entry is a run of MLflow's, which holds one for each of its
trainings.
"""

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from foundation import errors, files
from history import Entry
from runner.errors import ConfigError
from runner.hooks import RunSummary, trainings
from runner.training.environment import versions

try:
    # nothing is sent to its makers, and a server that is not there is given up in seconds
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    import mlflow
    from mlflow import entities, models, types
except ModuleNotFoundError as error:
    raise ConfigError(
        "MLflow is not installed; in the project's clone: pip install '.[mlflow]'", "hooks.mlflow"
    ) from error

ENTRY = "runner.entry"  # a tag: of which entry
WHOLE = "runner.whole"  # a tag: that nothing is missing
BATCH = 100  # of metrics or parameters, which MLflow takes at once


def log(
    run: RunSummary,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    log_models: bool = True,
) -> None:
    """Log each entry, once.

    Args:
        run: that has ended.
        tracking_uri: of the store; null: what MLFLOW_TRACKING_URI says or, without it, one below
            the root: `mlflow/mlflow.db`, its artefacts beside it.
        experiment: MLflow's, which holds the runs; null: of the same name as the entry's.
        log_models: the models, too.

    Raises:
        HistoryError: the store cannot be reached, or refuses something.
    """
    store = run.root / "mlflow"
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri or f"sqlite:///{store}/mlflow.db")
    try:
        with files.held(run.root / ".locks" / "mlflow.lock", "the hook mlflow"):
            for entry in run.stored:
                name = experiment or entry.experiment
                if not uri and mlflow.get_experiment_by_name(name) is None:
                    mlflow.create_experiment(name, (store / "artefacts").as_uri())
                _log(entry, mlflow.set_experiment(name).experiment_id, log_models)
    except (mlflow.MlflowException, OSError) as error:
        reason, *_ = str(error).splitlines()
        raise errors.HistoryError(
            f"cannot log to MLflow: {reason}; the entries are kept: fix "
            "that and run the same command again to log them"
        ) from error


def _log(entry: Entry, experiment: str, log_models: bool) -> None:
    """Log an entry to an experiment, unless it is there; what was cut short is deleted."""
    client = mlflow.MlflowClient()
    query = f"tags.`{ENTRY}` = '{entry.id}'"
    runs = client.search_runs([experiment], query, max_results=50_000)
    if any(WHOLE in run.data.tags for run in runs):
        return
    for torn in runs:
        client.delete_run(torn.info.run_id)
    parts = trainings.of(entry)
    tags = {ENTRY: entry.id}
    run_id = _run(experiment, _whole(entry, parts), tags | {"runner.run_id": entry.run_id})
    for part in parts:
        _run(experiment, part, tags | {"mlflow.parentRunId": run_id})
    for name in entry.artefacts:
        if name != "model":
            client.log_artifact(run_id, str(entry.verified(name)))
    if log_models and "model" in entry.artefacts:
        _log_model(entry, run_id)
    client.set_tag(run_id, WHOLE, "true")


def _whole(entry: Entry, parts: Sequence[trainings.Training]) -> trainings.Training:
    """Return an entry as a run: its settings and results, from the start of its first training."""
    ended = trainings.seconds(entry.created)
    settings = {
        "tuner": entry.search.tuner or None,
        "objective": entry.search.objective.name or None,
        "seed": entry.value("seed"),
    }
    metrics = {"validation": entry.validation.metrics, "test": entry.test.metrics}
    return trainings.Training(
        name=entry.id,
        values=settings | entry.best.values,
        scores=trainings.scores(metrics),
        history={},
        began=min([ended, *(part.began for part in parts)]),
        ended=ended,
        failed=entry.status == "failed",
    )


def _log_model(entry: Entry, run_id: str) -> None:
    model = entry.load_model(trust=not entry.imported)
    packages = versions(entry.environment.get("backend", "tensorflow"), ("keras",))
    models.Model.log(
        None,
        name="model",
        flavor=mlflow.keras,
        run_id=run_id,
        model=model,
        signature=models.ModelSignature(_schema(model.inputs), _schema(model.outputs)),
        # as they are, instead of what MLflow would find by loading the model anew
        pip_requirements=[f"{name}=={version}" for name, version in packages.items()],
    )


def _run(experiment: str, training: trainings.Training, tags: dict[str, str]) -> str:
    """Make a training a run of an experiment, and return its id."""
    client = mlflow.MlflowClient()
    ended = int(training.ended * 1000)
    run = client.create_run(experiment, int(training.began * 1000), tags, training.name)
    run_id = str(run.info.run_id)
    params = [entities.Param(_name(key), str(value)) for key, value in training.values.items()]
    metrics = []
    for key, value in training.scores.items():
        metrics.append(entities.Metric(_name(key), value, ended, 0))
    for key, epoch, value, when in training.points():
        metrics.append(entities.Metric(_name(key), value, int(when * 1000), epoch))
    for start in range(0, max(len(params), len(metrics)), BATCH):
        batch = slice(start, start + BATCH)
        client.log_batch(run_id, metrics[batch], params[batch])
    client.set_terminated(run_id, "FAILED" if training.failed else "FINISHED", ended)
    return run_id


def _name(key: str) -> str:
    """Return a name as MLflow takes it: `units[1]` is units_1_."""
    return re.sub(r"[^\w/. -]", "_", key)


def _schema(tensors: Iterable[Any]) -> types.Schema:
    """Return what MLflow calls the inputs or outputs of a model; rows may be any number."""
    specs: list[types.ColSpec | types.TensorSpec] = []
    for tensor in tensors:
        dtype = np.dtype("str" if tensor.dtype == "string" else tensor.dtype)
        shape = [size or -1 for size in (None, *tensor.shape[1:])]
        specs.append(types.TensorSpec(dtype, tuple(shape), tensor.name))
    return types.Schema(specs)
