"""Shows a run in TensorBoard: learning curves, and its trials on the HParams page."""

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, summary, summary_v2
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from foundation import files
from runner.hooks import RunSummary, trainings


def write(run: RunSummary, folder: str | None = None) -> None:
    """Write the trainings of each entry, once, to <folder>/<entry>/<training>.

    Args:
        run: that has ended.
        folder: what `tensorboard --logdir` is given; null: `tensorboard` below the root.
    """
    logs = Path(folder or run.root / "tensorboard").expanduser().resolve()
    files.make_folder(logs)
    for entry in run.stored:
        with (
            files.held(run.root / ".locks" / "tensorboard.lock", "the hook tensorboard"),
            # where no reader of the logs looks: what there is of an entry is whole
            tempfile.TemporaryDirectory(dir=logs.parent, prefix=f".{logs.name}-") as stage,
        ):
            if (logs / entry.id).exists():
                continue
            draft = Path(stage, entry.id)
            for training in trainings.of(entry):
                _write(draft / training.name, training, f"{training.name} of {entry.id}")
            if draft.exists():
                draft.rename(logs / entry.id)


def _write(folder: Path, training: trainings.Training, name: str) -> None:
    """Write one training: its values and scores, and below that its curves, so that those of the
    training and of the validation rows lie in one chart, as Keras' own callback has them.
    """
    began, ended = training.began, training.ended
    status = api_pb2.STATUS_FAILURE if training.failed else api_pb2.STATUS_SUCCESS
    start = summary_v2.hparams_pb(training.values, trial_id=name, start_time_secs=began)
    events = defaultdict(list)  # by the folder below
    events[""].append(_event(start, began))
    for metric, value in training.scores.items():
        events[""].append(_event(scalar_pb(metric, value), ended))
    events[""].append(_event(summary.session_end_pb(status, ended), ended))
    for metric, epoch, value, when in training.points():
        part = "validation" if metric.startswith("val_") else "train"
        scalar = scalar_pb(f"epoch_{metric.removeprefix('val_')}", value)
        events[part].append(_event(scalar, when, epoch))
    for part, in_order in events.items():
        writer = EventFileWriter(str(folder / part))
        for event in in_order:
            writer.add_event(event)
        writer.close()


def _event(content: Any, when: float, step: int = 0) -> Event:
    # a Summary of this class, as TensorFlow has one of its own
    own = Summary.FromString(content.SerializeToString())
    return Event(wall_time=when, step=step, summary=own)
