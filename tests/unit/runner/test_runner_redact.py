"""What is written to files says where a secret came from, not what it is."""

import logging

import pytest
from omegaconf import OmegaConf

from runner.config.secrets import Formatter, redact, remember_environment


def test_a_value_from_the_environment_is_recorded_as_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole or within a longer text, however deep; what only looks like a short one stays."""
    monkeypatch.setenv("A_PASSWORD", "hunter22secret")
    monkeypatch.setenv("A_DIGIT", "2")
    monkeypatch.setenv("NOTHING", "")
    remember_environment()
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


def test_a_variable_that_is_not_set_takes_its_default_or_is_an_error() -> None:
    """As OmegaConf has it."""
    remember_environment()
    assert OmegaConf.create({"a": "${oc.env:NOT_SET_HERE,fallback}"}).a == "fallback"
    with pytest.raises(Exception, match="NOT_SET_HERE"):
        _ = OmegaConf.create({"a": "${oc.env:NOT_SET_HERE}"}).a


def test_a_password_in_a_url_is_not_written() -> None:
    """The user and the host stay."""
    assert redact("postgresql://me:s3cr3t@host:5432/db") == "postgresql://me:***@host:5432/db"
    assert redact("http://host:80/a@b") == "http://host:80/a@b"
