"""What code a stored model names, told without Keras. The files are made by hand, as an attacker
would make them.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from history_samples import python

from foundation.errors import InputError, IntegrityError, UntrustedCode
from history import model_file
from history.model_file import foreign_code, load_model


def named(
    module: str | None, name: str, config: Any = None, registered: str | None = None
) -> dict[str, Any]:
    """A mapping as Keras writes one for each object."""
    return {
        "module": module,
        "class_name": name,
        "config": config or {},
        "registered_name": registered,
    }


def function(name: str, module: str = "builtins", registered: str = "function") -> dict[str, Any]:
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": registered,
    }


def stored(folder: Path, *objects: Any) -> Path:
    """A .keras file of a Sequential model with these layers."""
    return archive(
        folder, json.dumps(named("keras", "Sequential", {"name": "s", "layers": list(objects)}))
    )


def archive(folder: Path, config: str | bytes, name: str = "config.json") -> Path:
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("metadata.json", "{}")
        made.writestr(name, config)
    return path


OWN = [
    named(
        "keras.layers",
        "Dense",
        {"activation": "relu", "dtype": named("keras", "DTypePolicy", {"name": "float32"})},
    ),
    named(
        "keras.layers",
        "Dense",
        {"kernel_initializer": named("keras.initializers", "GlorotUniform", {"seed": 1})},
    ),
    named("keras.layers", "LSTM", {"seed_generator": named("keras.random", "SeedGenerator")}),
    named("keras.src.models.functional", "Functional", registered="Functional"),
    named("keras.src.ops.numpy", "Add", {"name": "add"}, "Add"),
    named("keras.optimizers.schedules", "CosineDecay"),
    named("keras.regularizers", "L2")
    | {"compile_config": {"loss": "mse", "metrics": ["accuracy"]}},
    {"class_name": "__numpy__", "config": {"value": [1, 2], "dtype": "int32"}},
    {"class_name": "__keras_tensor__", "config": {"keras_history": ["dense", 0, 0]}},
    function("sparse_categorical_crossentropy"),
    function("relu", "keras.activations", "relu"),
]
GET_FILE = {"origin": "http://example.org/x", "fname": "/root/.bashrc"}


def test_a_model_of_keras_own_parts_names_nothing(tmp_path: Path) -> None:
    """Layers, policies, optimisers, operations, functions, and Keras' plain values."""
    assert foreign_code(stored(tmp_path, *OWN)) == []


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (named("my_layers", "Scale", registered="Custom>Scale"), ["my_layers.Scale"]),
        (named(None, "Scale", registered="Custom>Scale"), ["Custom>Scale"]),
        ({"class_name": "Scale", "config": {}}, ["Scale"]),
        (function("pkg>my_loss"), ["pkg>my_loss"]),
        (function("my_loss", "my_losses"), ["my_losses.my_loss"]),
        (named("keras.utils", "get_file", GET_FILE), ["keras.utils.get_file"]),
        (function("get_file", "keras.utils", "get_file"), ["keras.utils.get_file"]),
        (function("load_model", "keras.models", "load_model"), ["keras.models.load_model"]),
        (function("deserialize", "keras.losses", "deserialize"), ["keras.losses.deserialize"]),
        (
            function("enable_unsafe_deserialization", "keras.config"),
            ["keras.config.enable_unsafe_deserialization"],
        ),
        (named("builtins", "eval"), ["builtins.eval"]),
        (function("system", "os"), ["os.system"]),
        (
            named("keras.src.utils.python_utils", "Progbar"),
            ["keras.src.utils.python_utils.Progbar"],
        ),
        (named("keras.callbacks", "BackupAndRestore"), ["keras.callbacks.BackupAndRestore"]),
        (named("keras.layers.x\n", "Dense"), ["keras.layers.x\\n.Dense"]),
        (named("keras_layers", "Dense"), ["keras_layers.Dense"]),
        (named("keras", "version"), ["keras.version"]),
        (
            named("keras.layers", "Lambda", {"function": {"class_name": "__lambda__"}}),
            ["__lambda__", "keras.layers.Lambda"],
        ),
        (named("keras.layers", "Dense", registered="Custom>Dense"), ["Custom>Dense"]),
        (named("keras.layers", "TFSMLayer", {"filepath": "/tmp/x"}), ["keras.layers.TFSMLayer"]),
        (
            named("keras.src.layers.core.lambda_layer", "Lambda"),
            ["keras.src.layers.core.lambda_layer.Lambda"],
        ),
        (
            {"class_name": "__typespec__", "spec_name": "Evil", "module": "bad.spec", "config": []},
            ["bad.spec.Evil"],
        ),
        (
            {"class_name": ["Dense"], "module": "keras.layers", "config": {}},
            ["keras.layers.['Dense']"],
        ),
    ],
)
def test_what_is_not_known_to_be_keras_is_named(
    part: dict[str, Any], names: list[str], tmp_path: Path
) -> None:
    """Whatever key holds it, and however deep."""
    held = named("keras.layers", "TimeDistributed", {"layer": {"anything": [[{"odd key": part}]]}})
    deep = named("keras.layers", "Dense") | {"compile_config": {"loss": [held]}}
    assert foreign_code(stored(tmp_path, OWN[0], part)) == names
    assert foreign_code(stored(tmp_path, OWN[0], deep)) == names


def test_asking_imports_neither_keras_nor_what_is_named(tmp_path: Path) -> None:
    """Nor does the refusal to load."""
    (tmp_path / "bad_layers.py").write_text("print('imported')\n")
    path = stored(tmp_path, named("bad_layers", "Scale"))
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from pathlib import Path
from foundation.errors import UntrustedCode
from history.model_file import foreign_code, load_model
path = Path({str(path)!r})
print(foreign_code(path))
try:
    load_model(path)
except UntrustedCode as error:
    print(error.names, error.exit_code)
print([name for name in ("keras", "tensorflow", "numpy", "bad_layers") if name in sys.modules])
"""
    assert python("-c", code).stdout.splitlines() == [
        "['bad_layers.Scale']",
        "('bad_layers.Scale',) 2",
        "[]",
    ]


def test_foreign_code_is_refused_with_its_names(tmp_path: Path) -> None:
    """In one message that says what allows it."""
    path = stored(tmp_path, named("my_layers", "Scale"), named("keras.utils", "get_file", GET_FILE))
    with pytest.raises(UntrustedCode) as caught:
        load_model(path)
    assert caught.value.names == ("keras.utils.get_file", "my_layers.Scale")
    assert all(text in str(caught.value) for text in (str(path), "my_layers.Scale", "trust=true"))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            {"class_name": "__lambda__", "config": {"value": "x"}},
            "lambda as bytecode, which is never run",
        ),
        (
            named("no_such_layers", "Scale"),
            r"needs the module no_such_layers, .*start in the folder that holds it",
        ),
    ],
)
def test_trust_allows_neither_bytecode_nor_what_is_not_there(
    part: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """Before Keras is imported; with what to do about it."""
    with pytest.raises(InputError, match=message):
        load_model(stored(tmp_path, part), trust=True)


def whole(folder: Path) -> bytes:
    return stored(folder, *OWN).read_bytes()


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        lambda folder: b"not a zip",
        lambda folder: b"",
        lambda folder: whole(folder)[:-30],
        lambda folder: flipped(whole(folder), 150),
        lambda folder: archive(folder, "{}", "readme.txt").read_bytes(),
        lambda folder: archive(folder, '{"class_name": ').read_bytes(),
        lambda folder: archive(folder, "[]").read_bytes(),
        lambda folder: archive(folder, b"\xff\xfe\xff").read_bytes(),
        lambda folder: archive(folder, "[" * 1_000_000).read_bytes(),
        None,
    ],
)
def test_a_file_that_is_no_model_is_named(
    content: Callable[[Path], bytes] | None, tmp_path: Path
) -> None:
    """Other content, nothing, a torn or changed file, no file at all."""
    path = tmp_path / "model.keras"
    if content is not None:
        path.write_bytes(content(tmp_path))
    with pytest.raises(IntegrityError, match=str(path)):
        foreign_code(path)
    with pytest.raises(IntegrityError, match=str(path)):
        load_model(path, trust=True)


def test_a_config_beyond_the_limit_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size is counted as it is unpacked: a few kB may stand for many GB."""
    monkeypatch.setattr(model_file, "LIMIT", 2**20)
    with pytest.raises(IntegrityError, match="larger than 1 MB"):
        foreign_code(archive(tmp_path, json.dumps({"class_name": "x" * 2**21})))


def test_another_ending_is_refused(tmp_path: Path) -> None:
    """Keras would read a .h5 of the same bytes as another format, whose content nobody has looked
    at.
    """
    path = stored(tmp_path).rename(tmp_path / "model.h5")
    with pytest.raises(IntegrityError, match=r"ends in \.keras"):
        foreign_code(path)
