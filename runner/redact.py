"""Keeps secrets out of files: what a config took from the environment is recorded as where it came from, and a
password in a URL as asterisks."""

import os
import re
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

URL_PASSWORD = re.compile(r"(\w[\w+.-]*://[^/\s:@]*):[^/\s@]+@")
TELLING = 6  # characters from which a value within a longer text is taken for the environment's

_taken: dict[str, str] = {}  # value → the name of the environment variable it was read from


def remember_environment() -> None:
    """Registers `${oc.env:NAME,default}` anew, as OmegaConf has it, but remembering what was read."""

    def read(name: str, *default: str | None) -> str | None:
        if name in os.environ:
            if os.environ[name]:  # nothing would be found in every text
                _taken[os.environ[name]] = name
            return os.environ[name]
        if default:
            return default[0]
        raise KeyError(f"Environment variable '{name}' not found")

    OmegaConf.register_new_resolver("oc.env", read, replace=True)


def redact(value: Any) -> Any:
    """Plain data as it may be written to a file."""
    if isinstance(value, Mapping):
        return {k: redact(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(v) for v in value]
    if not isinstance(value, str):
        return value
    for secret, name in _taken.items():
        if value == secret or (len(secret) >= TELLING and secret in value):
            value = value.replace(secret, f"${{oc.env:{name}}}")
    return URL_PASSWORD.sub(r"\1:***@", value)
