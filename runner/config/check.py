"""The boundary of the config: plain data in, a checked experiment out, with every error at once,
also those that no section can see alone. Behind it nobody checks again.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from foundation import errors, trees
from history import manager, registry
from runner.config import schema, space, targets
from runner.config.section import UNKNOWN_KEY, Rule, Section, dotted, is_meant
from runner.errors import ConfigError, Faults, Problem

OURS = "runner.models"
OF_TRAINING = "is measured on the training rows; on the validation rows it is val_{}"

S = TypeVar("S", bound=Section)


class Unresolved(Exception):  # noqa: N818 - it is not raised
    """Stands for a value that cannot be had, and says why."""


def read_experiment(
    name: str, tree: Mapping[str, Any], overrides: Sequence[str]
) -> schema.Experiment:
    """Return the checked experiment that resolved plain data describe.

    Args:
        name: the experiment's name.
        tree: the root keys, and under `pipelines` the sections of each pipeline by its name, with
            all that it inherited. Root keys that are sections are looked at by name only. A value
            that could not be resolved is Unresolved.
        overrides: the command-line overrides, kept for the record.

    Raises:
        ConfigError: with every error in every section.
    """
    faults = Faults()
    inherited = schema.File.model_fields.keys() - schema.Run.model_fields.keys()
    with faults:
        run = _read(schema.Run, {key: tree[key] for key in tree if key not in inherited}, where="")
    declared = tree.get("pipelines") or {}
    pipelines = {}
    for key, content in declared.items():
        where = f"pipelines.{key}"
        if not re.fullmatch(schema.NAME, key):
            faults.append(
                Problem(
                    where,
                    "a name has up to 100 lower-case letters, digits and '-', and begins with a "
                    "letter",
                )
            )
        with faults:
            pipelines[key] = _read(schema.Pipeline, space.settled(content), where)
            for at, what in _rules(pipelines[key]):
                faults.append(Problem(f"{where}.{at}", what))
    only = tree.get("only")
    for key in only if isinstance(only, list) else []:
        if str(key) not in declared:
            faults.append(Problem("only", errors.unknown("pipeline", str(key), declared)))
    faults.tell(ConfigError)
    chosen = {key: pipelines[key] for key in run.only or pipelines}
    return schema.Experiment(name, run, chosen, tuple(overrides))


def known_keys(section: str, content: object = None) -> set[str]:
    """Return the keys that a section takes by its schema, or has as arguments of its target.

    Args:
        section: such as `tuner`.
        content: the section; its `kind` or `_target_` decides which keys it takes. Without one: all
            that any kind takes.
    """
    keys = set(map(str, content)) if isinstance(content, Mapping) else set()
    for kind in schemas(section, content):
        keys.update(kind.config_keys())
    return keys


def elsewhere(key: str, section: str) -> str:
    """Return where else a key would be taken, as the end of a message.

    Args:
        key: one that is not taken where it stands.
        section: where it stands; empty: at the root.
    """
    homes = [other for other in schema.SECTIONS if key in known_keys(other)]
    if any(section.endswith(home) for home in homes):
        return "; it is a key of another kind"
    if key in schema.Run.config_keys():
        homes.insert(0, "the root")
    return f"; it is a key of {' and of '.join(homes)}" if homes else ""


def schemas(section: str, content: object = None) -> list[type[Section]]:
    """Return the models that a section may be read into, narrowed by its tag if it has one."""
    annotation = schema.Pipeline.model_fields[section].annotation
    members = [
        member
        for member in get_args(annotation) or [annotation]
        if isinstance(member, type) and issubclass(member, Section)
    ]
    if not isinstance(content, Mapping):
        return members
    return [member for member in members if is_meant(member, content)] or members


def key_text(key: object) -> str:
    """Return a key as YAML writes it, also one that is no text."""
    return key if isinstance(key, str) else json.dumps(key, default=str)


def _read(kind: type[S], content: object, where: str) -> S:
    """Return a section; raises ConfigError with all that is wrong with it."""
    problems = Faults()
    usable = _usable(content, where, problems)
    reported = {problem.where for problem in problems}
    try:
        section = kind.model_validate(usable)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            key, what = dotted(where, fault["loc"]), fault["msg"]
            if fault["type"] == UNKNOWN_KEY:
                what += elsewhere(str(fault["loc"][-1]), key.rpartition(".")[0])
            if key not in reported:
                problems.append(Problem(key, what))
    problems.tell(ConfigError)
    return section


def _usable(content: object, where: str, problems: list[Problem]) -> object:
    """Return plain data with text for keys. A key that is none, and a value that cannot be had,
    becomes a problem.
    """
    if isinstance(content, list):
        return [_usable(item, f"{where}[{index}]", problems) for index, item in enumerate(content)]
    if isinstance(content, Mapping):
        usable = {}
        for key, value in content.items():
            text = key_text(key)
            place = dotted(where, [text])
            if text != key:
                what = f"YAML reads this key as {text}, not as text: quote it"
                problems.append(Problem(place, what))
            usable[text] = _usable(value, place, problems)
        return usable
    if content == "???":
        content = Unresolved("a value is missing; give one in the config or on the command line")
    if isinstance(content, Unresolved):
        problems.append(Problem(where, str(content)))
    return content


def _is_ours(pipeline: schema.Pipeline) -> bool:
    return pipeline.model.target.rpartition(".")[0] == OURS


def _rules(pipeline: schema.Pipeline) -> Iterator[Rule]:
    """Yield what is wrong between the sections of a pipeline: combinations that cannot work, found
    without data and without Keras.
    """
    task, data = pipeline.task.kind, pipeline.data
    specs = space.hyperparameters({"fit": pipeline.fit.model_dump(), "model": pipeline.model.args})
    if isinstance(pipeline.tuner, schema.HyperbandTuner):
        if isinstance(pipeline.fit.epochs, schema.HYPERPARAMETERS):
            yield (
                "fit.epochs",
                "searching it has no effect: Hyperband sets the epochs itself, up to "
                "tuner.max_epochs",
            )
        if _is_ours(pipeline) and not specs:
            yield (
                "model",
                "Hyperband has nothing to search: neither model nor fit has a hyperparameter (hp)",
            )
    if pipeline.tuner.folds and pipeline.validation.weights == "trial":
        yield (
            "validation.weights",
            "with folds a trial has a model for each of them; remove one of the two",
        )
    if isinstance(data, schema.SklearnData):
        fits = "regression" if data.name == "diabetes" else "classification"
        if fits != task:
            yield (
                "data.name",
                f"the table '{data.name}' is for {fits}, but the task of this pipeline is {task}",
            )
    yield from _space(specs)
    yield from _manager(pipeline)
    yield from _of_trials(pipeline)
    if _is_ours(pipeline):
        yield from _our_model(pipeline)


def _space(specs: list[tuple[str, space.Spec]]) -> Iterator[Rule]:
    """Yield what is wrong with names and conditions of hyperparameters, given as (path, spec)."""
    paths = {str(spec.get("name") or path): path for path, spec in specs}
    conditional = {path for path, spec in specs if spec.get("parent_name") is not None}
    for path, spec in specs:
        name, parent = str(spec.get("name") or path), str(spec.get("parent_name"))
        if paths[name] != path:
            yield path, f"two hyperparameters are called '{name}'; give each its own name"
        if paths.get(parent) in conditional:
            yield (
                f"{path}.parent_name",
                f"'{parent}' is conditional itself; Keras Tuner does not support chains of "
                "parent_name (a build(hp) function can nest)",
            )
        if path in conditional and parent not in paths:
            yield f"{path}.parent_name", errors.unknown("hyperparameter", parent, paths)


def _manager(pipeline: schema.Pipeline) -> Iterator[Rule]:
    """Yield why the history manager cannot keep what a run of this task makes."""
    name, task = pipeline.manager_name, pipeline.task.kind
    if name not in registry.names():
        yield "manager", errors.unknown("history manager", name, registry.names())
        return
    keeper = registry.manager_class(name)
    produced = {*registry.manager_class(task).artefacts, "history", "identity"}
    lacking = sorted({*keeper.artefacts} - produced)
    if keeper.task != task:
        yield (
            "manager",
            f"'{name}' keeps entries of the task {keeper.task}, but the task of this pipeline is "
            f"{task}",
        )
    elif lacking:
        yield (
            "manager",
            f"'{name}' expects entries to have {', '.join(lacking)}, which a run does not produce",
        )
    yield from _ranking(pipeline, keeper)


def _ranking(pipeline: schema.Pipeline, keeper: type[manager.HistoryManager]) -> Iterator[Rule]:
    """Yield what is wrong with the metric that ranks pipelines, and with its direction."""
    metric, stated = pipeline.task.rank_by, pipeline.task.direction
    if metric is not None and metric not in keeper.metrics:
        if _is_ours(pipeline):
            yield "task.rank_by", errors.unknown("metric", metric, keeper.metrics)
        if not pipeline.direction_of(metric):
            yield (
                "task.direction",
                f"state whether {metric} is better when lower or higher (min or max), if the model "
                f"reports it; {keeper.task} has {', '.join(keeper.metrics)}",
            )
    if metric == "mase" and not isinstance(pipeline.data, schema.WindowData):
        yield "task.rank_by", "only windows of a series have a mase"
    ranked_by = metric or keeper.ranking
    direction = keeper.metrics.get(ranked_by) or schema.DIRECTIONS.get(ranked_by)
    if direction and stated and stated != direction:
        better = schema.BETTER[direction]
        yield "task.direction", f"{ranked_by} is better when {better}: {direction}"


def _of_trials(pipeline: schema.Pipeline) -> Iterator[Rule]:
    """Yield what is wrong with what the config says of single trials."""
    names = set()
    for key, value in trees.flat(pipeline.model_dump()).items():
        for name in schema.SAID.findall(str(value)):
            names.add(name)
            if not key.startswith(("callbacks.", "validation.callbacks.")):
                yield key, f"only arguments of callbacks can use ${{trial.{name}}}"
            if name not in schema.OF_A_TRIAL:
                yield key, errors.unknown("value of a trial", name, schema.OF_A_TRIAL)
    if pipeline.artefacts and "folder" not in names:
        yield (
            "artefacts",
            "no callback writes to ${trial.folder}, where these files are looked for",
        )


def _our_model(pipeline: schema.Pipeline) -> Iterator[Rule]:
    """Yield what a shipped model does not take or report. They are looked at without Keras; other
    code is imported only when the run is planned.
    """
    try:
        model = targets.locate(pipeline.model.target, "model._target_")
        targets.check_arguments(model, pipeline.model.args, "model", filled=["facts"])
    except ConfigError as error:
        for problem in error.problems:
            yield problem.where, problem.what
    of_training = ["loss", *schema.METRICS[pipeline.task.kind]]
    of_validation = [f"val_{name}" for name in of_training]
    objective = pipeline.objective.name
    if objective in of_training:
        yield "objective.name", OF_TRAINING.format(objective)
    elif objective not in of_validation:
        yield "objective.name", _unknown_metric(objective, of_validation)
    metrics = of_training + of_validation
    for section, callbacks in {
        "callbacks": pipeline.callbacks,
        "validation.callbacks": pipeline.validation.callbacks or {},
    }.items():
        for name, callback in callbacks.items():
            monitor = callback.args.get("monitor", "loss") if callback else "loss"
            if monitor not in metrics:
                yield f"{section}.{name}.monitor", _unknown_metric(str(monitor), metrics)


def _unknown_metric(name: str, metrics: list[str]) -> str:
    return f"{errors.unknown('metric', name, metrics)}; for this task the model reports no other"
