"""Keeps secrets out of files: what a config took from the environment is recorded as where it came
from, and a password in a URL as asterisks.
"""

import logging
import os
import re
from typing import Any

from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from history.trees import texts
from runner.config.arguments import as_typed

URL_PASSWORD = re.compile(r"(\w[\w+.-]*://[^/\s:@]*):[^/\s@]+@")
TELLING = 6  # characters from which a value within a longer text is taken for the environment's

_taken: dict[str, str] = {}  # value → the name of the environment variable it was read from


def remember_environment() -> None:
    """Register `${oc.env:NAME,default}` anew, as OmegaConf has it, but remember what was read."""

    def read(name: str, *default: str | None) -> object:
        value = oc.env(name, *default)
        if value and name in os.environ:  # an empty one would be found in every text
            _taken[value] = name
        return value

    OmegaConf.register_new_resolver("oc.env", read, replace=True)


def redact(value: Any) -> Any:
    """Return plain data as they may be written to a file."""
    return texts(value, _without_secrets)


def _without_secrets(text: str) -> str:
    for secret, name in _taken.items():
        if text == secret or (len(secret) >= TELLING and secret in text):
            text = text.replace(secret, f"${{oc.env:{name}}}")
    return URL_PASSWORD.sub(r"\1:***@", text)


class Formatter(logging.Formatter):
    """Formats what is logged without secrets; conf/config.yaml names it."""

    def format(self, record: logging.LogRecord) -> str:
        return _without_secrets(as_typed(super().format(record)))
