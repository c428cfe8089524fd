"""Search spaces in the config: a mapping with the key `hp` is a hyperparameter.

Its name is its dotted path within the pipeline (`model.dropout`) unless it names itself. Keras
Tuner's HyperParameters object is only ever passed in, so that a config can be checked without
importing it.
"""

from collections.abc import Iterator, Mapping
from typing import Any


def is_hyperparameter(value: Any) -> bool:
    return isinstance(value, Mapping) and "hp" in value


def hyperparameters(tree: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(dotted path, spec) of every hyperparameter in a tree of plain data, in order."""
    if is_hyperparameter(tree):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from hyperparameters(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from hyperparameters(value, f"{path}[{index}]")


def settled(pipeline: Any, tree: Any = None) -> Any:
    """A pipeline in which no hyperparameter depends on a value that is fixed: where that is one of
    its `parent_values`, the condition is left out, elsewhere the hyperparameter is None.

    Args:
        pipeline: plain data.
        tree: a part of it; None: all.
    """
    tree = pipeline if tree is None else tree
    if is_hyperparameter(tree):
        found, parent = pipeline, tree.get("parent_name")
        for key in str(parent).split("."):
            found = found.get(key, {}) if isinstance(found, Mapping) else {}
        if (
            parent is None
            or isinstance(found, (Mapping, list))
            or not isinstance(tree.get("parent_values"), list)
        ):
            return tree
        rest = {
            key: value for key, value in tree.items() if key not in ("parent_name", "parent_values")
        }
        return rest if found in tree["parent_values"] else None
    if isinstance(tree, Mapping):
        return {
            key: value if value is None else settled(pipeline, value) for key, value in tree.items()
        }
    return [settled(pipeline, value) for value in tree] if isinstance(tree, list) else tree


def declare(trees: Mapping[str, Any], hp: Any) -> None:
    """Registers the hyperparameters of a pipeline's sections, each after the one that its condition
    names: the order in which a merge leaves keys says nothing of that.

    Args:
        trees: plain data by section; the section is the path that begins the names.
        hp: a keras_tuner.HyperParameters.
    """
    pending = [item for section, tree in trees.items() for item in hyperparameters(tree, section)]
    while pending:
        known = {declared.name for declared in hp.space}
        ready = [
            (path, spec) for path, spec in pending if spec.get("parent_name") in (None, *known)
        ]
        for path, spec in (
            ready or pending
        ):  # a parent that only the model declares: Keras Tuner says so
            sample(spec, hp, path)
        pending = [item for item in pending if item not in ready] if ready else []


def sample(tree: Any, hp: Any, path: str) -> Any:
    """The tree with every hyperparameter replaced by its value.

    Args:
        tree: plain data with hyperparameters in it.
        hp: a keras_tuner.HyperParameters; a hyperparameter that it does not hold yet is registered.
        path: the dotted path of the tree within the pipeline, which names the hyperparameters.

    Returns:
        Plain data. A hyperparameter whose condition does not hold is None.
    """
    if is_hyperparameter(tree):
        arguments = {k: v for k, v in tree.items() if k not in ("hp", "name") and v is not None}
        return getattr(hp, tree["hp"])(tree.get("name") or path, **arguments)
    if isinstance(tree, Mapping):
        return {k: sample(v, hp, f"{path}.{k}") for k, v in tree.items()}
    if isinstance(tree, list):
        return [sample(v, hp, f"{path}[{i}]") for i, v in enumerate(tree)]
    return tree
