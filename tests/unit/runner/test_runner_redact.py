"""What is written to files says where a secret came from, not what it is."""

import json
import logging
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from omegaconf import OmegaConf

from foundation.files import to_json
from foundation.secrets import guard, redact
from runner import cli
from runner.errors import ConfigError
from runner.report.log import Formatter, LogFile


def test_a_value_from_the_environment_is_recorded_as_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole or within a longer text, however deep; what only looks like a short one stays."""
    monkeypatch.setenv("A_PASSWORD", "hunter22secret")
    monkeypatch.setenv("A_DIGIT", "2")
    monkeypatch.setenv("NOTHING", "")
    guard()
    config = OmegaConf.create(
        {"a": "${oc.env:A_PASSWORD}", "b": ["x-${oc.env:A_PASSWORD}"], "c": "${oc.env:A_DIGIT}"}
    )
    config.e = "${oc.env:NOTHING}"
    plain = OmegaConf.to_container(config, resolve=True)
    assert plain == {"a": "hunter22secret", "b": ["x-hunter22secret"], "c": "2", "e": ""}
    record = logging.makeLogRecord({"msg": "%s %d", "args": ("_given_.x=hunter22secret", 2)})
    assert Formatter().format(record) == "x=${oc.env:A_PASSWORD} 2"
    expected = {
        "a": "${oc.env:A_PASSWORD}",
        "b": ["x-${oc.env:A_PASSWORD}"],
        "c": "${oc.env:A_DIGIT}",
        "d": "12",
        "e": "",
    }
    assert redact({**plain, "d": "12"}) == expected


def test_a_secret_is_found_as_messages_spell_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Python and JSON quote it, in a URL, and over several lines."""
    secret = 'first"line/ö\nand second\\line'
    monkeypatch.setenv("A_KEY", secret)
    guard()
    assert OmegaConf.create({"a": "${oc.env:A_KEY}"}).a == secret
    for spelt in (secret, repr(secret), json.dumps(secret), quote(secret), quote_plus(secret)):
        assert redact(f"<{spelt.strip(chr(34) + chr(39))}>") == "<${oc.env:A_KEY}>"
    assert cli._report(ConfigError(f"cannot {secret}", "model")) == 2
    assert capsys.readouterr().err == "error: model: cannot ${oc.env:A_KEY}\n"


def test_what_is_logged_is_text() -> None:
    """Names of columns and files among it: a terminal sees only characters to print, and lines."""
    record = logging.makeLogRecord({"msg": "left out: %s\nthe end", "args": ("a\x1b[31m.txt",)})
    assert Formatter().format(record) == "left out: a\\x1b[31m.txt\nthe end"


def test_a_variable_that_is_not_set_takes_its_default_or_is_an_error() -> None:
    """As OmegaConf has it."""
    guard()
    assert OmegaConf.create({"a": "${oc.env:NOT_SET_HERE,fallback}"}).a == "fallback"
    with pytest.raises(Exception, match="NOT_SET_HERE"):
        _ = OmegaConf.create({"a": "${oc.env:NOT_SET_HERE}"}).a


def test_a_password_in_a_url_is_not_written() -> None:
    """The user and the host stay."""
    assert redact("postgresql://me:s3cr3t@host:5432/db") == "postgresql://me:***@host:5432/db"
    assert redact("postgresql://me:s3@cr3t@host:5432/db") == "postgresql://me:***@host:5432/db"
    assert redact("there is no /x/ftp:/me:s3cr3t@host/a") == "there is no /x/ftp:/me:***@host/a"
    assert redact("http://host:80/a@b") == "http://host:80/a@b"
    given = OmegaConf.create({"url": "ftp://me:s3cr3t@host", "from": "${oc.env:A_PASSWORD}"})
    assert OmegaConf.to_yaml(given) == "url: ftp://me:***@host\nfrom: ${oc.env:A_PASSWORD}\n"


def test_whatever_is_written_as_json_passes_one_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """However an exception spells a secret; but for what something is found or computed by, above
    all the values of hyperparameters.
    """
    monkeypatch.setenv("A_PASSWORD", "it's a \\ secret\n")
    monkeypatch.setenv("A_PART", "secret")
    monkeypatch.setenv("AN_ACTIVATION", "softplus")
    guard()
    config = OmegaConf.create(
        {"a": "${oc.env:A_PASSWORD}", "b": "${oc.env:A_PART}", "c": "${oc.env:AN_ACTIVATION}"}
    )
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    message = f"cannot log in with {plain['a']!r}, {plain['a']} or http://me:{plain['b']}@host"
    values = {"model.activation": "softplus"}
    document = {"pipeline": "secret", "asked": values, "error": {"message": message}, "n": [None]}
    assert to_json(document) == (
        b'{"pipeline":"secret","asked":{"model.activation":"softplus"},"error":{"message":'
        rb'"cannot log in with \"${oc.env:A_PASSWORD}\", ${oc.env:A_PASSWORD} or '
        b'http://me:***@host"},"n":[null]}'
    )


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own without any room."""
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    (tmp_path / "run.log").touch()
    with suppress(OSError), (tmp_path / "filler").open("wb", 0) as filler:
        while True:
            filler.write(bytes(4096))
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_full_disk_is_said_once(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a sentence; once there is room, the log goes on."""
    handler = LogFile(full / "run.log", encoding="utf-8")
    for number in range(100):
        handler.handle(logging.makeLogRecord({"msg": f"lost {number}"}))
    (full / "filler").unlink()
    handler.handle(logging.makeLogRecord({"msg": "kept é"}))
    handler.close()
    [said] = capsys.readouterr().err.splitlines()
    assert (
        said == f"error: cannot log to {full / 'run.log'}: No space left on device; free some space"
    )
    assert (full / "run.log").read_text(encoding="utf-8") == "kept é\n"


def test_a_tab_of_what_is_logged_stays() -> None:
    """Hydra indents its lines with it; what a terminal would obey is shown instead."""
    record = logging.makeLogRecord({"msg": "jobs\n\t#0 : \x1b[2J"})
    assert Formatter("%(message)s").format(record) == "jobs\n\t#0 : \\x1b[2J"
