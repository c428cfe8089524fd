"""What shells complete on the command lines of `runner` and `runner-history`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import history
from history.entry import Entry
from runner.config.completion import candidates

REPOSITORY = Path(history.__file__).parents[1]
# What a shell does when TAB is pressed: argcomplete's function, with the line and all it sets.
ASK = {
    "bash": """
complete_line() {
    COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMPREPLY=()
    _python_argcomplete "${1%% *}"
    echo "${COMPREPLY[*]}"
}""",
    "zsh": """
autoload -Uz compinit; compinit -u -D
_describe() { print -r -- ${completions%%:*} }
complete_line() { BUFFER=$1 CURSOR=${#1} words=(${1%% *}); _python_argcomplete }""",
}

EXPERIMENT = """
# @package _global_
defaults:
  - /tuner: random
  - /model@pipelines.small.model: mlp
  - _self_
pipelines: {large: {fit: {epochs: 3}}}
"""


def said(text: str) -> list[str]:
    return candidates(["+experiment=pair", "seed=1"], text)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an experiment of two pipelines of one's own, and an entry."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "conf" / "experiment" / "pair.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(EXPERIMENT)
    manager = history.open().manager_of(Entry({"task": "regression"}, Path("results")))
    manager.add({"pipeline": "small", "status": "failed"}, {})
    return tmp_path


def test_keys_are_completed_up_to_their_next_dot(pair: Path) -> None:
    """Of the run, of sections, and of the pipelines and models that the chosen files name; where
    there is but one way on, it is gone.
    """
    assert said("tune") == ["tuner.", "tuner=", "tuner@pipelines."]
    assert said("tuner.max_t") == ["tuner.max_trials="]
    assert said("pipelines.") == ["pipelines.large.", "pipelines.small."]
    assert said("pipelines.small.model.dropout.m") == [
        "pipelines.small.model.dropout.max_value=",
        "pipelines.small.model.dropout.min_value=",
    ]
    assert said("pipelines.large.fit.ep") == ["pipelines.large.fit.epochs="]
    assert said("+exp") == ["+experiment="]
    assert said("--mu") == ["--multirun"]
    assert said("~pipe") == ["~pipelines.large", "~pipelines.small"]
    assert candidates([], "pipelines.s") == []


def test_values_are_completed(pair: Path) -> None:
    """Choices of a group, one's own among them; what the schema lists; ids of entries."""
    assert said("+experiment=p") == ["+experiment=pair"]
    assert said("tuner@pipelines.large.tuner=b") == ["tuner@pipelines.large.tuner=bayesian"]
    assert said("backend=") == ["backend=jax", "backend=tensorflow", "backend=torch"]
    assert said("deterministic=t") == ["deterministic=true"]
    assert said("tuner.kind=g") == ["tuner.kind=grid"]
    (id,) = (entry.id for entry in history.open().entries())
    assert said("reproduce=sm") == [f"reproduce={id}"]
    assert candidates(["paths.root=nowhere"], "predict=") == []


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_both_commands(pair: Path, shell: str) -> None:
    """A real one, with what `register-python-argcomplete` gives it."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    for name, package in {"runner": "runner", "runner-history": "history"}.items():
        script = pair / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!{sys.executable}\nfrom {package}.__main__ import main\nmain()\n")
        script.chmod(0o755)
    (id,) = (entry.id for entry in history.open().entries())
    asked = {
        "runner +experiment=pair tuner@pipelines.large.tuner=ran": "random",
        f"runner reproduce={id[:7]}": id,
        f"runner-history show {id[:2]}": id,
        "runner-history tri": "trials",
    }
    register = "from argcomplete import shellcode as s; print(s(['runner', 'runner-history']))"
    lines = "\n".join(f"complete_line {line!r}" for line in asked)
    done = subprocess.run(
        [shell, "-f" if shell == "zsh" else "--norc"],
        input=f'{ASK[shell]}\neval "$({sys.executable} -c "{register}")"\n{lines}\n',
        capture_output=True,
        text=True,
        check=True,
        env={
            "PATH": f"{pair / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(pair),
        },
    )
    given = [line.strip().rpartition("=")[2] for line in done.stdout.splitlines()]
    assert given == [*asked.values()], done.stderr


def test_completion_imports_nothing_heavy() -> None:
    """It is asked for at each key."""
    heavy = ["tensorflow", "keras", "hydra", "omegaconf", "pydantic", "pandas", "numpy", "rich"]
    script = f"""
import sys
from runner.config import completion
completion.candidates([], "x")
import history.__main__
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_history_is_called_by_the_name_that_its_user_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In help and messages; a run started by a console script names its neighbour."""
    text = "\nfrom history.view import commands\nprint(commands.parser.format_help())"
    text += "\nfrom history import open\nopen('nowhere').get('x')"
    for name, called in {
        "runner-history": "runner-history",
        "runner": "runner-history",
        "__main__.py": "python -m history",
    }.items():
        script = f"import sys; sys.argv = [{name!r}]{text}"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert f"\n  {called} list --sort metric" in done.stdout
        assert f"(see `{called} list`" in done.stderr
