"""Find images in files, folders, and arrays of any depth."""

import numbers
import os
import pathlib

from PIL import Image

from keras_detr.batches.image_range import check_raw_range
from keras_detr.batches.shapes import described
from keras_detr.ops.numpy_arrays import to_numpy
from keras_detr.preprocessing.image_reading import IMAGE_SUFFIXES, rgb_of_array, rgb_of_picture


def find_images(images, *, exif="apply"):
    """List the images that `keras_detr.inference.detect` takes, without reading files.

    Pictures of PIL are turned as their EXIF tag says where `exif` is "apply".

    Returns:
        list of `pathlib.Path` of a file, or uint8 (height, width, 3) RGB.

    Raises:
        FileNotFoundError, ValueError: as `detect` does, or an array isn't an image.
    """
    if isinstance(images, (str, os.PathLike)):
        return _files_of_path(pathlib.Path(images))
    if isinstance(images, Image.Image):
        return [rgb_of_picture(images, is_turned=exif == "apply")]
    if isinstance(images, (list, tuple)):
        return [found for image in images for found in find_images(image, exif=exif)]
    if images is None or isinstance(images, (bool, numbers.Number, dict)):
        raise ValueError(
            "`images` must be paths, arrays or pictures, or a list of them. Received: "
            f"{described(images)}."
        )
    array = to_numpy(images)
    arrays = array if array.ndim == 4 else [array]
    for array in arrays:
        check_raw_range(array)
    return [rgb_of_array(array) for array in arrays]


def _files_of_path(path):
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise ValueError(
                f"`images`: the folder {str(path)!r} holds no images, that is files that end in "
                f"{', '.join(IMAGE_SUFFIXES)}."
            )
        return files
    if not path.exists():
        raise FileNotFoundError(f"`images`: there is no file or folder {str(path)!r}.")
    return [path]
