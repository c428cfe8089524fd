"""Configs as users get them wrong, and what they are told: every mistake, where it is, what to
do.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from runner_samples import REPOSITORY

from runner.config.bounds import bound
from runner.config.choices import conf_folder
from runner.errors import ConfigError

pytestmark = pytest.mark.xdist_group("wrong configs")  # one process answers all

WRONG = Path(__file__).parent / "wrong_configs"
ANSWERS: dict[str, list[str]] = {  # line, key and what to do
    "alias_bomb": [
        " with aliases expanded it has more than 10,000 values, or 50 levels; keep data of this size "
        "in a file that `data` names",
    ],
    "bracket": [
        "4: expected ',' or '}', but got ':'",
    ],
    "chain": [
        "7: model.h2.parent_name: 'model.h1' is conditional itself; Keras Tuner does not support chains of parent_name "
        "(a build(hp) function can nest)",
    ],
    "combinations": [
        "3: data.name: the table 'digits' is for classification, but the task of this pipeline is regression",
        "4: objective.name: unknown metric 'val_accuracy'; for this task the model reports no other",
        "5: model: Hyperband has nothing to search: neither model nor fit has a hyperparameter (hp)",
        "6: callbacks.early_stopping.monitor: unknown metric 'val_acc'; did you mean 'val_mae'?; for this task the model reports no other",
    ],
    "empty": [
        "1: experiment: the first line of empty.yaml must be: # @package _global_",
    ],
    "file_missing": [
        "5: data.path: {here}/no.npz does not exist; paths are relative to the current folder",
    ],
    "indentation": [
        "5: mapping values are not allowed here",
    ],
    "inherited": [
        "9: tuner.max_epochs: must be at least 1, not 0",
        "12: pipelines.b.fit.epochs: searching it has no effect: Hyperband sets the epochs itself, up to tuner.max_epochs",
        "13: pipelines.c.manager: unknown history manager 'clasification'; did you mean 'classification'?",
    ],
    "interpolations": [
        "3: seed: the interpolation ${oc.env:NO_SUCH_VARIABLE} cannot be resolved: KeyError raised while resolving interpolation: \"Environment variable 'NO_SUCH_VARIABLE' not found\"",
        "4: threads: must be at least 1, not 0",
        "6: fit.epochs: the interpolation ${epochs} cannot be resolved: Interpolation key 'epochs' not found",
        "7: fit.batch_size: the interpolation ${validation.size} cannot be resolved: Interpolation key 'validation.size' not found",
    ],
    "key_misspelt": [
        "12: pipelines.mlp.fit.epohcs: unknown key 'epohcs'; did you mean 'epochs'?",
    ],
    "key_twice": [
        "5: found duplicate key fit",
    ],
    "model_arguments": [
        "3: model: mlp needs the argument 'hidden'",
        "5: model.hiden: mlp takes no argument 'hiden'; did you mean 'hidden'?",
    ],
    "names": [
        "4: pipelines.MLP_Big: a name has up to 100 lower-case letters, digits and '-', and begins with a letter",
        "5: pipelines.small: must be a mapping of sections",
        "6: only: unknown pipeline 'smal'",
    ],
    "names_twice": [
        "6: model.hidden.h1: two hyperparameters are called 'units'; give each its own name",
        "8: model.dropout.parent_name: unknown hyperparameter 'model.deep'; did you mean 'model.dropout'?",
    ],
    "no_package": [
        "1: experiment: the first line of no_package.yaml must be: # @package _global_",
    ],
    "objective": [
        "5: pipelines.a.objective.direction: state whether val_mean_iou is to be minimised or maximised (min or max)",
        "9: pipelines.b.objective.direction: val_accuracy is better when higher: max",
    ],
    "reserved_words": [
        "3: true: YAML reads this key as true, not as text: quote it",
        "6: fit.class_weight.0: YAML reads this key as 0, not as text: quote it",
        "7: fit.class_weight.1: YAML reads this key as 1, not as text: quote it",
    ],
    "search_space": [
        "6: model.hidden.h1.max_value: 16 is below min_value, 64",
        "7: model.hidden.h2.hp: unknown hp 'int'; did you mean 'Int'?",
        "9: model.dropout.max_value: is required",
        "10: model.activation.values: must all be of one type (write 1.0 next to 0.5; quote numbers next to text)",
        "11: model.learning_rate.max: unknown key 'max'",
    ],
    "section_misspelt": [
        "2: model: is required",
        "3: modle: unknown key 'modle'; did you mean 'model'?",
        "4: valdiation: unknown key 'valdiation'; did you mean 'validation'?",
    ],
    "tab": [
        "4: found character '\\t' that cannot start any token",
    ],
    "value_missing": [
        "5: data.path: a value is missing; give one in the config or on the command line",
        "7: model.activation: a value is missing; give one in the config or on the command line",
    ],
    "wrong_section": [
        "5: fit.max_trials: unknown key 'max_trials'; it is a key of tuner",
        "7: tuner.max_epochs: unknown key 'max_epochs'; it is a key of another kind",
        "8: epochs: unknown key 'epochs'; it is a key of fit and of validation",
    ],
    "wrong_types": [
        "3: threads: must be a whole number, not 'two'",
        "4: fit.epochs: must be a whole number, not 'ten'",
        "4: fit.batch_size: must be a whole number, not [16, 32]; to search them: {hp: Choice, values: [16, 32]}",
        "4: fit.shuffle: must be true or false, not 1",
        "6: validation.repeats: must be a whole number, not 2.5",
    ],
}


TYPED: list[tuple[list[str], list[str]]] = [
    (["sed=1", "threads=0", "modle=mlp"], [
        "threads=0 on the command line: must be at least 1, not 0",
        "sed=1 on the command line: unknown key 'sed'; did you mean 'seed'?",
        "modle=mlp on the command line: unknown key 'modle'; did you mean 'model'?",
    ]),
    (["fit={epochs: 0}", "model.dropout={hp: Int}"], [
        "model.dropout={hp: Int} on the command line: model.dropout.min_value: is required",
        "model.dropout={hp: Int} on the command line: model.dropout.max_value: is required",
        "fit={epochs: 0} on the command line: fit.epochs: must be at least 1, not 0",
    ]),
    (["tuner.max_trials=0", "pipelines.cnn.tuner.factor=1", "pipelines.mpl.fit.epochs=1"], [
        "pipelines.mpl.fit.epochs=1 on the command line: pipelines.mpl: unknown pipeline 'mpl'; did you mean 'mlp'?; "
        "+pipelines.mpl... adds one",
        "tuner.max_trials=0 on the command line: must be at least 1, not 0",
        "pipelines.cnn.tuner.factor=1 on the command line: must be at least 2, not 1",
    ]),
    (["paths.root=${nope}", "fit.epochs=${nope}"], [
        "paths.root=${nope} on the command line: the interpolation ${nope} cannot be resolved: Interpolation key 'nope' not found",
        "fit.epochs=${nope} on the command line: the interpolation ${nope} cannot be resolved: Interpolation key 'nope' not found",
    ]),
    (["tuner@pipelines.mlp.tuner=grid", "tuner@pipelines.cnn.tuner=random", "tuner.max_trals=0"], [
        "tuner.max_trals=0 on the command line: unknown key 'max_trals'; did you mean 'max_trials'?; no pipeline takes it",
    ]),
    (["--seed", "3"], ["--seed on the command line: keys have no dashes; write seed=VALUE"]),
    (["pipelines=x", "fit=3", "paths.root="], [
        "pipelines=x on the command line: set keys of one pipeline, as in pipelines.NAME.fit.epochs=3",
        "paths.root= on the command line: must have at least 1 character, not ''",
        "fit=3 on the command line: must be a mapping, not 3",
    ]),
    (["debug=True", "seed=x"], ["seed=x on the command line: must be a whole number, not 'x'"]),
    (["debug=false", "threads=0"], ["threads=0 on the command line: must be at least 1, not 0"]),
    (["+experiment=mixed"], [
        "experiment=mixed on the command line: experiment=digits is already chosen; remove one of them (with -m there may be several)",
    ]),
    (["tuner@pipelines.mlp.tuner=grid", "tuner@pipelines.mlp.tuner=random"], [
        "tuner@pipelines.mlp.tuner=random on the command line: tuner@pipelines.mlp.tuner=grid is already chosen; "
        "remove one of them (with -m there may be several)",
    ]),
    (["model=cnn", "fit.epochs=0"], [
        "model=cnn on the command line: no pipeline takes it, as each has its own; "
        "to set it for one of them: model@pipelines.mlp.model=cnn",
        "fit.epochs=0 on the command line: must be at least 1, not 0",
    ]),
    (["tuner=grid", "only=[cnn]"], [
        "tuner=grid on the command line: no pipeline takes it, as each has its own; "
        "to set it for one of them: tuner@pipelines.cnn.tuner=grid",
    ]),
    (["objective.name=accuracy"], [
        "objective.name=accuracy on the command line: is measured on the training rows; "
        "on the validation rows it is val_accuracy",
    ]),
    (["mode=check", "predict=x"], [
        "mode=check on the command line: mode=check is for experiments; reproduce and predict check what they need "
        "themselves",
        "predict=x on the command line: also needs input=FILE",
        "predict=x on the command line: also needs output=FILE",
    ]),
]  # fmt: skip

HYDRAS: list[tuple[list[str], str]] = [  # in its words, in one line
    (["-m", "+experiment=digits", "seed=1,2", "hydra/launcher=ray"], "; pip install hydra-ray-launcher"),
    (["-m", "+experiment=digits", "seed=1,2", "hydra/sweeper=optuna"], "; pip install hydra-optuna-sweeper"),
    (["+experiment=group_without_slash"], "Could not find 'experiment/task/classification'"),
    (["+experiment=interpolation_unclosed"], "'${validation.epochs' full_key: fit.epochs"),
    (["+experiment=list_of_pipelines"], "In 'experiment/list_of_pipelines': ConfigTypeError"),
    (["+experiment=list_over_mapping"], "Cannot merge DictConfig with ListConfig"),
    (["+experiment=unknown_choices"], "In 'experiment/unknown_choices': Could not find 'model/mpl': "
     "unknown model 'mpl'; did you mean 'mlp'?"),
    (["+experiment=unknown_group"], "In 'experiment/unknown_group': Could not find 'dataset/iris'"),
    (["+experiment=digits", "tuner=bayes"], "unknown tuner 'bayes'; did you mean 'bayesian'?"),
    (["+experiment=digits", "fit.epochs=[1"], "fit.epochs=[1 on the command line: no viable alt"),
    (["digits"], "digits on the command line: Error parsing override 'digits' missing EQUAL"),
    (["+experiment=digits", "fit.epochs=1,2"], "Ambiguous value for argument 'fit.epochs=1,2'"),
    (["+experiment=digits", "~sed"], "Could not delete from config. 'sed' does not exist."),
    (["+experiment=digits", "tuner=3"], "Config group override must be a string or a list."),
]  # fmt: skip

SWEPT: list[tuple[list[str], list[str]]] = [
    (["-m", "+experiment=digits,mixed,tab", "seed=1,2,x", "threads=0"], [
        "threads=0 on the command line: must be at least 1, not 0 (in 6 of 9 jobs, the first: experiment=digits seed=1)",
        "seed=x on the command line: must be a whole number, not 'x' (in 2 of 9 jobs, the first: experiment=digits seed=x)",
        "conf/experiment/tab.yaml:4: found character '\\t' that cannot start any token (in 3 of 9 jobs, the first: experiment=tab seed=1)",
    ]),
    (["-m", "+experiment=digits", "fit.epochs=0,2", "tuner.max_trials=1"], [
        "fit.epochs=0 on the command line: must be at least 1, not 0 (in 1 of 2 jobs: fit.epochs=0)",
    ]),
    (["-m", "+experiment=glob(d*)", "seed=x"], [
        "seed=x on the command line: must be a whole number, not 'x'",
    ]),
    (["-m", "+experiment=digits", "tuner@pipelines.mlp.tuner=grid,rndom"], [
        "In 'config': Could not find 'tuner/rndom': unknown tuner 'rndom'; did you mean 'random'? (in 1 of 2 jobs: tuner@pipelines.mlp.tuner=rndom)",
    ]),
    # The process that answers all of this has others' trials run by workers already.
    (["-m", "+experiment=digits", "executor=inline", "threads=2,1", "seed=1,2"], [
        "one process has one backend and, with executor=inline, one value of threads and of deterministic: start a separate run for each",
    ]),
    (["-m", "+experiment=digits", "executor=inline", "deterministic=false,true"], [
        "one process has one backend and, with executor=inline, one value of threads and of deterministic: start a separate run for each",
    ]),
    (["-m", "+experiment=digits", "seed=range(1,1)"], ["the sweep has no jobs: seed=range(1,1) has no values"]),
    (["-m", "task=regression", "seed=range(1,1)"], ["the sweep has no jobs: seed=range(1,1) has no values"]),
]  # fmt: skip

EACH = """
import contextlib, io, json, sys
from runner import cli
for arguments in json.load(sys.stdin):
    sys.argv = ["runner", *arguments]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            code = cli.main()
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, said.getvalue()]))
"""
Told = Callable[..., list[str]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What `python -m runner ...` says in a folder with all these configs, without its lists of all
    that is known. One process answers all of it: most of the time that an answer takes goes into
    imports.
    """
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(WRONG, folder / "conf" / "experiment")
    asked = [[f"+experiment={name}"] for name in ANSWERS]
    asked += [["+experiment=digits", *arguments] for arguments, _ in TYPED] + [
        arguments for arguments, _ in [*SWEPT, *HYDRAS]
    ]
    done = subprocess.run(
        [sys.executable, "-c", EACH],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert [path.name for path in folder.iterdir()] == ["conf"]
    answers = dict(zip(map(tuple, asked), map(json.loads, done.stdout.splitlines()), strict=True))

    def answer(*arguments: str) -> list[str]:
        code, text = answers[arguments]
        assert code == 2
        text = text.replace(str(folder), "{here}").replace(str(conf_folder()), "{shipped}")
        return [re.sub(r" \((known|it takes): [^)]*\)", "", line) for line in text.splitlines()]

    return answer


def test_every_wrong_config_has_its_answer() -> None:
    """And the other way round."""
    asked = {arguments[0].removeprefix("+experiment=") for arguments, _ in HYDRAS}
    assert {path.stem for path in WRONG.glob("*.yaml")} <= {*ANSWERS, *asked}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_wrong_config_is_answered(name: str, told: Told) -> None:
    """Every mistake at once, from the top down, each with its line; nothing is left."""
    assert told(f"+experiment={name}") == [
        f"error: conf/experiment/{name}.yaml:{text}" for text in ANSWERS[name]
    ]


@pytest.mark.parametrize(("arguments", "answers"), TYPED)
def test_a_mistake_on_the_command_line_is_shown_as_it_was_typed(
    arguments: list[str], answers: list[str], told: Told
) -> None:
    """In the place of a file and line."""
    assert told("+experiment=digits", *arguments) == [f"error: {answer}" for answer in answers]


@pytest.mark.parametrize(("arguments", "answers"), SWEPT)
def test_all_jobs_of_a_sweep_are_checked_before_the_first(
    arguments: list[str], answers: list[str], told: Told
) -> None:
    """What several jobs have in common is said once; nothing is started. A choice may be swept that
    the experiment does not spell out.
    """
    assert told(*arguments) == [f"error: {answer}" for answer in answers]


@pytest.mark.parametrize(("arguments", "words"), HYDRAS)
def test_what_hydra_says_is_passed_on(arguments: list[str], words: str, told: Told) -> None:
    """In one line, with the arguments as they were typed."""
    (line,) = told(*arguments)
    assert words in line
    assert "_given_" not in line


def nested(levels: int) -> str:
    """Each level an alias of the one below it."""
    return "\n".join(f"k{i}: &a{i} {{x: {f'*a{i - 1}' if i else 1}}}" for i in range(levels))


@pytest.mark.parametrize(
    "text",
    [
        "x: [" + "0," * 300_000 + "]",
        "x: " + "[" * 300_000,
        "x: &a [1, *a]",
        "x: &a [" + "0," * 150 + "]\ny: [" + "*a," * 100 + "]",
        nested(52),
    ],
)
def test_a_config_file_that_unfolds_to_too_much_is_refused_unread(
    text: str, tmp_path: Path
) -> None:
    """However it does: long, deep, of itself, or by aliases."""
    file = tmp_path / "large.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"large\.yaml: with aliases expanded it has more than"):
        bound(file)


@pytest.mark.parametrize("text", ["x: [" + "0," * 9_000 + "]", nested(40), "x: *no", "x: [", "\0"])
def test_what_is_within_the_bounds_is_left_to_hydra(text: str, tmp_path: Path) -> None:
    """With all that is wrong with it otherwise."""
    (tmp_path / "a.yaml").write_text(text)
    bound(tmp_path / "a.yaml")
    bound(tmp_path / "missing.yaml")
