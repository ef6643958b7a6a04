"""The loss of batches of other sizes, up to those of COCO, and of sizes known only when it runs."""

import keras
import numpy as np
import pytest

from keras_detr.losses import HungarianLoss
from tests.losses import reference_loss
from tests.losses.detection_batches import pad, random_objects, random_predictions, split_layers
from tests.losses.test_hungarian_loss import ERRORS, FAMILIES, NUM_CLASSES, PARTS, parts_of

SIZES = {
    # Objects in each image, layers, and queries.
    "0..100": ([0, 1, 37, 100], 6, 100),
    "one of one": ([1], 1, 1),
    "no auxiliary layers": ([2, 0, 5], 1, 9),
}


def batch(counts, num_layers, num_queries, num_logits):
    rng = np.random.default_rng(1)
    objects = random_objects(rng, counts, NUM_CLASSES)
    return objects, *random_predictions(rng, len(counts), num_layers, num_queries, num_logits)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_part_equals_the_reference(family, size):
    build, reference, num_logits = FAMILIES[family]
    objects, logits, boxes = batch(*SIZES[size], num_logits)
    result = parts_of(build(assignment="host"), pad(objects), split_layers(logits, boxes))
    expected = reference_loss.components(logits, boxes, objects, reference)
    for name in PARTS + ERRORS:
        assert result[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-4 * (name in ERRORS))


@pytest.mark.every_backend
@pytest.mark.parametrize("family", FAMILIES)
def test_long_sums_stay_exact(family):
    build, reference, num_logits = FAMILIES[family]
    num_logits += 91 - NUM_CLASSES
    objects, logits, boxes = batch([3, 17, 0, 8], 6, 300, num_logits)
    # As in training: most pairs of a query and a class are far from an object.
    logits = (logits - 4).astype("float32").astype("float64")
    y_true, y_pred = pad(objects), split_layers(logits, boxes)
    result = parts_of(build(assignment="host"), y_true, y_pred)
    expected = reference_loss.components(logits, boxes, objects, reference)
    for name in PARTS:
        # One step of float32 is 1.2e-7; sums one after the other were wrong by 1e-4.
        assert result[name] == pytest.approx(expected[name], rel=2e-6)


@pytest.mark.every_backend
@pytest.mark.parametrize("assignment", ["host", "in_graph"])
def test_more_objects_than_queries_is_an_error(assignment):
    objects, logits, boxes = batch([13], 1, 12, NUM_CLASSES + 1)
    loss = HungarianLoss.detr(assignment=assignment)
    with pytest.raises(ValueError, match=r"13 objects.*only 12 queries"):
        parts_of(loss, pad(objects), split_layers(logits, boxes))


@pytest.mark.parametrize("assignment", ["host", "in_graph"])
def test_sizes_known_only_when_it_runs(assignment):
    tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")
    if keras.backend.backend() != "tensorflow":
        return
    loss = HungarianLoss.detr(assignment=assignment)
    shapes = [(None, None, 4), (None, None), (None, 2, 9, NUM_CLASSES + 1), (None, 2, 9, 4)]
    dtypes = ["float32", "int32", "float32", "float32"]
    specs = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]

    @tf.function(input_signature=specs)
    def program(true_boxes, classes, logits, boxes):
        return loss({"boxes": true_boxes, "classes": classes}, split_layers(logits, boxes))

    for counts, num_rows in (([2, 0, 5], 5), ([9, 1], 12), ([0, 0], 0)):
        objects, logits, boxes = batch(counts, 2, 9, NUM_CLASSES + 1)
        y_true = pad(objects, num_rows)
        predictions = [tf.constant(x, "float32") for x in (logits, boxes)]
        result = program(tf.constant(y_true["boxes"]), tf.constant(y_true["classes"]), *predictions)
        expected = reference_loss.total(reference_loss.components(logits, boxes, objects))
        assert float(result) == pytest.approx(expected, rel=1e-5)
