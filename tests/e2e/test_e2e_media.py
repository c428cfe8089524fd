"""Images by a cnn, windows over a series by an lstm, and batches that are streamed: one run, to
stored models; and a series by defaults alone.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from e2e_samples import entries, run_inline, write
from matplotlib.image import imsave

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

CODE = """
import numpy as np
import tensorflow as tf


def batches(rows):
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype("float32")
    y = (x.sum(1) > 0).astype("int64")
    train = tf.data.Dataset.from_tensor_slices((x[20:], y[20:])).shuffle(rows).batch(16)
    held = tf.data.Dataset.from_tensor_slices((x[:20], y[:20])).batch(8)
    return {"train": train, "validation": held}
"""

MEDIA = """# @package _global_
defaults:
  - /tuner: random
  - /data@pipelines.photos.data: images
  - /model@pipelines.photos.model: cnn
  - /data@pipelines.series.data: windows
  - /model@pipelines.series.model: lstm
  - /model@pipelines.stream.model: mlp
  - _self_
task: {kind: classification}
fit: {epochs: 2}
tuner: {max_trials: 2}
pipelines:
  photos:
    data: {path: photos, image_size: [6, 4]}
    model:
      filters: {c1: 4, c2: null}
      augment: [flip, shift]
      dense: 4
      learning_rate: null
      optimizer:
        name: sgd
        momentum: {hp: Float, min_value: 0.1, max_value: 0.9}
        learning_rate: 0.01
  series:
    task: {kind: regression}
    data: {path: series.csv, target: t, sequence_length: 5, horizon: 2}
    model: {units: {l1: 4}}
    tuner: {max_trials: 1}
  stream:
    data: {_target_: my_batches.batches, rows: 100}
    model: {hidden: {h1: 4}}
"""

NILE = """
1120 1160 963 1210 1160 1160 813 1230 1370 1140 995 935 1110 994 1020 960 1180 799 958 1140 1100
1210 1150 1250 1260 1220 1030 1100 774 840 874 694 940 833 701 916 692 1020 1050 969 831 726 456
824 702 1120 1100 832 764 821 768 845 864 862 698 845 744 796 1040 759 781 865 845 944 984 897 822
1010 771 676 649 846 812 742 801 1040 860 874 848 890 744 749 838 1050 918 986 797 923 975 815
1020 906 901 1170 912 746 919 718 714 740
"""


PHOTOS = {"train": [14, 6, 4, 3], "validation": [5, 6, 4, 3], "test": [5, 6, 4, 3]}
SERIES = {"train": [66, 5, 2], "validation": [18, 5, 2], "test": [18, 5, 2]}
STREAM = {"train": [80, 3], "validation": [20, 3]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's, in which all three have run."""
    folder = tmp_path_factory.mktemp("media")
    write(folder, my_batches_py=CODE, conf__experiment__media_yaml=MEDIA)
    draw = np.random.default_rng(0)
    for name, channel in (("blue", 2), ("red", 0)):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(12):
            image = draw.integers(0, 200, (6, 4, 3), dtype="uint8")
            image[..., channel] += 55
            imsave(folder / "photos" / name / f"{number}.png", image)
    table = pd.DataFrame({"t": np.sin(np.arange(120) / 5), "other": draw.normal(size=120)})
    table.to_csv(folder / "series.csv", index=False)
    done = run_inline(folder, "+experiment=media", "hooks.purge=null")
    assert "Warning" not in done.err
    return folder


@pytest.mark.parametrize(
    ("pipeline", "data"),
    [
        ("photos", {"shapes": PHOTOS, "classes": ["blue", "red"]}),
        ("series", {"shapes": SERIES, "columns": {"t": "number", "other": "number"}}),
        ("stream", {"shapes": STREAM, "classes": ["0", "1"]}),
    ],
)
def test_each_is_searched_and_stored(folder: Path, pipeline: str, data: dict[str, Any]) -> None:
    """With shapes, classes and the names of columns."""
    entry = entries(folder)[pipeline]
    assert entry["status"] == "complete"
    stored = {key: entry["data"].get(key) for key in ("shapes", "classes", "columns")}
    assert stored == {"classes": None, "columns": None} | data
    searched = ["model.dropout", "model.optimizer.momentum"]
    assert pipeline != "photos" or [*entry["best"]["values"]] == searched


def test_what_was_streamed_is_evaluated_row_by_row(folder: Path) -> None:
    """The stored accuracy is that of the stored model on the validation rows."""
    entry = entries(folder)["stream"]
    x = np.random.default_rng(0).normal(size=(100, 3)).astype("float32")[:20]
    predicted = entry.model().predict(x, verbose=0)
    right = predicted.argmax(axis=1) == (x.sum(axis=1) > 0)
    assert entry["validation"]["metrics"]["accuracy"] == pytest.approx(right.mean())


def test_a_search_over_shuffled_batches_is_reproduced_bit_by_bit(folder: Path) -> None:
    """The shuffle has no seed of its own: it follows the trial's."""
    command = [f"reproduce={entries(folder)['stream']['id']}", "reproduce_search=true"]
    assert "identical" in run_inline(folder, *command, "trust=true").out


def test_a_series_is_no_worse_than_its_last_value(tmp_path: Path) -> None:
    """The flow of the Nile at Aswan, 1871 to 1970, by defaults: `series`, beside baselines."""
    write(tmp_path, nile_csv="\n".join(["flow", *NILE.split()]))
    data = ["data=windows", "data.path=nile.csv", "data.target=flow", "data.sequence_length=8"]
    short = ["tuner=random", "tuner.max_trials=1", "fit.epochs=30", "validation.repeats=2"]
    run_inline(tmp_path, "task=regression", *data, *short)
    [entry] = entries(tmp_path).values()
    space = ["model.hidden.h1", "model.hidden.h2", "model.dropout", "model.learning_rate"]
    assert [*entry["best"]["values"]] == space
    baselines = {name: parts["test"] for name, parts in entry["baselines"].items()}
    assert {"last_value", "ridge"} <= baselines.keys()
    assert all(metrics["mase"] > 0 for metrics in baselines.values())
    for metrics in (entry["test"]["metrics"], entry["ensemble"]["test"]):
        assert metrics["rmse"] < 0.95 * baselines["last_value"]["rmse"]
        assert metrics["mase"] < baselines["last_value"]["mase"]
