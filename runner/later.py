"""Keras, imported once something of it is asked for: `from runner import later as keras` lets a
module be read without it.
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("keras"), name)
