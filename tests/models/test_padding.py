"""Padding and batching change no prediction.

A convolution at an image's border sees what lies beyond it: the end of the canvas, or padding that
its neighbours have bled into. That is so in the original too (and proved equal to it by the tests
of parity), and no mask can help; nor can one where group normalization takes in all of a padded
map, as Deformable DETR's weights expect. What a detector adds to its backbone is tested on one
whose cells don't see each other; ResNet, on images that are padded already.
"""

import numpy as np
import pytest
from keras import ops

from tests.one_program import in_one_program

from .detectors import DETECTORS, inputs_of, patch_backbone, tiny_batch

pytestmark = pytest.mark.every_backend

# Sums over more tokens round otherwise; a box on an image of 96 pixels moves by far less.
TOLERANCE = 1e-3
CELLS = ((2, 3), (2, 1), (1, 3), (2, 2))


@pytest.fixture(
    scope="module", params=[name for name, row in DETECTORS.items() if not row.sees_padding]
)
def detector(request):
    """Give one row of the table."""
    return DETECTORS[request.param]


@pytest.fixture(scope="module")
def model(detector):
    """Give a model of which only the backbone can't see past a cell."""
    return perturbed(detector.build(backbone=patch_backbone()))


@pytest.fixture(scope="module")
def resnet_model(detector):
    """Give a model on the backbone that the detector usually has."""
    return perturbed(detector.build())


def perturbed(model):
    """Move the weights, so that predictions differ from query to query and image to image."""
    generator = np.random.default_rng(0)
    for variable in model.trainable_variables:
        value = ops.convert_to_numpy(variable)
        variable.assign(value + generator.normal(0, 0.1, value.shape))
    return model


def padded_images():
    """Make four images of whole cells, on a canvas of 2 by 3 cells."""
    images = np.random.default_rng(0).uniform(0, 255, (4, 64, 96, 3)).astype("float32")
    pixel_mask = np.zeros(images.shape[:3], "uint8")
    for mask, (rows, columns) in zip(pixel_mask, CELLS, strict=True):
        mask[: 32 * rows, : 32 * columns] = 1
    return {"images": images * pixel_mask[..., None], "pixel_mask": pixel_mask}


def pad(inputs, rows, columns):
    """Enlarge a canvas at the bottom and on the right."""
    padding = ((0, 0), (0, rows), (0, columns))
    return {
        "images": np.pad(inputs["images"], (*padding, (0, 0))),
        "pixel_mask": np.pad(inputs["pixel_mask"], padding),
    }


def outputs_of(model, inputs):
    """Return raw outputs, and boxes in pixels."""

    def compute(inputs):
        outputs = model(inputs)
        return {**outputs, **model.decode_predictions(outputs, inputs)}

    return {n: ops.convert_to_numpy(v) for n, v in in_one_program(compute)(inputs).items()}


def assert_close(actual, expected):
    assert actual.keys() == expected.keys()
    for name in ("classification", "box", "aux_classification", "aux_box", "confidence", "boxes"):
        np.testing.assert_allclose(actual[name], expected[name], atol=TOLERANCE, err_msg=name)


def test_predictions_depend_on_the_image(model):
    outputs = outputs_of(model, padded_images())
    assert outputs["classification"].std(axis=0).mean() > 10 * TOLERANCE
    assert outputs["boxes"].std(axis=0).mean() > 10 * TOLERANCE


@pytest.mark.parametrize("more", [(32, 0), (0, 64), (64, 32)])
def test_more_padding_changes_nothing(model, more):
    inputs = padded_images()
    assert_close(outputs_of(model, pad(inputs, *more)), outputs_of(model, inputs))


@pytest.mark.once
def test_more_padding_changes_nothing_for_the_usual_backbone(resnet_model):
    inputs = pad(padded_images(), 160, 160)
    assert_close(outputs_of(resnet_model, pad(inputs, 32, 64)), outputs_of(resnet_model, inputs))


@pytest.mark.once
def test_one_image_equals_itself_in_a_batch(model):
    inputs = padded_images()
    together = outputs_of(model, inputs)
    for index, (rows, columns) in enumerate(CELLS):
        # As it comes from its file: neither padding nor a mask.
        alone = inputs["images"][index : index + 1, : 32 * rows, : 32 * columns]
        expected = {name: value[index : index + 1] for name, value in together.items()}
        assert_close(outputs_of(model, alone), expected)


@pytest.mark.parametrize("garbage", [255.0, -1e4, np.nan])
def test_what_padding_holds_changes_nothing(resnet_model, garbage):
    inputs = inputs_of(tiny_batch())
    is_image = inputs["pixel_mask"][..., None] > 0
    dirty = {**inputs, "images": np.where(is_image, inputs["images"], garbage).astype("float32")}
    expected = outputs_of(resnet_model, inputs)
    for name, value in outputs_of(resnet_model, dirty).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float32"])
def test_a_full_mask_is_no_mask(resnet_model, dtype):
    images = tiny_batch()["images"]
    full = {"images": images, "pixel_mask": np.ones(images.shape[:3], dtype)}
    actual, expected = outputs_of(resnet_model, full), outputs_of(resnet_model, images)
    for name in ("classification", "box"):
        # The two ways to count positions round otherwise.
        np.testing.assert_allclose(actual[name], expected[name], atol=1e-5)
