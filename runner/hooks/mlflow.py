"""Logs a run to MLflow, an extra: each entry is a run of MLflow's, which holds one for each of its
trainings.
"""

import os
import re
from collections.abc import Iterable
from typing import Any

import numpy

from foundation import errors, files
from history import Entry
from runner.errors import ConfigError
from runner.hooks import RunSummary, trainings
from runner.training.environment import versions

try:
    # nothing is sent to its makers, and a server that is not there is given up in seconds
    os.environ |= {
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        **os.environ,
    }
    import mlflow
    from mlflow import entities, models, types
except ModuleNotFoundError as error:
    raise ConfigError(
        "MLflow is not installed; in the project's clone: pip install '.[mlflow]'", "hooks.mlflow"
    ) from error

ENTRY, WHOLE = "runner.entry", "runner.whole"  # tags: of which entry, and that nothing is missing
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
    own, told = run.root / "mlflow", tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(told or f"sqlite:///{own}/mlflow.db")
    try:
        with files.held(run.root / ".locks" / "mlflow.lock", "the hook mlflow"):
            for entry in run.stored:
                name = experiment or entry.experiment
                if not told and mlflow.get_experiment_by_name(name) is None:
                    mlflow.create_experiment(name, (own / "artefacts").as_uri())
                _log(
                    mlflow.MlflowClient(),
                    mlflow.set_experiment(name).experiment_id,
                    entry,
                    log_models,
                )
    except (mlflow.MlflowException, OSError) as error:
        raise errors.HistoryError(
            f"cannot log to MLflow: {str(error).partition(chr(10))[0]}; the entries are kept: fix "
            "that and run the same command again to log them"
        ) from error


def _log(client: mlflow.MlflowClient, of: str, entry: Entry, log_models: bool) -> None:
    """Log an entry to an experiment, unless it is there; what was cut short is deleted."""
    found = client.search_runs([of], f"tags.`{ENTRY}` = '{entry.id}'", max_results=50_000)
    if any(WHOLE in each.data.tags for each in found):
        return
    for torn in found:
        client.delete_run(torn.info.run_id)
    made, value, ended = trainings.of(entry), entry.value, trainings.seconds(entry.created)
    artefacts, backend = value("artefacts", {}), value("environment.backend", "tensorflow")
    id = _run(
        client,
        of,
        trainings.Training(
            entry.id,
            {
                "tuner": value("search.tuner"),
                "objective": value("search.objective.name"),
                "seed": value("seed"),
                **value("best.values", {}),
            },
            trainings.scores(entry.document),
            {},
            min([ended, *(each.began for each in made)]),
            ended,
            entry.status == "failed",
        ),
        {ENTRY: entry.id, "runner.run_id": entry.run_id},
    )
    for training in made:
        _run(client, of, training, {ENTRY: entry.id, "mlflow.parentRunId": id})
    for name in artefacts.keys() - {"model"}:
        client.log_artifact(id, str(entry.verified(name)))
    if log_models and "model" in artefacts:
        model = entry.load_model(trust=not entry.imported)
        models.Model.log(
            None,
            name="model",
            flavor=mlflow.keras,
            run_id=id,
            model=model,
            signature=models.ModelSignature(_schema(model.inputs), _schema(model.outputs)),
            # as they are, instead of what MLflow would find by loading the model anew
            pip_requirements=[f"{k}=={v}" for k, v in versions(backend, ("keras",)).items()],
        )
    client.set_tag(id, WHOLE, "true")


def _run(
    client: mlflow.MlflowClient, of: str, training: trainings.Training, tags: dict[str, str]
) -> str:
    """Make a training a run of an experiment, and return its id."""
    began, ended = (int(when * 1000) for when in (training.began, training.ended))
    id = str(client.create_run(of, began, tags, training.name).info.run_id)
    given = [entities.Param(_name(key), str(value)) for key, value in training.values.items()]
    points = [entities.Metric(_name(key), v, ended, 0) for key, v in training.scores.items()] + [
        entities.Metric(_name(key), value, int(when * 1000), epoch)
        for key, epoch, value, when in training.points()
    ]
    for start in range(0, max(len(given), len(points)), BATCH):
        part = slice(start, start + BATCH)
        client.log_batch(id, points[part], given[part])
    client.set_terminated(id, "FAILED" if training.failed else "FINISHED", ended)
    return id


def _name(key: str) -> str:
    """Return a name as MLflow takes it: `units[1]` is units_1_."""
    return re.sub(r"[^\w/. -]", "_", key)


def _schema(tensors: Iterable[Any]) -> types.Schema:
    """Return what MLflow calls the inputs or outputs of a model; rows may be any number."""
    return types.Schema(
        [
            types.TensorSpec(
                numpy.dtype("str" if each.dtype == "string" else each.dtype),
                (-1, *(size or -1 for size in each.shape[1:])),
                each.name,
            )
            for each in tensors
        ]
    )
