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

from runner.config.choices import conf_folder

pytestmark = pytest.mark.xdist_group("wrong configs")  # one process answers all

WRONG = Path(__file__).parent / "wrong_configs"
ANSWERS: dict[str, list[str]] = {  # line, key and what to do
    "bracket": [
        "4: this is no YAML; is a comma or a closing bracket missing?",
    ],
    "combinations": [
        "3: data.name: the table 'digits' is for classification, the task of this pipeline is regression",
        "4: objective.name: unknown metric 'val_accuracy'; the model reports no other for this task",
        "5: model: Hyperband has nothing to search: neither model nor fit has a hyperparameter (hp)",
        "6: fit.class_weight: a regression has no classes to weigh; leave it out",
        "7: callbacks.early_stopping.monitor: unknown metric 'val_acc'; did you mean 'val_mae'?; the model reports no other for this task",
    ],
    "empty": [
        "1: experiment: the first line of empty.yaml must be: # @package _global_",
    ],
    "file_missing": [
        "5: data.path: there is no file {here}/no.npz; paths count from the current folder",
    ],
    "group_without_slash": [
        "3: no group 'experiment/task'; a group of the top is written with a slash: /task: classification",
    ],
    "indentation": [
        "5: this is no YAML; is the line indented like its neighbours, and its text quoted?",
    ],
    "inherited": [
        "9: tuner.max_epochs: must be at least 1, not 0",
        "12: pipelines.b.fit.epochs: searching it has no effect: Hyperband sets the epochs itself, up to tuner.max_epochs",
        "13: pipelines.c.manager: unknown history manager 'clasification'; did you mean 'classification'?",
    ],
    "interpolation_unclosed": [
        "4: fit.epochs: '${validation.epochs' is no interpolation such as ${seed}; is a '}' missing?",
    ],
    "interpolations": [
        "3: seed: the interpolation ${oc.env:NO_SUCH_VARIABLE} leads nowhere: Environment variable 'NO_SUCH_VARIABLE' not found",
        "4: threads: must be at least 1, not 0",
        "6: fit.epochs: the interpolation ${epochs} leads nowhere: there is no key 'epochs'",
        "7: fit.batch_size: the interpolation ${validation.size} leads nowhere: there is no key 'validation.size'",
    ],
    "key_misspelt": [
        "12: pipelines.mlp.fit.epohcs: unknown key 'epohcs'; did you mean 'epochs'?",
    ],
    "key_twice": [
        "5: the key 'fit' stands here a second time; write it once",
    ],
    "list_of_pipelines": [
        "3: pipelines: must be a mapping, not a list",
    ],
    "list_over_mapping": [
        "10: pipelines.mlp.model.hidden: a list cannot lie over the mapping in {shipped}/model/mlp.yaml:2; write a mapping",
    ],
    "model_arguments": [
        "3: model: mlp needs the argument 'hidden'",
        "5: model.hiden: mlp takes no argument 'hiden'; did you mean 'hidden'?",
    ],
    "names": [
        "4: pipelines.MLP_Big: a pipeline's name holds lower-case letters, digits and '-' and begins with a letter; 'mlp-big' would do",
        "5: pipelines.small: must be a mapping of sections",
        "6: only: unknown pipeline 'smal'",
    ],
    "no_package": [
        "1: experiment: the first line of no_package.yaml must be: # @package _global_",
    ],
    "objective": [
        "5: pipelines.a.objective.direction: state whether val_mean_iou is to be minimised or maximised (min or max)",
        "9: pipelines.b.objective.direction: val_accuracy is better when higher: max",
    ],
    "reserved_words": [
        "3: true: YAML reads this key as true (as it does on and yes), not as text: quote it",
        "6: fit.class_weight.0: YAML reads this key as 0, not as text: quote it",
        "7: fit.class_weight.1: YAML reads this key as 1, not as text: quote it",
    ],
    "search_space": [
        "6: model.hidden.h1.max_value: 16 is below min_value, 64",
        "7: model.hidden.h2.hp: unknown hp 'int'; did you mean 'Int'?",
        "8: model.hidden.h3: two hyperparameters are called 'units'; give each its own name",
        "9: model.dropout.max_value: is required",
        "10: model.activation.values: must all be of one type (write 1.0 beside 0.5, quote numbers beside text)",
        "11: model.learning_rate.max: unknown key 'max'",
        "11: model.learning_rate.min_value: log sampling needs a min_value above 0, not 0.0",
    ],
    "section_misspelt": [
        "2: model: is required",
        "3: modle: unknown key 'modle'; did you mean 'model'?",
        "4: valdiation: unknown key 'valdiation'; did you mean 'validation'?",
    ],
    "tab": [
        "4: YAML takes no tabs; indent with spaces",
    ],
    "unknown_choices": [
        "3: unknown task 'clasification'; did you mean 'classification'?",
        "5: unknown model 'mpl'; did you mean 'mlp'?",
    ],
    "unknown_group": [
        "4: unknown group 'dataset'; did you mean 'data'?",
    ],
    "value_missing": [
        "5: data.path: a value is missing; give one in the config or on the command line",
        "7: model.activation: a value is missing; give one in the config or on the command line",
    ],
    "wrong_section": [
        "5: fit.max_trials: unknown key 'max_trials'; it is a key of tuner",
        "7: tuner.max_epochs: unknown key 'max_epochs'; another kind of it takes this key",
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
        "sed=1 on the command line: unknown key 'sed'; did you mean 'seed'?",
        "modle=mlp on the command line: unknown key 'modle'; did you mean 'model'?",
        "threads=0 on the command line: must be at least 1, not 0",
    ]),
    (["tuner=bayes", "model@pipelines.mlp.model=mpl"], [
        "tuner=bayes on the command line: unknown tuner 'bayes'; did you mean 'bayesian'?",
        "model@pipelines.mlp.model=mpl on the command line: unknown model 'mpl'; did you mean 'mlp'?",
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
        "paths.root=${nope} on the command line: the interpolation ${nope} leads nowhere: there is no key 'nope'",
        "fit.epochs=${nope} on the command line: the interpolation ${nope} leads nowhere: there is no key 'nope'",
    ]),
    (["fit.epochs=[1"], ["fit.epochs=[1 on the command line: cannot be read at '[1'; is a bracket or a quote missing?"]),
    (["digits"], ["digits on the command line: an experiment is chosen by +experiment=digits"]),
    (["--seed", "3"], ["--seed on the command line: keys have no dashes; write seed=VALUE"]),
    (["pipelines.mlp.model.hidden=[64,32]"], [
        "pipelines.mlp.model.hidden=[64,32] on the command line: a list cannot lie over the mapping that is there; "
        "write a mapping"
    ]),
    (["seed=1,2"], [
        "seed=1,2 on the command line: several values: -m runs a job with each; a list is seed=[1,2]"
    ]),
    (["+seed=1"], ["seed=1 on the command line: 'seed' has a value already; leave out the +"]),
    (["~sed"], ["~sed on the command line: there is nothing of that name to leave out"]),
    (["tuner=3"], ["tuner=3 on the command line: choose one by its name: bayesian, grid, hyperband, random"]),
    (["pipelines=x", "fit=3", "manager=clasification", "paths.root="], [
        "pipelines=x on the command line: set keys of one of them: pipelines.NAME.fit.epochs=3",
        "paths.root= on the command line: must name a folder; `.` is the current one",
        "fit=3 on the command line: must be a mapping, not 3",
        "manager=clasification on the command line: unknown history manager 'clasification'; did you mean "
        "'classification'?",
    ]),
    (["debug=false", "threads=0"], ["threads=0 on the command line: must be at least 1, not 0"]),
    (["mode=check", "predict=x"], [
        "mode=check on the command line: check looks at an experiment; reproduce and predict check what they need "
        "by themselves",
        "predict=x on the command line: needs input=FILE too",
        "predict=x on the command line: needs output=FILE too",
    ]),
]  # fmt: skip

SWEPT: list[tuple[list[str], list[str]]] = [
    (["-m", "+experiment=digits,mixed,tab", "seed=1,2,x", "threads=0"], [
        "threads=0 on the command line: must be at least 1, not 0 (in 6 of 9 jobs, the first: experiment=digits seed=1)",
        "seed=x on the command line: must be a whole number, not 'x' (in 2 of 9 jobs, the first: experiment=digits seed=x)",
        "conf/experiment/tab.yaml:4: YAML takes no tabs; indent with spaces (in 3 of 9 jobs, the first: experiment=tab seed=1)",
    ]),
    (["-m", "+experiment=glob(d*)", "seed=x"], [
        "seed=x on the command line: must be a whole number, not 'x'",
    ]),
    (["-m", "+experiment=digits", "tuner@pipelines.mlp.tuner=grid,rndom"], [
        "tuner@pipelines.mlp.tuner=rndom on the command line: unknown tuner 'rndom'; did you mean 'random'? (in 1 of 2 jobs: tuner@pipelines.mlp.tuner=rndom)",
    ]),
]  # fmt: skip

EACH = """
import contextlib, io, json, sys
from runner import cli
for arguments in json.load(sys.stdin):
    sys.argv = ["runner", *arguments]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = cli.main()
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
        arguments for arguments, _ in SWEPT
    ]
    done = subprocess.run(
        [sys.executable, "-c", EACH],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
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
    assert {path.stem for path in WRONG.glob("*.yaml")} == set(ANSWERS)


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
