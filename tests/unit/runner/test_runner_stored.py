"""An experiment is rebuilt from an entry alone, and nothing that the entry names is imported or
looked up for it.
"""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from history import registry
from history.entry import Entry
from history.errors import InputError, IntegrityError, UntrustedCode
from history.exchange.config import experiment_yaml
from history.files import sha256
from history.manager import COMMON_ARTEFACTS
from history.store import open_store
from runner.config.schema import Paths, Run
from runner.errors import ConfigError
from runner.run.stored import reproduction

MLP = {
    "_target_": "runner.models.mlp",
    "hidden": {"h1": {"hp": "Int", "min_value": 4, "max_value": 8}},
}
SECTIONS: dict[str, Any] = {
    "task": {"kind": "classification"},
    "data": {"kind": "sklearn", "name": "iris"},
    "model": MLP,
    "tuner": {"kind": "random", "max_trials": 3},
}


def store(root: Path, sections: dict[str, Any], **root_keys: Any) -> Entry:
    """An entry whose config holds these sections."""
    manager = registry.manager("classification", root, open_store("tinydb", root))
    made = root / "made"
    made.mkdir(parents=True, exist_ok=True)
    files = {
        name: made / f"{name}.bin" for name in (*COMMON_ARTEFACTS, *manager.artefacts, "history")
    }
    for path in files.values():
        path.write_text("x")
    content = {
        "seed": 7,
        "threads": 1,
        "paths": {"root": "elsewhere"},
        "experiment": "e",
        **root_keys,
    }
    files["config"].write_text(
        yaml.safe_dump({**content, "pipelines": {"mlp": sections}}, sort_keys=False)
    )
    return manager.add({"experiment": "e", "pipeline": "mlp", "status": "complete"}, files)


def asked(root: Path, **keys: Any) -> Run:
    return Run(**{"reproduce": "@-1", "paths": Paths(root=str(root)), "progress": False, **keys})


def test_what_was_computed_is_the_entrys_and_where_is_the_commands(tmp_path: Path) -> None:
    """Seed, threads and pipeline come from the entry; the root and the verbosity from the command
    line.
    """
    store(tmp_path, SECTIONS)
    found = reproduction(asked(tmp_path), ["reproduce=@-1"])
    assert (found.run.seed, found.run.threads, found.run.progress) == (7, 1, False)
    assert found.experiment.root == tmp_path.resolve()
    # it is a RandomTuner
    assert found.experiment.pipelines["mlp"].tuner.max_trials == 3  # type: ignore[union-attr]


def test_sections_can_be_overridden_and_root_keys_cannot(tmp_path: Path) -> None:
    """A data file may have moved; another seed would be another execution."""
    store(tmp_path, SECTIONS)
    found = reproduction(asked(tmp_path), ["reproduce=@-1", "data.name=wine", "paths.root=x"])
    # it is SklearnData
    assert found.experiment.pipelines["mlp"].data.name == "wine"  # type: ignore[union-attr]
    for override in ("seed=3", "threads=2", "tuner=grid", "backend=jax"):
        with pytest.raises(ConfigError, match="comes from the history"):
            reproduction(asked(tmp_path), ["reproduce=@-1", override])


def test_code_is_listed_and_not_imported_unless_trusted(tmp_path: Path) -> None:
    """Every path at once; with trust the config is read, and still nothing imported."""
    store(
        tmp_path,
        {**SECTIONS, "model": {"_target_": "colorsys.rgb_to_hls", "x": {"function": "os.system"}}},
    )
    sys.modules.pop("colorsys", None)
    with pytest.raises(UntrustedCode) as caught:
        reproduction(asked(tmp_path), ["reproduce=@-1"])
    assert caught.value.names == ("colorsys.rgb_to_hls", "os.system")
    reproduction(asked(tmp_path, trust=True), ["reproduce=@-1"])
    assert "colorsys" not in sys.modules


def test_what_is_listed_cannot_move_the_cursor(tmp_path: Path) -> None:
    """A path that would wipe the list off the terminal is shown as text."""
    store(tmp_path, {**SECTIONS, "model": {"_target_": "os.system\x1b[1A\x1b[2K"}})
    with pytest.raises(UntrustedCode) as caught:
        reproduction(asked(tmp_path), ["reproduce=@-1"])
    assert caught.value.names == ("os.system\\x1b[1A\\x1b[2K",)
    assert "\x1b" not in str(caught.value)


def test_an_environment_variable_is_not_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was recorded as its name stays that text, as does what never was an interpolation."""
    monkeypatch.setenv("SECRET", "sesame")
    model = {**MLP, "activation": "\\${oc.env:SECRET}", "dropout": "${oc.env:SECRET}"}
    entry = store(tmp_path, {**SECTIONS, "model": model})
    args = reproduction(asked(tmp_path), []).experiment.pipelines["mlp"].model.args
    assert (args["activation"], args["dropout"]) == ("${oc.env:SECRET}", "${oc.env:SECRET}")
    exported = experiment_yaml(entry)
    assert "to be set here: model.activation, model.dropout\n" in exported
    assert "sesame" not in OmegaConf.to_yaml(OmegaConf.create(exported), resolve=True)


@pytest.mark.parametrize("text", ["${oc.env:SECRET}", "\\${oc.env:SECRET}", "\\\\${a}", "a\\b"])
def test_a_text_survives_its_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Whatever it looks like: read and resolved as an experiment's, it is the text that the entry
    reproduces with.
    """
    monkeypatch.setenv("SECRET", "sesame")
    entry = store(tmp_path, {**SECTIONS, "model": {**MLP, "activation": text}})
    then = reproduction(asked(tmp_path), []).experiment.pipelines["mlp"].model.args["activation"]
    exported: Any = OmegaConf.to_container(OmegaConf.create(experiment_yaml(entry)), resolve=True)
    assert exported["pipelines"]["mlp"]["model"]["activation"] == then


@pytest.mark.parametrize(
    "text", ["a: &x [1]\nb: *x\n", "pipelines: 3", "[", "pipelines: {a: {}, b: {}}"]
)
def test_a_config_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    """Also YAML aliases, by which a few lines unfold to gigabytes."""
    entry = store(tmp_path, SECTIONS)
    path = entry.artefact("config")
    path.write_text(text)
    document = {**entry.document, "artefacts": dict(entry.document["artefacts"])}
    document["artefacts"]["config"] = {
        **document["artefacts"]["config"], "bytes": path.stat().st_size, "sha256": sha256(path)
    }  # fmt: skip
    keeper = open_store("tinydb", tmp_path)
    keeper.remove(entry.id)
    keeper.insert(document)
    with pytest.raises(IntegrityError, match=r"config"):
        reproduction(asked(tmp_path), [])


def test_a_changed_config_is_refused(tmp_path: Path) -> None:
    """Its hash is checked before it is read."""
    store(tmp_path, SECTIONS).artefact("config").write_text("seed: 3")
    with pytest.raises(IntegrityError, match="is not what was stored"):
        reproduction(asked(tmp_path), [])


def test_what_failed_or_lacks_a_config_cannot_be_reproduced(tmp_path: Path) -> None:
    """It says why."""
    manager = registry.manager("classification", tmp_path, open_store("tinydb", tmp_path))
    manager.add({"pipeline": "mlp", "status": "failed"}, {})
    with pytest.raises(InputError, match="it failed"):
        reproduction(asked(tmp_path), [])
    manager.add({"pipeline": "mlp", "status": "complete", "origin": {"kind": "keras-tuner"}}, {})
    with pytest.raises(InputError, match="without its config or model"):
        reproduction(asked(tmp_path, reproduce="@1"), [])
