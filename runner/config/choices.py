"""What the command line says without Hydra: its help, its version, and the configs that are there
to choose from.
"""

from collections.abc import Sequence
from pathlib import Path

from runner import __version__

# What the comments at the top of a config may begin with that say nothing of what it is.
DIRECTIVES = ("@", "conf/", "yaml-language-server:")
HELP = """\
Tune, train, compare and reproduce Keras models from YAML files.
Once installed, `runner` is the same as `python -m runner`, and `runner-history` as
`python -m history`.

runner +experiment=digits                                   run it
runner +experiment=digits tuner.max_trials=5                a key, for every pipeline that has it
runner +experiment=digits pipelines.mlp.tuner.max_trials=5  ... for one pipeline
runner +experiment=digits tuner=bayesian                    another tuner, where none is named
runner +experiment=digits tuner@pipelines.cnn.tuner=random  ... for one pipeline
runner +experiment=digits 'only=[mlp]'                      only these pipelines
runner +experiment=digits '~pipelines.cnn'                  leave one out
runner -m +experiment=digits seed=1,2,3                     a sweep: a job for each combination
runner +experiment=digits mode=check                        check everything, train nothing
runner +experiment=digits debug=true                        one trial, epoch and refit each
runner +experiment=digits reuse=true                        take unchanged pipelines from history
runner reproduce=ENTRY                                      run it again and compare
runner predict=ENTRY input=new.csv output=out.csv           apply its model to new rows
runner-history list                                         the results; see its --help

Keys
  seed=1                of everything that is random       threads=1         of one training
  backend=jax           or torch, or tensorflow            paths.root=DIR    results go here
  validation.repeats=5  refits with five seeds             fit.epochs=20     of trial and refit
  fresh=true            start the searches anew            on_failure=stop   at the first failure
  hooks.purge=null      keep the trial data                progress=lines    or none, or live

Experiments
{experiments}

Choices, as in tuner=grid
{choices}

--json                print the outcome as one JSON object, and nothing else, on stdout
--help, --version     this text; the version
schema                the JSON Schema of these files, for editors: runner schema > conf/schema.json
--cfg job             the config before pipelines inherit; effective.yaml has the final one
--hydra-help          Hydra's own options: --info, --multirun, --config-dir

To complete experiments, choices, keys and entries in bash and zsh:
  eval "$(register-python-argcomplete runner runner-history)"
"""


def conf_folder() -> Path:
    """Return the folder of the shipped configs: in the installed package, or in a checkout."""
    inside = Path(__file__).resolve().parents[1] / "conf"
    return inside if inside.is_dir() else inside.parents[1] / "conf"


def folders() -> list[Path]:
    """Return where configs are looked for, in order: the user's own shadow the shipped ones."""
    return [Path("conf"), conf_folder()]


def groups() -> set[str]:
    """Return the groups that there are choices of."""
    return {path.parent.name for folder in folders() for path in folder.glob("*/*.yaml")}


def choices(group: str) -> dict[str, Path]:
    """Return the choices of a group and their files, in the order of their names; one in a
    sub-folder is `sub/name`. What is hidden or leads nowhere, such as an editor's lock, is none,
    nor is one whose name cannot be printed.
    """
    files = {}
    for folder in reversed(folders()):
        for path in (folder / group).glob("**/[!.]*.yaml"):
            if path.is_file() and path.name.isprintable():
                name = path.relative_to(folder / group).with_suffix("").as_posix()
                files[name] = path
    return dict(sorted(files.items()))


def experiments() -> str:
    """Return the experiments, a line each: its name, and the first comment of its file that is no
    directive.
    """
    files = choices("experiment")
    width = max(map(len, files), default=0)
    lines = [f"  {name:{width}}  {description(path)}".rstrip() for name, path in files.items()]
    return "\n".join(lines)


def answer(arguments: Sequence[str]) -> str | None:
    """Return what is said at once; None where Hydra is asked."""
    if "--version" in arguments:
        return f"keras-experiment-runner {__version__}"
    if list(arguments) == ["schema"]:
        return (conf_folder() / "schema.json").read_text(encoding="utf-8").rstrip()
    if "--help" not in arguments and "-h" not in arguments:
        return None
    others = sorted(groups() - {"experiment"})
    lines = [f"  {group:10}  {', '.join(choices(group))}" for group in others]
    return HELP.format(experiments=experiments(), choices="\n".join(lines)).rstrip()


def description(path: Path) -> str:
    """Return the first comment of a config that begins a line and is no directive."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            text = line.lstrip("# ").strip()
            says_something = text.isprintable() and text and not text.startswith(DIRECTIVES)
            if line.startswith("#") and says_something:
                return text
    return ""
