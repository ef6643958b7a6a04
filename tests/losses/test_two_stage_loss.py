"""The encoder's part of the loss, against NumPy in float64 and against the decoder's part."""

import numpy as np
import pytest
from keras import ops

from keras_detr.losses import HungarianLoss
from tests.losses import reference_loss
from tests.losses.detection_batches import random_tokens, split_layers
from tests.losses.test_hungarian_loss import (
    ERRORS,
    FAMILIES,
    NUM_CLASSES,
    PARTS,
    as_floats,
    batch,
    loss_and_gradients,
    pad,
    parts_of,
    to_tensors,
)
from tests.ops.gradients import compiled

pytestmark = pytest.mark.every_backend

ENCODER_PARTS = ("encoder_classification_loss", "encoder_box_loss", "encoder_giou_loss")
NUM_TOKENS = 40


def two_stage_batch(seed, counts, num_logits=NUM_CLASSES):
    objects, logits, boxes = batch(seed, counts, num_logits)
    rng = np.random.default_rng(seed + 100)
    return objects, logits, boxes, *random_tokens(rng, len(counts), NUM_TOKENS, num_logits)


def as_class_0(objects):
    return [(of_image, np.zeros_like(labels)) for of_image, labels in objects]


def expected_parts(objects, logits, boxes, token_logits, token_boxes, settings):
    parts = reference_loss.components(logits, boxes, objects, settings)
    of_encoder = reference_loss.components(
        token_logits[:, None], token_boxes[:, None], as_class_0(objects), settings
    )
    return parts | {f"encoder_{name}": of_encoder[name] for name in PARTS}


@pytest.mark.parametrize("counts", [[0, 1, 12], [0, 0, 0]])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_part_equals_the_reference(family, counts):
    build, settings, num_logits = FAMILIES[family]
    objects, *predictions = two_stage_batch(1, counts, num_logits)
    result = parts_of(build(assignment="host"), pad(objects), split_layers(*predictions))
    expected = expected_parts(objects, *predictions, settings)
    assert set(result) == {*expected, "clipped_boxes", "dropped_boxes"}
    for name in PARTS + ENCODER_PARTS + ERRORS:
        assert result[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-4 * (name in ERRORS))


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_compared_as_queries_with_objects_of_class_0(family):
    """So they have the gradients of such queries, and the decoder's don't change."""
    build, _, num_logits = FAMILIES[family]
    objects, *predictions = two_stage_batch(2, [0, 12, 5], num_logits)
    loss = build(assignment="host", class_weight=3.0, box_weight=7.0, giou_weight=11.0)
    total, gradients = loss_and_gradients(loss, pad(objects), *predictions)
    of_queries, expected = loss_and_gradients(loss, pad(objects), *predictions[:2])
    as_queries = [x[:, None] for x in predictions[2:]]
    of_tokens, token_gradients = loss_and_gradients(loss, pad(as_class_0(objects)), *as_queries)
    assert total == pytest.approx(of_queries + of_tokens, rel=1e-6)
    for gradient, alone in zip(gradients, [*expected, *token_gradients], strict=True):
        assert np.abs(alone).max() > 0
        np.testing.assert_array_equal(gradient, alone.reshape(gradient.shape))


def test_the_total_is_the_sum_of_the_parts():
    objects, *predictions = two_stage_batch(3, [3, 0, 1])
    loss = HungarianLoss.deformable_detr(assignment="host")
    y_true, y_pred = to_tensors(pad(objects)), to_tensors(split_layers(*predictions))
    assert loss.component_names == PARTS
    assert loss.encoder_component_names == ENCODER_PARTS
    parts = as_floats(loss.components(y_true, y_pred))
    expected = sum(parts[name] for name in PARTS + ENCODER_PARTS)
    assert float(loss(y_true, y_pred)) == pytest.approx(expected, rel=1e-6)
    assert float(loss.total(loss.components(y_true, y_pred))) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("num_rows", [0, 12])
def test_a_batch_without_objects_is_background(num_rows):
    objects, *predictions = two_stage_batch(4, [0, 0, 0])
    loss = HungarianLoss.deformable_detr(assignment="host")
    parts = parts_of(loss, pad(objects, num_rows), split_layers(*predictions))
    assert parts["encoder_classification_loss"] > 0
    assert parts["encoder_box_loss"] == parts["encoder_giou_loss"] == 0
    _, gradients = loss_and_gradients(loss, pad(objects, num_rows), *predictions)
    assert np.abs(gradients[2]).min() > 0
    np.testing.assert_array_equal(gradients[3], 0)


def test_tokens_outside_of_the_image_may_be_surely_background():
    objects, *predictions = two_stage_batch(5, [4, 0, 12])
    token_logits = predictions[2]
    loss = HungarianLoss.deformable_detr(assignment="host")
    token_logits[:, -4:] = -200.0
    expected, _ = loss_and_gradients(loss, pad(objects), *predictions)
    token_logits[:, -4:] = -np.inf
    total, gradients = loss_and_gradients(loss, pad(objects), *predictions)
    assert total == pytest.approx(expected, rel=1e-6)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    np.testing.assert_array_equal(gradients[2][:, -4:], 0)


@pytest.mark.parametrize("assignment", ["auto", "in_graph"])
def test_a_compiled_program_gives_the_same(assignment):
    # On TensorFlow "auto" calls the host unless XLA compiles, which is said to the loss.
    is_xla = assignment == "auto"
    objects, *predictions = two_stage_batch(6, [0, 1, 12])
    loss = HungarianLoss.deformable_detr(assignment=assignment)

    def program(true_boxes, classes, *predictions):
        y_true = {"boxes": true_boxes, "classes": classes}
        return loss.components(y_true, split_layers(*predictions), is_compiled_by_xla=is_xla)

    y_true = to_tensors(pad(objects))
    tensors = [ops.convert_to_tensor(x, "float32") for x in predictions]
    result = compiled(program, is_xla)(y_true["boxes"], y_true["classes"], *tensors)
    expected = expected_parts(objects, *predictions, reference_loss.DEFORMABLE_DETR)
    for name in PARTS + ENCODER_PARTS + ERRORS:
        assert float(result[name]) == pytest.approx(expected[name], rel=1e-5, abs=1e-4)


@pytest.mark.once
@pytest.mark.parametrize("assignment", ["host", "in_graph"])
def test_tokens_counted_only_when_it_runs(assignment):
    """Images of another size have another number of tokens."""
    import tensorflow as tf

    loss = HungarianLoss.deformable_detr(assignment=assignment)
    shapes = [(None, None, 4), (None, None), (None, 2, 12, NUM_CLASSES), (None, 2, 12, 4)]
    shapes += [(None, None, NUM_CLASSES), (None, None, 4)]
    dtypes = ["float32", "int32", *["float32"] * 4]
    specs = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]

    @tf.function(input_signature=specs)
    def program(true_boxes, classes, *predictions):
        return loss({"boxes": true_boxes, "classes": classes}, split_layers(*predictions))

    for num_tokens in (NUM_TOKENS, 25):
        objects, logits, boxes, *of_tokens = two_stage_batch(7, [2, 0, 5])
        predictions = [logits, boxes, *(x[:, -num_tokens:] for x in of_tokens)]
        y_true = to_tensors(pad(objects))
        tensors = [tf.constant(x, "float32") for x in predictions]
        result = program(y_true["boxes"], y_true["classes"], *tensors)
        expected = expected_parts(objects, *predictions, reference_loss.DEFORMABLE_DETR)
        expected = sum(expected[name] for name in PARTS + ENCODER_PARTS)
        assert float(result) == pytest.approx(expected, rel=1e-5)
