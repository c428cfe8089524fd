"""Behind the door: arguments in, messages and exit codes out. Hydra does the rest.

Exit codes: 0 done; 1 something failed while running, what was done is kept; 2 the input is wrong,
nothing was started; 3 a reproduction diverged; 130 and 143 interrupted (Ctrl-C, SIGTERM).
"""

import logging
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import traceback
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import _run_hydra, create_automatic_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from history.errors import UntrustedCode
from history.files import read_json, to_json, write_atomic
from runner.config import compose
from runner.config.choices import choices, conf_folder, experiments, folders
from runner.config.jobs import Composer, all_given, given
from runner.config.schema import SECTIONS, Experiment, Run
from runner.config.secrets import redact, remember_environment
from runner.errors import (
    ConfigError,
    ExperimentError,
    InputError,
    Interrupted,
    Problem,
    machine_is_at_fault,
)
from runner.training import environment

if TYPE_CHECKING:  # what needs NumPy or the history, which nothing else here does
    from runner.run.predict import Prediction
    from runner.run.stored import Reproduction

log = logging.getLogger("runner")

RESULT = "result.json"  # what a run leaves beside its output: its exit code and its entries
EFFECTIVE = "effective.yaml"  # likewise: the config as it was understood
OPEN = (
    *SECTIONS,
    "pipelines",
    "hooks",
    "paths",
    "executor",
    "history",
)  # keys that our own checker judges
# groups that the defaults list names without a choice: `+` may be said, and is dropped
LISTED = "(experiment|debug)"
SWITCH = {"debug=true": "debug=default", "debug=false": "~debug", "debug=null": "~debug"}
APPEND = re.compile(
    r"To append to your default list use \+([^=\s]+)="
)  # Hydra, of a group that nobody has chosen
# What Hydra raises over a config; ValueError: over a group.
COMPLAINTS = (yaml.MarkedYAMLError, HydraException, OmegaConfBaseException, ValueError)
Work: TypeAlias = "Experiment | Reproduction | Prediction"  # what a command can ask for
_scratch = ExitStack()  # holds the temporary folders of this process
_checked: dict[
    tuple[str, ...], tuple[Run, Work]
] = {}  # by their arguments: jobs that Hydra has yet to start


class UserConf(SearchPathPlugin):
    """Finds the user's own ./conf before ours, so that it adds to ours and shadows it."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        own = Path("conf").resolve()
        if own.is_dir() and own != conf_folder():
            search_path.prepend("user", f"file://{own}", "main")


def main() -> int:
    """Runs the command line in sys.argv and returns the exit code."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises to us instead of printing and leaving
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(
            0, str(Path.cwd())
        )  # the user's own models and data, under a console script too
    signal.signal(signal.SIGTERM, _on_sigterm)
    _register()
    if (
        "COMP_LINE" in os.environ
    ):  # a shell asks for completions of this line, the last word as it is
        os.environ["COMP_LINE"] = re.sub(
            rf"(?<=\s)\+(?={LISTED}=\S*\s)", "", os.environ["COMP_LINE"]
        )
    try:
        _refuse_dashes(sys.argv[1:])
        parser = get_args_parser()
        asked = parser.parse_args()
        if not asked.shell_completion:
            asked.overrides = [_as_hydra_wants_it(argument) for argument in asked.overrides]
        with _scratch:
            return _with_appended_choices(parser, asked)
    except ExperimentError as error:
        return _complain(error)
    except KeyboardInterrupt:
        return _interrupted(130)
    except Interrupted:
        return _interrupted(143)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # Hydra's own files, of a start
        if not machine_is_at_fault(error):
            raise
        return _no_room(error)


def _as_hydra_wants_it(argument: str) -> str:
    """An argument that may add an experiment, and hands an unknown root key to our own checker,
    which tells all mistakes at once where Hydra tells the first.
    """
    argument = re.sub(rf"^\+(?={LISTED}=)", "", argument)
    argument = SWITCH.get(argument, argument)
    key = re.match(r"([A-Za-z_]\w*)[\w.]*=", argument)
    known = (
        key is None or key[1] in (*compose.root_keys(), "hydra") or bool(choices(key[1], folders()))
    )
    return argument if known else f"+{argument}"


def _refuse_dashes(arguments: list[str]) -> None:
    """Of keys, which Hydra's parser would take for abbreviations of its own options, or answer with
    its usage.
    """
    for argument in arguments:
        key = re.match(r"--?(\w+)(=|$)", argument)
        if key and key[1] in compose.root_keys():
            raise InputError(
                f"{argument} on the command line: keys have no dashes; write {key[1]}=VALUE"
            )


def _with_appended_choices(parser: ArgumentParser, asked: Namespace) -> int:
    """Does what is asked; a group choice that the defaults list does not name yet
    (`tuner@pipelines.mlp.tuner=grid`) is appended to it, so that nobody has to know which choices
    an experiment spells out.
    """
    typed = asked.overrides
    composer = _composer(asked)
    while True:
        try:
            return _command(parser, asked, composer)
        except COMPLAINTS as error:
            append = APPEND.search(str(error))
            appended = [
                f"+{a}" if append and a.startswith(f"{append[1]}=") else a for a in asked.overrides
            ]
            if appended == asked.overrides:
                raise ConfigError(_problems(error, composer, typed)) from error
            asked.overrides = appended


def _composer(asked: Namespace) -> Composer:
    """Of the configs that Hydra would look through."""
    path = create_automatic_config_search_path(
        __file__, None, asked.config_path or str(conf_folder())
    )
    if asked.config_dir is not None:
        path.prepend(
            "command-line",
            f"file://{Path(asked.config_dir).resolve()}",
            SearchPathQuery(provider="schema"),
        )
    return Composer(ConfigLoaderImpl(path), asked.config_name or "config")


def _command(parser: ArgumentParser, asked: Namespace, composer: Composer) -> int:
    """Has all jobs checked before Hydra makes the first output folder, and Hydra run them; or
    answer by itself.
    """
    sweep, folder = None, ""
    if not (asked.cfg or asked.info or asked.hydra_help or asked.shell_completion):
        if asked.multirun or composer.sweeps(asked.overrides):
            sweep = composer.sweep(asked.overrides)
            folder = str(sweep.hydra.sweep.dir)
        _check(composer, [asked.overrides] if sweep is None else composer.jobs(sweep))
        if _checked and all(run.mode == "check" or run.predict for run, _ in _checked.values()):
            # It leaves nothing but its output, and the root may be read-only, or another's.
            folder = _scratch.enter_context(tempfile.TemporaryDirectory(prefix="runner-"))
        if folder:
            key, quoted = "run" if sweep is None else "sweep", folder.replace("'", r"\'")
            asked.overrides = [*asked.overrides, f"hydra.{key}.dir='{quoted}'"]
    task = _Task()
    try:
        _run_hydra(asked, parser, task, str(conf_folder()), composer.name)
    except HydraException:  # a sweeper made up a job that cannot be composed
        if sweep is not None:
            _report_sweep(Path(folder))
        raise
    finally:
        GlobalHydra.instance().clear()
    return task.exit_code if sweep is None else _report_sweep(Path(folder))


class _Task:
    """What Hydra calls, once for each job. It never raises: each job's result is written beside its
    output.
    """

    __module__ = "runner.cli"

    exit_code = 0  # of the job; stays where nothing is run: --cfg, --info

    def __call__(self, config: DictConfig) -> None:
        hydra_config = HydraConfig.get()
        folder = Path(hydra_config.runtime.output_dir)
        loader: Any = GlobalHydra.instance().config_loader()
        composer = Composer(loader, str(hydra_config.job.config_name))
        OmegaConf.set_struct(config, False)
        result: dict[str, Any] = {
            "overrides": redact(given(hydra_config)),
            "entries": {},
            "error": None,
        }
        try:
            job = tuple(given(hydra_config))
            run, work = (
                _checked.pop(job) if job in _checked else _work(config, hydra_config, composer)
            )
            environment.prepare(run)  # before the imports that bring Keras
            result |= _do(work, folder)
        except ExperimentError as error:  # found while planning: what names code, or needs the data
            if isinstance(error, ConfigError):
                error = ConfigError(_problems(error, composer, all_given(hydra_config)))
            result |= {"exit_code": _complain(error), "error": str(error)}
        except Exception as error:
            result |= {"exit_code": 1, "error": f"{type(error).__name__}: {error}"}
            if machine_is_at_fault(error):
                _no_room(error)
            else:
                traceback.print_exc()
                log.error(
                    "%s: %s (a code error; the trace stands above)", type(error).__name__, error
                )
        self.exit_code = result["exit_code"]
        if self.exit_code == 2 and hydra_config.mode != RunMode.MULTIRUN:
            _withdraw(folder)
        try:
            if folder.is_dir():
                write_atomic(folder / RESULT, to_json(result, indent=True))
        except OSError as error:
            self.exit_code = max(self.exit_code, _no_room(error))


def _withdraw(folder: Path) -> None:
    """Takes away an output folder that holds no more than what every start writes: nothing was
    started.
    """
    if folder != Path.cwd() and {path.name for path in folder.iterdir()} <= {
        ".hydra",
        "run.log",
        EFFECTIVE,
    }:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # others' lie beside it
            folder.parent.rmdir()


def _do(work: Work, folder: Path) -> dict[str, Any]:
    """Does what was asked for, and returns what is kept of it in RESULT."""
    from runner.report.terminal import show
    from runner.run.stored import Reproduction

    if isinstance(work, Reproduction):
        from runner.run.reproduce import page, reproduce

        verdict = reproduce(work, folder)
        show(page(work, verdict))
        return {"exit_code": verdict.exit_code, "reproduces": work.entry.id, **asdict(verdict)}
    if not isinstance(work, Experiment):
        from runner.run.predict import predict

        rows = predict(work)
        log.info("predicted %d rows with %s: %s", rows, work.entry.id, work.output)
        return {"exit_code": 0, "rows": rows}
    if work.run.mode == "check":
        from runner.run.rehearsal import rehearse

        return {"exit_code": rehearse(work)}
    from runner.run.experiment import run

    (folder / EFFECTIVE).write_text(compose.effective(work), encoding="utf-8")
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    report = run(work, f"{folder.parent.name}-{folder.name}" if sweep else folder.name)
    return {"exit_code": report.exit_code, "entries": report.entries, "reused": report.reused}


def _check(composer: Composer, jobs: list[list[str]]) -> None:
    """Checks every job before the first one starts; a mistake that several make is told once."""
    _checked.clear()
    found: dict[Problem, list[list[str]]] = {}
    for arguments in jobs:
        try:
            job = composer.job(arguments)
            hydra_config = job.pop("hydra")
            _checked[tuple(given(hydra_config))] = _work(job, hydra_config, composer)
        except (InputError, *COMPLAINTS) as error:
            if APPEND.search(str(error)):
                raise
            for problem in _problems(error, composer, arguments):
                found.setdefault(problem, []).append(arguments)
    if found:
        raise ConfigError(
            [replace(p, what=p.what + _in_jobs(having, jobs)) for p, having in found.items()]
        )


def _in_jobs(having: list[list[str]], jobs: list[list[str]]) -> str:
    """Which of the jobs have a mistake, by what tells them from the others."""
    if len(having) == len(jobs):
        return ""
    first = " ".join(o.lstrip("+") for o in having[0] if any(o not in job for job in jobs))
    return f" (in {len(having)} of {len(jobs)} jobs{', the first' if len(having) > 1 else ''}: {first})"


def _problems(error: Exception, composer: Composer, arguments: list[str]) -> list[Problem]:
    """What is wrong, each mistake with its place."""
    from runner.config import places  # only where something is wrong

    return places.problems(error, composer, arguments)


def _work(config: DictConfig, hydra_config: Any, composer: Composer) -> tuple[Run, Work]:
    """What a composed config asks for, checked, and what it runs on; untrusted code may be allowed
    at a terminal.
    """
    try:
        return _understood(config, hydra_config, composer)
    except UntrustedCode as error:
        if not _allowed(error):
            raise
        config.trust = True
        return _understood(config, hydra_config, composer)


def _understood(config: DictConfig, hydra_config: Any, composer: Composer) -> tuple[Run, Work]:
    overrides = given(hydra_config)
    choice = hydra_config.runtime.choices.get("experiment")
    if not (config.get("reproduce") or config.get("predict")):
        if choice is None and not any(config.get(section) for section in (*SECTIONS, "pipelines")):
            compose.run_settings(config)  # what is wrong with the root keys comes first
            known = f"Experiments:\n{experiments()}\n--help says what else can be given"
            raise InputError(f"no experiment was given; add +experiment=NAME. {known}")
        base = composer.files(all_given(hydra_config))
        experiment = compose.experiment(
            config, base, overrides, str(choice or "main").removesuffix(".yaml")
        )
        return experiment.run, experiment
    run = compose.run_settings(config)
    if choice is not None:
        raise InputError(
            "reproduce and predict take all from the history; leave the experiment out"
        )
    if run.predict is None:
        from runner.run.stored import reproduction

        again = reproduction(run, overrides)
        return again.run, again
    from history.catalogue import History
    from runner.run import predict

    history = History(run.paths.root, run.history.kind)
    return run, predict.plan(history, run.predict, run.input, run.output, trust=run.trust)


def _allowed(error: UntrustedCode) -> bool:
    """Asks, where somebody is there to answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f"{error.what} would import and run:", *error.names, sep="\n  ", file=sys.stderr)
    print("Import and run it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _report_sweep(folder: Path) -> int:
    """The table of all jobs of a sweep, and the worst exit code among them."""
    from runner.report import terminal

    jobs: list[tuple[str, dict[str, Any]]] = []
    begun = {path.parent for path in folder.glob("**/.hydra")}
    for job in sorted(begun, key=lambda path: (len(path.name), path.name)):
        ended = (job / RESULT).is_file()
        result = read_json(job / RESULT) if ended else {"exit_code": 1, "error": "did not end"}
        jobs.append((str(job.relative_to(folder)), result))
    terminal.show(terminal.sweep(jobs))
    return max((int(result["exit_code"]) for _, result in jobs), default=1)


def _register() -> None:
    version.setbase("1.3")
    setup_globals()  # Hydra's resolvers
    sections = DictConfig({key: DictConfig({}, flags={"struct": False}) for key in OPEN})
    ConfigStore.instance().store(name="sections", node=sections)
    remember_environment()
    OmegaConf.register_new_resolver(
        "unique", lambda: secrets.token_hex(3), use_cache=True, replace=True
    )
    Plugins.instance().register(UserConf)


def _on_sigterm(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


def _interrupted(code: int) -> int:
    without = " without fresh=true" if "fresh=true" in sys.argv else ""
    goes_on = f"; finished trials are kept, and the same command{without} goes on from there"
    afresh = any(argument.startswith("debug=") for argument in sys.argv)
    print(f"interrupted{'' if afresh else goes_on}", file=sys.stderr)
    return code


def _no_room(error: Exception) -> int:
    print(
        f"error: {error}; nothing that was acknowledged is lost: make room, and the same command goes on",
        file=sys.stderr,
    )
    return 1


def _complain(error: Exception) -> int:
    said = (
        [str(p) for p in error.problems]
        if isinstance(error, ConfigError)
        else [str(error) or type(error).__name__]
    )
    for text in said:
        print("error: " + text.replace("\n", "\n       "), file=sys.stderr)
    return error.exit_code if isinstance(error, ExperimentError) else 2
