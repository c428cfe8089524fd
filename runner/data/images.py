"""Images from folders: a sub-folder for each class, read once, as bytes of shape (rows, height,
width, channels).
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from runner.config.check import plain_config
from runner.config.schema import ImageData
from runner.data.dataset import Array
from runner.data.memory import must_fit
from runner.errors import DataError

log = logging.getLogger("runner")

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
FORMATS = ".bmp, .gif, .jpeg, .jpg, .png"  # that Keras reads
PART_NAMES = {"train", "validation", "valid", "val", "test"}
ARGUMENTS = (
    "image_size",
    "color_mode",
    "interpolation",
    "crop_to_aspect_ratio",
    "pad_to_aspect_ratio",
)


def read(settings: ImageData, task: str) -> dict[str, tuple[Array, Array]]:
    """Images and the names of their classes, by part; all under the name `` where they are to be
    split.

    Raises:
        DataError: the folders are not of such images, do not agree in their classes, or hold more
        than fits in memory.
    """
    if task != "classification":
        raise DataError(
            "data.kind: images are of the classes that their folders name; the task must be classification"
        )
    folders = settings.path if isinstance(settings.path, dict) else {"": settings.path}
    indexed = {part: _index(Path(folder), settings) for part, folder in folders.items()}
    kinds = {part: dataset.class_names for part, dataset in indexed.items()}
    for part, names in kinds.items():
        if names != kinds.get("train", names):
            odd = sorted({*names} ^ {*kinds["train"]})[0]
            where = "train" if odd in kinds["train"] else part
            raise DataError(
                f"data.path: the classes of the parts differ: '{odd}' is a folder of {where} alone"
            )
    count, pixels = (
        sum(len(dataset.file_paths) for dataset in indexed.values()),
        np.prod(settings.image_size),
    )
    must_fit(
        int(count * pixels) * CHANNELS[settings.color_mode],
        f"data: {count} images of {settings.image_size} pixels",
        "Give a smaller image_size, or a function that returns tf.data.Dataset objects, which are streamed.",
    )
    return {part: _pixels(dataset, settings) for part, dataset in indexed.items()}


def _index(folder: Path, settings: ImageData) -> Any:
    """Keras' dataset of a folder, which reads no image yet."""
    import keras

    arguments = {key: value for key, value in plain_config(settings).items() if key in ARGUMENTS}
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
        raise DataError(
            f"data.path: cannot read {folder} as a folder of classes: {error}"
        ) from error
    if PART_NAMES.issuperset(dataset.class_names):
        what = f"has folders of parts ({', '.join(dataset.class_names)}), not of classes"
        raise DataError(
            f"data.path: {folder} {what}; write {{train: ..., validation: ...}} with the folder of each"
        )
    names, held = (
        dataset.class_names,
        {Path(path).relative_to(folder).parts[0] for path in dataset.file_paths},
    )
    for name in names:
        if name not in held:
            raise DataError(
                f"data.path: the class folder {folder / name} holds no image ({FORMATS}); delete it, or fill it"
            )
    if len(names) < 2:
        raise DataError(
            f"data.path: {folder} has one class folder, '{names[0]}'; a classification needs two or more"
        )
    inside = [path for name in names for path in (folder / name).rglob("[!.]*") if path.is_file()]
    if others := sorted({*inside} - {Path(path) for path in dataset.file_paths}):
        log.warning(
            "data.path: left out as no images (%s): %d files, such as %s",
            FORMATS,
            len(others),
            others[0],
        )
    return dataset


def _pixels(dataset: Any, settings: ImageData) -> tuple[Array, Array]:
    images = np.empty(
        (len(dataset.file_paths), *settings.image_size, CHANNELS[settings.color_mode]), "uint8"
    )
    labels = np.empty(len(images), "int64")
    rows = iter(dataset)
    for row, path in enumerate(dataset.file_paths):
        try:
            image, labels[row] = next(rows)
        except Exception as error:  # TensorFlow names no file, but gives the rows in their order
            cause = str(error).partition("\n")[0].rpartition("V2: ")[2]
            raise DataError(
                f"data.path: cannot read the image {path}; is it damaged? {cause[:200]}"
            ) from error
        images[row] = np.rint(np.clip(image, 0, 255))
    return images, np.array(dataset.class_names)[labels]
