"""The kinds of the section `data`, each with its reader; and the way from any of them to a Dataset.

A kind of data is a class in config/schema.py, a reader, and a line in READERS. Images are of
folders, a sub-folder for each class; they are read once, and stay the bytes that they are.
"""

import functools
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runner.config import schema
from runner.config.targets import check_arguments, locate
from runner.data import columns, streams
from runner.data.dataset import WHOLE, Array, Dataset, Rows, checked, must_fit, one_each
from runner.data.files import load_arrays
from runner.data.split import refuse_leaks, split
from runner.errors import DataError

if TYPE_CHECKING:
    import tensorflow

log = logging.getLogger("runner")

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
FORMATS = ".bmp, .gif, .jpeg, .jpg, .png"  # of images, that Keras reads
PART_NAMES = {"train", "validation", "valid", "val", "test"}


def load(settings: schema.Data, task: str) -> Dataset:
    """Return the data of a pipeline, split; nobody checks it again.

    Args:
        settings: the section `data`.
        task: classification or regression.

    Raises:
        DataError: the source is missing, unreadable or does not suit the task, or the split is
            empty or leaks.
    """
    clock = time.perf_counter()
    key, read = READERS[type(settings)]
    try:
        rows = read(settings, task)
    except DataError as error:
        [problem] = error.problems
        raise DataError(problem.what, problem.where or key) from error
    parts, classes = rows.numbered(task)
    shapes = {name: part.shape[1:] for name, part in parts.items()}
    if len({*shapes.values()}) > 1:
        raise DataError(f"the parts have rows of different shapes: {shapes}", key)
    source = settings.model_dump()
    given = WHOLE not in parts
    if given:
        source["split"] = "given"
    else:
        del source["split"]
        whole = parts[WHOLE]
        chosen = split(whole.y, settings.split, rows.by, classes or ())
        parts = {name: whole.take(numbers) for name, numbers in chosen.items()}
    parts = {name: parts[name] for name in schema.PARTS if name in parts}
    if rows.comparable:
        refuse_leaks(parts, given=given or settings.split.kind == "given")
    return Dataset(parts, classes, source, time.perf_counter() - clock, rows.columns)


def _sklearn(settings: schema.SklearnData, task: str) -> Rows:
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{settings.name}")()
    if "images" in bunch:
        x, columns = bunch.images[..., np.newaxis], None
    else:
        x, columns = bunch.data, dict.fromkeys(map(str, bunch.feature_names), "number")
    classes = tuple(map(str, bunch.target_names)) if "target_names" in bunch else None
    return Rows(checked({WHOLE: (x, bunch.target)}, settings.name), classes, columns)


def _npz(settings: schema.NpzData, task: str) -> Rows:
    pairs, column = {}, settings.split.column
    for part, path in settings.paths.items():
        found = load_arrays(Path(path), settings.x, settings.y, *([column] if column else []))
        pairs[part] = found[settings.x], found[settings.y]
    where = ", ".join(settings.paths.values())
    parts = checked(pairs, where)
    by = one_each(found[column], len(parts[WHOLE]), where) if column else None
    return Rows(parts, by=by)


def _function(settings: schema.FunctionData, task: str) -> Rows:
    """Call the function and return what it made.

    Raises:
        ConfigError: there is no such function, or it takes other arguments.
        DataError: it returned something else, or what no model can be trained on.
    """
    target = settings.target
    function = locate(target, "data._target_")
    check_arguments(function, settings.args, "data")
    call = functools.partial(function, **settings.args)
    given = call()
    if isinstance(given, tuple) and len(given) == 2:
        return Rows(checked({WHOLE: given}, target))
    parts = given if isinstance(given, Mapping) else {}
    streamed = all(map(streams.is_stream, parts.values()))
    paired = all(isinstance(part, (tuple, list)) and len(part) == 2 for part in parts.values())
    if not ({"train", "validation"} <= {*parts} <= {*schema.PARTS} and (streamed or paired)):
        kinds = {name: type(part).__name__ for name, part in parts.items()}
        raise DataError(
            f"{target} returned {kinds or type(given).__name__}; it must return (x, y), or a "
            "mapping of train, validation and perhaps test to such pairs, or of all to streams"
        )
    return streams.read(call, target, task) if streamed else Rows(checked(parts, target))


def _images(settings: schema.ImageData, task: str) -> Rows:
    """Return images and the names of their classes, by part.

    Raises:
        DataError: the folders are not of such images, do not agree in their classes, or hold more
            than fits in memory.
    """
    found = {part: _folder(Path(path), settings) for part, path in settings.paths.items()}
    names = [{*dataset.class_names} for dataset in found.values()]
    if odd := set.union(*names) - set.intersection(*names):
        raise DataError(f"the classes of the parts differ: '{min(odd)}' is no folder of each")
    count = sum(len(dataset.file_paths) for dataset in found.values())
    size = count * math.prod(settings.image_size) * CHANNELS[settings.color_mode]
    must_fit(size, f"{count} images", "smaller image_size")
    pairs = {part: _pixels(dataset, settings) for part, dataset in found.items()}
    return Rows(checked(pairs, ", ".join(settings.paths.values())))


def _folder(folder: Path, settings: schema.ImageData) -> "tensorflow.data.Dataset":
    """Return Keras' dataset of a folder, which reads no image yet."""
    import keras

    arguments = settings.model_dump(exclude={"kind", "path", "split"})
    try:
        dataset = keras.utils.image_dataset_from_directory(
            folder,
            batch_size=None,
            shuffle=False,
            data_format="channels_last",
            verbose=False,
            **arguments,
        )
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {folder} as a folder of classes: {error}") from error
    names: list[str] = dataset.class_names
    if PART_NAMES.issuperset(names):
        raise DataError(
            f"{folder} has folders of parts ({', '.join(names)}), not of classes; "
            "write {train: ..., validation: ...} with the folder of each"
        )
    images = {*map(Path, dataset.file_paths)}
    for name in sorted({*names} - {path.relative_to(folder).parts[0] for path in images}):
        raise DataError(
            f"the class folder {folder / name} holds no image ({FORMATS}); delete it, or fill it"
        )
    files = {path for path in folder.glob("[!.]*/**/[!.]*") if path.is_file()}
    if others := files - images:
        log.warning(
            "data.path: left out as no images (%s): %d files, such as %s",
            FORMATS,
            len(others),
            min(others),
        )
    return dataset


def _pixels(dataset: "tensorflow.data.Dataset", settings: schema.ImageData) -> tuple[Array, Array]:
    count, channels = len(dataset.file_paths), CHANNELS[settings.color_mode]
    images = np.empty((count, *settings.image_size, channels), "uint8")
    labels = np.empty(count, "int64")
    rows = iter(dataset)
    for row, path in enumerate(dataset.file_paths):
        try:
            image, labels[row] = next(rows)
        except Exception as error:  # TensorFlow names no file, but gives the rows in their order
            raise DataError(f"cannot read the image {path}; is it damaged?") from error
        images[row] = np.rint(np.clip(image, 0, 255))
    return images, np.array(dataset.class_names)[labels]


READERS: Mapping[type[object], tuple[str, Callable[[Any, str], Rows]]] = {
    # kind: the key that names the source, and what reads it
    schema.SklearnData: ("data.name", _sklearn),
    schema.TableData: ("data.path", columns.read),
    schema.NpzData: ("data.path", _npz),
    schema.ImageData: ("data.path", _images),
    schema.WindowData: ("data.path", columns.read_windows),
    schema.FunctionData: ("data._target_", _function),
}
