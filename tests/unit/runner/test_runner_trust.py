"""What a stored config names is listed before any of it is imported."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from history.config import SHIPPED, foreign_code

CONF = Path(importlib.import_module("runner").__file__ or "").parents[1] / "conf"


MLP = {"_target_": "runner.models.mlp"}
LAMBDA = {"_target_": "keras.callbacks.LambdaCallback", "on_x": " os.abort "}
HP = {"hp": "Choice", "values": ["os.a", "b"], "name": "m.a"}


@pytest.mark.parametrize(
    ("sections", "names"),
    [
        ({"model": {**MLP, "dropout": 0.1}}, []),
        ({"model": {"_target_": "my_models.build"}}, ["my_models.build"]),
        ({"model": {"_target_": "runner.hooks.os.system"}}, ["runner.hooks.os.system"]),
        ({"model": {"_target_": "runner.models.mlp.__get__"}}, ["runner.models.mlp.__get__"]),
        ({"data": {"_target_": "my_data.rows", "path": "a"}}, ["my_data.rows"]),
        ({"data": {"kind": "npz", "path": "some.npz"}}, []),
        ({"model": {**MLP, "x": [{"function": "os.system"}]}}, ["os.system"]),
        ({"model": {**MLP, "x": {"module": "os", "class_name": "system"}}}, ["os.system"]),
        ({"model": {**MLP, "x": {"_target_": "plain"}}}, ["plain"]),
        ({"callbacks": {"stop": LAMBDA}}, ["keras.callbacks.LambdaCallback", "os.abort"]),
        ({"validation": {"callbacks": {"a": {"_target_": "my.Callback"}}}}, ["my.Callback"]),
        ({"model": {**MLP, "a": HP}}, ["os.a"]),
        ({"model": {**MLP, "a": {"os.system": 1}}}, ["os.system"]),
    ],
)
def test_every_path_that_may_be_imported_is_listed(
    sections: dict[str, Any], names: list[str]
) -> None:
    """Whatever key holds it; ours by exact name alone, since their modules import others."""
    assert foreign_code(sections) == names


def test_what_the_shipped_configs_name_is_ours() -> None:
    """So that a shipped pipeline reproduces without a question."""
    files = [
        path
        for group in ("model", "callbacks", "data", "validation")
        for path in (CONF / group).glob("*.yaml")
    ]
    contents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]
    assert [name for content in contents for name in foreign_code({"model": content})] == []
    assert {content["_target_"] for content in contents if "_target_" in content} <= SHIPPED
