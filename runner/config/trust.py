"""What a stored config would import: listed before any of it is, and imported only when somebody
allows it.
"""

from collections.abc import Iterator, Mapping

from runner.config.schema import DOTTED

# By exact name: a prefix would let in whatever a module of ours or of Keras imports itself
# (`runner.hooks.os.system`).
OURS = frozenset(
    {
        "runner.models.linear",
        "runner.models.mlp",
        "runner.models.cnn",
        "runner.models.lstm",
        "keras.callbacks.EarlyStopping",
        "keras.callbacks.ReduceLROnPlateau",
        "keras.callbacks.TerminateOnNaN",
    }
)
LABELS = ("name", "parent_name")  # of a hyperparameter: dotted, but no code


def foreign_code(sections: Mapping[str, object]) -> list[str]:
    """Return every dotted path in a pipeline's sections that may be imported, each once, ours left
    out.

    Any text that looks like a path counts, whatever key holds it: a target may hand its arguments
    to something that imports them. Data of a `kind` imports nothing.

    Args:
        sections: of one pipeline, as plain data.
    """
    named = {key: sections.get(key) for key in ("model", "data", "callbacks", "validation", "fit")}
    data = named["data"]
    if isinstance(data, Mapping) and "_target_" not in data:
        del named["data"]
    return [name for name in dict.fromkeys(_paths(named)) if name not in OURS]


def _paths(node: object) -> Iterator[str]:
    if isinstance(node, str):
        if DOTTED.fullmatch(node.strip()):
            yield node.strip()
    elif isinstance(node, Mapping):
        if isinstance(node.get("module"), str):  # how Keras writes what it builds from a config
            yield f"{node['module']}.{node.get('class_name', '*')}"
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        skipped = LABELS if "hp" in node else ()
        kept = {key: value for key, value in node.items() if key not in skipped}
        yield from _paths([*kept, *kept.values()])
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _paths(value)
