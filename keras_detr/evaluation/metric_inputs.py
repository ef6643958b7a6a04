"""What COCO's metrics check of true and detected objects, be they boxes or masks."""

import numpy as np

from keras_detr.ops.numpy_arrays import to_numpy


def check_lengths(**numbers_of_images):
    """Check that the arguments have the same number of images.

    Raises:
        ValueError: they haven't.
    """
    if len(set(numbers_of_images.values())) > 1:
        raise ValueError(
            f"All must have one row an image. Received the numbers: {numbers_of_images}."
        )


def objects_of_image(batch, index):
    """Return the entries of one image of a batch, without what comes after "num_detections"."""
    image = {key: value[index] for key, value in batch.items()}
    number = image.pop("num_detections", None)
    if number is not None:
        image = {key: value[: int(to_numpy(number))] for key, value in image.items()}
    # Encoded masks are dicts.
    return {key: value if key == "masks" else to_numpy(value) for key, value in image.items()}


def check_classes(argument, key, image, num_classes):
    """Return the classes of an image's objects as int64, of which -1 is padding.

    Args:
        argument: str, its name.
        key: str, of the entry that has an element for each object.
        image: dict.
        num_classes: int.

    Raises:
        ValueError: there isn't one class for each object, or one is out of range.
    """
    classes = image["classes"].astype(np.int64)
    if len(image[key]) != len(classes):
        raise ValueError(
            f"`{argument}`: an image has {len(image[key])} {key} and {len(classes)} classes."
        )
    if np.any(classes >= num_classes):
        raise ValueError(
            f"`{argument}`: classes must be below `num_classes`, {num_classes}. "
            f"Received: {classes.max()}."
        )
    return classes


def check_finite(argument, key, values):
    """Check that values are finite: COCO's code counts a NaN overlap as a match.

    Raises:
        ValueError: they aren't.
    """
    if np.isfinite(values).all():
        return
    cause = {
        "y_true": "drop such objects from the data set.",
        "y_pred": "the model's training has diverged, or its input isn't finite.",
    }
    raise ValueError(
        f"`{argument}` must be finite. Received NaN or infinity in {key!r}: {cause[argument]}"
    )
