"""An experiment is rebuilt from an entry alone, and nothing that the entry names is imported or
looked up for it.
"""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf
from runner_samples import SECTIONS, stored

from foundation.errors import InputError, IntegrityError, UntrustedCode
from history import registry
from history.config import experiment_yaml
from history.entry import Entry
from runner.config.schema import Experiment, Paths, Pipeline, Run
from runner.errors import ConfigError
from runner.run.reproduce import reproduce
from runner.run.stored import reproduction

MLP = SECTIONS["model"]


def store(root: Path, **sections: Any) -> Entry:
    """An entry whose config holds these sections, and a root key of older versions."""
    content = {"seed": 7, "threads": 1, "paths": {"root": "elsewhere"}, "experiment": "e"}
    content["history"] = {"kind": "tinydb"}
    pipelines = {"mlp": {**SECTIONS, **sections}}
    config = yaml.safe_dump({**content, "pipelines": pipelines}, sort_keys=False)
    return stored(root, config=config, experiment="e")


def asked(root: Path, *overrides: str, **keys: Any) -> Experiment:
    """The experiment of the newest entry, or that of another."""
    given = {"reproduce": "@-1", "progress": "none", **keys}
    return reproduction(Run(paths=Paths(root=str(root)), **given), overrides).experiment


def test_what_was_computed_is_the_entrys_and_where_is_the_commands(tmp_path: Path) -> None:
    """Seed, threads and pipeline come from the entry; the root and the verbosity from the command
    line. A data file may have moved; another seed would be another execution.
    """
    store(tmp_path)
    found = asked(tmp_path, "reproduce=@-1", "data.name=wine", "paths.root=x")
    assert (found.run.seed, found.run.threads, found.run.progress) == (7, 1, "none")
    assert found.root == tmp_path.resolve()
    expected = Pipeline.model_validate({**SECTIONS, "data": {**SECTIONS["data"], "name": "wine"}})
    assert found.pipelines == {"mlp": expected}
    for override in ("seed=3", "threads=2", "tuner=grid", "backend=jax"):
        with pytest.raises(ConfigError, match="comes from the history"):
            asked(tmp_path, "reproduce=@-1", override)


def test_code_is_listed_and_not_imported_unless_trusted(tmp_path: Path) -> None:
    """Every path at once, as text that cannot move the cursor; with trust the config is read, and
    still nothing imported.
    """
    foreign = {
        "_target_": "colorsys.rgb_to_hls",
        "x": {"function": "os.system"},
        "y": "os.a\x1b[2K",
    }
    store(tmp_path, model=foreign)
    sys.modules.pop("colorsys", None)
    with pytest.raises(UntrustedCode) as caught:
        asked(tmp_path, "reproduce=@-1")
    assert caught.value.names[:2] == ("colorsys.rgb_to_hls", "os.system")
    assert "\x1b" not in str(caught.value)
    asked(tmp_path, "reproduce=@-1", trust=True)
    assert "colorsys" not in sys.modules


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("${oc.env:SECRET}", "${oc.env:SECRET}"),
        ("\\${oc.env:SECRET}", "${oc.env:SECRET}"),
        ("\\\\${a}", "\\${a}"),
        ("a\\b", "a\\b"),
    ],
)
def test_a_text_is_never_looked_up_again_and_survives_its_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, then: str
) -> None:
    """Whatever it looks like: what was recorded as the name of a variable stays that text, and read
    and resolved as an experiment's, it is the text that the entry reproduces with.
    """
    monkeypatch.setenv("SECRET", "sesame")
    entry = store(tmp_path, model={**MLP, "activation": text})
    assert asked(tmp_path).pipelines["mlp"].model.args["activation"] == then
    exported: Any = OmegaConf.to_container(OmegaConf.create(experiment_yaml(entry)), resolve=True)
    assert exported["pipelines"]["mlp"]["model"]["activation"] == then
    named = "set them here: model.activation\n" in experiment_yaml(entry)
    assert named == ("SECRET" in text)


@pytest.mark.parametrize(
    "text",
    ["pipelines: {mlp: {a: &x [1], b: *x}}", "pipelines: 3", "[", "pipelines: {a: {}, b: {}}"],
)
def test_a_config_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    """Also YAML aliases, by which a few lines unfold to gigabytes; and what has changed since."""
    stored(tmp_path, config=text)
    with pytest.raises(IntegrityError, match="is not the config of one pipeline"):
        asked(tmp_path)
    store(tmp_path).artefact("config").write_text(text)
    with pytest.raises(IntegrityError, match="has changed since it was stored"):
        asked(tmp_path)


def test_what_failed_or_lacks_a_config_cannot_be_reproduced(tmp_path: Path) -> None:
    """It says why."""
    stored(tmp_path, "failed")
    with pytest.raises(InputError, match="it failed"):
        asked(tmp_path)
    manager = registry.manager("classification", tmp_path)
    manager.add({"pipeline": "mlp", "status": "complete", "origin": {"kind": "keras-tuner"}}, {})
    with pytest.raises(InputError, match="without its config or model"):
        asked(tmp_path, reproduce="@1")


CURVES = '[{"seed": 1, "history": {"loss": [0.5]}, "validation": {"f1": 0.9}}]'


@pytest.mark.parametrize(
    ("refits", "trials", "document"),
    [
        ("[3]", "[]", {}),
        ('{"a": 1}', "[]", {}),
        ("[{}]", "[]", {}),
        ('[{"history": [1]}]', "[]", {}),
        ('[{"history": {"loss": 3}}]', "[]", {}),
        (CURVES, "[{}]", {}),
        (CURVES, '[{"trial_id": "0", "values": {}, "history": 3}]', {}),
        (CURVES, "[]", {"search": {"space": [3]}}),
        (CURVES, "[]", {"validation": {"runs": [{}, {}]}}),
    ],
)
def test_an_entry_that_no_run_stored_is_refused_before_anything_is_trained(
    tmp_path: Path, refits: str, trials: str, document: dict[str, Any]
) -> None:
    """Whatever its numbers look like."""
    config = yaml.safe_dump({"pipelines": {"mlp": SECTIONS}})
    files = {"history": refits, "trials": trials, "config": config, "model": "m", "oracle": "{}"}
    paths = {name: tmp_path / f"{name}.txt" for name in files}
    for name, path in paths.items():
        path.write_text(files[name])
    manager = registry.manager("classification", tmp_path)
    parts = {"search": {"space": []}, "best": {"values": {}}, **document}
    manager.add({"pipeline": "mlp", "status": "complete", "origin": {"kind": "x"}, **parts}, paths)
    keys: dict[str, Any] = {
        "reproduce": "@-1",
        "reproduce_search": True,
        "paths": Paths(root=str(tmp_path)),
    }
    with pytest.raises(IntegrityError, match=r"does not contain|is not a list of refits"):
        reproduce(reproduction(Run(**keys), []), tmp_path)
