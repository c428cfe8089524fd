"""Behind the door: arguments in, messages and exit codes out. Hydra does the rest.

Exit codes: 0 done; 1 something failed while running, what was done is kept; 2 the input is wrong, nothing was
started; 3 a reproduction diverged; 130 and 143 interrupted (Ctrl-C, SIGTERM).
"""

import logging
import os
import re
import secrets
import signal
import sys
import tempfile
import traceback
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

import hydra
import yaml
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from history.catalogue import History
from history.errors import UntrustedCode
from history.files import read_json, to_json, write_atomic
from runner import compose, environment, sweep
from runner.errors import ConfigError, ExperimentError, InputError, Interrupted, Problem, machine_is_at_fault
from runner.redact import redact, remember_environment
from runner.settings import SECTIONS, Experiment, Run
from runner.stored import Reproduction, reproduction
from runner.sweep import Composer
from runner.usage import choices, conf_folder, experiments

if TYPE_CHECKING:
    from runner.predict import Prediction  # with NumPy, which nothing else here needs

log = logging.getLogger("runner")

RESULT = "result.json"  # what a run leaves beside its output: its exit code and its entries
OPEN = (*SECTIONS, "pipelines", "hooks", "paths", "executor", "history")  # keys that our own checker judges
LISTED = "(experiment|debug)"  # groups that the defaults list names without a choice: `+` may be said, and is dropped
APPEND = re.compile(r"To append to your default list use \+([^=\s]+)=")  # Hydra, of a group that nobody has chosen
_sweep_folder: Path | None = None
_scratch = ExitStack()  # holds the temporary folders of this process
Work: TypeAlias = "Experiment | Reproduction | Prediction"  # what a command can ask for
_checked: list[tuple[list[str], Run, Work]] = []  # by the callback, for the job that follows: its overrides, its work


class Refused(BaseException):
    """Carries an input error out of a Hydra callback, which would turn an Exception into a warning."""


class Check(Callback):
    """Checks the config before Hydra makes an output folder."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        _refuse_wrong(config)
        _leave_nothing(config, "run")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        global _sweep_folder
        _refuse_wrong_jobs(config)
        _leave_nothing(config, "sweep")
        _sweep_folder = Path(str(config.hydra.sweep.dir)).resolve()


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
        sys.path.insert(0, str(Path.cwd()))  # the user's own models and data, under a console script too
    signal.signal(signal.SIGTERM, _on_sigterm)
    _register()
    completes = {"-sc", "--shell-completion"} & {*sys.argv}
    arguments = sys.argv[1:] if completes else [_as_hydra_wants_it(argument) for argument in sys.argv[1:]]
    if "COMP_LINE" in os.environ:  # a shell asks for completions of this line, the last word as it is
        os.environ["COMP_LINE"] = re.sub(rf"(?<=\s)\+(?={LISTED}=\S*\s)", "", os.environ["COMP_LINE"])
    try:
        _refuse_dashes(arguments)
        with _scratch:
            return _with_appended_choices(arguments)
    except Refused as refused:
        return _complain(refused.args[0])
    except InputError as error:
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
    """An argument that may add an experiment, and hands an unknown root key to our own checker, which tells all
    mistakes at once where Hydra tells the first."""
    argument = re.sub(rf"^\+(?={LISTED}=)", "", argument)
    argument = "debug=default" if argument == "debug=true" else argument
    key = re.match(r"([A-Za-z_]\w*)[\w.]*=", argument)
    known = key is None or key[1] in (*compose.root_keys(), "hydra") or bool(choices(key[1]))
    return argument if known else f"+{argument}"


def _refuse_dashes(arguments: list[str]) -> None:
    """Of keys, which Hydra's parser would take for abbreviations of its own options, or answer with its usage."""
    for argument in arguments:
        key = re.match(r"--?(\w+)(=|$)", argument)
        if key and key[1] in compose.root_keys():
            raise InputError(f"{argument} on the command line: keys have no dashes; write {key[1]}=VALUE")


def _leave_nothing(config: DictConfig, folder: str) -> None:
    """A check leaves nothing, and a prediction nothing but its output: what Hydra writes goes to a temporary folder.
    The root that a prediction reads from may be read-only, or another's."""
    if config.get("mode") == "check" or config.get("predict"):
        temporary = _scratch.enter_context(tempfile.TemporaryDirectory(prefix="runner-"))
        config.hydra[folder].dir = temporary
        config.hydra.overrides.hydra.append(f"hydra.{folder}.dir='{temporary}'")  # each job of a sweep composes anew


def _with_appended_choices(arguments: list[str]) -> int:
    """Runs Hydra; a group choice that its defaults list does not name yet (`tuner@pipelines.mlp.tuner=grid`) is
    appended to it, so that nobody has to know which choices an experiment spells out."""
    given = arguments
    for _ in range(len(arguments) + 1):
        try:
            return _run_hydra(arguments)
        except yaml.MarkedYAMLError as error:
            from runner.provenance import yaml_problem

            return _complain(ConfigError([yaml_problem(error)]))
        except (
            Refused,
            HydraException,
            OmegaConfBaseException,
            ValueError,
        ) as raised:  # ValueError: Hydra's, of a group
            problem: Exception = raised.args[0] if isinstance(raised, Refused) else raised
            if isinstance(problem, ExperimentError):
                raise
            append = APPEND.search(str(problem))
            key = f"{append[1]}=" if append else None
            if key is None or not any(argument.startswith(key) for argument in arguments):
                from runner.provenance import hydra_problems

                code = _complain(ConfigError(hydra_problems(problem, _folders(), given)))
                return max(code, _report_sweep(_sweep_folder) if _sweep_folder and _sweep_folder.is_dir() else 0)
            arguments = [f"+{a}" if a.startswith(key) else a for a in arguments]
        finally:
            GlobalHydra.instance().clear()
    return 2


def _run_hydra(arguments: list[str]) -> int:
    outcome: list[int] = []
    sys.argv = [sys.argv[0], *arguments]
    hydra.main(config_path=str(conf_folder()), config_name="config", version_base="1.3")(_Task(outcome))()
    if _sweep_folder is not None:
        return _report_sweep(_sweep_folder)
    return outcome[0] if outcome else 0  # nothing ran: --cfg, --info


class _Task:
    """What Hydra calls, once for each job. It never raises: each job's result is written beside its output."""

    __module__ = "runner.cli"

    def __init__(self, outcome: list[int]) -> None:
        self.outcome = outcome

    def __call__(self, config: DictConfig) -> None:
        folder = Path(HydraConfig.get().runtime.output_dir)
        result: dict[str, Any] = {
            "overrides": redact(_given(HydraConfig.get())),
            "entries": {},
            "error": None,
        }
        try:
            run, work = _work(config, HydraConfig.get())
            environment.prepare(run)  # before the imports that bring Keras
            result |= _do(work, folder)
        except ConfigError as error:  # found while planning: what names code, or needs the data
            error = _placed(error, str(HydraConfig.get().job.config_name), _given(HydraConfig.get()))
            result |= {"exit_code": _complain(error), "error": str(error)}
        except ExperimentError as error:
            result |= {"exit_code": _complain(error), "error": str(error)}
        except Exception as error:
            result |= {"exit_code": 1, "error": f"{type(error).__name__}: {error}"}
            if machine_is_at_fault(error):
                _no_room(error)
            else:
                traceback.print_exc()
                log.error("%s: %s (a code error; the trace stands above)", type(error).__name__, error)
        self.outcome.append(result["exit_code"])
        try:
            write_atomic(folder / RESULT, to_json(result, indent=True))
        except OSError as error:
            self.outcome[-1] = max(self.outcome[-1], _no_room(error))


def _do(work: Work, folder: Path) -> dict[str, Any]:
    """Does what was asked for, and returns what is kept of it in RESULT."""
    if isinstance(work, Reproduction):
        from runner.report.table import show
        from runner.reproduce import page, reproduce

        verdict = reproduce(work, folder)
        show(page(work, verdict))
        return {"exit_code": verdict.exit_code, "reproduces": work.entry.id, **asdict(verdict)}
    if not isinstance(work, Experiment):
        from runner.predict import predict

        rows = predict(work)
        log.info("predicted %d rows with %s: %s", rows, work.entry.id, work.output)
        return {"exit_code": 0, "rows": rows}
    if work.run.mode == "check":
        from runner.rehearsal import rehearse

        return {"exit_code": rehearse(work)}
    from runner.experiment import run

    (folder / "effective.yaml").write_text(compose.effective(work), encoding="utf-8")
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    report = run(work, f"{folder.parent.name}-{folder.name}" if sweep else folder.name)
    return {"exit_code": report.exit_code, "entries": report.entries, "reused": report.reused}


def _work(config: DictConfig, hydra_config: Any) -> tuple[Run, Work]:
    """What a composed config asks for, checked, and what it runs on; untrusted code may be allowed at a terminal."""
    overrides = _given(hydra_config)
    if _checked and _checked[0][0] == overrides:
        return _checked.pop()[1:]
    try:
        return _checked_work(config, hydra_config, overrides)
    except UntrustedCode as error:
        if not _allowed(error):
            raise
        config.trust = True
        return _checked_work(config, hydra_config, overrides)


def _given(hydra_config: Any) -> list[str]:
    """The arguments of the command line; an interpolation in them is not theirs to resolve."""
    return [str(o) for o in OmegaConf.to_container(hydra_config.overrides.task, resolve=False)]  # type: ignore[union-attr]


def _checked_work(config: DictConfig, hydra_config: Any, overrides: list[str]) -> tuple[Run, Work]:
    try:
        return _understood(config, hydra_config, overrides)
    except ConfigError as error:
        raise _placed(error, str(hydra_config.job.config_name), overrides) from error


def _placed(error: ConfigError, name: str, overrides: list[str]) -> ConfigError:
    """The mistakes with their places."""
    from runner.provenance import placed  # only where something is wrong

    return placed(error, _composer(GlobalHydra.instance().config_loader(), name), overrides)


def _understood(config: DictConfig, hydra_config: Any, overrides: list[str]) -> tuple[Run, Work]:
    if not (config.get("reproduce") or config.get("predict")):
        experiment = _experiment(config, hydra_config, overrides)
        return experiment.run, experiment
    run = compose.run_settings(config)
    if hydra_config.runtime.choices.get("experiment") is not None:
        raise InputError("reproduce and predict take all from the history; leave the experiment out")
    if run.predict is None:
        again = reproduction(run, overrides)
        return again.experiment.run, again
    from runner import predict

    history = History(run.paths.root, run.history.kind)
    return run, predict.plan(history, run.predict, run.input, run.output, trust=run.trust)


def _allowed(error: UntrustedCode) -> bool:
    """Asks, where somebody is there to answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f"{error.what} would import and run:", *error.names, sep="\n  ", file=sys.stderr)
    print("Import and run it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _experiment(config: DictConfig, hydra_config: Any, overrides: list[str]) -> Experiment:
    """The checked experiment of a composed config."""
    base = config
    if any(compose.is_value(override) for override in compose.parse(overrides)):
        base = _composer(GlobalHydra.instance().config_loader(), str(hydra_config.job.config_name)).files(overrides)
    choice = hydra_config.runtime.choices.get("experiment")
    if choice is None and not any(config.get(section) for section in (*SECTIONS, "pipelines")):
        compose.run_settings(config)  # what is wrong with the root keys comes first
        known = f"Experiments:\n{experiments()}\n--help says what else can be given"
        raise InputError(f"no experiment was given; add +experiment=NAME. {known}")
    return compose.experiment(config, base, overrides, str(choice or "main").removesuffix(".yaml"))


@lru_cache(maxsize=1)
def _composer(loader: Any, name: str) -> Composer:
    return Composer(loader, name)


def _refuse_wrong(config: DictConfig) -> None:
    try:
        job = config.copy()
        OmegaConf.set_struct(job, False)
        hydra_config = job.pop("hydra")
        _checked[:] = [(_given(hydra_config), *_work(job, hydra_config))]
    except (ExperimentError, OmegaConfBaseException, HydraException) as error:
        raise Refused(error if isinstance(error, ExperimentError) else InputError(str(error))) from error
    except Exception:
        return  # a code error: Hydra would reduce it to a warning here; the job meets it again, with its trace


def _refuse_wrong_jobs(config: DictConfig) -> None:
    """Checks every job of a sweep before the first one starts; a mistake that several make is told once."""
    from runner.provenance import hydra_problems, yaml_problem

    jobs = sweep.jobs(config.hydra, _given(config.hydra))
    composer = _composer(GlobalHydra.instance().config_loader(), str(config.hydra.job.config_name))
    found: dict[Problem, list[list[str]]] = {}
    for overrides in jobs:
        try:
            job = composer.job(overrides)
            OmegaConf.set_struct(job, False)
            _checked_work(job, job.pop("hydra"), overrides)
        except UntrustedCode:
            continue  # asked for when the job starts
        except ExperimentError as error:
            for problem in error.problems if isinstance(error, ConfigError) else [Problem("", str(error))]:
                found.setdefault(problem, []).append(overrides)
        except yaml.MarkedYAMLError as error:
            found.setdefault(yaml_problem(error), []).append(overrides)
        except HydraException as error:
            if APPEND.search(str(error)):
                raise Refused(error) from error
            for problem in hydra_problems(error, _folders(), overrides):
                found.setdefault(problem, []).append(overrides)
        except Exception:
            continue  # a code error: the job meets it again, with its trace
    if found:
        raise Refused(ConfigError([replace(p, what=p.what + _in_jobs(having, jobs)) for p, having in found.items()]))


def _in_jobs(having: list[list[str]], jobs: list[list[str]]) -> str:
    """Which of the jobs have a mistake, by what tells them from the others."""
    if len(having) == len(jobs):
        return ""
    first = " ".join(o.lstrip("+") for o in having[0] if any(o not in job for job in jobs))
    return f" (in {len(having)} of {len(jobs)} jobs{', the first' if len(having) > 1 else ''}: {first})"


def _report_sweep(folder: Path) -> int:
    """The table of all jobs of a sweep, and the worst exit code among them."""
    from runner.report import table

    jobs: list[tuple[str, dict[str, Any]]] = []
    begun = {path.parent for path in folder.glob("**/.hydra")}
    for job in sorted(begun, key=lambda path: (len(path.name), path.name)):
        ended = (job / RESULT).is_file()
        result = read_json(job / RESULT) if ended else {"exit_code": 1, "error": "did not end"}
        jobs.append((str(job.relative_to(folder)), result))
    table.show(table.sweep(jobs))
    return max((int(result["exit_code"]) for _, result in jobs), default=1)


def _register() -> None:
    sections = DictConfig({key: DictConfig({}, flags={"struct": False}) for key in OPEN})
    ConfigStore.instance().store(name="sections", node=sections)
    remember_environment()
    OmegaConf.register_new_resolver("unique", lambda: secrets.token_hex(3), use_cache=True, replace=True)
    Plugins.instance().register(UserConf)


def _folders() -> list[Path]:
    """Where configs are looked for, in this order."""
    return [Path("conf").resolve(), conf_folder()]


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
    said = [str(p) for p in error.problems] if isinstance(error, ConfigError) else [str(error) or type(error).__name__]
    for text in said:
        print("error: " + text.replace("\n", "\n       "), file=sys.stderr)
    return error.exit_code if isinstance(error, ExperimentError) else 2
