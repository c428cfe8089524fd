"""Data that is no table: folders of images, windows over a series, streams of batches; and what is
built for them.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imsave
from runner_samples import pipeline

from runner import models
from runner.config.check import Reader
from runner.config.schema import Data, FunctionData
from runner.data import memory
from runner.data.dataset import Array, Dataset, Facts, Part, statistics
from runner.data.sources import load
from runner.errors import ConfigError, DataError
from runner.run.preflight import preflight
from runner.training.build import bench


def problems(**section: Any) -> list[str]:
    """What is wrong with a section `data` before anything is read."""
    reader = Reader()
    reader.read(section, Data, "data")
    return [str(problem) for problem in reader.problems]


def data(task: str = "classification", **section: Any) -> Dataset:
    """The rows that a section `data` names."""
    reader = Reader()
    settings = reader.read(section, Data, "data")
    assert not reader.problems
    return load(settings, task)


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
        assert np.allclose(statistics(np.split(x, cuts)), expected, rtol=1e-12)
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
        for name, part in dataset.parts().items()
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
    assert [part.shape for part in made.parts().values()] == [
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
    with pytest.raises(DataError, match="'light' is a folder of train alone"):
        data(**section)
    with pytest.raises(DataError, match=r"has folders of parts \(train, val\), not of classes"):
        data(kind="images", path=str(held.parent), image_size=[4, 4])


def test_a_changed_image_is_other_data(photos: Path) -> None:
    """By its pixels; the folder's place counts in the source alone."""
    section: dict[str, Any] = {"kind": "images", "path": str(photos), "image_size": [4, 4]}
    before = data(**section).fingerprint
    assert data(**section).fingerprint == before
    imsave(photos / "dark" / "0.png", np.full((6, 4, 3), 6, "uint8"))
    assert data(**section).fingerprint != before


def torn(photos: Path) -> None:
    path = photos / "light" / "7.png"
    path.write_bytes(path.read_bytes()[:60])


def one_class(photos: Path) -> None:
    for path in (photos / "dark").iterdir():
        path.unlink()
    (photos / "dark").rmdir()


def no_class(photos: Path) -> None:
    one_class(photos)
    (photos / "light").rename(photos / ".light")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (torn, r"cannot read the image .*light.7\.png; is it damaged\? Invalid PNG"),
        (lambda photos: (photos / "medium").mkdir(), r"the class folder .*medium holds no image"),
        (one_class, "has one class folder, 'light'; a classification needs two"),
        (no_class, "No images found"),
    ],
)
def test_a_folder_that_is_no_folder_of_classes_is_refused(
    photos: Path, spoil: Callable[[Path], None], words: str
) -> None:
    """With the file or the folder that is wrong."""
    spoil(photos)
    with pytest.raises(DataError, match=words):
        data(kind="images", path=str(photos), image_size=[4, 4])


def test_other_files_are_left_out_and_counted(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Keras would leave them out without a word."""
    (photos / "dark" / "10.webp").write_bytes(b"RIFF")
    with caplog.at_level(logging.WARNING):
        assert (
            sum(
                len(part)
                for part in data(kind="images", path=str(photos), image_size=[4, 4])
                .parts()
                .values()
            )
            == 20
        )
    assert "1 files, such as" in caplog.text


def test_images_that_do_not_fit_into_memory_are_not_loaded(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty of 48 bytes, twice; where the system does not say how much is free, nothing is
    refused.
    """
    section: dict[str, Any] = {"kind": "images", "path": str(photos), "image_size": [4, 4]}
    for free, fits in ((1920, True), (1919, False), (None, True)):
        monkeypatch.setattr(memory, "available", lambda free=free: free)
        if fits:
            data(**section)
        else:
            with pytest.raises(
                DataError,
                match=r"20 images of \[4, 4\] pixels take .* Give a smaller image_size, or",
            ):
                data(**section)


def test_the_values_of_images_come_from_no_folder(photos: Path) -> None:
    """So a regression is refused."""
    with pytest.raises(DataError, match="the task must be classification"):
        data("regression", kind="images", path=str(photos), image_size=[4, 4])


def test_wrong_settings_of_images_are_told_before_anything_is_read(tmp_path: Path) -> None:
    """All at once."""
    here = str(tmp_path)
    assert problems(
        kind="images",
        path=f"{here}/no",
        image_size=[8],
        crop_to_aspect_ratio=True,
        pad_to_aspect_ratio=True,
    ) == [
        f"data.path: there is no folder {here}/no; paths count from the current folder",
        "data.image_size: must be [height, width] in pixels, not [8]",
        "data.pad_to_aspect_ratio: an image is cropped or padded, not both",
    ]
    [told] = problems(
        kind="images",
        path={"train": here, "validation": here, "test": f"{here}/no"},
        image_size=[8, 8],
    )
    assert told.startswith("data.path.test: there is no folder")


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
    for part, first, last in zip(made.parts().values(), (0, 70, 90), (69, 89, 99), strict=True):
        assert (rows(part)[0, :, 0].tolist(), part.y[0]) == (
            [first, first + 1, first + 2],
            first + 4,
        )
        assert (rows(part)[-1, :, 0].tolist(), part.y[-1]) == ([last - 4, last - 3, last - 2], last)
        assert len(part) == last - first - 3
        assert np.array_equal(rows(part)[..., 1], -rows(part)[..., 0])
    assert (made.columns, made.facts.input_shape) == ({"t": "number", "other": "number"}, (3, 2))


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
    columns = [
        data("regression", **section, **more).facts.columns
        for more in ({}, {"horizon": 0}, {"features": ["other", "t"]})
    ]
    assert columns == [("t", "other"), ("other",), ("other", "t")]
    [told] = problems(**section, features=["t"], horizon=0)
    assert "at horizon 0 a window would hold its own target" in told


def test_labels_make_a_classification(series: Callable[..., dict[str, Any]]) -> None:
    """Each window has that of the row that the horizon says."""
    labels = np.where(COUNT % 7 < 3, "on", "off")
    made = data(**series(t=COUNT, label=labels), target="label", sequence_length=3)
    assert (made.classes, made.facts.columns) == (("off", "on"), ("t",))
    assert [("off", "on")[number] for number in made.train.y] == labels[3:80].tolist()
    labels[9] = ""
    with pytest.raises(
        DataError, match=r"row 10 \(line 11\), column 'label': the label is missing"
    ):
        data(**series(t=COUNT, label=labels), target="label", sequence_length=3)


@pytest.mark.parametrize(
    ("value", "found"),
    [("", "nothing"), ("NA", "nothing"), ("inf", "'inf'"), ("1e99", r"'1e\+99'"), ("two", "'two'")],
)
@pytest.mark.parametrize("column", ["t", "other"])
def test_what_is_no_number_is_named_by_column_and_row(
    series: Callable[..., dict[str, Any]], column: str, value: str, found: str
) -> None:
    """In the target and in a feature."""
    columns: dict[str, Any] = {"t": COUNT, "other": COUNT}
    columns[column] = [*map(str, range(41)), value, *map(str, range(42, 100))]
    with pytest.raises(
        DataError, match=rf"series\.csv, row 42 \(line 43\), column '{column}': {found}"
    ):
        data("regression", **series(**columns), target="t", sequence_length=3)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"target": "tt"}, r"data\.target: .*unknown column 'tt'; did you mean 't'"),
        ({"features": ["t", "othre"]}, r"data\.features: .*did you mean 'other'"),
        ({"features": ["when"]}, r"row 1 \(line 2\), column 'when': 'a day' is no finite number"),
        (
            {"sequence_length": 20},
            "the validation part has 20 rows; one window and its target reach over 21",
        ),
        ({"split": {"validation": 0.3, "test": 0.01}}, "the test part has 1 rows; .* reach over 4"),
    ],
)
def test_a_series_that_does_not_suffice_is_refused(
    series: Callable[..., dict[str, Any]], more: dict[str, Any], words: str
) -> None:
    """With what would do."""
    section = {
        **series(t=COUNT, other=COUNT, when=["a day"] * 100),
        "target": "t",
        "sequence_length": 3,
    }
    with pytest.raises(DataError, match=words):
        data("regression", **{**section, **more})


@pytest.mark.parametrize("name", ["bad.csv", "bad.parquet", "bad.npz"])
def test_a_file_that_is_no_series_is_an_error_of_the_data(tmp_path: Path, name: str) -> None:
    """Empty ones, too long rows, no rows."""
    for text, words in (
        ("a,b\n1,2\n3,4,5\n", name),
        ("", name),
        ("a,b\n", f"{name}|0 rows leave none"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=words):
            data(
                "regression",
                kind="windows",
                path=str(tmp_path / name),
                target="a",
                sequence_length=2,
            )


def test_wrong_settings_of_windows_are_told_before_anything_is_read(tmp_path: Path) -> None:
    """All at once."""
    assert problems(
        kind="windows",
        path=__file__,
        target="t",
        sequence_length=0,
        horizon=-1,
        features=["a", "a"],
    ) == [
        "data.sequence_length: must be at least 1, not 0",
        "data.horizon: must be 0 (the target of the window's last row) or more, not -1",
        "data.features: must name at least one column, and each once",
    ]


# --- streams

STREAMS = """
import keras, numpy as np, tensorflow as tf

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


def shuffled(): return {"train": ROWS.shuffle(40).batch(8), "validation": HELD, "test": Batches()}
def both(train, held=HELD): return {"validation": held, "train": train}
def mapped(change): return both(HELD.map(change))

MAKERS = {
    "one": lambda: HELD,
    "mixed": lambda: both(HELD, (X, Y)),
    "alone": lambda: {"train": HELD},
    "unbatched": lambda: both(ROWS),
    "empty": lambda: both(ROWS.take(0).batch(4)),
    "repeated": lambda: both(HELD.repeat()),
    "endless": lambda: both(Endless()),
    "one_hot": lambda: mapped(lambda x, y: (x, tf.one_hot(y, 2))),
    "inputs": lambda: mapped(lambda x, y: ({"a": x, "b": x}, y)),
    "weights": lambda: mapped(lambda x, y: (x, y, y)),
    "nan": lambda: mapped(lambda x, y: (x / 0.0, y)),
    "texts": lambda: mapped(lambda x, y: (tf.strings.as_string(x), y)),
    "from_one": lambda: both(*[HELD.map(lambda x, y: (x, y + 1))] * 2),
    "narrow": lambda: both(HELD, HELD.map(lambda x, y: (x[:, :2], y))),
    "reshuffled": lambda: both(HELD, ROWS.shuffle(40, seed=1).batch(7)),
    "unseeded": lambda: both(HELD, ROWS.shuffle(40, reshuffle_each_iteration=False).batch(7)),
    "moving": lambda: both(HELD, Batches(moving=True)),
    "drawn": lambda: both(ROWS.shuffle(40, seed=int(np.random.default_rng().integers(2**31))).batch(7)),
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
    return load(FunctionData(target=f"users_own_streams.{name}", args=arguments), task)


@pytest.mark.usefixtures("streams")
def test_a_stream_tells_what_its_rows_would_tell_as_arrays() -> None:
    """Shapes, classes, targets in order and the facts of the training rows; and is not kept."""
    made = streamed("shuffled")
    module: Any = sys.modules["users_own_streams"]
    whole = Part(module.X, module.Y)
    assert {name: part.shape for name, part in made.parts().items()} == dict.fromkeys(
        ("train", "validation", "test"), (40, 3)
    )
    assert made.classes == ("0", "1")
    # there is one
    assert made.validation.y.tolist() == made.test.y.tolist() == module.Y.tolist()  # type: ignore[union-attr]
    assert np.allclose(made.train.statistics, whole.statistics, rtol=1e-6)
    assert len(rows(made.train)) == 8
    assert streamed("shuffled", "regression").facts.target_mean == pytest.approx(module.Y.mean())


@pytest.mark.usefixtures("streams")
def test_what_a_training_is_given_depends_on_its_seed_alone() -> None:
    """Not on the passes before it: the rows of two epochs are the same whenever the seed is."""
    made = streamed("shuffled")

    def epochs(seed: int) -> list[list[int]]:
        keras.utils.set_random_seed(seed)
        [source] = made.train.given()
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
        ("mixed", "returned streams, but 'validation' is a tuple"),
        ("alone", "returned no 'validation' part"),
        (
            "unbatched",
            r"'train' part .*, batch 1: x has the shape \(3,\) and y \(\); is batch\(\) missing",
        ),
        ("empty", "'train' part .* holds no rows"),
        ("repeated", r"'train' part .* never ends; leave out repeat\(\)"),
        ("endless", "'train' part .* never ends"),
        ("one_hot", r"batch 1: y has the shape \(7, 2\); .* no one-hot rows"),
        ("inputs", "batch 1: x has several inputs"),
        ("weights", r"batch 1: is no pair \(x, y\)"),
        ("nan", "batch 1: 21 of the values of x are NaN or infinite, the first in row 1"),
        ("texts", "a model takes numbers"),
        ("from_one", r"the targets .* are \[1, 2\]; classes of streams are numbered from 0"),
        ("narrow", r"'validation' part .* has rows of shape \(2,\); train has \(3,\)"),
        (
            "reshuffled",
            "'validation' part .* has other rows, or another order, each time; shuffle the training part",
        ),
        ("unseeded", "'validation' part .* has other rows, or another order"),
        ("moving", "'validation' part .* has other rows, or another order"),
        ("drawn", "'train' part .* begins with other rows each time"),
    ],
)
def test_a_stream_that_cannot_be_trained_on_is_refused(name: str, words: str) -> None:
    """With the part, the batch, and what to do."""
    with pytest.raises(DataError, match=words):
        streamed("make", kind=name)


# --- models


def facts(*shape: int, classes: int | None = None) -> Facts:
    return Facts(shape, classes, [0.0] * shape[-1], [1.0] * shape[-1])


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
    assert (sgd["name"], sgd["learning_rate"], sgd["momentum"], sgd["nesterov"]) == (
        "sgd",
        0.5,
        0.25,
        False,
    )
    assert made(optimizer={"name": "adamw", "learning_rate": 0.125})["learning_rate"] == 0.125


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"optimizer": "admw"},
            r"model\.optimizer: unknown optimizer 'admw'; did you mean 'adamw'",
        ),
        ({"optimizer": {"momentum": 0.5}}, r"model\.optimizer: unknown optimizer 'None'"),
        ({"optimizer": {"name": "sgd", "momentun": 0.5}}, r"model\.optimizer: sgd: .*momentun"),
        (
            {"optimizer": {"name": "sgd", "learning_rate": 0.1}, "learning_rate": 0.1},
            "given by model.learning_rate too",
        ),
    ],
)
def test_a_wrong_optimizer_is_an_error_of_the_config(arguments: dict[str, Any], words: str) -> None:
    """With what was probably meant."""
    with pytest.raises(ConfigError, match=words):
        models.linear(facts=facts(2), **arguments)


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_a_column_may_have_any_name() -> None:
    """Also one that Keras gives to layers, or that has a slash; the model takes each by its own."""
    names = ("dense", "string_lookup", "x/y", "x_y", "plain", "")
    told = Facts(
        (6,), 2, [0.0] * 5, [1.0] * 5, columns=names, categories={"string_lookup": ["a", "b"]}
    )
    made = models.mlp(facts=told, hidden=[3])
    rows = {
        name: np.array(["a", "b"], object) if name == "string_lookup" else np.ones(2)
        for name in names
    }
    assert [*made.input] == [*names]
    assert made.predict(rows, verbose=0).shape == (2, 2)


@pytest.mark.parametrize(
    ("key", "value"), [("hidden", 64), ("activation", "reluu"), ("dropout", "high")]
)
def test_a_wrong_argument_of_a_shipped_model_is_an_error_of_the_config(
    key: str, value: Any
) -> None:
    """Not of the code."""
    model = {"_target_": "runner.models.mlp", "hidden": {"h1": 4}, key: value}
    settings = pipeline(data={"kind": "sklearn", "name": "iris"}, model=model)
    with pytest.raises(ConfigError, match="model: an argument is not as it must be: "):
        preflight(settings, *bench(settings))
