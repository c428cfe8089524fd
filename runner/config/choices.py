"""What the command line says without Hydra: its help, its version, and the configs that are there
to choose from.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from runner import __version__

HELP = """\
Runs the hyperparameter searches of an experiment: YAML files in, models and a history out.

python -m runner +experiment=digits                                   run it; installed, `runner ...` does the same
python -m runner +experiment=digits tuner.max_trials=5                a key, for every pipeline that has it
python -m runner +experiment=digits pipelines.mlp.tuner.max_trials=5  ... for one
python -m runner +experiment=digits tuner=bayesian                    a choice of a group, where none is named
python -m runner +experiment=digits tuner@pipelines.cnn.tuner=random  ... for one
python -m runner +experiment=digits 'only=[mlp]'                      some pipelines
python -m runner +experiment=digits '~pipelines.cnn'                  without one
python -m runner -m +experiment=digits seed=1,2,3                     a sweep: a job for each combination
python -m runner +experiment=digits mode=check                        all that can be checked without training
python -m runner +experiment=digits debug=true                        one trial, one epoch, one refit of each
python -m runner +experiment=digits reuse=true                        take from the history what it already holds
python -m runner reproduce=ENTRY                                      run it again from the history, and compare
python -m runner predict=ENTRY input=new.csv output=out.csv           apply its model to rows
python -m history list                                                what came of it; see python -m history --help

Keys
  seed=1                  decides what is drawn at random      threads=1          of one training; part of the result
  backend=jax             or torch; default: tensorflow        paths.root=DIR     where everything goes: results
  validation.repeats=5    refits over five seeds               fit.epochs=20      epochs of a trial and of the refit
  fresh=true              start the searches anew              on_failure=stop    at the first pipeline that fails
  hooks.purge=null        keep the trial data                  progress=false     no line per trial
{experiments}
Choices, as in tuner=grid
{choices}

--help, --version     this text; the version
--cfg job             the config before pipelines inherit from it; the run itself writes effective.yaml
--hydra-help          Hydra's own options: --info, --multirun, --config-dir, shell completion, ...
"""


def conf_folder() -> Path:
    """The shipped configs: inside the installed package, or at the top of a checkout."""
    here = Path(__file__).resolve().parent.parent
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"


def folders() -> list[Path]:
    """Where configs are looked for, in this order: the user's own shadow the shipped ones."""
    return [Path("conf"), conf_folder()]


def groups(within: Iterable[Path]) -> list[str]:
    """The groups: the folders that hold configs."""
    return sorted({path.parent.name for folder in within for path in folder.glob("*/*.yaml")})


def choices(group: str, within: Sequence[Path]) -> dict[str, Path]:
    """The choices of a group and their files, in the order of their names."""
    tops = [folder / group for folder in reversed(within)]
    files = {choice_name(path, top): path for top in tops for path in top.glob("**/*.yaml")}
    return dict(sorted(files.items()))


def choice_name(path: Path, group: Path) -> str:
    """What chooses a file of a group; one in a sub-folder is `sub/name`."""
    return path.relative_to(group).with_suffix("").as_posix()


def experiments() -> str:
    """The experiments, a line each: its name, and the first comment of its file that is no
    directive.
    """
    found = {name: description(path) for name, path in choices("experiment", folders()).items()}
    width = max(map(len, found), default=0)
    return "\n".join(f"  {name:{width}}  {text}".rstrip() for name, text in found.items())


def answer(arguments: Sequence[str]) -> str | None:
    """What is said at once; None where Hydra is asked."""
    if "--version" in arguments:
        return f"keras-experiment-runner {__version__}"
    if not {"--help", "-h"} & {*arguments}:
        return None
    there = {
        group: choices(group, folders()) for group in groups(folders()) if group != "experiment"
    }
    listed = "\n".join(f"  {group:10}  {', '.join(made)}" for group, made in there.items())
    return HELP.format(experiments=f"\nExperiments\n{experiments()}\n", choices=listed).rstrip()


def description(path: Path) -> str:
    """The first comment at the beginning of a line of a config that is no directive and not its
    path.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        comments = (line.lstrip("# ").strip() for line in lines if line.startswith("#"))
        return next((text for text in comments if text and not text.startswith(("@", "conf/"))), "")
