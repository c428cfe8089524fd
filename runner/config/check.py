"""Reads plain data into dataclasses and reports all mistakes at once.

The schema is the dataclasses of settings.py; nothing here knows a key of them. What an annotation
may say: scalars, None, Literal, list, dict[str, ...], dataclasses and unions. Dataclasses in a
union are told apart by their tag: the field with a one-valued Literal (`kind: Literal["random"]`).
A dataclass with a field marked `rest` takes keys that it does not name (the arguments of a
`_target_`).
"""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union

from history.errors import unknown
from runner.errors import Problem

KEY = "key"  # field metadata: the key in the config, where it is no Python name
REST = "rest"  # field metadata: this field takes every key that has no field of its own


def config_key(field: "dataclasses.Field[Any]") -> str:
    return str(field.metadata.get(KEY, field.name))


def keys(schema: type) -> list[str]:
    """The config keys that a dataclass names."""
    return [config_key(f) for f in dataclasses.fields(schema) if not f.metadata.get(REST)]


def takes_rest(schema: type) -> bool:
    """Whether a dataclass takes keys beyond those that it names."""
    return any(f.metadata.get(REST) for f in dataclasses.fields(schema))


def is_schema(annotation: Any) -> typing.TypeGuard[type]:
    """Whether an annotation is one of our dataclasses."""
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


@dataclasses.dataclass(frozen=True)
class Unresolved:
    """Stands for a value that cannot be had, and says why."""

    what: str


class Reader:
    """Reads values by annotation, collecting problems instead of raising at the first.

    Args:
        homes: the sections that take a key, for keys that are not taken where they stand.
    """

    def __init__(self, homes: Mapping[str, Sequence[str]] | None = None) -> None:
        self.problems: list[Problem] = []
        self.homes = homes or {}

    def fail(self, where: str, what: str) -> None:
        self.problems.append(Problem(where, what))

    def read(self, value: Any, annotation: Any, where: str) -> Any:
        """The value as the annotation wants it; None, with a problem noted, where that cannot
        be.
        """
        if value == "???":
            self.fail(where, "a value is missing; give one in the config or on the command line")
            return None
        if isinstance(value, Unresolved):
            self.fail(where, value.what)
            return None
        origin = typing.get_origin(annotation)
        if annotation is Any:
            return self._any(value, where)
        if origin in (Union, types.UnionType):
            return self._union(value, typing.get_args(annotation), where)
        if origin is Literal:
            return self._literal(value, typing.get_args(annotation), where)
        if origin is list:
            return self._list(value, typing.get_args(annotation)[0], where)
        if origin is dict:
            return self._dict(value, typing.get_args(annotation)[1], where)
        if is_schema(annotation):
            return self.record(value, annotation, where)
        return self._scalar(value, annotation, where)

    def record(self, value: Any, schema: type, where: str) -> Any:
        """A mapping as an instance of the dataclass `schema`."""
        if not isinstance(value, Mapping):
            self.fail(where, f"must be a mapping, not {_say(value)}")
            return None
        hints = typing.get_type_hints(schema)
        named = keys(schema)
        rest = next((f for f in dataclasses.fields(schema) if f.metadata.get(REST)), None)
        for key in value:
            if not isinstance(key, str):
                self._not_text(key, where)
            elif key not in named and rest is None:
                self.fail(
                    _join(where, key), unknown("key", key, named) + at_home(key, where, self.homes)
                )
        arguments: dict[str, Any] = {}
        before = len(self.problems)
        for field in dataclasses.fields(schema):
            key = config_key(field)
            if field is rest:
                extra = {k: v for k, v in value.items() if isinstance(k, str) and k not in named}
                arguments[field.name] = self._dict(
                    extra, typing.get_args(hints[field.name])[1], where
                )
            elif key in value:
                arguments[field.name] = self.read(value[key], hints[field.name], _join(where, key))
            elif (
                field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            ):
                self.fail(_join(where, key), "is required")
        wrong = {problem.where for problem in self.problems[before:]}
        for field in dataclasses.fields(
            schema
        ):  # what is wrong in itself must not hide what is wrong beside it
            if arguments.get(field.name) is None and any(
                w.startswith(_join(where, config_key(field))) for w in wrong
            ):
                arguments.pop(field.name, None)
        try:
            record = schema(**arguments)
        except TypeError:  # what is required is wrong or missing
            return None
        for key, what in getattr(record, "problems", lambda: ())():
            self.fail(_join(where, key) if key else where, what)
        return None if wrong else record

    def _union(self, value: Any, members: Sequence[Any], where: str) -> Any:
        if value is None and type(None) in members:
            return None
        records = [m for m in members if is_schema(m)]
        if isinstance(value, Mapping) and records:
            schema = self._member(value, records, where)
            return self.record(value, schema, where) if schema else None
        others = [m for m in members if m not in records and m is not type(None)]
        if not others:
            self.fail(where, f"must be a mapping, not {_say(value)}")
            return None
        trials = []
        for member in others:
            trial = Reader()
            result = trial.read(value, member, where)
            if not trial.problems:
                return result
            trials.append(trial)
        closest = next(
            (t for m, t in zip(others, trials, strict=True) if _alike(value, m)), trials[0]
        )
        searched = isinstance(value, list) and any(
            "hp" in (tag_of(schema) or ()) for schema in records
        )
        hint = f"; to search them: {{hp: Choice, values: {value}}}" if searched else ""
        self.problems.extend(
            Problem(problem.where, problem.what + hint) for problem in closest.problems
        )
        return None

    def _member(self, value: Mapping[str, Any], records: Sequence[type], where: str) -> type | None:
        """The dataclass of a union that a mapping's tag names."""
        tags: dict[str, dict[str, type]] = {}
        for schema in records:
            tag = tag_of(schema)
            if tag is None:  # told apart by its first key alone, such as `_target_`
                first = config_key(dataclasses.fields(schema)[0])
                if first in value:
                    return schema
                tags.setdefault(first, {})
            else:
                tags.setdefault(tag[0], {})[tag[1]] = schema
        for key, choices in tags.items():
            if choices and key in value:
                word = str(value[key])
                if word == "???":
                    self.fail(
                        _join(where, key), f"a value is missing (known: {', '.join(choices)})"
                    )
                elif word not in choices:
                    self.fail(_join(where, key), unknown(key, word, choices))
                return choices.get(word)
        wanted = [f"'{k}' ({', '.join(c)})" if c else f"'{k}'" for k, c in tags.items()]
        self.fail(
            where,
            f"needs the key {' or '.join(wanted)}; it has: {', '.join(map(str, value)) or 'nothing'}",
        )
        return None

    def _literal(self, value: Any, choices: Sequence[Any], where: str) -> Any:
        for choice in choices:
            if value == choice and type(value) is type(choice):
                return value
        words = [str(c).lower() if isinstance(c, bool) else str(c) for c in choices]
        self.fail(where, unknown("value", str(value), words))
        return None

    def _list(self, value: Any, item: Any, where: str) -> Any:
        if not isinstance(value, (list, tuple)):
            hint = f"; write [{value}]" if isinstance(value, str) else ""
            self.fail(where, f"must be a list, not {_say(value)}{hint}")
            return None
        return [self.read(v, item, f"{where}[{i}]") for i, v in enumerate(value)]

    def _dict(self, value: Any, item: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            self.fail(where, f"must be a mapping, not {_say(value)}")
            return None
        result = {}
        for key, v in value.items():
            if not isinstance(key, str):
                self._not_text(key, where)
                continue
            result[key] = self.read(v, item, _join(where, key))
        return result

    def _any(self, value: Any, where: str) -> Any:
        """A value that may be anything, but must be there, all through."""
        if isinstance(value, Mapping):
            return self._dict(value, Any, where)
        return self._list(value, Any, where) if isinstance(value, list) else value

    def _not_text(self, key: Any, where: str) -> None:
        text = key_text(key)
        self.fail(
            _join(where, text),
            f"YAML reads this key as {_ALSO.get(text, text)}, not as text: quote it",
        )

    def _scalar(self, value: Any, wanted: type, where: str) -> Any:
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if wanted is bool and isinstance(value, bool):
            return value
        if isinstance(value, wanted) and not isinstance(value, bool):
            return value
        self.fail(where, f"must be {_NAMES.get(wanted, wanted.__name__)}, not {_say(value)}")
        return None


_ALSO = {"true": "true (as it does on and yes)", "false": "false (as it does off and no)"}
_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _alike(value: Any, annotation: Any) -> bool:
    origin = typing.get_origin(annotation) or annotation
    return isinstance(origin, type) and isinstance(value, origin)


def _say(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a mapping with {', '.join(map(str, value)) or 'no keys'}"
    if value is None:
        return "null"
    return f"{value!r}"


def at_home(key: str, where: str, homes: Mapping[str, Sequence[str]]) -> str:
    """Where a key would be taken that is not taken here, as the end of a message."""
    sections = homes.get(key, ())
    if any(where.endswith(section) for section in sections):
        return "; another kind of it takes this key"
    return f"; it is a key of {' and of '.join(sections)}" if sections else ""


def key_text(key: Any) -> str:
    """A key that is no text, as YAML writes it."""
    return "null" if key is None else str(key).lower() if isinstance(key, bool) else str(key)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def tag_of(schema: type) -> tuple[str, str] | None:
    """(key, value) of the field with a one-valued Literal, which names a dataclass in a union."""
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        values = typing.get_args(hints[field.name])
        if typing.get_origin(hints[field.name]) is Literal and len(values) == 1:
            return config_key(field), str(values[0])
    return None


def plain_config(value: Any) -> Any:
    """Dataclasses back as the plain data that reads into them, defaults filled in."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        result: dict[str, Any] = {}
        for field in dataclasses.fields(value):
            content = plain_config(getattr(value, field.name))
            if field.metadata.get(REST):
                result.update(content)
            else:
                result[config_key(field)] = content
        return result
    if isinstance(value, Mapping):
        return {k: plain_config(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_config(v) for v in value]
    return value
