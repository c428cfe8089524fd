"""Stored models: what code outside Keras one names, told without importing anything; and loading
it.

A .keras file is a zip. Its config.json has a mapping with `class_name` for each object of the
model. In safe mode, Keras runs no bytecode, imports none but its own modules, and refuses what
loads or downloads by its public name (since 3.11.3; keras/src/saving/serialization_lib.py,
`_retrieve_class_or_fn`). What remains is code that is registered under the name in the file, which
this process must import first. So whatever is not known by its name to be a part of a Keras model
is listed here, and imported only when that is allowed. Texts alone, such as `"activation": "relu"`,
and functions without a module only reach what is Keras' own, or was registered before.
"""

import importlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundation import errors, escape
from foundation.files import JsonObject

LIMIT = 64 * 2**20  # bytes of config.json; those of large models have a few MB
REASON = 1000  # letters that are kept of what Keras says, the last ones
BYTECODE = "__lambda__"  # the class name of a Python lambda, stored as bytecode

_VALUES = (
    "__bytes__",
    "__ellipsis__",
    "__keras_tensor__",
    "__numpy__",
    "__slice__",
    "__tensor__",
)
_PARTS = re.compile(
    r"keras(\.src\.ops(\.[a-z_0-9]+)*|\.(src\.)?(activations|constraints|dtype_policies|initializers"
    r"|layers|losses|metrics|models|optimizers|quantizers|random|regularizers)(\.[a-z_0-9]+)*)?"
    r"\.[A-Z][A-Za-z0-9]*"
)
_FUNCTIONS = re.compile(
    r"(builtins|keras\.(src\.)?(activations|losses|metrics)(\.[a-z_0-9]+)*)\.[a-z][a-z_0-9]*"
)
_CARRIERS = re.compile(  # they run what they hold or are given
    r".*\.(FlaxLayer|Input|JaxLayer|Lambda|TFSMLayer|TorchModuleWrapper|get|(de)?serialize)"
)


def foreign_code(path: Path) -> list[str]:
    """Return, sorted, all that loading the .keras file would import, call or look up outside Keras.

    A name is dotted (`my_layers.Scale`), or the registered one (`Custom>Scale`) where the file
    states no module; `__lambda__` is bytecode within the file. Raises IntegrityError for a file
    that is no .keras file, or damaged.
    """
    names: set[str] = set()
    if path.suffix != ".keras":  # Keras would take it for another format, and read something else
        raise errors.IntegrityError(
            f"{path} is not a model: the name of a stored model ends in .keras"
        )
    try:
        with zipfile.ZipFile(path) as archive, archive.open("config.json") as file:
            content = file.read(LIMIT + 1)
        if len(content) > LIMIT or not content.lstrip().startswith(b"{"):
            raise ValueError(
                f"its config.json is larger than {LIMIT >> 20} MB, or it contains no model"
            )
        json.loads(content, object_hook=lambda node: names.update(_foreign(node)))
    except Exception as error:  # a damaged zip shows as one of a dozen types
        raise errors.IntegrityError(
            f"{path} is not a .keras file, or is damaged: {error}; restore it"
        ) from error
    return sorted(map(escape.printable, names))


def load_model(path: Path, trust: bool = False) -> Any:
    """Return the keras.Model in the .keras file; always in Keras' safe mode.

    Arguments: `trust`, import the modules of one's own that the file names, so that they register
    what it needs. Raises UntrustedCode when there is foreign code and no trust, InputError when the
    code cannot be had or is bytecode, IntegrityError when the file is damaged.
    """
    names = foreign_code(path)
    if names and not trust:
        raise errors.UntrustedCode(f"loading {path}", names)
    if BYTECODE in names:
        raise errors.InputError(
            f"{path} contains a lambda as bytecode, which is never run, not even with trust=true; "
            "write it as a layer of your own, registered with "
            "@keras.saving.register_keras_serializable(), and train again"
        )
    for module in sorted({name.rpartition(".")[0] for name in names if ">" not in name} - {""}):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise errors.InputError(
                f"{path} needs the module {module}, which cannot be imported: {error}; install it, "
                f"or start in the folder that holds it"
            ) from error
    import keras

    try:
        return keras.models.load_model(path, safe_mode=True)
    except Exception as error:
        # Code of one's own may have changed since.
        raise (errors.InputError if names else errors.IntegrityError)(
            f"{path} cannot be loaded, although it was stored like this. Keras: {reason(error)} "
            f"(your own code: {', '.join(names) or 'none'})"
        ) from error


def reason(error: Exception) -> str:
    """Return what Keras says in one line, without the configs of whole objects that it puts before
    the cause.
    """
    text = re.sub(r"(Full object config: |\bconfig=)\{.*", "", str(error))
    return " ".join(text.split())[-REASON:]


def _foreign(node: JsonObject) -> Iterator[str]:
    """Yield what one mapping names itself, not what is within it."""
    kind = node.get("class_name")
    if kind is None or kind in _VALUES:
        return
    module = node.get("module")
    is_function = kind == "function"
    key = {"function": "config", "__typespec__": "spec_name"}.get(str(kind), "class_name")
    name = node.get(key)
    registered = None if is_function else node.get("registered_name")
    is_known = is_keras(f"{module}.{name}", function=is_function)
    if not is_known:
        yield f"{module}.{name}" if module and ">" not in str(name) else str(registered or name)
    # Keras looks a registered name up first, whatever else the mapping says.
    if registered not in (None, name) and (is_known or not str(registered).endswith(f">{name}")):
        yield str(registered)


def is_keras(path: str, *, function: bool) -> bool:
    """Say whether a dotted path is known by its name to be a part of a Keras model."""
    parts = _FUNCTIONS if function else _PARTS
    return bool(parts.fullmatch(path)) and not _CARRIERS.fullmatch(path)
