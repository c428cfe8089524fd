"""The kinds of the section `data`, each with its reader; and the way from any of them to a Dataset.

A kind of data is a class in config/schema.py, a reader, and a line in READERS. Images are of
folders, a sub-folder for each class; they are read once, and stay the bytes that they are.
"""

import functools
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from runner import later as keras
from runner.config import schema, targets
from runner.data import columns, dataset, files, log, split
from runner.errors import DataError, Faults, Problem, gathered, short

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
FORMATS = ".bmp, .gif, .jpeg, .jpg, .png"  # of images, that Keras reads
TOLD = 20  # problems of one source
PART_NAMES = {"train", "validation", "valid", "val", "test"}


def load(settings: schema.Data, task: str) -> dataset.Dataset:
    """Return the data of a pipeline, split; nobody checks it again.

    Args:
        settings: the section `data`.
        task: classification or regression.

    Raises:
        DataError: the source is missing, unreadable or does not suit the task, or the split is
            empty or leaks.
    """
    key, read = READERS[type(settings)]
    try:
        rows = read(settings, task).checked(task)
    except DataError as error:
        problems = [replace(problem, where=problem.where or key) for problem in error.problems]
        if more := problems[TOLD:]:
            problems[TOLD:] = [Problem(key, f"{len(more)} more problems like these")]
        raise DataError(problems) from error
    rows.say_what_is_alike()
    source, numbers, by = settings.model_dump(), rows.rows, dict[str, dataset.Array]()
    if given := dataset.WHOLE not in rows.parts:
        source["split"] = "given"
        parts = {name: rows.parts[name] for name in schema.PARTS if name in rows.parts}
    else:
        del source["split"]
        whole = rows.parts[dataset.WHOLE]
        chosen = split.split(whole.y, settings.split, rows.by, rows.classes or ())
        parts = {name: whole.take(places) for name, places in chosen.items()}
        kept = numbers.get(dataset.WHOLE, np.arange(len(whole)))
        numbers = {name: kept[places] for name, places in chosen.items()}
        if rows.by is not None:
            by = {name: rows.by[places] for name, places in chosen.items()}
    if rows.comparable:
        split.refuse_leaks(parts, given=given or settings.split.kind == "given")
    return dataset.Dataset(parts, rows.classes, source, rows.columns, rows.notes, numbers, by)


def _sklearn(settings: schema.SklearnData, task: str) -> dataset.Rows:
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{settings.name}")()
    images = "images" in bunch
    return dataset.Rows(
        {
            dataset.WHOLE: dataset.Part(
                bunch.images[..., np.newaxis] if images else bunch.data, bunch.target
            )
        },
        settings.name,
        classes=tuple(map(str, bunch.get("target_names", ()))) or None,
        columns=None if images else dict.fromkeys(map(str, bunch.feature_names), "number"),
    )


def _npz(settings: schema.NpzData, task: str) -> dataset.Rows:
    paths, by = settings.paths, settings.split.column
    found = gathered(
        lambda part: files.load_arrays(
            Path(paths[part]), *{settings.x, settings.y, by or settings.y}
        ),
        paths,
    )
    return dataset.Rows(
        {
            part: dataset.Part(arrays[settings.x], arrays[settings.y])
            for part, arrays in found.items()
        },
        ", ".join(paths.values()),
        by=found[dataset.WHOLE][by] if by else None,
    )


def _function(settings: schema.FunctionData, task: str) -> dataset.Rows:
    """Call the function and return what it made.

    Raises:
        ConfigError: there is no such function, or it takes other arguments.
        DataError: it returned something else, or what no model can be trained on.
    """
    target = settings.target
    call = functools.partial(targets.locate(target, "data._target_"), **settings.args)
    targets.check_arguments(call.func, settings.args, "data")
    given = call()
    if isinstance(given, tuple) and len(given) == 2:
        return dataset.Rows({dataset.WHOLE: _pair(target, *given)}, target)
    parts = given if isinstance(given, Mapping) else {}
    streamed = all(
        hasattr(part, "cardinality") or hasattr(part, "num_batches") for part in parts.values()
    )
    paired = all(isinstance(part, (tuple, list)) and len(part) == 2 for part in parts.values())
    if not ({"train", "validation"} <= {*parts} <= {*schema.PARTS} and (streamed or paired)):
        kinds = {name: type(part).__name__ for name, part in parts.items()}
        raise DataError(
            f"{target} returned {kinds or type(given).__name__}; it must return (x, y), or a "
            "mapping of train, validation and optionally test to such pairs, or to streams"
        )
    return (
        _streams(call, target, task)
        if streamed
        else dataset.Rows({name: _pair(target, *pair) for name, pair in parts.items()}, target)
    )


def _pair(target: str, x: Any, y: Any) -> dataset.Part:
    """Return what a function made as a part; raises DataError for several inputs without names."""
    rows = len(y) if hasattr(y, "__len__") else 0
    inputs = [*x] if isinstance(x, (tuple, list)) and len(x) != rows else []
    if inputs and all(getattr(each, "shape", ())[:1] == (rows,) for each in inputs):
        raise DataError(f"{target} returned {len(inputs)} inputs; {dataset.UNNAMED}")
    return dataset.Part(x, y)


def _images(settings: schema.ImageData, task: str) -> dataset.Rows:
    """Return images and the names of their classes, by part.

    Raises:
        DataError: the folders are not of such images, do not agree in their classes, or hold more
            than fits in memory.
    """
    found = gathered(lambda part: _folder(Path(settings.paths[part]), settings), settings.paths)
    names = [{*images.class_names} for images in found.values()]
    if odd := set.union(*names) - set.intersection(*names):
        raise DataError(f"the classes of the parts differ: '{min(odd)}' is not a folder of each")
    count = sum(len(images.file_paths) for images in found.values())
    dataset.must_fit(
        count * math.prod(settings.image_size) * CHANNELS[settings.color_mode],
        f"{count} images",
        "smaller image_size",
    )
    return dataset.Rows(gathered(lambda part: _pixels(found[part], settings), found))


def _folder(folder: Path, settings: schema.ImageData) -> Any:  # a tf.data.Dataset
    """Return Keras' dataset of a folder, which reads no image yet."""
    try:
        found = keras.utils.image_dataset_from_directory(
            folder,
            batch_size=None,
            shuffle=False,
            data_format="channels_last",
            verbose=False,
            **settings.model_dump(exclude={"kind", "path", "split"}),
        )
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {folder} as a folder of classes: {error}") from error
    names = found.class_names
    if PART_NAMES.issuperset(names):
        raise DataError(
            f"{folder} has folders of parts ({', '.join(names)}), not of classes; "
            "write {train: ..., validation: ...} with the folder of each"
        )
    images = {*map(Path, found.file_paths)}
    if wrong := [
        *(f"{path} is not a regular file" for path in sorted(images) if not path.is_file()),
        *(
            f"the class folder {folder / name} contains no images ({FORMATS}); delete it, or add "
            "some"
            for name in sorted({*names} - {path.relative_to(folder).parts[0] for path in images})
        ),
    ]:
        raise DataError([Problem("", what) for what in wrong])
    if others := {path for path in folder.glob("[!.]*/**/[!.]*") if path.is_file()} - images:
        log.warning(
            "data.path: ignored, as they are not images (%s): %d files, such as %s",
            FORMATS,
            len(others),
            min(others),
        )
    return found


def _pixels(found: Any, settings: schema.ImageData) -> dataset.Part:
    faults, paths, rows = Faults(), found.file_paths, iter(found)
    shape = len(paths), *settings.image_size, CHANNELS[settings.color_mode]
    images, labels = np.empty(shape, "uint8"), np.empty(len(paths), "int64")
    for row, path in enumerate(paths):
        with faults:
            try:
                image, labels[row] = next(rows)
            except Exception as error:  # TensorFlow names no file, but keeps to their order
                raise DataError(f"cannot read the image {path}; is it damaged?") from error
            images[row] = np.rint(np.clip(image, 0, 255))
    faults.tell()
    return dataset.Part(images, np.array(found.class_names)[labels])


def _streams(function: Callable[[], Any], target: str, task: str) -> dataset.Rows:
    """Return the parts, after a pass over each and another one over those held out.

    Args:
        function: the user's, with its arguments; it returns streams by part.
        target: its dotted path, for messages.
        task: classification or regression.

    Raises:
        DataError: the rows are not such that a model can be trained on them, or are others each
            time.
    """

    def part(name: str) -> dataset.Stream:
        where = f"the '{name}' part of {target}"
        found = _pass(first[name], where, functools.partial(_one, function, name))
        keras.utils.set_random_seed(1 if name == "train" else 2)
        again = found.anew()
        alike = all(
            one[0] == other[0] and np.array_equal(one[1], other[1])
            for one, other in zip(
                next(_batches(again, where)).arrays, found.take(slice(None)).arrays, strict=False
            )
        )
        if name != "train":  # the first pass may be as it should, and not the second
            getattr(again, "on_epoch_end", lambda: None)()
            alike = _pass(again, where, found.anew).digest == found.digest
        if not alike:
            raise DataError(
                f"{where} yields other rows, or another order, each time; shuffle only the "
                "training part, with a fixed seed or Keras' own"
            )
        return found

    keras.utils.set_random_seed(1)
    first = function()
    parts = gathered(part, first)
    values = np.unique(np.concatenate([part.y for part in parts.values()]))
    if task == "classification" and not np.array_equal(values, np.arange(len(values))):
        raise DataError(
            f"the targets of {target} are {short(values.tolist())}; the classes of a stream must "
            "be numbered from 0"
        )
    return dataset.Rows(parts, comparable=False)


def _one(function: Callable[[], Any], name: str) -> Any:
    return function()[name]


def _pass(source: Any, where: str, anew: Callable[[], Any]) -> dataset.Stream:
    """Return what one pass over a stream tells."""
    digest, first, ys = hashlib.sha256(), list[dataset.Features](), list[dataset.Array]()

    def rows() -> Iterator[dataset.Array]:
        for batch in _batches(source, where):
            for name, array in batch.arrays:
                digest.update(f"{name}{array.dtype} {array.shape} ".encode())
                digest.update(dataset.plain(array))
            first[:] = first or [batch.x]
            ys.append(batch.y)
            yield batch.numbers
        if not ys:
            raise DataError(f"{where} holds no rows")

    found = dataset.moments(rows())
    return dataset.Stream(first[0], np.concatenate(ys), anew, digest.hexdigest(), found)


def _batches(source: Any, where: str) -> Iterator[dataset.Part]:
    """Yield each batch: features of shape (rows, ...), or several such inputs by name, and targets
    of shape (rows,).
    """
    batches = source.cardinality() if hasattr(source, "cardinality") else source.num_batches
    if batches is None or int(batches) == -1:
        raise DataError(f"{where} never ends; remove repeat(), or define num_batches")
    for number, batch in enumerate(source, 1):
        at = f"{where}, batch {number}"
        if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
            raise DataError(f"{at}: is not a pair (x, y)")
        x = batch[0]
        if isinstance(x, (tuple, list)):
            raise DataError(f"{at}: x is a {type(x).__name__}; {dataset.UNNAMED}")
        if not isinstance(x, Mapping) and len(x.shape) < 2:
            raise DataError(f"{at}: x is not an array of rows of one shape; is batch() missing?")
        read = dataset.features(x, at)
        x = (
            {name: c if dataset.is_text(c) else np.asarray(x[name]) for name, c in read.items()}
            if isinstance(read, dict)
            else np.asarray(x)
        )
        part = dataset.Part(x, np.asarray(batch[1]))
        y = dataset.one_each(batch[1], part.at_hand, at)
        dataset.numbers(y, f"targets of {at}")
        yield dataset.Part(x, y)


READERS: Mapping[type[object], tuple[str, Callable[[Any, str], dataset.Rows]]] = {
    # kind: the key that names the source, and what reads it
    schema.SklearnData: ("data.name", _sklearn),
    schema.TableData: ("data.path", columns.read),
    schema.NpzData: ("data.path", _npz),
    schema.ImageData: ("data.path", _images),
    schema.WindowData: ("data.path", columns.read_windows),
    schema.FunctionData: ("data._target_", _function),
}
