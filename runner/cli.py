"""Behind the door: arguments in, messages and exit codes out. Hydra does the rest.

Exit codes: 0 done; 1 something failed while running, what was done is kept; 2 the input is wrong,
nothing was started; 3 a reproduction diverged; 130 and 143 interrupted (Ctrl-C, SIGTERM).
"""

import logging
import os
import signal
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import hydra
from hydra.core import config_search_path, config_store, global_hydra, hydra_config, plugins
from hydra.experimental.callback import Callback
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig

from history.errors import UntrustedCode
from history.files import read_json, to_json, write_atomic
from runner.config import arguments, choices, compose, secrets
from runner.config.schema import SECTIONS, Experiment, Run
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

LOG = "run.log"  # what a run leaves in its output folder: what it logged
RESULT = "result.json"  # likewise: its exit code and its entries
EFFECTIVE = "effective.yaml"  # likewise: the config as it was understood
# Options with which Hydra answers by itself.
ANSWERS = {"--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc"}
Work: TypeAlias = "Experiment | Reproduction | Prediction"  # what a command can ask for
Result: TypeAlias = dict[str, Any]  # what is kept of it in RESULT
_checked: dict[tuple[str, ...], tuple[Run, Work]] = {}  # jobs that Hydra has yet to start


class UserConf(SearchPathPlugin):
    """Finds the user's own ./conf before ours, so that it adds to ours and shadows it."""

    def manipulate_search_path(self, search_path: config_search_path.ConfigSearchPath) -> None:
        own = Path("conf").resolve()
        if own.is_dir() and own != choices.conf_folder():
            search_path.prepend("user", f"file://{own}", "main")


class Check(Callback):
    """Checks all that Hydra is about to do before it makes a folder. Hydra would make a warning of
    an exception, so what is refused leaves as SystemExit.
    """

    leaving: ClassVar[ExitStack] = ExitStack()
    # Ends what Hydra has done, with an exit code; without a start, Hydra has answered by itself.
    finish: ClassVar[partial[int]] = partial(int)

    def on_run_start(self, config: DictConfig, **_: object) -> None:
        folder = self._start(config, "run")
        left = [folder / name for name in (LOG, EFFECTIVE, RESULT)]
        new = [path for path in (*left, folder, *folder.parents) if not path.exists()]
        Check.finish = partial(_end_run, folder, new)

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        Check.finish = partial(_end_sweep, self._start(config, "sweep"))

    def _start(self, config: DictConfig, key: str) -> Path:
        """Check all jobs, and return the folder that their output goes to."""
        try:
            _check(config, sweeps=key == "sweep")
            folder = str(config.hydra[key].dir)
            if _checked and all(run.mode == "check" or run.predict for run, _ in _checked.values()):
                # It leaves nothing but its output, and the root may be read-only, or another's.
                temporary = tempfile.TemporaryDirectory(prefix="runner-")
                folder = self.leaving.enter_context(temporary)
        except arguments.COMPLAINTS as error:  # over the folder's name
            sys.exit(_told(ConfigError(arguments.problems(error))))
        except Exception as error:
            sys.exit(_told(error))
        config.hydra[key].dir = folder
        pinned = "hydra.{}.dir='{}'".format(key, folder.replace("'", r"\'"))
        config.hydra.overrides.hydra.append(pinned)  # of the jobs of a sweep too
        return Path(folder)


def main() -> int:
    """Run the command line in sys.argv and return the exit code."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises to us instead of printing and leaving
    if str(Path.cwd()) not in sys.path:  # the user's own code, under a console script too
        sys.path.insert(0, str(Path.cwd()))
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        values = ANSWERS.isdisjoint(argument.partition("=")[0] for argument in sys.argv)
        register(values=values)
        sys.argv[1:] = arguments.for_hydra(sys.argv[1:], values=values)
        if "COMP_LINE" in os.environ:
            *before, last = os.environ["COMP_LINE"].split(" ")  # the last word as it is
            os.environ["COMP_LINE"] = " ".join([*map(arguments.without_plus, before), last])
        with Check.leaving:
            hydra.main(str(choices.conf_folder()), "config", version_base="1.3")(_job)()
            return Check.finish()
    except (KeyboardInterrupt, Interrupted) as stop:
        fresh = " without fresh=true" if "fresh=true" in sys.argv else ""
        resumes = f"; finished trials are kept: re-run the same command{fresh} to resume"
        debugs = any(argument.startswith("debug=") for argument in sys.argv)
        _say("interrupted" if debugs else f"interrupted{resumes}")
        return 143 if isinstance(stop, Interrupted) else 130
    except (InputError, *arguments.COMPLAINTS) as error:
        return _told(ConfigError(arguments.problems(error)))
    except OSError as error:  # Hydra's own files, of a start
        if not machine_is_at_fault(error):
            raise
        return _told(error)


def _end_run(folder: Path, new: list[Path]) -> int:
    """Return the exit code; where nothing was started, take away what is new, each by its name."""
    code: int = _result(folder)["exit_code"]
    for path in new if code == 2 else ():
        with suppress(OSError):  # it holds what is not ours
            (path.rmdir if path.is_dir() else path.unlink)()
    return code


def _end_sweep(folder: Path) -> int:
    """Show the table of all jobs of a sweep, and return the worst exit code among them."""
    from runner.report import terminal

    (folder / "multirun.yaml").unlink(missing_ok=True)  # Hydra's: the arguments, secrets and all
    begun = {path.parent for path in folder.glob("**/*") if path.name in (LOG, RESULT)}
    jobs = sorted(begun, key=lambda job: (len(job.name), job.name))
    results = [(str(job.relative_to(folder)), _result(job)) for job in jobs]
    terminal.show(terminal.sweep(results))
    return max((int(result["exit_code"]) for _, result in results), default=1)


def _job(config: DictConfig) -> None:
    """Do one job, for Hydra. Never raises: the result is written beside the job's output."""
    about = hydra_config.HydraConfig.get()
    folder = Path(about.runtime.output_dir)
    overrides = list(map(arguments.as_typed, arguments.of_task(about)))
    result: Result = {"overrides": overrides, "entries": {}, "error": None}
    try:
        # Not checked: a plugin made the job up, or started a process.
        choice = about.runtime.choices.get("experiment")
        checked = _checked.pop(tuple(overrides), None) or _work(config, choice, overrides)
        environment.prepare(checked[0])  # before the imports that bring Keras
        result |= _do(checked[1], folder)
    except Exception as error:
        if isinstance(error, InputError):  # what names code, or needs the data
            name = str(about.job.config_name)
            error = ConfigError(arguments.problems(error, name, overrides))
        kind = "" if isinstance(error, ExperimentError) else f"{type(error).__name__}: "
        result |= {"exit_code": _told(error), "error": f"{kind}{error}"}
    try:
        write_atomic(folder / RESULT, to_json(secrets.redact(result), indent=True))
    except OSError as error:
        _told(error)


def _result(job: Path) -> Result:
    """Return what is kept of a job."""
    ended = (job / RESULT).is_file()
    return read_json(job / RESULT) if ended else {"exit_code": 1, "error": "did not end"}


def _do(work: Work, folder: Path) -> Result:
    """Do what was asked for, and return what is kept of it."""
    from runner.report.terminal import reproduction, show
    from runner.run.stored import Reproduction

    if isinstance(work, Reproduction):
        from runner.run.reproduce import reproduce

        verdict = reproduce(work, folder)
        show(reproduction(verdict))
        return {"exit_code": verdict.exit_code, **asdict(verdict)}
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
    sweep = hydra_config.HydraConfig.get().mode == RunMode.MULTIRUN
    done = run(work, f"{folder.parent.name}-{folder.name}" if sweep else folder.name)
    return {"exit_code": done.exit_code, "entries": done.entries}


def _check(config: DictConfig, *, sweeps: bool) -> None:
    """Check every job before the first one starts; a mistake that several make is told once."""
    _checked.clear()
    loader = global_hydra.GlobalHydra.instance().config_loader()
    jobs = arguments.jobs(config.hydra, loader) if sweeps else [arguments.of_task(config.hydra)]
    typed = [list(map(arguments.as_typed, job)) for job in jobs]
    found: dict[Problem, list[list[str]]] = {}
    for job, overrides in zip(jobs, typed, strict=True):
        try:
            composed = loader.load_sweep_config(config, job) if sweeps else config
            choice = composed.hydra.runtime.choices.get("experiment")
            _checked[tuple(overrides)] = _work(composed, choice, overrides)
        except (InputError, *arguments.COMPLAINTS) as error:
            for problem in arguments.problems(error, str(config.hydra.job.config_name), overrides):
                found.setdefault(problem, []).append(overrides)
    if found:
        raise ConfigError(
            [replace(p, what=p.what + _in_jobs(having, typed)) for p, having in found.items()]
        )


def _in_jobs(having: list[list[str]], jobs: list[list[str]]) -> str:
    """Say which of the jobs have a mistake, by what tells them from the others."""
    if len(having) == len(jobs):
        return ""
    first = " ".join(o.lstrip("+") for o in having[0] if any(o not in job for job in jobs))
    first = f"{', the first' if len(having) > 1 else ''}: {first}"
    return f" (in {len(having)} of {len(jobs)} jobs{first})"


def _work(config: DictConfig, choice: str | None, overrides: list[str]) -> tuple[Run, Work]:
    """Return what a composed config asks for, checked, and the settings to run it with; untrusted
    code may be allowed at a terminal.
    """
    tree = compose.said(config)
    try:
        return _understood(tree, choice, overrides)
    except UntrustedCode as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        asked = [f"{error.what} would import and run:", *error.names, "Import and run it? [y/N] "]
        print(*asked, sep="\n  ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise
        return _understood({**tree, "trust": True}, choice, overrides)


def _understood(tree: compose.Tree, choice: str | None, overrides: list[str]) -> tuple[Run, Work]:
    if not (tree.get("reproduce") or tree.get("predict")):
        if choice is None and not any(tree.get(section) for section in (*SECTIONS, "pipelines")):
            compose.run_settings(tree)  # what is wrong with the root keys comes first
            raise InputError(
                "no experiment was given; add +experiment=NAME. Experiments:\n"
                f"{choices.experiments()}\n--help says what else can be given"
            )
        name = str(choice or "main").removesuffix(".yaml")
        experiment = compose.experiment(name, tree, overrides)
        return experiment.run, experiment
    run = compose.run_settings(tree)
    if choice is not None:
        raise InputError(
            "reproduce and predict take all from the history; leave the experiment out"
        )
    if run.predict is None:
        from runner.run.stored import reproduction

        again = reproduction(run, overrides)
        return again.experiment.run, again
    from history.catalogue import History
    from runner.run import predict

    root = History(run.paths.root)
    return run, predict.plan(root, run.predict, run.input, run.output, trust=run.trust)


def register(*, values: bool = True) -> None:
    """Tell Hydra of our resolver, our check and the user's folder, and in which keys it takes
    anything, because our own checker judges it.

    Args:
        values: whether this includes GIVEN, where the command line's sections go.
    """
    keys = (
        *SECTIONS,
        "pipelines",
        "hooks",
        "paths",
        "executor",
        *([arguments.GIVEN] if values else []),
    )
    node: dict[str, object] = {key: DictConfig({}, flags={"struct": False}) for key in keys}
    node["hydra"] = {"callbacks": {"check": {"_target_": "runner.cli.Check"}}}
    config_store.ConfigStore.instance().store(name="sections", node=DictConfig(node))
    secrets.remember_environment()
    plugins.Plugins.instance().register(UserConf)


def _on_sigterm(*_: object) -> None:
    raise Interrupted


def _told(error: Exception) -> int:
    """Say what went wrong, and return the exit code."""
    if isinstance(error, ExperimentError):
        for problem in error.problems if isinstance(error, ConfigError) else [error]:
            _say("error: " + str(problem).replace("\n", "\n       "))
        return error.exit_code
    if machine_is_at_fault(error):
        _say(
            f"error: {error}; what was acknowledged is kept: make room and re-run the same command"
        )
        return 1
    log.error("a code error: %s: %s", type(error).__name__, error, exc_info=error)
    return 1


def _say(text: str) -> None:
    """Print a message where it disturbs no output."""
    print(secrets.redact(text), file=sys.stderr)
