"""Images of weight 0, which only fill up a batch, change nothing."""

import numpy as np
import pytest
from keras import ops

from keras_detr.losses import HungarianLoss
from tests.losses.detection_batches import (
    pad,
    random_objects,
    random_predictions,
    random_tokens,
    split_layers,
)

pytestmark = pytest.mark.every_backend
NUM_CLASSES, NUM_QUERIES = 4, 6


def batch(family, rng, counts):
    """Return targets and predictions of all parts that a family's loss has."""
    num_logits = NUM_CLASSES + (family == "detr")
    y_true = pad(random_objects(rng, counts, NUM_CLASSES), 3)
    y_pred = split_layers(*random_predictions(rng, len(counts), 2, NUM_QUERIES, num_logits))
    if family == "detr":
        y_true["masks"] = rng.uniform(size=(len(counts), 3, 8, 8)) > 0.5
        y_pred["mask"] = rng.normal(size=(len(counts), NUM_QUERIES, 4, 4))
    else:
        tokens = random_tokens(rng, len(counts), 10, num_logits)
        y_pred |= dict(zip(("encoder_classification", "encoder_box"), tokens, strict=True))
        denoising = random_predictions(rng, len(counts), 2, 2 * 3 * 2, num_logits)
        names = "denoising_classification", "denoising_box"
        y_pred |= dict(zip(names, denoising, strict=True))
    return y_true, {name: value.astype("float32") for name, value in y_pred.items()}


def first_images(arrays, number):
    return {name: ops.convert_to_tensor(value[:number]) for name, value in arrays.items()}


@pytest.mark.parametrize("family", ["detr", "deformable_detr", "dino_detr"])
def test_images_of_weight_0_do_not_count(family):
    loss = getattr(HungarianLoss, family)()
    # The last two fill the batch up: they have no objects.
    y_true, y_pred = batch(family, np.random.default_rng(0), [3, 0, 2, 0, 0])
    alone = loss.components(first_images(y_true, 3), first_images(y_pred, 3))
    weights = ops.convert_to_tensor(np.array([1, 1, 1, 0, 0], "float32"))
    targets = {**first_images(y_true, 5), "image_weights": weights}
    filled = loss.components(targets, first_images(y_pred, 5))
    unweighted = loss.components(first_images(y_true, 5), first_images(y_pred, 5))
    assert set(filled) == set(alone)
    for name, expected in alone.items():
        value = ops.convert_to_numpy(filled[name])
        np.testing.assert_allclose(value, ops.convert_to_numpy(expected), rtol=1e-6, err_msg=name)
    # These images would count otherwise.
    changed = {name for name in alone if abs(float(unweighted[name]) - float(alone[name])) > 1e-4}
    parts = {"classification_loss", "encoder_classification_loss", "denoising_classification_loss"}
    assert changed == (parts & set(alone)) | {"cardinality_error"}
