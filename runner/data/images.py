"""Images in folders, a sub-folder for each class. They are read once, by Keras, and stay the bytes
that they are.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from runner import later as keras
from runner.config import schema
from runner.data import limits, log
from runner.data.dataset import Part
from runner.data.rows import Rows
from runner.errors import DataError, Faults, Problem, gathered

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
FORMATS = ".bmp, .gif, .jpeg, .jpg, .png"  # that Keras reads
PART_NAMES = {"train", "validation", "valid", "val", "test"}


def read(settings: schema.ImageData, task: str) -> Rows:
    """Return images and the names of their classes, by part.

    Raises:
        DataError: the folders are not of such images, do not agree in their classes, or hold more
            than fits in memory.
    """
    folders = gathered(lambda part: _folder(Path(settings.paths[part]), settings), settings.paths)
    names = [set(folder.class_names) for folder in folders.values()]
    odd = set.union(*names) - set.intersection(*names)
    if odd:
        raise DataError(f"the classes of the parts differ: '{min(odd)}' is not a folder of each")
    shape = *settings.image_size, CHANNELS[settings.color_mode]
    count = sum(len(folder.file_paths) for folder in folders.values())
    limits.must_fit(count * math.prod(shape), f"{count} images", "smaller image_size")
    return Rows(gathered(lambda part: _pixels(folders[part], shape), folders))


def _folder(folder: Path, settings: schema.ImageData) -> Any:  # a tf.data.Dataset
    """Return Keras' dataset of a folder, which reads no image yet."""
    try:
        images = keras.utils.image_dataset_from_directory(
            folder,
            batch_size=None,
            shuffle=False,
            data_format="channels_last",
            verbose=False,
            **settings.model_dump(exclude={"kind", "path", "split"}),
        )
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {folder} as a folder of classes: {error}") from error
    names = images.class_names
    if PART_NAMES.issuperset(names):
        raise DataError(
            f"{folder} has folders of parts ({', '.join(names)}), not of classes; "
            "write {train: ..., validation: ...} with the folder of each"
        )
    paths = {Path(path) for path in images.file_paths}
    wrong = [f"{path} is not a regular file" for path in sorted(paths) if not path.is_file()]
    for name in sorted(set(names) - {path.relative_to(folder).parts[0] for path in paths}):
        wrong.append(
            f"the class folder {folder / name} contains no images ({FORMATS}); delete it, or add "
            "some"
        )
    if wrong:
        raise DataError([Problem("", what) for what in wrong])
    others = {path for path in folder.glob("[!.]*/**/[!.]*") if path.is_file()} - paths
    if others:
        log.warning(
            "data.path: ignored, as they are not images (%s): %d files, such as %s",
            FORMATS,
            len(others),
            min(others),
        )
    return images


def _pixels(folder: Any, shape: tuple[int, ...]) -> Part:
    """Return the images of a folder, each of the same shape."""
    paths = folder.file_paths
    labels = np.empty(len(paths), "int64")
    images = np.empty((len(paths), *shape), "uint8")
    faults = Faults()
    rows = iter(folder)
    for row, path in enumerate(paths):
        with faults:
            try:
                image, labels[row] = next(rows)
            except Exception as error:  # TensorFlow names no file, but keeps to their order
                raise DataError(f"cannot read the image {path}; is it damaged?") from error
            images[row] = np.rint(np.clip(image, 0, 255))
    faults.tell()
    return Part(images, np.array(folder.class_names)[labels])
