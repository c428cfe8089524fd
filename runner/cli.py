"""Behind the door: arguments in, messages and exit codes out. Hydra does the rest.

Exit codes: 0 done; 1 something failed while running, what was done is kept; 2 the input is wrong,
nothing was started; 3 a reproduction diverged; 130 and 143 interrupted (Ctrl-C, SIGTERM).
"""

import logging
import os
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
from omegaconf import DictConfig

from history import errors, files
from runner.config import arguments, bounds, choices, compose, secrets
from runner.config.schema import SECTIONS, Experiment, Run
from runner.errors import (
    ConfigError,
    ExperimentError,
    InputError,
    Problem,
    machine_is_at_fault,
)
from runner.training import environment

if TYPE_CHECKING:  # what needs NumPy or the history, which nothing else here does
    from runner.run import predict, stored

log = logging.getLogger("runner")

# What a run leaves in its output folder: what it logged; its exit code and entries; the config as
# it was understood. Hydra's go below hydra.output_subdir, if that is set.
OURS = LOG, RESULT, EFFECTIVE = "run.log", "result.json", "effective.yaml"
HYDRAS = ("config.yaml", "hydra.yaml", "overrides.yaml")
# Options with which Hydra answers by itself.
ANSWERS = {"--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc"}
Work: TypeAlias = (
    "Experiment | stored.Reproduction | predict.Prediction"  # what a command can ask for
)
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
        hydras = folder / (config.hydra.output_subdir or ".")
        left = [hydras / name for name in HYDRAS] + [folder / name for name in OURS]
        left += [hydras, *hydras.parents, folder, *folder.parents]
        Check.finish = partial(_end_run, folder, [path for path in left if not path.exists()])

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        Check.finish = partial(_end_sweep, self._start(config, "sweep"))

    def _start(self, config: DictConfig, key: str) -> Path:
        """Check all jobs, and return the folder that their output goes to."""
        try:
            _check(config, sweeps=key == "sweep")
            folder = os.path.expanduser(config.hydra[key].dir)  # noqa: PTH111 - keeps ~nobody
            if _checked and all(run.mode == "check" or run.predict for run, _ in _checked.values()):
                # It leaves nothing but its output, and the root may be read-only, or another's.
                folder = self.leaving.enter_context(tempfile.TemporaryDirectory(prefix="runner-"))
        except Exception as error:
            complaint = isinstance(error, arguments.COMPLAINTS)  # over the folder's name
            sys.exit(_told(ConfigError(arguments.problems(error)) if complaint else error))
        config.hydra[key].dir = folder
        quoted = folder.replace("'", r"\'")  # for the jobs of a sweep
        config.hydra.overrides.hydra.append(f"hydra.{key}.dir='{quoted}'")
        return Path(folder)


def main() -> int:
    """Run the command line in sys.argv and return the exit code."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises to us instead of printing and leaving
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
    except (InputError, *arguments.COMPLAINTS) as error:
        return _told(ConfigError(arguments.problems(error)))
    except OSError as error:  # Hydra's own files, of a start
        return _told(error)


def _end_run(folder: Path, new: list[Path]) -> int:
    """Return the exit code; where nothing was started, take away what is new, each by its name."""
    code: int = _result(folder)["exit_code"]
    for path in new if code == 2 else ():
        with suppress(OSError):  # it holds what is not ours
            (path.rmdir if path.is_dir() else path.unlink)()
    return code


def _end_sweep(folder: Path) -> int:
    """Show the table of all jobs of a sweep, and return the worst exit code among them; where all
    have ended well, the same command is a new sweep.
    """
    from runner.report import terminal

    begun = {path.parent for path in folder.glob("**/*") if path.name in (LOG, RESULT)}
    results = {
        str(job.relative_to(folder)): _result(job)
        for job in sorted(begun, key=lambda job: (len(job.name), job.name))
    }
    terminal.show(terminal.sweep(results))
    worst = max((int(result["exit_code"]) for result in results.values()), default=1)
    for path in [Path(result.get("open", "")) for result in results.values() if not worst]:
        if path.suffix == ".open":  # a file of results may be anybody's
            path.unlink(missing_ok=True)
    return worst


def _job(config: DictConfig) -> None:
    """Do one job, for Hydra. Never raises: the result is written beside the job's output."""
    about = hydra_config.HydraConfig.get()
    folder = Path(about.runtime.output_dir)
    overrides = list(map(arguments.as_typed, arguments.of_task(about)))
    result: dict[str, Any] = {"overrides": overrides, "entries": {}, "error": None}
    try:
        # Not checked: a plugin made the job up, or started a process.
        known = _checked.pop(tuple(overrides), None)
        run, work = known or _work(config, about.runtime.choices.get("experiment"), overrides)
        environment.prepare(run)  # before the imports that bring Keras
        result |= _do(work, folder)
    except Exception as error:
        if isinstance(error, InputError):  # what names code, or needs the data
            error = ConfigError(arguments.problems(error, str(about.job.config_name), overrides))
        kind = "" if isinstance(error, ExperimentError) else f"{type(error).__name__}: "
        result |= {"exit_code": _told(error), "error": f"{kind}{error}"}
    try:
        files.write_atomic(folder / RESULT, files.to_json(result, indent=True))
    except OSError as error:
        _told(error)


def _result(job: Path) -> dict[str, Any]:
    """Return what is kept of a job."""
    lost = {"exit_code": 1, "error": "did not end"}
    return dict(files.read_json(job / RESULT) if (job / RESULT).is_file() else lost)


def _do(work: Work, folder: Path) -> dict[str, Any]:
    """Do what was asked for, and return what is kept of it."""
    from runner.report import terminal
    from runner.run import experiment, predict, rehearsal, reproduce, stored

    if isinstance(work, stored.Reproduction):
        verdict = reproduce.reproduce(work, folder)
        terminal.show(terminal.reproduction(verdict))
        return {"exit_code": verdict.exit_code, **asdict(verdict)}
    if not isinstance(work, Experiment):
        rows = predict.predict(work)
        log.info("predicted %d rows with %s: %s", rows, work.entry.id, work.output)
        return {"exit_code": 0, "rows": rows}
    if work.run.mode == "check":
        return {"exit_code": rehearsal.rehearse(work)}
    (folder / EFFECTIVE).write_text(compose.effective(work), encoding="utf-8")
    sweep = str(hydra_config.HydraConfig.get().mode) == "RunMode.MULTIRUN"
    new_id = f"{folder.parent.name}-{folder.name}" if sweep else folder.name
    done = experiment.run(work, new_id, in_sweep=sweep)
    return {
        "exit_code": done.exit_code,
        "open": experiment.open_file(work),
        "entries": done.entries,
        "taken_over": done.taken_over,
    }


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
            if config.hydra.runtime.choices["hydra/launcher"] == "basic":  # all in this process
                environment.claim(_checked[tuple(overrides)][0])
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
    own = " ".join(o.lstrip("+") for o in having[0] if any(o not in job for job in jobs))
    return f" (in {len(having)} of {len(jobs)} jobs{', the first' * (len(having) > 1)}: {own})"


def _work(config: DictConfig, choice: str | None, overrides: list[str]) -> tuple[Run, Work]:
    """Return what a composed config asks for, checked, and the settings to run it with; untrusted
    code may be allowed at a terminal.
    """
    tree = compose.said(config)
    try:
        return _understood(tree, choice, overrides)
    except errors.UntrustedCode as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        head, ask = f"{error.what} would import and run:", "Import and run it? [y/N] "
        print(head, *error.names, ask, sep="\n  ", end="", file=sys.stderr, flush=True)
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

    return run, predict.plan(
        History(run.paths.root), run.predict, run.input, run.output, trust=run.trust
    )


def register(*, values: bool = True) -> None:
    """Tell Hydra of our resolver, our check and the user's folder, and in which keys it takes
    anything, because our own checker judges it.

    Args:
        values: whether this includes GIVEN, where the command line's sections go.
    """
    node: dict[str, object] = {
        key: DictConfig({}, flags={"struct": False})
        for key in (
            *SECTIONS,
            "pipelines",
            "hooks",
            "paths",
            "executor",
            *[arguments.GIVEN] * values,
        )
    }
    node["hydra"] = {"callbacks": {"check": {"_target_": "runner.cli.Check"}}}
    config_store.ConfigStore.instance().store(name="sections", node=DictConfig(node))
    secrets.guard()
    plugins.Plugins.instance().register(UserConf)
    bounds.register()


def _told(error: Exception) -> int:
    """Say what went wrong, and return the exit code."""
    disk = machine_is_at_fault(error)
    if isinstance(error, ExperimentError):
        for text in map(str, error.problems if isinstance(error, ConfigError) else [error]):
            print(
                "error:", secrets.without_secrets(text).replace("\n", "\n       "), file=sys.stderr
            )
        return error.exit_code
    if disk:
        print(
            f"error: {error}; what was acknowledged is kept: make room and re-run the same command",
            file=sys.stderr,
        )
    else:
        log.error("a code error: %s: %s", type(error).__name__, error, exc_info=error)
    return 1
