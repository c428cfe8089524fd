"""Keeps secrets out of what is written: what a config took from the environment is recorded as
where it came from, and a password in a URL as asterisks.
"""

import json
import os
import re
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from foundation import files, trees
from foundation.streams import Stream

URL_PASSWORD = re.compile(r"(\w[\w+.-]*://?[^/\s:@]*):[^/\s'\"]+@")
TELLING = 6  # characters from which a value within a longer text is taken for the environment's
# Keys of documents whose values something is found or computed by: they stay as they are.
EXACT = re.findall(
    r"\w+",
    "id run_id experiment pipeline task manager status fingerprint tuner objective space oracle "
    "best values asked hyperparameters trial_id environment artefacts classes open",
)

# The secrets: value → the name of the environment variable that it was read from.
known: dict[str, str] = {}


def guard(given: Mapping[str, str] = {}) -> None:
    """Let nothing be written with a secret: not as JSON or text by the history's files, not by
    Hydra, not to the standard streams. `${oc.env:NAME,default}` is as OmegaConf has it, but what
    was read is remembered, as is what is `given` of what another process read.
    """
    known.update(given)

    def to_yaml(cfg: Any, **how: Any) -> str:
        return without_secrets(plain(cfg, **how))

    OmegaConf.register_new_resolver("oc.env", _read, replace=True)
    plain = OmegaConf.to_yaml
    OmegaConf.to_yaml = to_yaml  # type: ignore[method-assign]
    files.clean = partial(trees.texts, change=_leaf, exact=EXACT)
    Stream.clean = without_secrets


def _read(name: str, *default: str | None) -> object:
    """Read an environment variable. Launchers of sweeps pickle it: by its name, as no closure is,
    and without what is known.
    """
    value = oc.env(name, *default)
    if value and name in os.environ:  # an empty one would be found in every text
        known[value] = name
        known[repr(value)[1:-1]] = name
        known[json.dumps(value)[1:-1]] = name
        known[quote(value)] = name
        known[quote(value, "")] = name
        known[quote_plus(value)] = name
    return value


def redact(value: Any) -> Any:
    """Return what a config says as it may be recorded."""
    return trees.texts(value, _leaf)


def _leaf(text: str) -> str:
    return f"${{oc.env:{known[text]}}}" if text in known else without_secrets(text)


def without_secrets(text: str) -> str:
    """Return a text as it may be written."""
    for secret in sorted(known, key=len, reverse=True):  # one may be a part of another
        if len(secret) >= TELLING:
            text = text.replace(secret, f"${{oc.env:{known[secret]}}}")
    return URL_PASSWORD.sub(r"\1:***@", text)
