# ruff: noqa: E402
"""The guide's table of Keras' and KerasCV's layers is true: each layer is tried in a chain."""

import inspect
import pathlib
import re

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import keras_cv

from keras_detr.batches import check_training_batch
from keras_detr.preprocessing import PadToCanvas, RandomHorizontalFlip, ResizeShortestSide

GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "data.md"
FORMAT = {"bounding_box_format": "xyxy"}
RANGE = {"value_range": (0, 255)}
COLOR_JITTER = {
    "brightness_factor": 0.1,
    "contrast_factor": 0.1,
    "saturation_factor": 0.1,
    "hue_factor": 0.1,
    **RANGE,
}
# By default they fill gaps with mirrored objects, which have no box.
CONSTANT = {"fill_mode": "constant"}
# Enough to catch layers that move boxes at random: 8 images let `RandomShear` pass at times.
NUM_IMAGES = 40
OF_KERAS_CV = {
    "CutMix": {},
    "Augmenter": {"layers": [keras_cv.layers.Grayscale(3)]},
    "ChannelShuffle": {},
    "FourierMix": {},
    "Grayscale": {"output_channels": 3},
    "GridMask": {"ratio_factor": 0.1},
    "JitteredResize": {"target_size": (60, 80), "scale_factor": (0.5, 1.5), **FORMAT},
    "MixUp": {},
    "Mosaic": FORMAT,
    "Posterization": {"bits": 4, **RANGE},
    "RandomApply": {"layer": keras_cv.layers.Grayscale(3)},
    "RandomAspectRatio": {"factor": (0.7, 1.4), **FORMAT},
    "RandomAugmentationPipeline": {
        "layers": [keras_cv.layers.Grayscale(3)],
        "augmentations_per_image": 1,
    },
    "RandomBrightness": {"factor": 0.2, **RANGE},
    "RandomChannelShift": {"factor": 0.1, **RANGE},
    "RandomChoice": {"layers": [keras_cv.layers.Grayscale(3)]},
    "RandomColorDegeneration": {"factor": 0.5},
    "RandomColorJitter": COLOR_JITTER,
    "RandomContrast": {"factor": 0.1, **RANGE},
    "RandomCrop": {"height": 30, "width": 40, **FORMAT},
    "RandomCropAndResize": {
        "target_size": (60, 80),
        "crop_area_factor": (0.3, 0.5),
        "aspect_ratio_factor": (0.9, 1.1),
        **FORMAT,
    },
    "RandomCutout": {"height_factor": 0.1, "width_factor": 0.1},
    "RandomFlip": {"mode": "horizontal", **FORMAT},
    "RandomGaussianBlur": {"kernel_size": 3, "factor": 1.0},
    "RandomHue": {"factor": 0.2, **RANGE},
    "RandomJpegQuality": {"factor": (80, 100)},
    "RandomRotation": {"factor": 0.1, **CONSTANT, **FORMAT},
    "RandomSaturation": {"factor": 0.5},
    "RandomSharpness": {"factor": 0.5, **RANGE},
    "RandomShear": {"x_factor": 0.6, "y_factor": 0.6, **CONSTANT, **FORMAT},
    "RandomTranslation": {"height_factor": 0.5, "width_factor": 0.5, **CONSTANT, **FORMAT},
    "RandomZoom": {"height_factor": 0.3},
    "RepeatedAugmentation": {"augmenters": [keras_cv.layers.Grayscale(3)]},
    "Rescaling": {"scale": 0.9},
    "Resizing": {"height": 60, "width": 80, "pad_to_aspect_ratio": True, **FORMAT},
    # Those that are named in no row need only this.
    None: RANGE,
}
OF_KERAS = {
    "AugMix": {"factor": 0.9, "chain_depth": 3, "num_chains": 1, "seed": 0, **RANGE},
    "CenterCrop": {"height": 30, "width": 40},
    "RandomBrightness": {"factor": 0.2, **RANGE},
    "RandomColorDegeneration": {"factor": 0.5, **RANGE},
    "RandomColorJitter": COLOR_JITTER,
    "RandomContrast": {"factor": 0.1, **RANGE},
    "RandomCrop": {"height": 30, "width": 40},
    "RandomElasticTransform": {"factor": 1.0, "scale": 1.0},
    "RandomErasing": {"factor": 1.0},
    "RandomFlip": {"mode": "horizontal"},
    "RandomGaussianBlur": {"kernel_size": 3, "sigma": 1.0},
    "RandomGrayscale": {"factor": 1.0},
    "RandomHue": {"factor": 0.2, **RANGE},
    "RandomPerspective": {"factor": 1.0, "scale": 0.5},
    "RandomPosterization": {"factor": 4, **RANGE},
    "RandomRotation": {"factor": 0.2},
    "RandomSaturation": {"factor": 0.5, **RANGE},
    "RandomSharpness": {"factor": 0.5, **RANGE},
    "RandomShear": {"x_factor": 0.5, "y_factor": 0.5},
    "RandomTranslation": {"height_factor": 0.5, "width_factor": 0.5},
    "RandomZoom": {"height_factor": 0.5},
    "Rescaling": {"scale": 0.9},
    "Resizing": {"height": 60, "width": 40},
    None: RANGE,
}


@pytest.fixture(autouse=True)
def _undisturbed():
    """Undo what `tf.map_fn` leaves behind when KerasCV's layers raise an error in it.

    `tf.distribute` doesn't work with it, in none of the tests to come.
    """
    yield
    tf.function(lambda: tf.compat.v1.get_variable_scope().set_caching_device(None))()


def rows():
    """Return a dict from library and kind to the names of layers in the guide's table."""
    pattern = r"^\| (KerasCV|Keras), ([^|]*?) \|(.*)\|$"
    found = re.findall(pattern, GUIDE.read_text("utf-8"), re.M)
    return {(library, kind): re.findall(r"`(\w+)`", names) for library, kind, names in found}


TABLE = [(library, name, kind) for (library, kind), names in rows().items() for name in names]


def element(index):
    """Return a picture with three bright boxes on a dark ground; the areas are half of theirs."""
    boxes = np.array([[4, 5, 20, 25], [35, 20, 50, 40], [70, 8, 86, 30]], np.float32) + index % 4
    image = np.full((50, 95, 3), (15, 20, 25), np.uint8)
    for left, top, right, bottom in boxes.astype(int):
        image[top:bottom, left:right] = (230, 210, 120)
    rows = {
        "boxes": boxes,
        "classes": np.arange(3, dtype=np.int32),
        "area": np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / 2,
        "is_crowd": np.array([False, True, False]),
    }
    return {
        "images": image,
        "bounding_boxes": rows,
        "image_id": np.int64(index),
        "image_size": np.array(image.shape[:2], np.int32),
    }


def elements():
    example = element(0)
    specs = tf.nest.map_structure(lambda array: tf.TensorSpec(array.shape, array.dtype), example)
    specs["images"] = tf.TensorSpec((None, None, 3), tf.uint8)
    specs["bounding_boxes"] = {
        name: tf.TensorSpec((None, *spec.shape[1:]), spec.dtype)
        for name, spec in specs["bounding_boxes"].items()
    }
    return tf.data.Dataset.from_generator(
        lambda: map(element, range(NUM_IMAGES)), output_signature=specs
    )


def chained(layer, entries):
    """Return images, boxes and masks of a chain with a layer between ours."""

    def with_entries(element):
        rows = {name: element["bounding_boxes"][name] for name in entries}
        return {**element, "bounding_boxes": rows}

    dataset = elements().map(with_entries).map(RandomHorizontalFlip(0.5, seed=1, **FORMAT))
    dataset = dataset.map(layer).map(ResizeShortestSide(60, longest_side=150, **FORMAT))
    dataset = dataset.map(PadToCanvas((150, 150), max_boxes=3, **FORMAT))
    return list(dataset.as_numpy_iterator())


def is_safe(layer, entries=("boxes", "classes", "area", "is_crowd")):
    """Return whether boxes stay on their objects, and what belongs to them with its box."""
    try:
        found = chained(layer, entries)
    except (tf.errors.OpError, TypeError, ValueError, AttributeError, NotImplementedError):
        return False
    return all(is_right(image, image["bounding_boxes"], entries) for image in found)


def is_right(element, rows, entries):
    is_box = rows["classes"] >= 0
    if set(rows) != set(entries):
        return False
    sides = rows["boxes"][:, 2:] - rows["boxes"][:, :2]
    if "area" in rows and not np.allclose((rows["area"] / sides.prod(1))[is_box], 0.5, rtol=0.05):
        return False
    if "is_crowd" in rows and not (rows["is_crowd"] == (rows["classes"] == 1))[is_box].all():
        return False
    height, width = (element["pixel_mask"][:, 0].sum(), element["pixel_mask"][0].sum())
    image = element["images"][:height, :width].astype(np.float32).mean(-1)
    covered = np.zeros(image.shape, bool)
    for left, top, right, bottom in np.round(rows["boxes"][is_box]).astype(int):
        covered[top:bottom, left:right] = True
    difference = np.abs(image - np.median(image))
    is_object = difference > difference.max() / 2
    # Around a turned object a box is too large, and its area is wrong.
    whole = is_object | covered if "area" in rows else is_object
    return (is_object & covered).sum() > 0.8 * whole.sum()


def build(library, name):
    """Return a layer as the guide says to map it."""
    if library == "KerasCV":
        return getattr(keras_cv.layers, name)(**OF_KERAS_CV.get(name, OF_KERAS_CV[None]))
    layer = getattr(keras.layers, name)(**OF_KERAS.get(name, OF_KERAS[None]))
    return lambda element: {**element, "images": layer(element["images"])}


@pytest.mark.slow
@pytest.mark.parametrize(("library", "name", "kind"), TABLE)
def test_a_layer_is_what_the_table_says(library, name, kind):
    layer = build(library, name)
    assert is_safe(layer) == (kind in ("safe", "safe on images alone"))
    if library == "KerasCV" and kind != "safe":
        assert is_safe(layer, ("boxes", "classes")) == (kind != "not safe")


def test_the_table_has_all_layers():
    base = keras_cv.layers.BaseImageAugmentationLayer
    other_base = keras_cv.layers.VectorizedBaseImageAugmentationLayer
    found = {
        name
        for name, layer in inspect.getmembers(keras_cv.layers, inspect.isclass)
        if issubclass(layer, (base, other_base)) and layer not in (base, other_base)
    }
    assert found - {name for library, name, _ in TABLE if library == "KerasCV"} == set()
    base = keras.layers.RandomFlip.__mro__[1]
    found = {
        name
        for name, layer in inspect.getmembers(keras.layers, inspect.isclass)
        if issubclass(layer, base)
    }
    # These do nothing to a single image.
    alone = {"CutMix", "MaxNumBoundingBoxes", "MixUp"}
    assert found - alone - {name for library, name, _ in TABLE if library == "Keras"} == set()


@pytest.mark.parametrize("name", ["MixUp", "Mosaic"])
def test_layers_that_mix_a_batch_drop_rows(name):
    dataset = elements().map(PadToCanvas((60, 100), max_boxes=3, **FORMAT)).batch(4)
    rows = next(iter(dataset.map(build("KerasCV", name))))["bounding_boxes"]
    assert set(rows) == {"boxes", "classes"}


def test_layers_after_batching_are_refused():
    dataset = elements().map(PadToCanvas((60, 100), max_boxes=9, **FORMAT)).batch(4)
    batch = next(iter(dataset.map(build("KerasCV", "AutoContrast"))))
    with pytest.raises(ValueError, match=r"`area` must have one row a box.*9 rows and 3 boxes"):
        check_training_batch(batch, batch["bounding_boxes"], 3, "xyxy")
