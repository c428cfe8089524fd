"""The boundary of the config: plain data in, a checked experiment out, with every error at once,
also those that no section can see alone. Behind it nobody checks again.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from foundation import errors, trees
from history import registry
from runner.config import schema, space, targets
from runner.config.section import UNKNOWN_KEY, Rule, Section, dotted, is_meant
from runner.errors import ConfigError, Faults, Problem
from runner.models import METRICS

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
    faults, pipelines = Faults(), dict[str, schema.Pipeline]()
    with faults:
        run = _read(
            schema.Run,
            {
                key: value
                for key, value in tree.items()
                if key in schema.Run.model_fields or key not in schema.File.model_fields
            },
            "",
        )
    declared = tree.get("pipelines") or {}
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
            pipelines[key] = made = _read(schema.Pipeline, space.settled(content), where)
            faults += [Problem(f"{where}.{at}", what) for wrong, at, what in _rules(made) if wrong]
    only = tree.get("only")
    faults += [
        Problem("only", errors.unknown("pipeline", str(key), declared))
        for key in (only if isinstance(only, list) else ())
        if str(key) not in declared
    ]
    faults.tell(ConfigError)
    return schema.Experiment(
        name, run, {key: pipelines[key] for key in run.only or pipelines}, tuple(overrides)
    )


def known_keys(section: str, content: object = None) -> set[str]:
    """Return the keys that a section takes by its schema, or has as arguments of its target.

    Args:
        section: such as `tuner`.
        content: the section; its `kind` or `_target_` decides which keys it takes. Without one: all
            that any kind takes.
    """
    return {key for kind in schemas(section, content) for key in kind.known()}.union(
        map(str, content) if isinstance(content, Mapping) else ()
    )


def elsewhere(key: str, section: str) -> str:
    """Return where else a key would be taken, as the end of a message.

    Args:
        key: one that is not taken where it stands.
        section: where it stands; empty: at the root.
    """
    homes = [
        *["the root"] * (key in schema.Run.known()),
        *(other for other in schema.SECTIONS if key in known_keys(other)),
    ]
    if any(section.endswith(home) for home in homes):
        return "; it is a key of another kind"
    return f"; it is a key of {' and of '.join(homes)}" if homes else ""


def schemas(section: str, content: object = None) -> list[type[Section]]:
    """Return the models that a section may be read into, narrowed by its tag if it has one."""
    annotation = schema.Pipeline.model_fields[section].annotation
    members = [
        member
        for member in get_args(annotation) or [annotation]
        if isinstance(member, type) and issubclass(member, Section)
    ]
    return [m for m in members if isinstance(content, Mapping) and is_meant(m, content)] or members


def key_text(key: object) -> str:
    """Return a key as YAML writes it, also one that is no text."""
    return key if isinstance(key, str) else json.dumps(key, default=str)


def _read(kind: type[S], content: object, where: str) -> S:
    """Return a section; raises ConfigError with all that is wrong with it."""
    gone = Faults()
    try:
        made = kind.model_validate(_usable(content, where, gone))
    except ValidationError as error:
        lost = {problem.where for problem in gone}
        gone += [
            Problem(
                place,
                fault["msg"] + elsewhere(str(fault["loc"][-1]), place.rpartition(".")[0])
                if fault["type"] == UNKNOWN_KEY
                else fault["msg"],
            )
            for fault in error.errors(include_url=False)
            if (place := dotted(where, fault["loc"])) not in lost
        ]
    gone.tell(ConfigError)
    return made


def _usable(content: object, where: str, gone: list[Problem]) -> object:
    """Return plain data with text for keys. A key that is none, and a value that cannot be had,
    becomes a problem.
    """
    if isinstance(content, list):
        return [_usable(item, f"{where}[{index}]", gone) for index, item in enumerate(content)]
    if isinstance(content, Mapping):
        told = {key_text(key): value for key, value in content.items()}
        gone += [
            Problem(dotted(where, [key]), f"YAML reads this key as {key}, not as text: quote it")
            for key in told
            if key not in content
        ]
        return {key: _usable(told[key], dotted(where, [key]), gone) for key in told}
    if content == "???":
        content = Unresolved("a value is missing; give one in the config or on the command line")
    if isinstance(content, Unresolved):
        gone.append(Problem(where, str(content)))
    return content


def _rules(pipeline: schema.Pipeline) -> Iterator[Rule]:
    """Yield the rules between the sections of a pipeline: combinations that cannot work, found
    without data and without Keras.
    """
    task, data = pipeline.task.kind, pipeline.data
    specs = space.hyperparameters({"fit": pipeline.fit.model_dump(), "model": pipeline.model.args})
    ours = pipeline.model.target.rpartition(".")[0] == OURS
    if isinstance(pipeline.tuner, schema.HyperbandTuner):
        yield (
            isinstance(pipeline.fit.epochs, schema.HYPERPARAMETERS),
            "fit.epochs",
            "searching it has no effect: Hyperband sets the epochs itself, up to tuner.max_epochs",
        )
        yield (
            ours and not specs,
            "model",
            "Hyperband has nothing to search: neither model nor fit has a hyperparameter (hp)",
        )
    yield (
        pipeline.tuner.folds and pipeline.validation.weights == "trial",
        "validation.weights",
        "with folds a trial has a model for each of them; remove one of the two",
    )
    if isinstance(data, schema.SklearnData):
        fits = "regression" if data.name == "diabetes" else "classification"
        yield (
            fits != task,
            "data.name",
            f"the table '{data.name}' is for {fits}, but the task of this pipeline is {task}",
        )
    yield from _space(specs)
    yield from _manager(pipeline)
    yield from _of_trials(pipeline)
    if ours:
        yield from _our_model(pipeline)


def _space(specs: list[tuple[str, Mapping[str, object]]]) -> Iterator[Rule]:
    """Yield the rules of names and conditions of hyperparameters, given as (path, spec)."""
    paths = {str(spec.get("name") or path): path for path, spec in specs}
    conditional = {path for path, spec in specs if spec.get("parent_name") is not None}
    for path, spec in specs:
        name, parent = str(spec.get("name") or path), str(spec.get("parent_name"))
        yield (
            paths[name] != path,
            path,
            f"two hyperparameters are called '{name}'; give each its own name",
        )
        yield (
            paths.get(parent) in conditional,
            f"{path}.parent_name",
            f"'{parent}' is conditional itself; Keras Tuner does not support chains of "
            "parent_name (a build(hp) function can nest)",
        )
        yield (
            path in conditional and parent not in paths,
            f"{path}.parent_name",
            errors.unknown("hyperparameter", parent, paths),
        )


def _manager(pipeline: schema.Pipeline) -> Iterator[Rule]:
    """Yield whether the history manager keeps what a run of this task makes."""
    name, task, metric = pipeline.manager_name, pipeline.task.kind, pipeline.task.rank_by
    if name not in registry.names():
        yield True, "manager", errors.unknown("history manager", name, registry.names())
        return
    manager = registry.manager_class(name)
    yield (
        manager.task != task,
        "manager",
        f"'{name}' keeps entries of the task {manager.task}, but the task of this pipeline is "
        f"{task}",
    )
    lacking = sorted(
        {*manager.artefacts} - {*registry.manager_class(task).artefacts, "history", "identity"}
    )
    yield (
        manager.task == task and bool(lacking),
        "manager",
        f"'{name}' expects entries to have {', '.join(lacking)}, which a run does not produce",
    )
    is_own = metric not in (None, *manager.metrics)
    yield (
        is_own and pipeline.model.target.rpartition(".")[0] == OURS,
        "task.rank_by",
        errors.unknown("metric", str(metric), manager.metrics),
    )
    yield (
        metric == "mase" and not isinstance(pipeline.data, schema.WindowData),
        "task.rank_by",
        "only windows of a series have a mase",
    )
    yield (
        is_own and not pipeline.direction_of(str(metric)),
        "task.direction",
        f"state whether {metric} is better when lower or higher (min or max), if the model reports "
        f"it; {manager.task} has {', '.join(manager.metrics)}",
    )
    sense = manager.metrics.get(metric or manager.ranking) or schema.KNOWN.get(str(metric))
    yield (
        None not in (sense, pipeline.task.direction) and sense != pipeline.task.direction,
        "task.direction",
        f"{metric or manager.ranking} is better when {'lower' if sense == 'min' else 'higher'}: "
        f"{sense}",
    )


def _of_trials(pipeline: schema.Pipeline) -> Iterator[Rule]:
    """Yield what is wrong with what the config says of single trials."""
    said = [
        (key, name)
        for key, value in trees.flat(pipeline.model_dump()).items()
        for name in schema.SAID.findall(str(value))
    ]
    for key, name in said:
        yield (
            not key.startswith(("callbacks.", "validation.callbacks.")),
            key,
            f"only arguments of callbacks can use ${{trial.{name}}}",
        )
        yield (
            name not in schema.OF_A_TRIAL,
            key,
            errors.unknown("value of a trial", name, schema.OF_A_TRIAL),
        )
    yield (
        bool(pipeline.artefacts) and all(name != "folder" for _, name in said),
        "artefacts",
        "no callback writes to ${trial.folder}, where these files are looked for",
    )


def _our_model(pipeline: schema.Pipeline) -> Iterator[Rule]:
    """Yield what a shipped model does not take or report. They are looked at without Keras; other
    code is imported only when the run is planned.
    """
    try:
        targets.check_arguments(
            targets.locate(pipeline.model.target, "model._target_"),
            pipeline.model.args,
            "model",
            filled=["facts"],
        )
    except ConfigError as error:
        yield from ((True, problem.where, problem.what) for problem in error.problems)
    reported = ("loss", *METRICS[pipeline.task.kind])
    known = [*reported, *(f"val_{name}" for name in reported)]
    objective = pipeline.objective.name
    yield objective in reported, "objective.name", OF_TRAINING.format(objective)
    named = [("objective.name", objective, known[len(reported) :])] + [
        (f"{section}.{name}.monitor", callback.args.get("monitor", "loss"), known)
        for section, callbacks in (
            ("callbacks", pipeline.callbacks),
            ("validation.callbacks", pipeline.validation.callbacks or {}),
        )
        for name, callback in callbacks.items()
        if callback
    ]
    for key, metric, offered in named:
        yield (
            metric not in known,
            key,
            f"{errors.unknown('metric', str(metric), offered)}; for this task the model reports "
            "no other",
        )
