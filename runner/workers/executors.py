"""Where trials and refits run: in this process, or in workers, processes of this machine that stay
for a whole run. Everything above sees a concurrent.futures.Executor.

With workers, this process imports neither Keras nor a backend nor the user's code. They are forked
from a server that has imported Keras once (preload.py).
"""

import functools
import logging
import multiprocessing
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import cycle
from multiprocessing import forkserver
from pathlib import Path
from typing import IO, Any, TypeVar

import joblib

from foundation import secrets, streams
from runner import Interrupted, errors
from runner.config import schema
from runner.data.limits import available
from runner.data.shared import KEPT, Loaded
from runner.training import environment, ledger
from runner.workers import tasks, worker

log = logging.getLogger("runner")
T = TypeVar("T")

DEATHS = 3  # of workers, after which a task counts as their cause
MOMENT = 0.2  # seconds, until a signal that ended a worker has reached this process, too
GROWTH = 1.5  # times the memory that it had after its first task: a worker is renewed
LEAST = 10**9  # bytes of memory that each worker may have, and that must be free for it
VISIBLE = "CUDA_VISIBLE_DEVICES"
# where others use a graphics processor too, each takes of its memory what it needs, instead of all
FRUGAL = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


class Workers(Executor):
    """What runs tasks; this one in this process, one after the other, as they are submitted."""

    share = False  # memory

    def __init__(self, run: schema.Run) -> None:
        self.run = run
        # by who does it: what is being done, a task and its arguments, and since when
        self.busy: dict[object, tuple[Any, Sequence[Any], float] | None] = {self: None}
        self._data: dict[str, tuple[Future[Loaded], IO[bytes] | None]] = {}

    @property
    def slots(self) -> int:
        """How many tasks can run at the same time, now."""
        return 1

    def submit(self, function: Callable[..., T], /, *arguments: Any, **_: Any) -> Future[T]:
        """Run a task; its arguments and what it returns are plain data, or sections of a config."""
        future: Future[T] = Future()
        self.busy[self] = function, arguments, time.monotonic()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        self.busy[self] = None
        return future

    def tell_idle(self, most: int | None, key: str) -> None:
        """Say it where no more than so many tasks are run at the same time, by a key of the config,
        so that workers stay idle.
        """
        slots = self.slots
        if most is not None and most < slots:
            log.info("%d of %d workers stay idle: %s=%d", slots - most, slots, key, most)

    def oracle(self, *arguments: Any) -> Any:
        """Return a search's oracle; see `runner.search.oracles.new_oracle`."""
        return tasks.oracle(*arguments)

    def data(self, pipeline: schema.Pipeline) -> Future[Loaded]:
        """Return a pipeline's data, which is loaded once for all that have the same. What no longer
        fits beside newer data is loaded again.
        """
        key = repr((pipeline.task.kind, pipeline.data))
        if key not in self._data:
            # a file in memory that others can open, which is gone with its last reference
            shared = os.fdopen(os.memfd_create("data"), "rb") if self.share else None
            path = shared and Path(f"/proc/{os.getpid()}/fd/{shared.fileno()}")
            self._data[key] = self.submit(tasks.load, pipeline, path), shared
        for old in [*self._data][:-1]:
            if old != key and self._loaded_bytes() > KEPT:
                del self._data[old]
        return self._data[key][0]

    def _loaded_bytes(self) -> int:
        done = [future for future, _ in self._data.values() if future.done()]
        return sum(future.result().size for future in done if not future.exception())


def serve(run: schema.Run) -> Any:
    """Start the server that workers are forked from, unless there is one, and return what makes
    them. It needs some seconds, during which this process can do other things.
    """
    environment.claim(run)
    os.environ |= {"KERAS_BACKEND": run.backend, "RUNNER_PID": str(os.getpid())}
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["runner.workers.preload"])
    forkserver.ensure_running()
    return context


def how_many(threads: int, workers: int | str, devices: Sequence[str]) -> int:
    """Return how many workers there are: so many, or with `auto` one for each graphics processor
    or, without any, as many as have cores and memory, those of the control group that this process
    is in.
    """
    cores = joblib.cpu_count()
    if not isinstance(workers, int):
        workers = len(devices) or max(1, int(min(cores // threads, available() / LEAST)))
    idle = cores - workers * threads
    if idle > 0:
        why = f"executor.workers={workers}, threads={threads}"
        log.info("%d of %d cores stay idle: %s", idle, cores, why)
    return workers


class Processes(Workers):
    """Workers of this machine, each of which runs one task at a time."""

    share = hasattr(os, "memfd_create")

    def __init__(self, run: schema.Run, slots: int | None = None) -> None:
        super().__init__(run)
        settings, devices = run.executor, environment.graphics()
        assert not isinstance(settings, schema.InlineExecutor)
        self.settings = settings
        self._slots = slots or how_many(run.threads, getattr(settings, "workers", "auto"), devices)
        self.context = serve(run)
        environment.git.cache_clear()
        self.begin = (run, secrets.known, logging.root.level)
        shared = FRUGAL if self._slots > len(devices) else {}
        self.all = [Slot(self, shared) for _ in range(self._slots)]
        if devices:
            for slot, device in zip(self.all, cycle(devices), strict=False):
                slot.environ[VISIBLE] = device
        self.idle: queue.LifoQueue[Slot] = queue.LifoQueue()  # a warm one comes first
        self.idle.queue.extend(reversed(self.all))
        self.busy = dict.fromkeys(self.all)
        self.threads = ThreadPoolExecutor(self._slots, "slot")
        self.consulted = Slot(self, shared)  # has the oracle
        # a new process asks how others have ended, which only one thread may ask at a time
        self.lock = threading.Lock()
        self.ended = False

    @property
    def slots(self) -> int:
        return self._slots

    def submit(self, function: Callable[..., T], /, *arguments: Any, **_: Any) -> Future[T]:
        """Run a task in a worker. One that dies is replaced, and its task begins anew; a task that
        three die of raises WorkerDied, and so does one that takes too long three times.
        """
        return self.threads.submit(lambda: self.answer(function, arguments).result())

    def answer(self, function: worker.Function, arguments: worker.Arguments) -> worker.Answer:
        """Run a task, and wait for what comes of it; see submit."""
        slot = self.idle.get()
        self.busy[slot] = function, arguments, time.monotonic()
        try:
            return slot.run(function, arguments)
        finally:
            self.busy[slot] = None
            self.idle.put(slot)

    def oracle(self, *arguments: Any) -> Any:
        return Consulted(self.consulted, *arguments)

    def go_on(self) -> None:
        """Raise EOFError if this is to end."""
        if self.ended or Interrupted.by:
            raise EOFError

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.ended = True
        self.threads.shutdown(wait=False, cancel_futures=True)
        server = vars(forkserver._forkserver)["_forkserver_pid"]
        if Interrupted.by and server:
            os.kill(server, signal.SIGKILL)  # it may still import, and threads wait for it
        for slot in (*self.all, self.consulted):
            slot.end()


class Slot:
    """A worker, and those that replace it."""

    def __init__(self, workers: Processes, environ: dict[str, str]) -> None:
        self.workers, self.environ = workers, {**os.environ, **environ}
        self.process: Any = None
        self.connection: Any = None
        self.output: Any = None  # the file of what it writes, not to the terminal that is drawn on
        self.limit = 0.0  # bytes of memory, as soon as it is known

    def run(
        self,
        function: worker.Function,
        arguments: worker.Arguments,
        anew: worker.Arguments | None = None,
    ) -> worker.Answer:
        """Run a task; see Processes.submit. A worker that is new gets the arguments `anew`."""
        settings = self.workers.settings
        attempts = 1 if function is tasks.hook else DEATHS  # a hook may not be repeatable
        for attempt in range(1, attempts + 1):
            try:
                is_new = self.process is None
                answer = self._attempt(function, anew if anew and is_new else arguments)
                break
            except errors.WorkerDied as death:
                time.sleep(MOMENT)
                self.workers.go_on()
                if attempt == attempts:
                    died = "1 worker died" if attempts == 1 else f"{attempts} workers died"
                    message = f"{died} of it, most recently: {death}"
                    raise errors.WorkerDied(message) from None
                log.warning("a worker died: %s; its task starts again", death)
        if not self.limit:
            allowed = (settings.max_memory or 0) * 1e9
            self.limit = allowed or max(LEAST, GROWTH * answer.memory)
        if answer.memory > self.limit and not anew:
            self.end()
        return answer

    def _attempt(self, function: worker.Function, arguments: worker.Arguments) -> worker.Answer:
        timeout = self.workers.settings.trial_timeout if function is tasks.trial else None
        try:
            if self.process is None:
                self._begin()
            self.connection.send((function, arguments))
            if self.connection.poll(timeout):
                return self.connection.recv()  # type: ignore[no-any-return]
            cause = f"it took longer than {timeout:g} s (executor.trial_timeout)"
        except (EOFError, OSError):
            cause = self._how_it_ended()
        finally:
            if self.output and not Interrupted.by:
                sys.stderr.write(self.output.read())
        self.end()
        raise errors.WorkerDied(cause)

    def _begin(self) -> None:
        self.workers.go_on()
        if self.workers.run.progress == "live" and streams.steerable():
            self.output = tempfile.NamedTemporaryFile("w+", errors="replace")  # noqa: SIM115
        self.connection, theirs = multiprocessing.Pipe()
        output = self.output and self.output.name
        settings = (theirs, *self.workers.begin, self.environ, output)
        process = self.workers.context.Process(target=worker.work, args=settings)
        with theirs, self.workers.lock:
            process.start()
        self.process, self.limit = process, 0.0
        self.workers.go_on()

    def _how_it_ended(self) -> str:
        process = self.process
        if process is None:
            return "it could not be started"
        with self.workers.lock:
            process.join(1)
        code = process.exitcode
        if code is None or code >= 0:
            return f"it ended with exit code {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return f"{signal.Signals(-code).name} ended it{hint}"

    def end(self) -> None:
        """End the worker, if there is one."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()


class Consulted:
    """A search's oracle, which stands in a worker of its own: Keras Tuner imports Keras, and that a
    backend. Where one dies, another is asked and told the same again, to the same answers.
    """

    def __init__(
        self, slot: Slot, run: schema.Run, pipeline: schema.Pipeline, space: Any, recorded: Any
    ) -> None:
        self.slot, self.values = slot, dict[str, ledger.Values](recorded)
        self.begun = (run, pipeline, space, self.values)
        self.calls = list[tuple[Any, ...]]()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return functools.partial(self._call, name)

    def _call(self, *call: Any) -> Any:
        self.calls.append(call)
        anew = self.begun, self.calls
        arguments = anew if len(self.calls) == 1 else (None, [call])
        answer = self.slot.run(tasks.consult, arguments, anew).result()
        if isinstance(answer, ledger.Proposal):  # so that it need not be drawn again
            self.values[answer.trial_id] = answer.hyperparameters["values"]
        return answer
