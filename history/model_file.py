"""Stored models: what code outside Keras one names, told without importing anything; and loading
it.

A .keras file is a zip. Its config.json has a mapping with `class_name` for each object of the
model, and Keras looks each up (keras/src/saving/serialization_lib.py, `_retrieve_class_or_fn`, as
of 3.15.1): first `registered_name` among what is registered; then `module` and `class_name` in its
public names, of which it refuses few; then, for `keras...` only in recent releases and for any
module in older ones, by importing the module. What is listed here as foreign is all that is not
known to be part of a model, so that the releases need not be told apart. Texts alone, such as
`"activation": "relu"`, only reach what is Keras' own or registered by code that has been imported
already.
"""

import importlib
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from history.errors import InputError, IntegrityError, UntrustedCode

LIMIT = 64 * 2**20  # bytes of config.json; those of large models have a few MB
BYTECODE = "__lambda__"  # the class name of a Python lambda, stored as bytecode

_PLAIN = frozenset(
    {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"}
)
_MODULES = re.compile(
    r"keras\.(src\.)?(activations|constraints|dtype_policies|initializers|layers|losses|metrics|models|optimizers"
    r"|quantizers|random|regularizers)(\.[a-z_0-9]+)*|keras\.src\.ops(\.[a-z_0-9]+)*"
)
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]*")
_TOP_LEVEL = """
DTypePolicy FloatDTypePolicy Function Initializer InputSpec Layer Loss Metric Model Operation Optimizer Quantizer
Regularizer Sequential
"""
_TOP = frozenset(_TOP_LEVEL.split())  # classes of `keras` itself
_NO_PARTS = frozenset(  # they run what they hold, but for Input, which is a function
    {"FlaxLayer", "Input", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper"}
)
_ACTIVATIONS_LOSSES_METRICS = """
celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax
squareplus swish tanh tanh_shrink threshold
binary_accuracy binary_crossentropy binary_focal_crossentropy categorical_accuracy categorical_crossentropy
categorical_focal_crossentropy categorical_generalized_cross_entropy categorical_hinge circle concordance_correlation
cosine_similarity ctc dice hinge huber kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error
mean_squared_error mean_squared_logarithmic_error pearson_correlation poisson sparse_categorical_accuracy
sparse_categorical_crossentropy sparse_top_k_categorical_accuracy squared_hinge top_k_categorical_accuracy tversky
"""
_FUNCTIONS = frozenset(
    _ACTIVATIONS_LOSSES_METRICS.split()
)  # `get` and `deserialize` stand in the same modules


def foreign_code(path: Path) -> list[str]:
    """Return, sorted, all that loading the .keras file would import, call or look up outside Keras.

    A name is dotted (`my_layers.Scale`), or the registered one (`Custom>Scale`) where the file
    states no module; `__lambda__` is bytecode within the file. Raises IntegrityError for a file
    that is no .keras file, or damaged.
    """
    config = _config(path)
    found: set[str] = set()
    nodes: list[Any] = [config]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            found.update(_foreign(node))
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return sorted(
        name if name.isprintable() else ascii(name)[1:-1] for name in found
    )  # it goes to a terminal


def load_model(path: Path, trust: bool = False) -> Any:
    """Return the model in the .keras file, a keras.Model; always in Keras' safe mode.

    Arguments: `trust`, import the modules of one's own that the file names, so that they register
    what it needs. Raises UntrustedCode when there is foreign code and no trust, InputError when the
    code cannot be had or is bytecode, IntegrityError when the file is damaged.
    """
    names = foreign_code(path)
    if names and not trust:
        raise UntrustedCode(f"loading {path}", names)
    if BYTECODE in names:
        raise InputError(
            f"{path} holds a lambda as bytecode, which is never run, trust=true or not; write it as a layer of your "
            f"own, registered with @keras.saving.register_keras_serializable(), and train again"
        )
    for module in sorted({name.rpartition(".")[0] for name in names if ">" not in name} - {""}):
        try:
            importlib.import_module(module)
        except ImportError as error:
            what = f"{path} needs the module {module}, which cannot be imported: {error}"
            raise InputError(f"{what}; install it, or start in the folder that holds it") from error
    import keras

    try:
        return keras.models.load_model(path, safe_mode=True)
    except Exception as error:
        says = f"Keras: {str(error)[:300]}"
        if names:
            raise InputError(
                f"{path} does not load with the code that it names ({', '.join(names)}). {says}"
            ) from error
        raise IntegrityError(f"{path} does not load, although it was stored so. {says}") from error


def _config(path: Path) -> Mapping[str, Any]:
    if (
        path.suffix != ".keras"
    ):  # by its name Keras would take it for another format, and read something else
        raise IntegrityError(f"{path} is no model: the name of a stored model ends in .keras")
    try:
        with zipfile.ZipFile(path) as archive, archive.open("config.json") as file:
            content = file.read(LIMIT + 1)
        if len(content) > LIMIT:
            raise IntegrityError(
                f"{path} is no model of ours: its config.json is larger than {LIMIT >> 20} MB"
            )
        config = json.loads(content)
    except IntegrityError:
        raise
    except Exception as error:  # a damaged zip shows as one of a dozen types
        raise IntegrityError(
            f"{path} is no .keras file, or damaged: {error}; restore it"
        ) from error
    if not isinstance(config, dict):
        raise IntegrityError(
            f"{path} is no .keras file: its config.json holds no model; restore it"
        )
    return config


def _foreign(node: Mapping[str, Any]) -> Iterator[str]:
    """What one mapping names itself."""
    kind, module, registered = (
        node.get(key) for key in ("class_name", "module", "registered_name")
    )
    name = node.get(
        {"function": "config", "__typespec__": "spec_name"}.get(str(kind), "class_name")
    )
    if kind == BYTECODE:
        yield BYTECODE
    known = kind in (*_PLAIN, BYTECODE) or _is_keras(module, name, function=kind == "function")
    if not known and (kind, registered) != (None, None):
        nameless = module is None or (module == "builtins" and ">" in str(name))
        yield (
            str(name if kind == "function" else registered or name)
            if nameless
            else f"{module}.{name}"
        )
    if registered not in (None, kind, name) and (known or not str(registered).endswith(f">{name}")):
        yield str(registered)  # Keras looks it up first


def _is_keras(module: object, name: object, *, function: bool) -> bool:
    if not (isinstance(module, str) and isinstance(name, str)):
        return False
    if function:
        return name in _FUNCTIONS and (module == "builtins" or bool(_MODULES.fullmatch(module)))
    if module == "keras":
        return name in _TOP
    return bool(_MODULES.fullmatch(module) and _CLASS.fullmatch(name)) and name not in _NO_PARTS
