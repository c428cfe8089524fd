"""Keeps secrets out of files: what a config took from the environment is recorded as where it came
from, and a password in a URL as asterisks.
"""

import os
import re
from typing import Any

from omegaconf import OmegaConf

from history.exchange.config import texts

URL_PASSWORD = re.compile(r"(\w[\w+.-]*://[^/\s:@]*):[^/\s@]+@")
TELLING = 6  # characters from which a value within a longer text is taken for the environment's

_taken: dict[str, str] = {}  # value → the name of the environment variable it was read from


def remember_environment() -> None:
    """Registers `${oc.env:NAME,default}` anew, as OmegaConf has it, but remembering what was
    read.
    """

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
    return texts(value, _without_secrets)


def _without_secrets(text: str) -> str:
    for secret, name in _taken.items():
        if text == secret or (len(secret) >= TELLING and secret in text):
            text = text.replace(secret, f"${{oc.env:{name}}}")
    return URL_PASSWORD.sub(r"\1:***@", text)
