"""`runner.run`: what it refuses, and how; what it does is shown by the notebook that is tested."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from runner_samples import REPOSITORY

import history
import runner


def test_what_is_wrong_is_raised_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every mistake, with its place and no more; the conf of the current folder counts."""
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    own = "# @package _global_\ndefaults: [/task: classification, /data: digits, /tuner: random]\n"
    (tmp_path / "conf/experiment/mine.yaml").write_text(f"{own}fit: {{epochs: none}}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(history.errors.InputError) as raised:
        runner.run("mine", overrides=["threads=0"])
    first, *others = str(raised.value).splitlines()
    assert first == "threads=0 on the command line: must be at least 1, not 0"
    assert any(line.startswith("conf/experiment/mine.yaml:3: fit.epochs: ") for line in others)
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]


def test_options_of_the_command_line_are_refused() -> None:
    """A sweep, say, or help, which come to no entries."""
    with pytest.raises(history.errors.InputError, match="-m: only KEY=VALUE"):
        runner.run("digits", overrides=["-m", "seed=1,2"])


def test_the_function_keeps_its_name() -> None:
    """Whatever of the package of the same name is imported after it."""
    code = """
        import sys
        import runner
        assert "runner.run" in sys.modules
        import runner.run.experiment
        from runner.run import identity
        assert callable(runner.run), runner.run
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
