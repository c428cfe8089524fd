"""The command line of the runner: arguments in, messages and exit codes out. Hydra does the rest.

Exit codes: 0 done; 1 something failed while running, what was done is kept; 2 the input is wrong,
nothing was started; 3 a reproduction diverged; 129, 130 and 143 interrupted (SIGHUP, Ctrl-C,
SIGTERM).
"""

import json
import logging
import os
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import hydra
from hydra.core import global_hydra, hydra_config
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from foundation import errors, files, secrets, streams
from runner.config import arguments, choices, compose, plugins, problems, schema
from runner.errors import (
    ConfigError,
    ExperimentError,
    InputError,
    Problem,
    machine_is_at_fault,
)
from runner.training import environment

log = logging.getLogger("runner")

# What a run leaves in its output folder: what it logged; its exit code and entries; the config as
# it was understood. Hydra's go below hydra.output_subdir, if that is set.
RESULT = "result.json"
EFFECTIVE = "effective.yaml"
OUTPUTS = ("run.log", RESULT, EFFECTIVE)
HYDRAS = ("config.yaml", "hydra.yaml", "overrides.yaml")
# Options with which Hydra answers by itself.
ANSWERS = {"--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc"}
# The settings of a job, and its Experiment, Reproduction or Prediction.
Work = tuple[schema.Run, Any]


def main() -> int:
    """Run the command line in sys.argv and return the exit code."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises to us instead of printing and leaving
    hydra_answers = any(argument.partition("=")[0] in ANSWERS for argument in sys.argv)
    command = Check.command = Command()
    try:
        if "--json" in sys.argv and not hydra_answers:
            command.stdout = os.dup(1)
            os.dup2(2, 1)  # whatever else is said, by workers and the user's code too
        plugins.register(values=not hydra_answers)
        sys.argv[1:] = arguments.for_hydra(sys.argv[1:], values=not hydra_answers)
        with command.leaving:
            try:
                hydra.main(str(choices.conf_folder()), "config", version_base="1.3")(_job)()
            except Exception as error:
                if command.sweep_folder is None:
                    raise
                log.error("the launcher failed: %s", str(error).partition("\n")[0])
            return command.finish()
    except (InputError, OSError, *problems.COMPLAINTS) as error:
        return _refuse(error)


class Command:
    """One command line: its jobs, all of them checked before a folder is made, and its end."""

    def __init__(self) -> None:
        self.jobs: list[list[str]] = []  # the arguments of each
        self.works: dict[tuple[str, ...], Work] = {}  # what each job is, by its arguments
        # Where the output goes, once it is about to start; Hydra may have answered by itself.
        self.run_folder: Path | None = None
        self.sweep_folder: Path | None = None
        self.new_paths: list[Path] = []  # that a run makes, innermost first
        self.open_sweep = Path()  # the file that says that the sweep is open, if one does
        self.stdout: int | None = None  # where the result goes as JSON, if that was asked for
        self.leaving = ExitStack()

    def begin_run(self, config: DictConfig) -> None:
        """Check the run that Hydra has composed, and give it its output folder."""
        folder = self._begin(config, "run")
        hydras = folder / (config.hydra.output_subdir or ".")
        root = Path(os.path.expanduser(config.paths.root))  # noqa: PTH111 - keeps ~nobody
        paths = [hydras / name for name in HYDRAS]
        paths += [folder / name for name in OUTPUTS]
        paths += [hydras, *hydras.parents, folder, *folder.parents]
        paths += [root / ".locks", root / "runs", root]
        self.new_paths = [path for path in paths if not path.exists()]
        self.run_folder = folder

    def begin_sweep(self, config: DictConfig) -> None:
        """Check all jobs of the sweep that Hydra has composed, and give it its output folder."""
        self.sweep_folder = self._begin(config, "sweep")
        _share_cores(config.hydra, len(self.jobs))

    def _begin(self, config: DictConfig, kind: str) -> Path:
        try:
            self._check(config, is_sweep=kind == "sweep")
            folder = os.path.expanduser(config.hydra[kind].dir)  # noqa: PTH111 - keeps ~nobody
            runs = [run for run, _ in self.works.values()]
            if runs and all(run.mode == "check" or run.predict for run in runs):
                # It leaves nothing but its output, and the root may be read-only, or another's.
                folder = self.leaving.enter_context(tempfile.TemporaryDirectory(prefix="runner-"))
            elif kind == "sweep":
                folder = self._open(folder)
        except Exception as error:
            sys.exit(_refuse(error))
        config.hydra[kind].dir = folder
        quoted = folder.replace("'", r"\'")
        config.hydra.overrides.hydra.append(f"hydra.{kind}.dir='{quoted}'")  # for a sweep's jobs
        return Path(folder)

    def _check(self, config: DictConfig, *, is_sweep: bool) -> None:
        """Check every job before the first one starts; an error that several share is reported
        once.
        """
        loader = global_hydra.GlobalHydra.instance().config_loader()
        here = config.hydra.runtime.choices["hydra/launcher"] == "basic"  # all jobs in this process
        jobs = [arguments.of_task(config.hydra)]
        if is_sweep:
            jobs = arguments.jobs(config.hydra, loader)
        wrong_jobs: dict[Problem, list[list[str]]] = {}
        for job in jobs:
            overrides = list(map(arguments.as_typed, job))
            self.jobs.append(overrides)
            try:
                composed = loader.load_sweep_config(config, job) if is_sweep else config
                work = _work(composed, composed.hydra, overrides)
                if here:
                    environment.claim(work[0])
                self.works[tuple(overrides)] = work
            except (InputError, *problems.COMPLAINTS) as error:
                for problem in problems.of(error, str(config.hydra.job.config_name), overrides):
                    wrong_jobs.setdefault(problem, []).append(overrides)
        if wrong_jobs:
            raise ConfigError(
                [
                    replace(problem, what=problem.what + _in_jobs(wrong, self.jobs))
                    for problem, wrong in wrong_jobs.items()
                ]
            )
        for run, _ in self.works.values():
            if here and run.executor.kind == "processes" and not run.predict:
                from runner.workers import executors

                executors.serve(run)  # while the rest is loaded

    def _open(self, folder: str) -> str:
        """Return the folder of a sweep of the same runs that this command continues, or else the
        one given; leave where another process has ended it while this one waited.
        """
        from runner.run import identity, opened

        experiments = [work for _, work in self.works.values()]
        if not experiments or any(not isinstance(work, schema.Experiment) for work in experiments):
            return folder
        key = identity.digest([identity.run_key(work) for work in experiments])
        self.open_sweep = opened.path_of(experiments[0].root, f"sweep-{key}")
        fresh = experiments[0].run.fresh
        now, _, ended = self.leaving.enter_context(
            opened.opened(self.open_sweep, "this sweep", folder, fresh=fresh)
        )
        if ended:
            sys.exit(self._end_sweep(Path(now)))
        return now

    def finish(self) -> int:
        """End what Hydra has done, and return the exit code."""
        if self.sweep_folder:
            return self._end_sweep(self.sweep_folder)
        return self._end_run(self.run_folder) if self.run_folder else 0

    def _end_run(self, folder: Path) -> int:
        """Return the exit code; where nothing was started, take away what is new, each by its
        name.
        """
        path = folder / RESULT
        result = files.read_json(path) if path.is_file() else {"exit_code": 1}
        if result["exit_code"] == InputError.exit_code:
            for path in self.new_paths:
                with suppress(OSError):  # it holds what is not ours
                    if path.is_dir():
                        path.rmdir()
                    else:
                        path.unlink()
        return self._answer(result)

    def _end_sweep(self, folder: Path) -> int:
        """Show the table of all jobs of a sweep, and return the worst exit code among them; where
        all have ended well, the same command is a new sweep.
        """
        from runner.report import terminal
        from runner.run import sweep

        result = sweep.came_to(folder, self.jobs)
        terminal.show(terminal.sweep(result))
        files.write_atomic(folder / RESULT, files.to_json(result, indent=True))
        code = self._answer(result)
        if code == 0:
            for path in [self.open_sweep, *(Path(job.get("open", "")) for job in result["jobs"])]:
                if path.suffix == ".open":  # a file of results may be anybody's
                    path.unlink(missing_ok=True)
        return code

    def _answer(self, result: files.JsonObject) -> int:
        """Return the exit code of a result, which goes to stdout if it was asked for."""
        if self.stdout is not None:
            sys.stdout.flush()
            os.dup2(self.stdout, 1)
            print(json.dumps(result), flush=True)
        return int(result["exit_code"])


class Check(Callback):
    """Lets the command of this process check all that Hydra is about to do. Hydra would make a
    warning of an exception, so what is refused leaves as SystemExit.
    """

    command: ClassVar[Command] = Command()  # in a process that a launcher has started: an empty one

    def on_run_start(self, config: DictConfig, **_: object) -> None:
        self.command.begin_run(config)

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        self.command.begin_sweep(config)


def _in_jobs(wrong: list[list[str]], jobs: list[list[str]]) -> str:
    """Say which of the jobs have an error, by what distinguishes the first of them."""
    if len(wrong) == len(jobs):
        return ""
    own = [each.lstrip("+") for each in wrong[0] if any(each not in job for job in jobs)]
    first = ", the first" if len(wrong) > 1 else ""
    return f" (in {len(wrong)} of {len(jobs)} jobs{first}: {' '.join(own)})"


def _share_cores(about: DictConfig, jobs: int) -> None:
    """Let jobs that a launcher starts at once on this machine each take its share of the cores: it
    is what `executor.workers=auto` counts then.
    """
    launcher = about.runtime.choices["hydra/launcher"]
    if launcher not in ("joblib", "submitit_local"):
        return
    from joblib import cpu_count, effective_n_jobs

    most = effective_n_jobs(about.launcher.get("n_jobs", jobs or 1))
    at_once = min(jobs or most, most)
    if launcher == "joblib":
        about.launcher.n_jobs = at_once  # it would count the share
    os.environ["LOKY_MAX_CPU_COUNT"] = str(max(1, cpu_count() // at_once))


def _work(config: DictConfig, about: Any, overrides: list[str]) -> Work:
    """Return what a composed config asks for, checked; untrusted code may be allowed at a terminal.

    Args:
        config: as Hydra composed it.
        about: Hydra's own part of it.
        overrides: the arguments of the job, as typed.
    """
    tree, choice = compose.plain(config), about.runtime.choices.get("experiment")
    try:
        return _understood(tree, choice, overrides)
    except errors.UntrustedCode as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        names = "\n  ".join(error.names)
        question = f"{error.what} would import and run:\n  {names}\n  Import and run it? [y/N] "
        print(question, end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise
        return _understood({**tree, "trust": True}, choice, overrides)


def _understood(tree: compose.Tree, choice: str | None, overrides: list[str]) -> Work:
    if not (tree.get("reproduce") or tree.get("predict")):
        if choice is None and not any(map(tree.get, (*schema.SECTIONS, "pipelines"))):
            compose.run_settings(tree)  # what is wrong with the root keys comes first
            raise InputError(
                "no experiment was given; add +experiment=NAME. "
                f"Experiments:\n{choices.experiments()}\n--help lists everything that can be "
                "given"
            )
        name = str(choice or "main").removesuffix(".yaml")
        experiment = compose.experiment(name, tree, overrides)
        return experiment.run, experiment
    run = compose.run_settings(tree)
    if choice is not None:
        raise InputError(
            "reproduce and predict take everything from the history; leave out the experiment"
        )
    from runner.run import predict, stored

    if run.predict is None:
        again = stored.reproduction(run, overrides)
        return again.experiment.run, again
    return run, predict.plan(run)


def _job(config: DictConfig) -> None:
    """Do one job, for Hydra. Never raises: the result is written beside the job's output."""
    from runner.run import sweep

    about = hydra_config.HydraConfig.get()
    folder = Path(about.runtime.output_dir)
    overrides = list(map(arguments.as_typed, arguments.of_task(about)))
    result: files.JsonObject = {
        "job": None if OmegaConf.is_missing(about.job, "num") else about.job.num,  # of a sweep
        "overrides": overrides,
        **sweep.BEGUN,
    }
    with ExitStack() as alone:
        try:
            alone.enter_context(files.held(folder / sweep.LOCK, "this job"))
            files.write_atomic(folder / RESULT, files.to_json(result, indent=True))
            if streams.Stream.clean is str:  # a launcher has started this process
                streams.guard()
                secrets.guard()
            # not checked: a plugin made the job up, or started a process
            checked = Check.command.works.get(tuple(overrides))
            run, work = checked or _work(config, about, overrides)
            result |= {"error": None, **_do(run, work, folder, about)}
        except Exception as error:
            if isinstance(error, InputError):  # what names code, or needs the data
                error = ConfigError(problems.of(error, str(about.job.config_name), overrides))
            message = str(error)
            if not isinstance(error, ExperimentError):
                message = f"{type(error).__name__}: {message}"
            result |= {"exit_code": _report(error), "error": message}
        try:
            files.write_atomic(folder / RESULT, files.to_json(result, indent=True))
        except OSError as error:
            _report(error)


def _do(run: schema.Run, work: Any, folder: Path, about: Any) -> dict[str, Any]:
    """Do what was asked for, and return what is kept of it."""
    from runner.report import terminal
    from runner.run import experiment, predict, rehearsal, reproduce, stored

    if isinstance(work, stored.Reproduction):
        verdict = reproduce.reproduce(work, folder)
        terminal.show(reproduce.page(verdict))
        return {"exit_code": verdict.exit_code, **asdict(verdict)}
    if isinstance(work, predict.Prediction):
        environment.prepare(run)  # here, and before the import of Keras
        rows = predict.predict(work)
        log.info("predicted %d rows with %s: %s", rows, work.entry.id, work.output)
        return {"exit_code": 0, "rows": rows}
    if run.mode == "check":
        return {"exit_code": rehearsal.rehearse(work)}
    new_id, sweep = folder.name, None
    if not OmegaConf.is_missing(about.job, "num"):
        sweep = Path(about.sweep.dir).name
        new_id = f"{sweep}-{about.job.num}"
    done = experiment.run(work, folder / EFFECTIVE, new_id, sweep)
    return {
        "exit_code": done.exit_code,
        "root": str(done.root),
        "open": experiment.open_file(work),
        "entries": done.entries,
        "scores": done.scores,
        "error": "; ".join(done.failures) or None,
        "taken_over": done.taken_over,
    }


def _refuse(error: Exception) -> int:
    """Say why nothing was started, and return the exit code."""
    if isinstance(error, problems.COMPLAINTS):
        error = ConfigError(problems.of(error))
    return _report(error)


def _report(error: Exception) -> int:
    """Say what went wrong, and return the exit code."""
    if isinstance(error, ExperimentError):
        parts = error.problems if isinstance(error, ConfigError) else [error]
        for part in parts:
            text = secrets.without_secrets(str(part)).replace("\n", "\n       ")
            print("error:", text, file=sys.stderr)
        return error.exit_code
    if machine_is_at_fault(error):
        print(
            f"error: {error}; finished work is kept: free some space and run the same command "
            "again",
            file=sys.stderr,
        )
    else:
        log.error("error in the code: %s: %s", type(error).__name__, error, exc_info=error)
    return 1
