"""What no section of a pipeline can see alone: combinations that cannot work, found without data
and without Keras.

Reads plain data, any part of which may be missing or wrong in itself: check.py says that, and one
mistake must not hide another.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from history import registry
from history.errors import unknown
from runner.config.schema import Objective
from runner.config.space import hyperparameters, is_hyperparameter
from runner.config.targets import check_arguments, locate
from runner.errors import ConfigError, Problem
from runner.models import METRICS

OURS = "runner.models"
FILLED = (
    "facts",
    "input_shape",
    "num_classes",
    "task",
    "hp",
)  # what a model is given beside its arguments
TABLES = {"diabetes": "regression"}  # of scikit-learn's tables; the others are for classification


def cross_problems(pipeline: Any) -> Iterator[Problem]:
    """Every combination within a pipeline that cannot work, at its key within the pipeline."""
    task = _at(pipeline, "task.kind")
    yield from _space(pipeline)
    yield from _history(pipeline, task)
    yield from _tuner(pipeline)
    if str(_at(pipeline, "model._target_")).rpartition(".")[0] == OURS:
        yield from _our_model(pipeline)
        if task in METRICS:
            yield from _reported(pipeline, ["loss", *METRICS[task]])
    if task == "regression" and _at(pipeline, "fit.class_weight"):
        yield Problem("fit.class_weight", "a regression has no classes to weigh; leave it out")
    table = _at(pipeline, "data.name") if _at(pipeline, "data.kind") == "sklearn" else None
    if isinstance(table, str) and task in METRICS and TABLES.get(table, "classification") != task:
        what = f"the table '{table}' is for {TABLES.get(table, 'classification')}, the task of this pipeline is {task}"
        yield Problem("data.name", what)


def _at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _specs(pipeline: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """(path, spec) of every hyperparameter, in the order in which they are declared."""
    return [
        item
        for section in ("fit", "model")
        for item in hyperparameters(_at(pipeline, section), section)
    ]


def _space(pipeline: Any) -> Iterator[Problem]:
    seen: set[str] = set()
    conditional: set[str] = set()
    for path, spec in _specs(pipeline):
        name = str(spec.get("name") or path)
        if name in seen:
            yield Problem(path, f"two hyperparameters are called '{name}'; give each its own name")
        seen.add(name)
        if spec.get("parent_name") is not None:
            conditional.add(name)
    for path, spec in _specs(pipeline):
        parent = spec.get("parent_name")
        if parent is not None and parent not in seen:
            yield Problem(
                f"{path}.parent_name", unknown("hyperparameter", str(parent), sorted(seen))
            )
        elif parent in conditional:
            what = f"'{parent}' is conditional itself; Keras Tuner takes no chains of parent_name (a build(hp) can nest)"
            yield Problem(f"{path}.parent_name", what)


def _history(pipeline: Any, task: Any) -> Iterator[Problem]:
    name, metric = _at(pipeline, "manager") or task, _at(pipeline, "task.rank_by")
    if isinstance(name, str) and name not in registry.names():
        if _at(pipeline, "manager"):
            yield Problem("manager", unknown("history manager", name, registry.names()))
    elif isinstance(name, str):
        manager = registry.manager_class(name)
        made = {
            "history",
            "identity",
            *(registry.manager_class(task).artefacts if task in METRICS else manager.artefacts),
        }
        if task in METRICS and manager.task != task:
            what = f"'{name}' keeps entries of the task {manager.task}, the task of this pipeline is {task}"
            yield Problem("manager", what)
        elif lacking := ", ".join(sorted({*manager.artefacts} - made)):
            yield Problem(
                "manager", f"'{name}' keeps entries that have {lacking}, which a run does not make"
            )
        elif isinstance(metric, str) and metric not in manager.metrics:
            yield Problem("task.rank_by", unknown("metric", metric, manager.metrics))


def _tuner(pipeline: Any) -> Iterator[Problem]:
    if _at(pipeline, "tuner.kind") != "hyperband":
        return
    if is_hyperparameter(_at(pipeline, "fit.epochs")):
        yield Problem(
            "fit.epochs",
            "searching it has no effect: Hyperband sets the epochs itself, up to tuner.max_epochs",
        )
    if str(_at(pipeline, "model._target_")).startswith(OURS) and not _specs(pipeline):
        yield Problem(
            "model",
            "Hyperband has nothing to search: neither model nor fit has a hyperparameter (hp)",
        )


def _our_model(pipeline: Any) -> Iterator[Problem]:
    """The shipped models are looked at without Keras; other code is imported only when the run is
    planned.
    """
    section = _at(pipeline, "model")
    try:
        target = locate(section["_target_"], "model._target_")
        check_arguments(
            target, [key for key in section if key != "_target_"], "model", filled=FILLED
        )
    except ConfigError as error:
        yield from error.problems


def _reported(pipeline: Any, metrics: list[str]) -> Iterator[Problem]:
    """What looks at a metric that a shipped model does not report."""
    known = [*metrics, *(f"val_{name}" for name in metrics)]
    looked_at = {"objective.name": _at(pipeline, "objective.name") or Objective().name}
    for section in ("callbacks", "validation.callbacks"):
        for name in _at(pipeline, section) or ():
            looked_at[f"{section}.{name}.monitor"] = _at(pipeline, f"{section}.{name}.monitor")
    for key, metric in looked_at.items():
        if isinstance(metric, str) and metric not in known:
            yield Problem(
                key, f"{unknown('metric', metric, known)}; the model reports no other for this task"
            )
