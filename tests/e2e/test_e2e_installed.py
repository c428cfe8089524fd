"""The installed project, used from a folder that knows nothing of its repository."""

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e_samples import LIMIT, REPOSITORY, sha256, write

pytestmark = pytest.mark.e2e

EXPERIMENT = """# @package _global_
# A model of mine on a shipped table.
defaults: [/task: classification, /data: iris, /tuner: random, _self_]
model: {_target_: my_model.Mine, rate: 0.05}
fit: {epochs: 3}
"""

MODEL = """
import keras
import keras_tuner


class Mine(keras_tuner.HyperModel):
    def __init__(self, num_classes, rate):
        super().__init__()
        self.num_classes, self.rate = num_classes, rate

    def build(self, hp):
        units = hp.Int("units", 4, 12, step=4)
        model = keras.Sequential([keras.layers.Dense(units), keras.layers.Dense(self.num_classes, "softmax")])
        model.compile(keras.optimizers.SGD(self.rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model
"""

COMPLETE = """
eval "$(runner -sc install=bash)"
while read -r COMP_LINE; do
    COMP_POINT=${#COMP_LINE} COMP_WORDS=($COMP_LINE) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    hydra_bash_completion
    echo "${COMPREPLY[@]}"
done
"""


@dataclass(frozen=True)
class Project:
    """A folder of the user's, and the environment that the wheel was installed into."""

    folder: Path
    bin: Path

    def start(
        self, *command: str, stdin: int | None = subprocess.DEVNULL
    ) -> "subprocess.Popen[str]":
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        env["PATH"] = f"{self.bin}{os.pathsep}{env['PATH']}"
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=env, stdin=stdin, stdout=pipe, stderr=pipe, text=True
        )

    def run(self, *command: str, stdin: str | None = None) -> str:
        """What a command that succeeds prints."""
        process = self.start(*command, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL)
        out, err = process.communicate(stdin, timeout=LIMIT)
        assert process.returncode == 0, out + err
        return out


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A wheel of the repository in a new environment, which finds the packages of the tests'
    own.
    """
    top = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    building = [
        *pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(top),
        str(REPOSITORY),
    ]
    subprocess.run(building, check=True, timeout=LIMIT)
    venv.create(top / "venv", symlinks=True)
    executables = top / "venv" / "bin"
    [packages] = top.glob("venv/lib/*/site-packages")
    (packages / "tests.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("site-packages"))
    )
    [wheel] = top.glob("*.whl")
    installing = [
        *pip,
        "--python",
        str(executables / "python"),
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(installing, check=True, timeout=LIMIT)
    folder = top / "mine"
    own_choice = "kind: random\nmax_trials: 2\n"
    write(
        folder,
        my_model_py=MODEL,
        conf__experiment__mine_yaml=EXPERIMENT,
        conf__tuner__random_yaml=own_choice,
    )
    return Project(folder, executables)


def test_an_experiment_of_ones_own_runs_by_both_doors(project: Project) -> None:
    """The user's ./conf shadows a shipped choice, adds an experiment, and the other shipped choices
    are found; a debug run keeps its entries apart.
    """
    doors = [project.start("python", "-m", "runner", "+experiment=mine")]
    doors.append(
        project.start("runner", "+experiment=mine", "validation=repeated", "+debug=default")
    )
    for door in doors:
        out, err = door.communicate(timeout=LIMIT)
        assert door.returncode == 0, out + err
    [entry] = json.loads(project.run("python", "-m", "history", "list", "--json"))
    assert (
        entry["status"],
        entry["search"]["trials"]["total"],
        entry["validation"]["repeats"],
    ) == ("complete", 2, 1)
    for artefact in entry["artefacts"].values():
        assert sha256(project.folder / "results" / artefact["path"]) == artefact["sha256"]
    [debug] = json.loads(
        project.run("python", "-m", "history", "--root", "results/debug", "list", "--json")
    )
    assert (
        debug["status"],
        debug["search"]["trials"]["total"],
        debug["validation"]["repeats"],
    ) == ("complete", 1, 1)
    [refit] = json.loads(
        (project.folder / "results/debug" / debug["artefacts"]["history"]["path"]).read_bytes()
    )
    assert refit["epochs"] == 1


def test_the_help_lists_what_is_there(project: Project) -> None:
    """The user's own beside ours."""
    said = project.run("runner", "--help")
    assert "\n  mine      A model of mine on a shipped table.\n" in said
    assert "\n  digits    " in said
    assert "\n  tuner       bayesian, grid, hyperband, random\n" in said


def test_a_shell_completes_experiments_groups_and_keys(project: Project) -> None:
    """In a real bash, with either spelling of the experiment."""
    asked = {
        "runner +exp": "+experiment=",
        "runner experiment=m": "experiment=mine experiment=mixed",
        "runner +experiment=mi": "+experiment=mine +experiment=mixed",
        "runner +experiment=digits tuner=b": "tuner=bayesian",
        "runner +experiment=digits +debug=default pipelines.mlp.model.d": "pipelines.mlp.model.dropout.",
        "runner +experiment=mine fit.": "fit.epochs=",
    }
    said = project.run("bash", "-c", COMPLETE, stdin="".join(f"{line}\n" for line in asked))
    assert dict(zip(asked, said.splitlines(), strict=True)) == asked
