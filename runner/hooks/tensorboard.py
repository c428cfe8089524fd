"""Shows a run in TensorBoard: learning curves, and its trials on the HParams page."""

import tempfile
from pathlib import Path

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
            made = Path(stage, entry.id)
            for training in [] if (logs / entry.id).exists() else trainings.of(entry):
                _write(made / training.name, training, f"{training.name} of {entry.id}")
            if made.exists():
                made.rename(logs / entry.id)


def _write(folder: Path, training: trainings.Training, name: str) -> None:
    """Write one training: its values and scores, and below that its curves, so that those of the
    training and of the validation rows lie in one chart, as Keras' own callback has them.
    """
    values, began, ended = training.values, training.began, training.ended
    events = [
        ("", began, 0, summary_v2.hparams_pb(values, trial_id=name, start_time_secs=began)),
        *(("", ended, 0, scalar_pb(metric, value)) for metric, value in training.scores.items()),
        (
            *("", ended, 0),
            summary.session_end_pb(
                api_pb2.STATUS_FAILURE if training.failed else api_pb2.STATUS_SUCCESS, ended
            ),
        ),
    ] + [
        (
            "validation" if metric.startswith("val_") else "train",
            when,
            epoch,
            scalar_pb(f"epoch_{metric.removeprefix('val_')}", value),
        )
        for metric, epoch, value, when in training.points()
    ]
    for part in dict.fromkeys(event[0] for event in events):
        writer = EventFileWriter(str(folder / part))
        for when, step, what in (event[1:] for event in events if event[0] == part):
            writer.add_event(
                Event(
                    wall_time=when,
                    step=step,
                    # of this class, as TensorFlow has one of its own
                    summary=Summary.FromString(what.SerializeToString()),
                )
            )
        writer.close()
