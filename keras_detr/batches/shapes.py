"""Check what is known of a batch without a look at its values: types, shapes, dtypes.

Python only: no array library is touched, so that a check costs a training step nothing.
"""

import numbers

NO_BATCH = (
    "`x` gave no batch: the data set is empty, or the generator has been read to its end already. "
    "Check the files and filters behind it, and create a generator anew for each call."
)
ONE_ARRAY_ADVICE = (
    "Images of one size become one array with `np.stack(images)`; `predict` takes a list of images "
    "(height, width, 3) of any sizes, and `model.detect` files, PIL's images and others too."
)


def check_images_and_mask(images, pixel_mask=None):
    """Check types, shapes and dtypes of images and their mask, as far as they are known.

    Args:
        images: should be an array (batch, height, width, 3) of numbers.
        pixel_mask: should be an array (batch, height, width), or `None`.

    Raises:
        ValueError: it is something else; the message says what was received, and what to do.
    """
    shape = shape_of(images, 4)
    if hasattr(images, "row_splits"):
        raise ValueError(
            "`images` must be one dense tensor, and came ragged. Give the images of a batch one "
            "size: map `keras_detr.preprocessing.PadToCanvas` before `.batch()`."
        )
    if shape is None:
        raise ValueError(
            "`images` must be an array (batch, height, width, 3). Received: "
            f"{described(images)}. {ONE_ARRAY_ADVICE}"
        )
    if len(shape) != 4 or shape[-1] not in (3, None) or 0 in shape:
        raise ValueError(
            "`images` must have the shape (batch, height, width, 3), of at least one image. "
            f"Received: {shape}.{_shape_advice(shape)}"
        )
    check_numbers(images, "images")
    if pixel_mask is None:
        return
    mask_shape = shape_of(pixel_mask, 3)
    if mask_shape is None or not are_compatible(mask_shape, shape[:3]):
        raise ValueError(
            "`pixel_mask` must have the shape of `images` without channels, (batch, height, "
            "width): 1 on the image and 0 on padding. Received: "
            f"{mask_shape or described(pixel_mask)}, for images of the shape {shape}."
        )
    check_numbers(pixel_mask, "pixel_mask", ("bool",))


def check_box_shapes(boxes, classes, batch_shape):
    """Check dtypes and shapes of boxes and classes, as far as they are known.

    Args:
        boxes: should be an array of numbers (batch, N, 4), or (N, 4) of one image.
        classes: should be an array of numbers (batch, N), or (N,) of one image.
        batch_shape: tuple, (number of images,), or `()` for one image; `None` for what isn't known.

    Returns:
        tuple: (batch, N), or (N,); `None` for what isn't known.

    Raises:
        ValueError: it is something else.
    """
    check_numbers(boxes, "boxes")
    check_numbers(classes, "classes")
    num_axes = len(batch_shape) + 1
    boxes_shape, classes_shape = shape_of(boxes, num_axes + 1), shape_of(classes, num_axes)
    batch = "batch, " * len(batch_shape)
    if len(boxes_shape) != num_axes + 1 or boxes_shape[-1] not in (4, None):
        raise ValueError(f"`boxes` must have the shape ({batch}N, 4). Received: {boxes_shape}.")
    if not (
        are_compatible(boxes_shape[:-1], classes_shape)
        and are_compatible(boxes_shape[:-2], batch_shape)
    ):
        images_shape = ", ".join([*map(str, batch_shape), "..."])
        raise ValueError(
            f"`images`, `boxes` and `classes` must agree in length: ({batch}...), ({batch}N, 4), "
            f"({batch}N). Received: ({images_shape}), {boxes_shape}, {classes_shape}."
        )
    pairs = zip(boxes_shape[:-1], classes_shape, strict=True)
    return tuple(length if other is None else other for length, other in pairs)


def check_numbers(array, name, other_dtypes=()):
    """Raise a ValueError if something is no array, of any library, of real numbers.

    Args:
        array: anything.
        name: str, of the argument, for the error.
        other_dtypes: tuple of str, dtypes that are allowed too.
    """
    dtype = getattr(array, "dtype", None)
    text = str(getattr(dtype, "name", dtype)).removeprefix("torch.")
    if not text.startswith(("int", "uint", "float", "bfloat", *other_dtypes)):
        raise ValueError(
            f"`{name}` must be an array of numbers (int or float). Received: {described(array)}."
        )


def check_batch_size(batch_size):
    """Raise a ValueError if a batch size is neither an int of at least 1 nor `None`."""
    is_number = isinstance(batch_size, numbers.Integral) and not isinstance(batch_size, bool)
    if batch_size is not None and not (is_number and batch_size >= 1):
        raise ValueError(
            "`batch_size` must be an int of at least 1, or None for the default. Received: "
            f"{batch_size!r}."
        )


def described(value):
    """Describe a value in a few words: its type, shape and dtype, or what it holds."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)[:80]
    if isinstance(value, dict):
        return f"a dict of {sorted(value, key=str)}"
    name = type(value).__name__
    if isinstance(value, (list, tuple)):
        kinds = sorted({type(entry).__name__ for entry in value})
        return f"a {name} of {len(value)} ({', '.join(kinds)})" if kinds else f"an empty {name}"
    shape = shape_of(value)
    return name if shape is None else f"{name} of shape {shape} and dtype {value.dtype}"


def shape_of(array, num_axes=0):
    """Return the shape of an array, `None` for what isn't one.

    Args:
        array: anything.
        num_axes: int, how many axes of unknown length to return where a tensor of tf.data doesn't
            know how many it has.
    """
    shape = getattr(array, "shape", None)
    if shape is None or not hasattr(array, "dtype"):
        return None
    return (None,) * num_axes if getattr(shape, "rank", 0) is None else tuple(shape)


def are_compatible(shape, other):
    """Return whether two shapes are the same, as far as they are known."""
    pairs = zip(shape, other, strict=False)
    return len(shape) == len(other) and all(None in pair or pair[0] == pair[1] for pair in pairs)


def _shape_advice(shape):
    """Return what to do with images of another shape, after a space."""
    if len(shape) == 3 and shape[-1] == 3:
        return (
            " A single image of the size that the model was trained with gets a batch axis, "
            "`images[None]`; `predict([image])` and `model.detect(image)` resize it too. A data "
            "set batches with `.batch(...)`."
        )
    if len(shape) == 4 and shape[-1] == 4:
        return " Leave transparency out: `images[..., :3]`."
    if len(shape) == 4 and shape[-1] == 1:
        return " Grey becomes RGB with `np.repeat(images, 3, axis=-1)`."
    if len(shape) == 4 and shape[1] == 3:
        return " Channels become the last axis with `np.moveaxis(images, 1, -1)`."
    return ""
