"""Behind the door: arguments in, messages and exit codes out. Hydra does the rest.

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
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core import config_search_path, config_store, global_hydra, hydra_config, plugins
from hydra.experimental.callback import Callback
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from foundation import errors, files, secrets, streams
from history import History
from runner.config import arguments, bounds, choices, compose, schema
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
OURS = LOG, RESULT, EFFECTIVE = "run.log", "result.json", "effective.yaml"
HYDRAS = ("config.yaml", "hydra.yaml", "overrides.yaml")
# Options with which Hydra answers by itself.
ANSWERS = {"--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc"}
# What a job is, by its arguments: its settings, and an Experiment, Reproduction or Prediction.
_checked: dict[tuple[str, ...], tuple[schema.Run, object]] = {}


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
    open_sweep: ClassVar[Path] = Path()  # the file that says so, if one does
    stdout: ClassVar[int] = 0  # where the result goes as JSON, if that was asked for

    def on_run_start(self, config: DictConfig, **_: object) -> None:
        folder = self._start(config, "run")[0]
        hydras = folder / (config.hydra.output_subdir or ".")
        root = Path(os.path.expanduser(config.paths.root))  # noqa: PTH111 - keeps ~nobody
        left = [
            *(hydras / name for name in HYDRAS),
            *(folder / name for name in OURS),
            *(hydras, *hydras.parents, folder, *folder.parents),
            *(root / ".locks", root / "runs", root),
        ]
        Check.finish = partial(_end_run, folder, [path for path in left if not path.exists()])

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        folder, jobs = self._start(config, "sweep")
        Check.finish = partial(_end_sweep, folder, jobs)
        _share_cores(config.hydra, len(jobs))

    def _start(self, config: DictConfig, key: str) -> tuple[Path, list[list[str]]]:
        """Check all jobs, and return the folder that their output goes to, and their arguments."""
        try:
            jobs = _check(config, sweeps=key == "sweep")
            folder = os.path.expanduser(config.hydra[key].dir)  # noqa: PTH111 - keeps ~nobody
            if _checked and all(run.mode == "check" or run.predict for run, _ in _checked.values()):
                # It leaves nothing but its output, and the root may be read-only, or another's.
                folder = self.leaving.enter_context(tempfile.TemporaryDirectory(prefix="runner-"))
            elif key == "sweep":
                folder = self._open(folder, jobs)
        except Exception as error:
            sys.exit(
                _told(
                    ConfigError(arguments.problems(error))
                    if isinstance(error, arguments.COMPLAINTS)  # over the folder's name
                    else error
                )
            )
        config.hydra[key].dir = folder
        # for the jobs of a sweep
        config.hydra.overrides.hydra.append(
            "hydra.{}.dir='{}'".format(key, folder.replace("'", r"\'"))
        )
        return Path(folder), jobs

    def _open(self, folder: str, jobs: list[list[str]]) -> str:
        """Return the folder of a sweep of the same runs that this command continues, or else the
        one given; leave where another process has ended it while this one waited.
        """
        from runner.run import identity, opened

        runs = [work for _, work in _checked.values() if isinstance(work, schema.Experiment)]
        if not runs or len(runs) < len(_checked):
            return folder
        Check.open_sweep = opened.path_of(
            runs[0].root, f"sweep-{identity.digest([identity.run_key(run) for run in runs])}"
        )
        now, _, ended = self.leaving.enter_context(
            opened.opened(Check.open_sweep, "this sweep", folder, fresh=runs[0].run.fresh)
        )
        if ended:
            sys.exit(_end_sweep(Path(now), jobs))
        return now


def main() -> int:
    """Run the command line in sys.argv and return the exit code."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises to us instead of printing and leaving
    try:
        values = ANSWERS.isdisjoint(argument.partition("=")[0] for argument in sys.argv)
        if values and "--json" in sys.argv:
            Check.stdout = os.dup(1)
            os.dup2(2, 1)  # whatever else is said, by workers and the user's code too
        register(values=values)
        sys.argv[1:] = arguments.for_hydra(sys.argv[1:], values=values)
        with Check.leaving:
            try:
                hydra.main(str(choices.conf_folder()), "config", version_base="1.3")(_job)()
            except Exception as error:
                if Check.finish.func is not _end_sweep:
                    raise
                log.error("the launcher failed: %s", str(error).partition("\n")[0])
            return Check.finish()
    except (InputError, *arguments.COMPLAINTS) as error:
        return _told(ConfigError(arguments.problems(error)))
    except OSError as error:  # Hydra's own files, of a start
        return _told(error)


def _end_run(folder: Path, new: list[Path]) -> int:
    """Return the exit code; where nothing was started, take away what is new, each by its name."""
    path = folder / RESULT
    result = files.read_json(path) if path.is_file() else {"exit_code": 1}
    for path in new if result["exit_code"] == 2 else ():
        with suppress(OSError):  # it holds what is not ours
            (path.rmdir if path.is_dir() else path.unlink)()
    return _answer(result)


def _answer(result: files.JsonObject) -> int:
    """Return the exit code of a result, which goes to stdout if it was asked for."""
    if Check.stdout:
        sys.stdout.flush()
        os.dup2(Check.stdout, 1)
        print(json.dumps(result), flush=True)
    return int(result["exit_code"])


def _end_sweep(folder: Path, jobs: list[list[str]]) -> int:
    """Show the table of all jobs of a sweep, and return the worst exit code among them; where all
    have ended well, the same command is a new sweep.
    """
    from runner.report import terminal
    from runner.run import sweep

    result = sweep.came_to(folder, jobs)
    terminal.show(terminal.sweep(result))
    files.write_atomic(folder / RESULT, files.to_json(result, indent=True))
    code = _answer(result)
    for path in [Check.open_sweep, *(Path(job.get("open", "")) for job in result["jobs"])]:
        if not code and path.suffix == ".open":  # a file of results may be anybody's
            path.unlink(missing_ok=True)
    return code


def _share_cores(about: DictConfig, jobs: int) -> None:
    """Let jobs that a launcher starts at once on this machine each take its share of the cores: it
    is what `executor.workers=auto` counts then.
    """
    if (launcher := about.runtime.choices["hydra/launcher"]) in ("joblib", "submitit_local"):
        from joblib import cpu_count, effective_n_jobs

        most = effective_n_jobs(about.launcher.get("n_jobs", jobs or 1))
        at_once = min(jobs or most, most)
        if launcher == "joblib":
            about.launcher.n_jobs = at_once  # it would count the share
        os.environ["LOKY_MAX_CPU_COUNT"] = str(max(1, cpu_count() // at_once))


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
            run, work = _checked.get(tuple(overrides)) or _work(
                config, about.runtime.choices.get("experiment"), overrides
            )  # not checked: a plugin made the job up, or started a process
            result |= {"error": None, **_do(run, work, folder, about)}
        except Exception as error:
            if isinstance(error, InputError):  # what names code, or needs the data
                error = ConfigError(
                    arguments.problems(error, str(about.job.config_name), overrides)
                )
            result |= {
                "exit_code": _told(error),
                "error": str(error)
                if isinstance(error, ExperimentError)
                else f"{type(error).__name__}: {error}",
            }
        try:
            files.write_atomic(folder / RESULT, files.to_json(result, indent=True))
        except OSError as error:
            _told(error)


def _do(run: schema.Run, work: Any, folder: Path, about: Any) -> dict[str, Any]:
    """Do what was asked for, and return what is kept of it."""
    from runner.report import terminal
    from runner.run import experiment, predict, rehearsal, reproduce, stored

    if isinstance(work, stored.Reproduction):
        verdict = reproduce.reproduce(work, folder)
        terminal.show(terminal.reproduction(verdict))
        return {"exit_code": verdict.exit_code, **asdict(verdict)}
    if isinstance(work, predict.Prediction):
        environment.prepare(run)  # here, and before the import of Keras
        rows = predict.predict(work)
        log.info("predicted %d rows with %s: %s", rows, work.entry.id, work.output)
        return {"exit_code": 0, "rows": rows}
    if run.mode == "check":
        return {"exit_code": rehearsal.rehearse(work)}
    sweep = None if OmegaConf.is_missing(about.job, "num") else Path(about.sweep.dir).name
    new_id = f"{sweep}-{about.job.num}" if sweep else folder.name
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


def _check(config: DictConfig, *, sweeps: bool) -> list[list[str]]:
    """Check every job before the first one starts, and return the arguments of each; an error that
    several share is reported once.
    """
    _checked.clear()
    loader = global_hydra.GlobalHydra.instance().config_loader()
    jobs = arguments.jobs(config.hydra, loader) if sweeps else [arguments.of_task(config.hydra)]
    typed = [list(map(arguments.as_typed, job)) for job in jobs]
    found: dict[Problem, list[list[str]]] = {}
    here = config.hydra.runtime.choices["hydra/launcher"] == "basic"  # all jobs in this process
    for job, overrides in zip(jobs, typed, strict=True):
        try:
            composed = loader.load_sweep_config(config, job) if sweeps else config
            run, work = _work(composed, composed.hydra.runtime.choices.get("experiment"), overrides)
            if here:
                environment.claim(run)
            _checked[tuple(overrides)] = run, work
        except (InputError, *arguments.COMPLAINTS) as error:
            for problem in arguments.problems(error, str(config.hydra.job.config_name), overrides):
                found.setdefault(problem, []).append(overrides)
    if found:
        raise ConfigError(
            [replace(p, what=p.what + _in_jobs(having, typed)) for p, having in found.items()]
        )
    for run, _ in _checked.values():
        if here and run.executor.kind == "processes" and not run.predict:
            from runner.workers import executors

            executors.serve(run)  # while the rest is loaded
    return typed


def _in_jobs(having: list[list[str]], jobs: list[list[str]]) -> str:
    """Say which of the jobs have an error, by what distinguishes them."""
    own = " ".join(o.lstrip("+") for o in having[0] if any(o not in job for job in jobs))
    return (
        f" (in {len(having)} of {len(jobs)} jobs{', the first' * (len(having) > 1)}: {own})"
        if len(having) < len(jobs)
        else ""
    )


def _work(
    config: DictConfig, choice: str | None, overrides: list[str]
) -> tuple[schema.Run, object]:
    """Return what a composed config asks for, checked, and the settings to run it with; untrusted
    code may be allowed at a terminal.
    """
    tree = compose.said(config)
    try:
        return _understood(tree, choice, overrides)
    except errors.UntrustedCode as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        print(
            f"{error.what} would import and run:",
            *error.names,
            "Import and run it? [y/N] ",
            sep="\n  ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise
        return _understood({**tree, "trust": True}, choice, overrides)


def _understood(
    tree: compose.Tree, choice: str | None, overrides: list[str]
) -> tuple[schema.Run, object]:
    if not (tree.get("reproduce") or tree.get("predict")):
        if choice is None and not any(
            tree.get(section) for section in (*schema.SECTIONS, "pipelines")
        ):
            compose.run_settings(tree)  # what is wrong with the root keys comes first
            raise InputError(
                "no experiment was given; add +experiment=NAME. "
                f"Experiments:\n{choices.experiments()}\n--help lists everything that can be "
                "given"
            )
        experiment = compose.experiment(
            str(choice or "main").removesuffix(".yaml"), tree, overrides
        )
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
    return run, predict.plan(
        History(run.paths.root), run.predict, run.input, run.output, trust=run.trust
    )


def register(*, values: bool = True) -> None:
    """Tell Hydra of our resolver, our check and the user's folder, and in which keys it takes
    anything, because our own checker judges it.

    Args:
        values: whether this includes GIVEN, where the command line's sections go.
    """
    taken = (
        *schema.SECTIONS,
        "pipelines",
        "hooks",
        "paths",
        "executor",
        *[arguments.GIVEN] * values,
    )
    node = {
        "hydra": {"callbacks": {"check": {"_target_": "runner.cli.Check"}}},
        **{key: DictConfig({}, flags={"struct": False}) for key in taken},
        "artefacts": [],  # a list replaces no mapping
    }
    config_store.ConfigStore.instance().store(name="sections", node=DictConfig(node))
    secrets.guard()
    plugins.Plugins.instance().register(UserConf)
    SourcesRegistry.instance().types["file"] = bounds.FileConfigSource  # its plugins are loaded


def _told(error: Exception) -> int:
    """Say what went wrong, and return the exit code."""
    if isinstance(error, ExperimentError):
        for text in map(str, error.problems if isinstance(error, ConfigError) else [error]):
            print(
                "error:", secrets.without_secrets(text).replace("\n", "\n       "), file=sys.stderr
            )
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
