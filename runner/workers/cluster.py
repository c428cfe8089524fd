"""Trials and refits on the machines of a Dask cluster, whose scheduler and workers are started with
Dask's own commands.

A Dask worker trains nothing itself: its event loop draws from the random state that Keras takes its
seeds from. For each run it keeps a process, a node, that gives tasks to workers of its machine as
is done on one machine alone (executors.Processes), so that one that dies costs its task alone. What
a lost machine was doing, Dask gives to another.
"""

import json
import logging
import multiprocessing
import os
import pickle
import platform
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing import managers
from pathlib import Path
from typing import Any

import distributed

from foundation import secrets
from runner import __version__, errors
from runner.config import schema
from runner.training import environment
from runner.workers import executors, tasks, worker

log = logging.getLogger("runner")

FAR = (tasks.trial, tasks.refit, environment.devices)  # what Dask workers do
PATIENCE = 5  # seconds until a scheduler that does not answer is taken for gone
IDLE = 60  # seconds without a task, after which a node ends
# what of the environment decides numbers; Dask sets some of it for its workers
DECIDING = ("OMP_", "MKL_", "OPENBLAS_", "TF_", "XLA_FLAGS", "JAX_", "PYTHONHASHSEED")

# --- where the run was started


class Dask(executors.Processes):
    """The workers of a Dask scheduler, and one of this machine for all that is not theirs to do."""

    def __init__(self, run: schema.Run) -> None:
        assert isinstance(run.executor, schema.DaskExecutor)
        self.address = run.executor.address
        self.threads_known = -1
        # a lost scheduler is told by us
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        try:
            address = self.address
            if "://" not in address:
                address = json.loads(Path(address).read_text())["address"]
            self.client: Any = distributed.Client(  # type: ignore[no-untyped-call]
                address, timeout=PATIENCE, set_as_default=False
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise errors.InputError(
                f"executor.address: no Dask scheduler answers at {self.address}: {error}. Start "
                "one with `dask scheduler`, and its workers with `dask worker`"
            ) from error
        super().__init__(run, slots=1)
        self.threads = ThreadPoolExecutor(10_000, "task")  # which wait
        environ = {key: value for key, value in os.environ.items() if key.startswith(DECIDING)}
        self.origin = (
            os.urandom(8),
            run.backend,
            versions(run.backend),
            pickle.dumps((run, str(Path.cwd()), environ, secrets.known, logging.root.level)),
        )
        _ = self.slots  # which says how many there are

    @property
    def slots(self) -> int:
        """How many threads the Dask workers have, now."""
        threads = self.threads_known
        if self.client.status == "running":
            with suppress(OSError):  # the scheduler is gone, as the tasks tell
                threads = sum(self.client.nthreads().values())
        if threads != self.threads_known:
            hint = "" if threads else ": waiting for a `dask worker`"
            log.info("%d threads of Dask workers at %s%s", threads, self.address, hint)
        self.threads_known = threads
        return threads

    def answer(self, function: worker.Function, arguments: worker.Arguments) -> worker.Answer:
        if function not in FAR:
            return super().answer(function, arguments)
        executor, task = self.client.get_executor(pure=False), pickle.dumps((function, arguments))
        self.busy[threading.current_thread()] = function, arguments, time.monotonic()
        try:
            return executor.submit(on_worker, *self.origin, task).result()  # type: ignore[no-any-return]
        except (CancelledError, distributed.client.ClosedClientError):
            raise errors.ExperimentError(
                f"the Dask scheduler at {self.address} is gone; finished trials are kept: re-run "
                "the same command to resume"
            ) from None
        except distributed.KilledWorker as error:
            raise errors.WorkerDied(str(error)) from error
        except (ImportError, RuntimeError) as error:
            raise errors.ExperimentError(
                f"the Dask scheduler at {self.address}, or one of its workers: "
                f"{error.__cause__ or error}; they all need the same packages"
            ) from error
        finally:
            self.busy[threading.current_thread()] = None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.client.close(timeout=PATIENCE)
        super().shutdown()


def versions(backend: str) -> dict[str, str]:
    """Return what must be the same on all machines."""
    return {
        "runner": __version__,
        "Python": platform.python_version()[:4],
        **environment.versions(backend),
    }


# --- on a machine with a Dask worker

nodes: dict[bytes, "Node"] = {}  # by run
lock = threading.Lock()


def on_worker(
    key: bytes, backend: str, expected: Mapping[str, str], origin: bytes, task: bytes
) -> worker.Answer:
    """Do a task, in a thread of a Dask worker.

    Args:
        key: of the run.
        backend: of Keras.
        expected: the versions by which the others are pickled.
        origin: the run's settings, and what a node begins with.
        task: a function and its arguments.

    Raises:
        ExperimentError: this machine is not as it must be.
    """
    here: Any = distributed.get_worker()
    name = here.get_current_task()
    installed = versions(backend)
    differing = []
    for package, version in expected.items():
        if installed[package] != version:
            differing.append(f"{package} {installed[package]}, not {version}")
    if differing:
        versions_here = "; ".join(differing)
        raise errors.ExperimentError(f"the Dask worker on {platform.node()} has {versions_here}")
    with lock:
        if key not in nodes:
            nodes[key] = Node(here, *pickle.loads(origin))
        node = nodes[key]
        node.tasks.add(name)
    try:
        return node.workers.answer(*pickle.loads(task))  # type: ignore[no-any-return]
    except (EOFError, ConnectionError):  # the node is gone, or the task is not wanted any more
        nodes.pop(key, None)
        raise distributed.Reschedule from None
    finally:
        node.tasks.discard(name)
        node.used = time.monotonic()


class Node(managers.BaseManager):
    """A process that has the workers of this machine for one run."""

    def __init__(self, here: Any, run: schema.Run, folder: str, *settings: Any) -> None:
        try:
            os.chdir(folder)
        except OSError as error:
            raise errors.ExperimentError(
                f"the Dask worker on {platform.node()} cannot enter {folder}, where the run was "
                f"started ({error.strerror}): start runs in a folder that all machines share"
            ) from error
        multiprocessing.current_process().daemon = False  # one that is may have no children
        super().__init__(ctx=multiprocessing.get_context("spawn"))
        self.start(begin, (folder, *settings))
        self.here, self.tasks, self.used = here, set[str](), time.monotonic()
        self.workers: Any = self.Local(run, here.state.nthreads)  # type: ignore[attr-defined]  # by register()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """End the process once nobody wants what it does: Dask cannot end a task that runs."""
        while self._is_wanted():
            time.sleep(1)
        with lock:
            for key in [key for key, node in nodes.items() if node is self]:
                del nodes[key]
        self.shutdown()

    def _is_wanted(self) -> bool:
        if self.here.status.name not in ("running", "paused"):
            return False
        wanted, tasks = self.here.state.tasks, [*self.tasks]
        if not tasks:
            return time.monotonic() - self.used < IDLE
        return all(name in wanted and wanted[name].state == "executing" for name in tasks)


class Local(executors.Processes):
    """What a node has: workers that share the data, which is loaded once on each machine."""

    def answer(self, function: worker.Function, arguments: worker.Arguments) -> worker.Answer:
        if function in (tasks.trial, tasks.refit):
            run, pipeline, planned, *rest = arguments
            with lock:
                loading = self.data(pipeline)
            try:
                data = loading.result()
                if data.content != planned.content:
                    raise errors.DataError("the data has changed since the run was planned")
            except errors.DataError as error:
                raise errors.DataError(f"{error} (on {platform.node()})") from error
            arguments = (run, pipeline, replace(data, code=planned.code), *rest)
        return super().answer(function, arguments)


Node.register("Local", Local, exposed=("answer",))


def begin(folder: str, environ: Mapping[str, str], known: Mapping[str, str], level: int) -> None:
    """Make this process a node, as the one is that the run was started by."""
    worker.stay(known, level)
    sys.path.insert(0, folder)  # the user's code
    for name in [name for name in os.environ if name.startswith(DECIDING)]:
        del os.environ[name]
    os.environ |= environ
