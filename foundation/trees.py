"""Plain data (mappings, lists, texts, numbers, None) as trees whose leaves have dotted keys."""

from collections.abc import Callable, Container, Iterable, Mapping

from foundation.files import Json, to_json

# Too large for a cell of a table; `history` is a trial's; the last two are in older entries.
LEFT_OUT = ("search.space", "history", "validation.runs", "identity")


def lookup(node: Json, dotted: str) -> Json:
    """Return what a tree has under a dotted key, or None; the last key may itself hold dots."""
    # Not Mapping, whose check takes ten times as long.
    while isinstance(node, dict) and dotted not in node:
        key, _, dotted = dotted.partition(".")
        node = node.get(key)
    return node[dotted] if isinstance(node, dict) else None


def flat(document: Mapping[str, Json], path: str = "") -> dict[str, Json]:
    """Return dotted key → value for all that the document holds except LEFT_OUT; lists are JSON
    text.
    """
    leaves: dict[str, Json] = {}
    for name, value in document.items():
        key = f"{path}.{name}" if path else str(name)
        if key in LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            leaves |= flat(value, key)
        elif isinstance(value, list):
            leaves[key] = to_json(value).decode()
        else:
            leaves[key] = value
    return leaves


def columns_of(rows: Iterable[Mapping[str, Json]]) -> list[str]:
    """Return the keys of all rows, which `flat` made, as they come: `id` and `created` first and
    those of one section together.
    """
    keys = dict.fromkeys(["id", "created", *(key for row in rows for key in row)])
    sections = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    return sorted(keys, key=lambda key: sections.index(key.partition(".")[0]))


def differences(old: Json, new: Json, path: str = "") -> dict[str, tuple[Json, Json]]:
    """Return dotted key → (old, new) of every leaf in which two trees differ; a missing leaf is
    None. Where only the order of keys differs, that is the difference.
    """
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return {} if old == new else {path: (old, new)}
    leaves: dict[str, tuple[Json, Json]] = {}
    if list(old) != list(new) and set(old) == set(new):
        leaves[path] = (list(old), list(new))
    for key in dict.fromkeys([*old, *new]):
        leaves |= differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    return leaves


def texts(node: Json, change: Callable[[str], str], exact: Container[Json] = ()) -> Json:
    """Return the tree with every text in it changed; keys stay, and what is below an exact one."""
    if isinstance(node, Mapping):
        return {
            key: value if key in exact else texts(value, change, exact)
            for key, value in node.items()
        }
    if isinstance(node, (list, tuple)):
        return [texts(value, change, exact) for value in node]
    return change(node) if isinstance(node, str) else node
