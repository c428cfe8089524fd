"""Data that is no table: folders of images, windows over a series, streams of batches; and what is
built for them.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imsave
from runner_samples import data, pipeline
from training_samples import bench

from history.model_file import foreign_code
from runner import models
from runner.data import limits
from runner.data.arrays import moments
from runner.data.dataset import Array, Dataset, Facts, Part
from runner.errors import ConfigError, DataError
from runner.training.preflight import preflight


def rows(part: Part) -> Array:
    assert not isinstance(part.x, dict)
    return part.x


# --- parts


@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_mean_and_variance_are_the_same_in_chunks(kind: str) -> None:
    """Whatever the sizes of the chunks."""
    x = np.random.default_rng(0).integers(0, 255, (50, 4, 3, 2)).astype(kind)
    expected = [f(x, axis=(0, 1, 2), dtype="float64") for f in (np.mean, np.var)]
    for cuts in ([], [1], [7, 8, 40]):
        assert np.allclose(moments(np.split(x, cuts)), expected, rtol=1e-12)
    assert np.allclose(Part(x, x[:, 0, 0, 0]).statistics, expected, rtol=1e-12)


# --- images


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of ten images; each is of one shade, that of its number."""
    for place, name in enumerate(("dark", "light")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            shade = np.full((6, 4, 3), 10 * number + 100 * place + 5, "uint8")
            imsave(tmp_path / "photos" / name / f"{number}.png", shade)
    return tmp_path / "photos"


def shades(dataset: Dataset) -> dict[str, list[tuple[int, str]]]:
    assert dataset.classes is not None
    return {
        name: sorted(
            (int(image.mean()), dataset.classes[label])
            for image, label in zip(rows(part), part.y, strict=True)
        )
        for name, part in dataset.parts.items()
    }


ALL = sorted(
    (10 * n + 100 * place + 5, name)
    for place, name in enumerate(("dark", "light"))
    for n in range(10)
)


def test_images_are_read_with_the_classes_of_their_folders(photos: Path) -> None:
    """As bytes, in the size and the colours asked for, and split as any rows are."""
    made = data(
        kind="images",
        path=str(photos),
        image_size=[3, 5],
        color_mode="grayscale",
        split={"test": 0.2},
    )
    assert [part.shape for part in made.parts.values()] == [
        (12, 3, 5, 1),
        (4, 3, 5, 1),
        (4, 3, 5, 1),
    ]
    assert (str(rows(made.train).dtype), made.classes, made.facts.input_shape) == (
        "uint8",
        ("dark", "light"),
        (3, 5, 1),
    )
    assert sorted(row for rows in shades(made).values() for row in rows) == ALL


def test_folders_of_parts_are_taken_as_they_are(photos: Path, tmp_path: Path) -> None:
    """Their classes must agree; the folder above them is no folder of classes."""
    held = tmp_path / "parts" / "val"
    for name in ("dark", "light"):
        (held / name).mkdir(parents=True)
        (photos / name / "3.png").rename(held / name / "3.png")
    photos = photos.rename(held.with_name("train"))
    section: dict[str, Any] = {
        "kind": "images",
        "path": {"train": str(photos), "validation": str(held)},
        "image_size": [4, 4],
    }
    found = shades(data(**section))
    assert found == {
        "train": [row for row in ALL if row not in found["validation"]],
        "validation": [ALL[3], ALL[13]],
    }
    (held / "light").rename(held / "lihgt")
    with pytest.raises(DataError, match="'light' is not a folder of each"):
        data(**section)
    with pytest.raises(DataError, match=r"has folders of parts \(train, val\), not of classes"):
        data(kind="images", path=str(held.parent), image_size=[4, 4])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda photos: os.truncate(photos / "light" / "7.png", 60),
            r"cannot read the image .*light.7\.png; is it damaged\?",
        ),
        (
            lambda photos: shutil.rmtree(photos / "dark"),
            "at least two classes; there is only .'light'",
        ),
        (
            lambda photos: [path.rename(photos / f".{path.name}") for path in [*photos.iterdir()]],
            "No images found",
        ),
        (
            lambda photos: (photos / "dim").mkdir(),
            r"^data\.path: the class folder .*photos.dim contains no images \(\.bmp, .*; delete it",
        ),
    ],
)
def test_a_folder_that_is_no_folder_of_classes_is_refused(
    photos: Path, spoil: Callable[[Path], None], words: str
) -> None:
    """With the file or the folder that is wrong."""
    spoil(photos)
    with pytest.raises(DataError, match=words):
        data(kind="images", path=str(photos), image_size=[4, 4])


def test_files_that_are_no_images_are_left_out_and_counted(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line; those that are hidden, or of no class, are nobody's images."""
    (photos / "dark" / "more").mkdir()
    for name in ("dark/b.webp", "dark/more/a.tiff", "light/a.webp", "light/.hidden", "notes.txt"):
        (photos / name).touch()
    made = data(kind="images", path=str(photos), image_size=[4, 4])
    assert sum(map(len, made.parts.values())) == 20
    assert caplog.messages == [
        "data.path: ignored, as they are not images (.bmp, .gif, .jpeg, .jpg, .png): 3 files, such "
        f"as {photos / 'dark' / 'b.webp'}"
    ]


def test_what_is_no_regular_file_is_no_image(photos: Path) -> None:
    """A FIFO, or a link to a device, would keep the run waiting for ever: it is named."""
    os.mkfifo(photos / "dark" / "pipe.png")
    with pytest.raises(DataError, match=r"^data\.path: .*dark.pipe\.png is not a regular file"):
        data(kind="images", path=str(photos), image_size=[4, 4])


def test_all_that_is_wrong_with_images_is_told_at_once(photos: Path) -> None:
    """Damaged ones, and nothing of those beside them; and before these are read, folders without
    images, and what is no file.
    """
    for name in ("2.png", "3.png"):
        os.truncate(photos / "light" / name, 60)

    def told() -> list[str]:
        with pytest.raises(DataError) as caught:
            data(kind="images", path=str(photos), image_size=[4, 4])
        return [problem.what.rpartition("photos/")[2] for problem in caught.value.problems]

    assert told() == [f"light/{number}.png; is it damaged?" for number in (2, 3)]
    (photos / "dim").mkdir()
    (photos / "dusk").mkdir()
    os.mkfifo(photos / "dark" / "pipe.png")
    assert [text.partition(" (")[0] for text in told()] == [
        "dark/pipe.png is not a regular file",
        "dim contains no images",
        "dusk contains no images",
    ]


@pytest.mark.parametrize("free", [1920, 1919])
def test_images_that_do_not_fit_into_memory_are_not_loaded(
    photos: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    """Twenty of 48 bytes, twice."""
    monkeypatch.setattr(limits, "available", lambda: free)
    words = "20 images take .* Use a smaller image_size, or"
    refused = pytest.raises(DataError, match=words) if free == 1919 else nullcontext()
    with refused:
        data(kind="images", path=str(photos), image_size=[4, 4])


# --- windows


@pytest.fixture
def series(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Writes columns, and names them."""

    def write(name: str = "series.csv", **columns: Any) -> dict[str, Any]:
        table, path = pd.DataFrame(columns), tmp_path / name
        if path.suffix == ".csv":
            table.to_csv(path, index=False)
        elif path.suffix == ".npz":
            np.savez(path, **columns)
        else:
            table.to_parquet(path)
        return {"kind": "windows", "path": str(path)}

    return write


COUNT = np.arange(100.0)


@pytest.mark.parametrize("name", ["series.csv", "series.parquet", "series.npz"])
def test_no_window_reaches_over_a_border(series: Callable[..., dict[str, Any]], name: str) -> None:
    """The rows are split by time, then come the windows; row n holds n."""
    section = series(name, t=COUNT, other=-COUNT)
    made = data(
        "regression", **section, target="t", sequence_length=3, horizon=2, split={"test": 0.1}
    )
    for part, first, last in zip(made.parts.values(), (0, 70, 90), (69, 89, 99), strict=True):
        assert (rows(part)[0, :, 0].tolist(), part.y[0]) == (
            [first, first + 1, first + 2],
            first + 4,
        )
        assert (rows(part)[-1, :, 0].tolist(), part.y[-1]) == ([last - 4, last - 3, last - 2], last)
        assert len(part) == last - first - 3
        assert np.array_equal(rows(part)[..., 1], -rows(part)[..., 0])
    assert (made.columns, made.facts.input_shape) == ({"t": "number", "other": "number"}, (3, 2))
    assert {n: (kept[0], kept[-1]) for n, kept in made.rows.items()} == {
        "train": (4, 69),
        "validation": (74, 89),
        "test": (94, 99),
    }


def test_strides_are_keras_own(series: Callable[..., dict[str, Any]]) -> None:
    """Also where they are longer than a part."""
    section = {**series(t=COUNT), "target": "t", "sequence_length": 3, "horizon": 1}
    made = data("regression", **section, sequence_stride=30, sampling_rate=5)
    assert rows(made.train)[..., 0].tolist() == [[0, 5, 10], [30, 35, 40], [60, 65, 70]]
    assert (made.train.y.tolist(), made.validation.y.tolist()) == ([11, 41, 71], [91])


def test_the_features_are_the_columns_of_numbers(series: Callable[..., dict[str, Any]]) -> None:
    """The target's own past too, but not its present; or those that are named."""
    when = [f"2020-01-{number}" for number in range(100)]
    section = {**series(when=when, t=COUNT, other=-COUNT), "target": "t", "sequence_length": 3}
    said = "read 2 numbers; target t; ignored when"
    assert data("regression", **section).describe("f")["read"] == said
    columns = [
        data("regression", **section, **more).facts.columns
        for more in ({}, {"horizon": 0}, {"features": ["other", "t"]})
    ]
    assert columns == [("t", "other"), ("other",), ("other", "t")]


def test_windows_may_repeat_those_of_another_part(series: Callable[..., dict[str, Any]]) -> None:
    """As in any series that swings; it is no leak."""
    made = data("regression", **series(t=COUNT % 2), target="t", sequence_length=3)
    assert len(made.validation) == 17


def test_labels_make_a_classification(series: Callable[..., dict[str, Any]]) -> None:
    """Each window has that of the row that the horizon says."""
    labels = np.where(COUNT % 7 < 3, "on", "off")
    made = data(**series(t=COUNT, label=labels), target="label", sequence_length=3)
    assert (made.classes, made.facts.columns) == (("off", "on"), ("t",))
    assert [("off", "on")[number] for number in made.train.y] == labels[3:80].tolist()
    labels[9] = ""
    with pytest.raises(DataError, match=r"row 10 \(line 11\), column 'label': a word is missing"):
        data(**series(t=COUNT, label=labels), target="label", sequence_length=3)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"target": "tt"}, r"data\.target: .*has no column 'tt'; did you mean 't'"),
        ({"features": ["t", "othre"]}, r"data\.features: .*did you mean 'other'"),
        ({"features": ["when"]}, r"row 1 \(line 2\), column 'when': 'a day' is not a finite"),
        ({"features": ["gap"]}, r"series\.csv, row 42 \(line 43\), column 'gap': a number is miss"),
        ({"target": "gap"}, r"series\.csv, row 42 \(line 43\), column 'gap': a number is missing"),
        ({"target": "huge"}, r"row 1 \(line 2\), column 'huge': '1e\+99' is not a finite"),
        (
            {"sequence_length": 20},
            "the validation part has 20 rows; a window and its target need 21",
        ),
        ({"split": {"validation": 0.3, "test": 0.01}}, "the test part has 1 rows; .* need 4"),
    ],
)
def test_a_series_that_does_not_suffice_is_refused(
    series: Callable[..., dict[str, Any]], more: dict[str, Any], words: str
) -> None:
    """With what would do."""
    section = {
        **series(
            t=COUNT,
            other=COUNT,
            when=["a day"] * 100,
            gap=np.where(COUNT == 41, np.nan, COUNT),
            huge=[1e99] * 100,
        ),
        "target": "t",
        "features": ["t", "other"],
        "sequence_length": 3,
    }
    with pytest.raises(DataError, match=words):
        data("regression", **{**section, **more})


def test_all_that_is_wrong_with_a_series_is_told_at_once(
    series: Callable[..., dict[str, Any]],
) -> None:
    """Names first, then the first wrong cell of each column."""
    section = {**series(t=["x", *COUNT[1:]], gap=["", *COUNT[1:]]), "sequence_length": 3}
    with pytest.raises(DataError) as caught:
        data("regression", **section, target="tt", features=["gapp"])
    assert [problem.where for problem in caught.value.problems] == ["data.target", "data.features"]
    with pytest.raises(
        DataError, match=r"(?s)'t': 'x' is not a finite .*\n.* 'gap': a number is mis"
    ):
        data("regression", **section, target="t", features=["gap"])


def told(section: dict[str, Any], **more: Any) -> dict[float, float]:
    """The targets of the training part, by the last value of their windows."""
    made = data("regression", **section, target="t", sequence_length=1, **more)
    return dict(zip(rows(made.train)[:, -1, 0].tolist(), made.train.y.tolist(), strict=True))


def test_empty_cells_of_a_series_are_filled_as_asked(
    series: Callable[..., dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """None is a target; nor ends a window with a value that tells what comes after it."""
    section = series(t=np.where((COUNT == 40) | (COUNT == 41), np.nan, COUNT))
    caplog.set_level("INFO")
    forward = told(section, missing="forward")
    assert (forward[38], forward[39], forward[42]) == (39, 42, 43)
    assert (
        len(
            made := data(
                "regression", **section, target="t", sequence_length=1, missing="forward"
            ).train
        )
        == 77
    )
    assert rows(made)[38:41, 0, 0].tolist() == [38, 39, 42]
    between = data("regression", **section, target="t", sequence_length=3, missing="interpolate")
    ends = rows(between.train)
    assert [window.ravel().tolist() for window in ends if 41 in window] == [
        [40, 41, 42],
        [41, 42, 43],
    ]
    assert "left out the windows of 2 rows" in caplog.text
    for missing in ("forward", "interpolate"):
        with pytest.raises(DataError, match=r"row 42 \(line 43\), column 't': .* more than .*1"):
            told(section, missing=missing, limit=1)
    gap = series(t=["", *COUNT[1:]])
    with pytest.raises(DataError, match=r"row 1 \(line 2\), column 't': .* at the start or end"):
        told(gap, missing="interpolate")


@pytest.mark.parametrize("unit", ["D", "ME", "number"])
def test_rows_that_a_series_lacks_are_filled_or_refused(
    series: Callable[..., dict[str, Any]], unit: str
) -> None:
    """By their times, which are no feature unless they are named; months are even steps."""
    when: Any = (
        COUNT * 5 if unit == "number" else pd.date_range("2020-01-31", periods=100, freq=unit)
    )
    kept = (COUNT != 40) & (COUNT != 41)
    section = series(t=COUNT[kept], when=when[kept])
    with pytest.raises(DataError, match=r"^data\.time: .*row 41 \(line 42\), .* comes after a gap"):
        told(section, time="when")
    made = data(
        "regression", **section, target="t", sequence_length=2, time="when", missing="forward"
    )
    assert made.facts.columns == ("t",)
    assert made.notes["read"] == "read 1 number; target t; split by when"
    windows = rows(made.train)[..., 0].tolist()
    assert [window for window in windows if 37 < window[1] < 44] == [
        [37, 38],
        [39, 39],
        [39, 42],
        [42, 43],
    ]
    with pytest.raises(DataError, match=r"row 41 .* cannot be filled in"):
        told(section, time="when", missing="forward", limit=1)
    named = data(
        "regression",
        **series(t=COUNT, u=COUNT),
        target="t",
        sequence_length=2,
        time="u",
        features=["u"],
    )
    assert named.facts.columns == ("u",)


def test_all_that_is_wrong_with_the_times_of_a_series_is_told(
    series: Callable[..., dict[str, Any]],
) -> None:
    """Each with its row."""
    when = COUNT.copy()
    when[[10, 20, 30]] = (5, 19, 30.5)
    with pytest.raises(DataError) as caught:
        told(series(t=COUNT, when=when), time="when")
    found = [problem.what.partition("row ")[2] for problem in caught.value.problems]
    assert [what.partition(" ")[0] for what in found] == ["11", "21", "31", "32", "12", "22"]
    assert "5.0 is earlier than in the row above; sort the rows" in found[0]
    assert "19.0 is the same as in the row above; remove one of them" in found[1]
    with pytest.raises(DataError, match=r"data\.time: .*has no column 'whn'; did you mean 'when'"):
        told(series(t=COUNT, when=when), time="whn")


def test_the_error_of_a_series_is_scaled_by_the_naive_one_of_the_training_part(
    series: Callable[..., dict[str, Any]],
) -> None:
    """That of the last value; where windows have none, that of the target before."""
    section = {**series(t=COUNT**2, other=COUNT), "target": "t", "sequence_length": 2}
    made = data("regression", **section, horizon=3)
    last = np.sqrt(made.train.y) - 3
    assert made.naive_error == pytest.approx((made.train.y - last**2).mean())
    other = data("regression", **section, features=["other"])
    assert other.naive_error == pytest.approx(np.diff(other.train.y).mean())
    assert data(kind="sklearn", name="iris").naive_error is None


@pytest.mark.parametrize("free", [4800, 4799])
def test_windows_that_do_not_fit_into_memory_are_not_made(
    series: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    """A hundred of six numbers, of four bytes, twice."""
    monkeypatch.setattr(limits, "available", lambda: free)
    words = "the windows take .* Use a larger sequence_stride, or"
    refused = pytest.raises(DataError, match=words) if free == 4799 else nullcontext()
    with refused:
        data("regression", **series(t=COUNT, other=COUNT), target="t", sequence_length=3)


# --- streams

STREAMS = """
import keras, os, numpy as np, tensorflow as tf

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = (X.sum(1) > 0).astype("int64")
ROWS = tf.data.Dataset.from_tensor_slices((X, Y))
HELD = ROWS.batch(7)


class Batches(keras.utils.PyDataset):
    num_batches = 4

    def __init__(self, moving=False):
        super().__init__()
        self.order, self.moving = np.arange(40), moving

    def __getitem__(self, index):
        chosen = self.order[10 * index : 10 * index + 10]
        return X[chosen], Y[chosen]

    def on_epoch_end(self):
        self.order = np.roll(self.order, 10 * self.moving)


class Endless(Batches):
    num_batches = None


def drawn(): return int.from_bytes(os.urandom(4), "big")
def shuffled(): return {"train": ROWS.shuffle(40).batch(8), "validation": HELD, "test": Batches()}
def both(train, held=HELD): return {"validation": held, "train": train}
def named(x): return {"word": tf.strings.as_string(x[:, 0]), "b": x[:, 1], "a": x[:, None]}
def mapped(change): return both(HELD.map(change))

MAKERS = {
    "one": lambda: HELD,
    "mixed": lambda: both(HELD, (X, Y)),
    "alone": lambda: {"train": HELD},
    "unbatched": lambda: both(ROWS),
    "neither": lambda: both(ROWS.take(0).batch(4), HELD.repeat()),
    "empty": lambda: both(ROWS.take(0).batch(4)),
    "repeated": lambda: both(HELD.repeat()),
    "endless": lambda: both(Endless()),
    "one_hot": lambda: mapped(lambda x, y: (x, tf.one_hot(y, 2))),
    "named": lambda: both(*[HELD.map(lambda x, y: (named(x), y))] * 2),
    "inputs": lambda: mapped(lambda x, y: ((x, x), y)),
    "weights": lambda: mapped(lambda x, y: (x, y, y)),
    "nan": lambda: mapped(lambda x, y: (x / 0.0, y)),
    "texts": lambda: mapped(lambda x, y: (tf.strings.as_string(x), y)),
    "from_one": lambda: both(*[HELD.map(lambda x, y: (x, y + 1))] * 2),
    "narrow": lambda: both(HELD, HELD.map(lambda x, y: (x[:, :2], y))),
    "reshuffled": lambda: both(HELD, ROWS.shuffle(40, seed=1).batch(7)),
    "unseeded": lambda: both(HELD, ROWS.shuffle(40, reshuffle_each_iteration=False).batch(7)),
    "moving": lambda: both(HELD, Batches(moving=True)),
    "noisy": lambda: both(HELD.map(lambda x, y, by=drawn() / 2.0**32: (x + by, y))),
    "drawn": lambda: both(ROWS.shuffle(40, seed=drawn()).batch(7)),
}
def make(kind): return MAKERS[kind]()
"""


@pytest.fixture
def streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "users_own_streams.py").write_text(STREAMS)
    yield
    sys.modules.pop("users_own_streams", None)


def streamed(name: str, task: str = "classification", **arguments: Any) -> Dataset:
    return data(task, _target_=f"users_own_streams.{name}", **arguments)


@pytest.mark.usefixtures("streams")
def test_a_stream_tells_what_its_rows_would_tell_as_arrays() -> None:
    """Shapes, classes, targets in order and the facts of the training rows; and is not kept."""
    made = streamed("shuffled")
    module: Any = sys.modules["users_own_streams"]
    whole = Part(module.X, module.Y)
    assert {name: part.shape for name, part in made.parts.items()} == dict.fromkeys(
        ("train", "validation", "test"), (40, 3)
    )
    assert made.classes == ("0", "1")
    assert made.validation.y.tolist() == made.parts["test"].y.tolist() == module.Y.tolist()
    assert np.allclose(made.train.statistics, whole.statistics, rtol=1e-6)
    assert len(rows(made.train)) == 8
    assert streamed("shuffled", "regression").facts.target_mean == pytest.approx(module.Y.mean())


@pytest.mark.usefixtures("streams")
def test_what_a_training_is_given_depends_on_its_seed_alone() -> None:
    """Not on the passes before it: the rows of two epochs are the same whenever the seed is."""
    made = streamed("shuffled")

    def epochs(seed: int) -> list[list[int]]:
        keras.utils.set_random_seed(seed)
        source: Any = made.train.given()[0]
        return [np.concatenate([x[:, 0] for x, _ in source]).tolist() for _ in range(2)]

    first, other, again = epochs(7), epochs(8), epochs(7)
    assert first == again
    assert first != other
    assert first[0] != first[1]


@pytest.mark.usefixtures("streams")
def test_the_fingerprint_of_a_stream_is_that_of_its_content() -> None:
    """An unseeded shuffle of the training part does not change it from one start to the next."""
    before = streamed("shuffled").fingerprint
    assert streamed("shuffled").fingerprint == before
    module: Any = sys.modules["users_own_streams"]
    module.ROWS = module.ROWS.map(lambda x, y: (x + 1, y))
    assert streamed("shuffled").fingerprint != before


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one", r"returned .*Dataset; it must return \(x, y\), or a mapping of .* to streams"),
        ("mixed", "'validation': 'tuple', 'train': .*; it must return .* or to streams"),
        ("alone", "returned {'train': .*; it must"),
        (
            "unbatched",
            r"'train' part .*, batch 1: x is not an array of rows .* is batch\(\) missing",
        ),
        ("empty", "'train' part .* holds no rows"),
        ("repeated", r"'train' part .* never ends; remove repeat\(\)"),
        ("endless", "'train' part .* never ends"),
        (
            "one_hot",
            r"batch 1: 7 rows of features, but targets of shape \(7, 2\); .* not one-hot rows",
        ),
        ("inputs", "batch 1: x is a tuple; give several inputs by name"),
        ("weights", r"batch 1: is not a pair \(x, y\)"),
        (
            "nan",
            "21 of the features of the 'train' part .*, batch 1 are NaN or infinite, .* in row 1",
        ),
        ("texts", "a model needs numbers"),
        (
            "from_one",
            r"the targets .* are \[1, 2\]; the classes of a stream must be numbered from 0",
        ),
        ("narrow", r"have rows of different shapes: {.*'validation': \(2,\)"),
        (
            "reshuffled",
            "'validation' part .* yields other rows, .* each time; shuffle only the training part",
        ),
        ("unseeded", "'validation' part .* yields other rows, or another order"),
        ("moving", "'validation' part .* yields other rows, or another order"),
        ("drawn", "'train' part .* yields other rows, or another order, each time; .* Keras' own"),
        ("noisy", "'train' part .* yields other rows, or another order, each time; .* Keras' own"),
    ],
)
def test_a_stream_that_cannot_be_trained_on_is_refused(name: str, words: str) -> None:
    """With the part, the batch, and what to do."""
    with pytest.raises(DataError, match=words):
        streamed("make", kind=name)


@pytest.mark.usefixtures("streams")
def test_a_stream_may_have_several_inputs_by_name() -> None:
    """Its shapes and rows are told as of arrays, and its fingerprint is that of all inputs."""
    made = streamed("make", kind="named")
    module: Any = sys.modules["users_own_streams"]
    assert made.facts.input_shape == {"a": (1, 3), "b": (1,), "word": (1,)}
    assert made.train.shape == (40, 3)
    few = made.train.take(slice(2))
    assert isinstance(few.x, dict)
    assert (len(few), few.x["a"].shape, few.x["word"].dtype.kind) == (2, (2, 1, 3), "O")
    before, named = made.fingerprint, module.named
    assert streamed("make", kind="named").fingerprint == before
    module.named = lambda x: {**named(x), "word": named(-x)["word"]}
    assert streamed("make", kind="named").fingerprint != before


@pytest.mark.usefixtures("streams")
def test_each_part_of_streams_is_told_of() -> None:
    """Not the first one alone."""
    with pytest.raises(
        DataError, match=r"'validation' part .* never ends.*\n.*'train' part .* no rows"
    ):
        streamed("make", kind="neither")


# --- models


def facts(*shape: int, classes: int | None = None) -> Facts:
    train = Part(np.zeros((1, *shape)), np.zeros(1))
    return Facts(shape, classes, [0.0] * shape[-1], [1.0] * shape[-1], train=train)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("classes", [None, 3])
def test_an_lstm_has_the_layers_that_are_not_left_out(
    classes: int | None, bidirectional: bool
) -> None:
    """For both tasks; the last layer gives one row a window."""
    made = models.lstm(
        facts=facts(5, 2, classes=classes),
        units={"a": 4, "b": None, "c": 3},
        bidirectional=bidirectional,
        dropout=0.1,
    )
    kind = keras.layers.Bidirectional if bidirectional else keras.layers.LSTM
    assert [layer.output.shape for layer in made.layers if isinstance(layer, kind)] == [
        (None, 5, 8 if bidirectional else 4),
        (None, 6 if bidirectional else 3),
    ]
    assert made.output_shape == (None, classes or 1)


def test_an_lstm_needs_steps_and_a_layer() -> None:
    """Said before anything is trained."""
    with pytest.raises(ConfigError, match=r"lstm takes rows of shape \(steps, features\)"):
        models.lstm(facts=facts(5), units=[4])
    with pytest.raises(ConfigError, match=r"model\.units: at least one layer"):
        models.lstm(facts=facts(5, 2), units={"a": None})


def test_an_optimizer_is_a_word_or_a_mapping_of_its_arguments() -> None:
    """What is None is its own default: a hyperparameter whose condition does not hold."""

    def made(**arguments: Any) -> dict[str, Any]:
        config: dict[str, Any] = models.linear(facts=facts(2), **arguments).optimizer.get_config()
        return config

    assert made(learning_rate=0.5)["learning_rate"] == 0.5
    sgd = made(learning_rate=0.5, optimizer={"name": "SGD", "momentum": 0.25, "nesterov": None})
    assert sgd["name"].startswith("sgd")  # a second one in this process has a number
    assert (sgd["learning_rate"], sgd["momentum"], sgd["nesterov"]) == (0.5, 0.25, False)
    assert made(optimizer={"name": "adamw", "learning_rate": 0.125})["learning_rate"] == 0.125


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"optimizer": "admw"}, "admw"),
        ({"optimizer": {"momentum": 0.5}}, "'None'"),
        ({"optimizer": {"name": "sgd", "momentun": 0.5}}, "momentun"),
        (
            {"optimizer": {"name": "sgd", "learning_rate": 0.1}, "learning_rate": 0.1},
            "also given by model.learning_rate",
        ),
    ],
)
def test_a_wrong_optimizer_is_refused(arguments: dict[str, Any], words: str) -> None:
    """In Keras' words, or where a rate is given twice in ours."""
    with pytest.raises((ConfigError, ValueError), match=words):
        models.linear(facts=facts(2), **arguments)


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_a_column_may_have_any_name() -> None:
    """Also one that Keras gives to layers, or that has a slash; the model takes each by its own."""
    names = ("dense", "string_lookup", "x/y", "x_y", "plain", "")
    told = Facts(
        (6,),
        2,
        [0.0] * 5,
        [1.0] * 5,
        columns=names,
        categories={"string_lookup": ["a", "b"]},
        train=facts(5).train,
    )
    made = models.mlp(facts=told, hidden=[3])
    rows = {
        name: np.array(["a", "b"], object) if name == "string_lookup" else np.ones(2)
        for name in names
    }
    assert [*made.input] == [*names]
    assert made.predict(rows, verbose=0).shape == (2, 2)


def test_a_text_is_taken_apart_inside_the_model(tmp_path: Path) -> None:
    """Into the frequent words of the training rows, as the stored file does it without us; beside
    numbers and categories, or by itself.
    """
    path = tmp_path / "rows.csv"
    reviews = ["Good, good wine!", "bad wine", "", "GOOD (but dear)"]
    path.write_text(
        "review,kind,a,y\n"
        + "".join(f'"{reviews[n % 4]}",{"rw"[n % 2]},{n},{n}\n' for n in range(40))
    )
    section = {"kind": "table", "path": str(path), "target": "y", "columns": {"review": "text"}}
    for others in ({}, {"kind": "ignore", "a": "ignore"}):
        made = data("regression", **{**section, "columns": {"review": "text", **others}})
        told = made.facts
        assert sorted(told.texts["review"]) == ["bad", "but", "dear", "good", "wine"]
        assert set(told.texts["review"][:2]) == {"good", "wine"}
        assert "review" not in told.categories
        assert len(told.columns or ()) == 3 - len(others)
        assert made.notes["read"].startswith(
            "read " + ("1 text (review)" if others else "1 number")
        )
        for model in (models.linear(facts=told), models.tabular(facts=told)):
            model.save(tmp_path / "model.keras")
            assert foreign_code(tmp_path / "model.keras") == []
            loaded = keras.models.load_model(tmp_path / "model.keras")
            row = {"kind": ["r"] * 4, "a": [1.0] * 4} if not others else {}
            texts = ["good wine", "Wine: GOOD", "wine", "never seen"]
            x = {name: np.array(cells) for name, cells in {"review": texts, **row}.items()}
            x = {n: c.astype(object if c.dtype.kind == "U" else "float32") for n, c in x.items()}
            found = loaded.predict(x, verbose=0)[:, 0]
            assert found[0] == found[1]
            assert len({*found[1:].tolist()}) == 3


@pytest.mark.parametrize(
    ("key", "value"), [("hidden", 64), ("activation", "reluu"), ("dropout", "high")]
)
def test_a_wrong_argument_of_a_shipped_model_is_an_error_of_the_config(
    key: str, value: Any
) -> None:
    """Not of the code."""
    model = {"_target_": "runner.models.mlp", "hidden": {"h1": 4}, key: value}
    settings = pipeline(data={"kind": "sklearn", "name": "iris"}, model=model)
    with pytest.raises(ConfigError, match="model: an argument is invalid: "):
        preflight(bench(settings))
