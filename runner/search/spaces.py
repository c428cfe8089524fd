"""The space of a search, and where the search starts in it."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras_tuner

from foundation import errors
from runner.config import check, schema, space
from runner.errors import ConfigError, Faults, ModelError, Problem
from runner.training import build, evaluate
from runner.training.ledger import Values

if TYPE_CHECKING:
    from keras_tuner.engine.hyperparameters import HyperParameter

LONGEST = 100  # times that a loop over a hyperparameter runs; a larger number is a width


def complete(hp: "keras_tuner.HyperParameters") -> None:
    """Give the default to what is active and has no value."""
    for parameter in hp.space:
        if hp.is_active(parameter):
            hp.values.setdefault(parameter.name, parameter.default)


def populate(
    bench: build.Bench, tried: "keras_tuner.HyperParameters | None" = None
) -> dict[str, Any]:
    """Return a pipeline's space, as Keras Tuner's config of it: what its config declares, and what
    the user's own code asks for when it builds a model; in each of its conditions and branches, and
    in its loops, too; and what was asked for when the default model was tried, by a `fit` of the
    user's own. Keras Tuner draws by chance what it explores a space with.

    Raises:
        ConfigError: one of these models has other outputs than its task needs.
    """
    target = bench.pipeline.model.target
    whole = keras_tuner.HyperParameters()
    space.declare(_sections(bench.pipeline), whole)
    bench.hypermodel.declare_hyperparameters(whole)
    branches, explored = deque[Values](), list[Values]()
    if target.rpartition(".")[0] != check.OURS:
        branches.append({})
    while branches:
        branch = branches.popleft()
        hp = whole.copy()
        hp.values.update(branch)
        complete(hp)
        try:
            model = bench.hypermodel.build(hp)
        except Exception:
            if not branch:
                raise
            continue  # what cannot be built is its trial's failure
        try:
            evaluate.must_suit(model, bench.dataset.classes)
        except ModelError as error:
            values = ", ".join(f"{name}={value}" for name, value in branch.items())
            raise ConfigError(f"{target}, with {values}: {error}", "model._target_") from error
        whole.merge(hp, overwrite=False)
        new = [values for values in _branches(hp) if values not in explored]
        branches.extend({**branch, **values} for values in new)
        explored += new
    whole.merge(tried or [], overwrite=False)
    return whole.get_config()  # type: ignore[no-any-return]


def _sections(pipeline: schema.Pipeline) -> Mapping[str, object]:
    """Return what declares hyperparameters in a config."""
    return {"fit": pipeline.fit.model_dump(), "model": pipeline.model.args}


def _branches(hp: "keras_tuner.HyperParameters") -> Iterator[Values]:
    """Yield values for which a model may ask for hyperparameters of their own: those of a condition
    that did not hold, others than the default of a choice that is no number with a point, and the
    most of a loop.
    """
    for scope in hp.inactive_scopes:
        yield {condition.name: condition.values[0] for condition in scope}
    for parameter in filter(hp.is_active, hp.space):
        if hasattr(parameter, "max_value"):
            values = [parameter.max_value] if parameter.max_value <= LONGEST else []
        else:
            values = parameter.values
        for value in values:
            if value != parameter.default and not isinstance(value, float):
                yield {parameter.name: value}


def starts(pipeline: schema.Pipeline, hp: "keras_tuner.HyperParameters") -> list[Values]:
    """Return the values of the trials that a search begins with: those that its config gives, what
    it leaves out being the default, or else, where any default is stated, the defaults.

    Args:
        pipeline: the settings.
        hp: the space; its own values are replaced.

    Raises:
        ConfigError: what is given does not lie in the space.
    """
    stated = getattr(pipeline.tuner, "start_from", None)
    if not stated:
        stated = [{}] if _states_defaults(pipeline, hp) else []
    faults, trials = Faults(), list[Values]()
    names = [parameter.name for parameter in hp.space]
    for number, values in enumerate(stated):
        where = f"tuner.start_from[{number}]"
        hp.values = {}
        for parameter in hp.space:
            name = parameter.name
            if hp.is_active(parameter) and name not in hp.values:
                hp.values[name] = parameter.default
                if name in values:
                    with faults:
                        hp.values[name] = _within(parameter, values[name], where)
        for name in values:
            if name not in names:
                faults.append(Problem(where, errors.unknown("hyperparameter", name, names)))
            elif name not in hp.values:
                what = f"{name} has no value here: its condition does not hold"
                faults.append(Problem(where, what))
        trials.append(dict(hp.values))
    faults.tell(ConfigError)
    return trials


def _within(hp: "HyperParameter", value: Any, where: str) -> Any:
    """Return a value as a hyperparameter has it; raises ConfigError where it is none of its."""
    if hasattr(hp, "min_value"):
        kind = type(hp.min_value)
        is_number = isinstance(value, int | float)
        if is_number and hp.min_value <= value <= hp.max_value and kind(value) == value:
            return kind(value)
        whole = "whole " if kind is int else ""
        takes = f"a {whole}number from {hp.min_value} to {hp.max_value}"
    else:
        if value in hp.values:
            return hp.values[hp.values.index(value)]
        takes = f"one of {', '.join(map(str, hp.values))}"
    raise ConfigError(f"{hp.name} is {takes}, not {value!r}", where)


def _states_defaults(pipeline: schema.Pipeline, hp: "keras_tuner.HyperParameters") -> bool:
    """Say whether any hyperparameter has a default of its own: in the config, or another than what
    Keras Tuner gives to one of the user's code. Of least values alone, a trial is seldom worth it.
    """
    for _, spec in space.hyperparameters(_sections(pipeline)):
        if spec["hp"] != "Boolean" and spec.get("default") is not None:
            return True
    for parameter in hp.space:
        if isinstance(parameter.default, bool):
            usual = False
        elif hasattr(parameter, "min_value"):
            usual = parameter.min_value
        else:
            usual = parameter.values[0]
        if parameter.default != usual:
            return True
    return False
