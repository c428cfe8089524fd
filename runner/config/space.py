"""Search spaces in the config: a mapping with the key `hp` is a hyperparameter.

Its name is its dotted path within the pipeline (`model.dropout`) unless it names itself. Keras
Tuner's HyperParameters object is only ever passed in, so that a config can be checked without
importing it.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import keras_tuner

Spec: TypeAlias = Mapping[str, Any]  # what the config says of a hyperparameter


def replaced(tree: object, path: str, value: Callable[[str, Spec], object]) -> Any:
    """Return plain data with another value for each hyperparameter, in order.

    Args:
        tree: plain data.
        path: the dotted path of the tree.
        value: makes it from path and spec.
    """
    if isinstance(tree, list):
        return [replaced(inner, f"{path}[{index}]", value) for index, inner in enumerate(tree)]
    if not isinstance(tree, Mapping):
        return tree
    if "hp" in tree:
        return value(path, tree)
    start = f"{path}." if path else ""
    return {key: replaced(inner, f"{start}{key}", value) for key, inner in tree.items()}


def hyperparameters(tree: object, path: str = "") -> list[tuple[str, Spec]]:
    """Return (dotted path, spec) of every hyperparameter in a tree of plain data, in order."""
    specs = []
    replaced(tree, path, lambda where, spec: specs.append((where, spec)))
    return specs


def settled(pipeline: object) -> Any:
    """Return a pipeline in which no hyperparameter depends on a value that is fixed: where that is
    one of its `parent_values`, the condition is left out, elsewhere the hyperparameter is None.
    """

    def settle(_path: str, spec: Spec) -> object:
        values = spec.get("parent_values")
        parent = pipeline
        for key in str(spec.get("parent_name")).split("."):
            parent = parent.get(key, {}) if isinstance(parent, Mapping) else {}
        if isinstance(parent, (Mapping, list)) or not isinstance(values, list):
            return spec
        if parent not in values:
            return None
        return {key: value for key, value in spec.items() if not key.startswith("parent_")}

    return replaced(pipeline, "", settle)


def declare(trees: Mapping[str, object], hp: "keras_tuner.HyperParameters") -> None:
    """Register the hyperparameters of a pipeline's sections, each after the one that its condition
    names: the order in which a merge leaves keys says nothing of that.

    Args:
        trees: plain data by section; the section is the path that begins the names.
        hp: what they are registered in.
    """
    specs = []
    for section, tree in trees.items():
        specs += hyperparameters(tree, section)
    # No condition names a hyperparameter that has one itself.
    specs.sort(key=lambda item: item[1].get("parent_name") is not None)
    for path, spec in specs:
        sample(spec, hp, path)


def sample(tree: object, hp: "keras_tuner.HyperParameters", path: str) -> Any:
    """Return the tree with every hyperparameter replaced by its value.

    Args:
        tree: plain data with hyperparameters in it.
        hp: gives the values; a hyperparameter that it does not hold yet is registered.
        path: the dotted path of the tree within the pipeline, which names the hyperparameters.

    Returns:
        Plain data. A hyperparameter whose condition does not hold is None.
    """

    def draw(where: str, spec: Spec) -> object:
        arguments = {key: value for key, value in spec.items() if value is not None}
        register = getattr(hp, arguments.pop("hp"))
        return register(arguments.pop("name", where), **arguments)

    return replaced(tree, path, draw)
