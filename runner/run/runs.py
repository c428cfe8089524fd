"""When is a run continued? A run goes on until its hooks have ended well; until then a file says
that it is open.

    <root>/runs/<identity>.open     the id of the open run of this config

The same config starts the open run again: its ended pipelines are taken over from the history, the
interrupted search goes on. Once the hooks have ended, the same command is a new run.
"""

import logging

from history.errors import HistoryError
from history.files import make_folder, read_json, to_json, write_atomic
from runner.config.check import plain_config
from runner.config.schema import Experiment
from runner.run.identity import digest

log = logging.getLogger("runner")


def identity(experiment: Experiment) -> str:
    """What makes two commands the same: the pipelines with their budgets, and what the run adds to
    a result.
    """
    run = experiment.run
    decisive = [run.seed, run.threads, run.deterministic, run.backend]
    pipelines = {name: plain_config(pipeline) for name, pipeline in experiment.pipelines.items()}
    return digest([experiment.name, decisive, pipelines])


class OpenRun:
    """The run that a command belongs to: a new one, or the one that is still open."""

    def __init__(self, experiment: Experiment, new_id: str) -> None:
        self.path = experiment.root / "runs" / f"{identity(experiment)[:16]}.open"
        previous = None if experiment.run.fresh else self._previous()
        self.continued = previous is not None
        self.id = previous or new_id
        self.folder = experiment.root / "runs" / self.id
        self.stage = self.folder / "stage"  # where artefacts wait for the history to take them

    def begin(self) -> None:
        """From here on the same command continues this run."""
        make_folder(self.path.parent)
        write_atomic(self.path, to_json({"run_id": self.id}))

    def end(self) -> None:
        """From here on the same command is a new run."""
        self.path.unlink(missing_ok=True)

    def _previous(self) -> str | None:
        if not self.path.is_file():
            return None
        try:
            return str(read_json(self.path)["run_id"])
        except (HistoryError, OSError, KeyError, TypeError) as error:
            log.warning(
                "%s cannot be read (%s); this is a new run, its searches go on where they stopped",
                self.path,
                error,
            )
            return None
