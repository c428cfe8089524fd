"""Chooses what runs the tasks of a run, as its config says."""

from runner.config import schema
from runner.training import environment
from runner.workers.executors import Processes, Workers


def start(run: schema.Run) -> Workers:
    """Return what runs the tasks of a run; to be used in a `with`, which ends it."""
    if isinstance(run.executor, schema.DaskExecutor):
        from runner.workers.cluster import Dask  # an extra

        return Dask(run)
    if isinstance(run.executor, schema.ProcessesExecutor):
        return Processes(run)
    environment.prepare(run)
    return Workers(run)
