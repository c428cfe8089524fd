"""What all sections of a config have in common: frozen models that read strictly, say all that is
wrong at once, and say it in our words.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Self, TypeVar, get_args

import pydantic
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema

from foundation.errors import unknown

Rule = tuple[str, str]  # a key ("": the section itself), and what is wrong with it
Steps = tuple[int | str, ...]  # pydantic's path to a value
TAGS = ("kind", "hp")  # the keys that tell the members of a union of sections apart
UNKNOWN_KEY = "extra_forbidden"  # pydantic's name for it
VALUE, MAPPING = "<value>", "<mapping>"  # steps that are no keys
WORDS = {
    "missing": "is required",
    "int_type": "must be a whole number, not {given}",
    "float_type": "must be a number, not {given}",
    "finite_number": "must be finite, not {given}",
    "bool_type": "must be true or false, not {given}",
    "string_type": "must be text, not {given}",
    "string_too_short": "must have at least {min_length} character, not {given}",
    "string_too_long": "must have at most {max_length} character, not {given}",
    "list_type": "must be a list, not {given}",
    "dict_type": "must be a mapping, not {given}",
    "model_type": "must be a mapping, not {given}",
    "too_short": "must hold at least {min_length}, not {given}",
    "too_long": "must hold at most {max_length}, not {given}",
    "greater_than": "must be above {gt}, not {given}",
    "greater_than_equal": "must be at least {ge}, not {given}",
    "less_than": "must be below {lt}, not {given}",
}


class Section(pydantic.BaseModel):
    """A part of the config with keys of its own."""

    model_config = pydantic.ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,
        serialize_by_alias=True,
    )

    @classmethod
    def config_keys(cls) -> list[str]:
        """Return the keys that may stand in it, by their config names."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    def rules(self) -> Iterable[Rule]:
        """Yield what is wrong between keys that are right in themselves."""
        return ()

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _read(cls, content: object, handler: pydantic.ModelWrapValidatorHandler[Self]) -> Self:
        try:
            section = handler(content)
        except pydantic.ValidationError as error:
            keys = cls.config_keys()
            raise refused(
                (fault["loc"], _in_words(fault, keys), fault["type"]) for fault in error.errors()
            ) from None
        broken = list(section.rules())
        if broken:
            raise refused(((key,) if key else (), what, "rule") for key, what in broken)
        return section


def tag_of(schema: type[Section]) -> tuple[str, str | None]:
    """Return (key, value) that tell a section from the others of its union; without a value, the
    key alone does.
    """
    for key in TAGS:
        if key in schema.model_fields:
            return key, str(schema.model_fields[key].default)
    return "_target_", None


def is_meant(schema: type[Section], content: Mapping[str, object]) -> bool:
    """Say whether a mapping has the tag of a section."""
    key, value = tag_of(schema)
    return key in content and value in (None, content[key])


class OneOf:
    """Marks a union of sections: the member that a mapping's tag names reads it."""

    def __init__(self, union: object) -> None:
        self.members: tuple[type[Section], ...] = get_args(union)

    def read(self, content: object) -> Section:
        """Return a mapping, read by the member that it names.

        Raises:
            pydantic.ValidationError, PydanticCustomError: with all that is wrong.
        """
        if isinstance(content, self.members):
            return content
        if not isinstance(content, Mapping):
            raise fault(WORDS["dict_type"].format(given=repr(content)))
        for member in reversed(self.members):  # `_target_` is last, and wins
            if is_meant(member, content):
                return member.model_validate(content)
        key = tag_of(self.members[0])[0]
        values = [tag_of(member)[1] or "or the key _target_" for member in self.members]
        if key in content:
            what = unknown(key, str(content[key]), values)
        else:
            what = f"is required ({', '.join(values)})"
        raise refused([((key,), what, "tag")])

    def __get_pydantic_core_schema__(
        self, source: object, handler: pydantic.GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"$ref": f"#/$defs/{member.__name__}"} for member in self.members]}


def _scalar(value: object, handler: pydantic.ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(value)
    except pydantic.ValidationError:
        raise fault(
            "may be text, a number or a boolean (Keras Tuner stores nothing else)"
        ) from None


# What Keras Tuner can store.
Scalar = Annotated[int | float | str | bool, pydantic.WrapValidator(_scalar)]

V = TypeVar("V")
M = TypeVar("M")


# A value, or, where a mapping stands, something else: each is then complained about as what it is.
Either = Annotated[
    Annotated[V, pydantic.Tag(VALUE)] | Annotated[M, pydantic.Tag(MAPPING)],
    pydantic.Discriminator(
        lambda value: MAPPING if isinstance(value, (Mapping, Section)) else VALUE
    ),
]


def fault(what: str, kind: str = "fault") -> PydanticCustomError:
    """Return the error of a value, in our words."""
    return PydanticCustomError(kind, "{what}", {"what": what})


def refused(faults: Iterable[tuple[Steps, str, str]]) -> pydantic.ValidationError:
    """Return the error of a section with its faults: the path within it, what is wrong there, and
    the type of error.
    """
    details: list[InitErrorDetails] = [
        {"type": fault(what, kind), "loc": path, "input": None} for path, what, kind in faults
    ]
    return pydantic.ValidationError.from_exception_data("section", details)


def faults(error: pydantic.ValidationError, where: str) -> Iterator[Rule]:
    """Yield (dotted key, what is wrong with it) of each fault of a section; its own path begins
    the keys.
    """
    for fault in error.errors(include_url=False):
        yield dotted(where, fault["loc"]), fault["msg"]


def dotted(where: str, steps: Iterable[int | str]) -> str:
    """Return the dotted key that pydantic's steps lead to, from a section on."""
    for step in steps:
        if isinstance(step, int):
            where += f"[{step}]"
        elif step not in (VALUE, MAPPING):
            where = f"{where}.{step}" if where else step
    return where


def _in_words(error: ErrorDetails, keys: Iterable[str]) -> str:
    """Return what pydantic says of a section with these keys, or of what is in it, in our words."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if "what" in context:
        return error["msg"]  # in our words already
    if kind == UNKNOWN_KEY:
        return unknown("key", str(error["loc"][-1]), keys)
    if kind == "literal_error":
        return unknown("value", str(value), re.findall("'(.*?)'", context["expected"]))
    given = "null" if value is None else repr(value)
    what = WORDS.get(kind, "{msg}").format(given=given, msg=error["msg"], **context)
    if kind == "list_type" and isinstance(value, str):
        what += f"; write [{value}]"
    if kind != "string_type" and isinstance(value, list) and error["loc"][-1:] == (VALUE,):
        what += f"; to search them: {{hp: Choice, values: {value}}}"
    return what
