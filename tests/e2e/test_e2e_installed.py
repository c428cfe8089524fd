"""The installed project, used from a folder that knows nothing of its repository."""

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e_samples import LIMIT, REPOSITORY, documents, sha256, write

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
        out = keras.layers.Dense(self.num_classes, "softmax")
        model = keras.Sequential([keras.layers.Dense(units), out])
        loss, optimizer = "sparse_categorical_crossentropy", keras.optimizers.SGD(self.rate)
        model.compile(optimizer, loss, metrics=["accuracy"])
        return model
"""

COMPLETE = """
eval "$(python -c 'import argcomplete as a; print(a.shellcode(["runner", "runner-history"]))')"
while read -r COMP_LINE; do
    COMP_POINT=${#COMP_LINE} COMP_TYPE=9 COMPREPLY=()
    _python_argcomplete ${COMP_LINE%% *}
    echo ${COMPREPLY[@]}
done
"""


@dataclass(frozen=True)
class Project:
    """A folder of the user's, and the environment that the wheel was installed into."""

    folder: Path
    bin: Path

    def run(self, *command: str, stdin: str = "") -> str:
        """What a command that succeeds prints."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment | {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A wheel of the repository in a new environment, which finds the packages of the tests'
    own.
    """
    top = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    wheel = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(top)]
    subprocess.run([*pip, *wheel, str(REPOSITORY)], check=True, timeout=LIMIT)
    venv.create(top / "venv", symlinks=True)
    executables = top / "venv" / "bin"
    [packages] = top.glob("venv/lib/*/site-packages")
    own = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "tests.pth").write_text("\n".join(own))
    install = ["--python", str(executables / "python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, *install, *map(str, top.glob("*.whl"))], check=True, timeout=LIMIT)
    write(
        top / "mine",
        my_model_py=MODEL,
        conf__experiment__mine_yaml=EXPERIMENT,
        conf__tuner__random_yaml="kind: random\nmax_trials: 2\n",
    )
    return Project(top / "mine", executables)


def test_an_experiment_of_ones_own_runs_by_both_doors(project: Project) -> None:
    """The user's ./conf shadows a shipped choice, adds an experiment, and the other shipped choices
    are found; a debug run keeps its entries apart.
    """
    project.run("python", "-m", "runner", "+experiment=mine")
    debug = "validation=repeated", "+debug=default", "executor=inline"
    project.run("runner", "+experiment=mine", *debug)
    for root, count, epochs in (("results", 2, 3), ("results/debug", 1, 1)):
        [entry] = documents(project.folder, root)
        assert (entry["status"], entry["search"]["trials"]["total"]) == ("complete", count)
        for name, facts in entry["artefacts"].items():
            assert sha256(entry.path(name)) == facts["sha256"]
        [refit] = entry.refits()
        assert refit["epochs"] == epochs


def test_a_shell_completes_what_both_console_scripts_take(project: Project) -> None:
    """In a real bash, with either spelling of the experiment; of the words after the last `=`."""
    asked = {
        "runner +exp": "+experiment=",
        "runner experiment=m": "mine mixed",
        "runner +experiment=mi": "mine mixed",
        "runner +experiment=digits tuner=b": "bayesian",
        "runner +experiment=digits +debug=default pipelines.mlp.model.dropout.ma": (
            "pipelines.mlp.model.dropout.max_value="
        ),
        "runner +experiment=mine fit.ep": "fit.epochs=",
        "runner-history sho": "show",
    }
    said = project.run("bash", "-c", COMPLETE, stdin="".join(f"{line}\n" for line in asked))
    assert dict(zip(asked, said.splitlines(), strict=True)) == asked
    assert project.run("runner-history", "--help").startswith("usage: runner-history [-h]")
