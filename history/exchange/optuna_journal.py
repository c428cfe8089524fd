"""Exports the trials of an entry for programs that read Optuna's storage."""

import tempfile
from pathlib import Path

from foundation import errors, files
from history import Entry
from history.report import study


def write_journal(entry: Entry, file: Path) -> None:
    """Write the trials of an entry as a study of its id, in a file that Optuna's JournalFileBackend
    opens, and with it optuna-dashboard; what `file` held is replaced.

    Raises InputError without Optuna, IntegrityError when the trials are not what was stored.
    """
    try:
        import optuna
        from optuna.storages import journal
    except ImportError as error:
        raise errors.InputError(
            "--optuna needs Optuna: pip install 'keras-experiment-runner[optuna]'"
        ) from error
    trials = study.study(entry)
    with tempfile.TemporaryDirectory() as stage:
        draft = Path(stage, "study.log")
        optuna.create_study(
            storage=optuna.storages.JournalStorage(journal.JournalFileBackend(str(draft))),
            study_name=trials.study_name,
            directions=trials.directions,
        ).add_trials(trials.trials)
        files.write_atomic(file, draft.read_bytes())
