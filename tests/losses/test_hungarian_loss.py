"""The loss against NumPy in float64, its properties, and its errors, on every backend."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_detr.losses import FocalClassification, HungarianLoss, SoftmaxClassification
from tests.losses import detection_batches as batches
from tests.losses import reference_loss
from tests.losses.detection_batches import random_boxes, split_layers
from tests.ops.gradients import compiled, value_and_gradients

pytestmark = pytest.mark.every_backend

NUM_CLASSES = 7
FAMILIES = {
    "detr": (HungarianLoss.detr, reference_loss.DETR, NUM_CLASSES + 1),
    "deformable": (HungarianLoss.deformable_detr, reference_loss.DEFORMABLE_DETR, NUM_CLASSES),
}
PARTS = ("classification_loss", "box_loss", "giou_loss")
ERRORS = ("class_error", "cardinality_error")


def to_tensors(arrays):
    return {
        name: ops.convert_to_tensor(x, "int32" if name == "classes" else "float32")
        for name, x in arrays.items()
    }


def as_floats(components):
    return {name: float(ops.convert_to_numpy(x)) for name, x in components.items()}


def parts_of(loss, y_true, y_pred):
    return as_floats(loss.components(to_tensors(y_true), to_tensors(y_pred)))


# One shape for almost all: JAX compiles every operation anew for another.
NUM_ROWS = NUM_QUERIES = 12


def pad(objects, num_rows=NUM_ROWS):
    return batches.pad(objects, num_rows)


def batch(seed, counts, num_logits=NUM_CLASSES + 1, num_layers=2, num_queries=NUM_QUERIES):
    rng = np.random.default_rng(seed)
    objects = batches.random_objects(rng, counts, NUM_CLASSES)
    predictions = batches.random_predictions(rng, len(counts), num_layers, num_queries, num_logits)
    return objects, *predictions


def loss_and_gradients(loss, y_true, *predictions):
    y_true = to_tensors(y_true)
    return value_and_gradients(
        lambda *predictions: loss(y_true, split_layers(*predictions)), *predictions
    )


@pytest.mark.parametrize("counts", [[0, 1, 12], [0, 0, 0]])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_part_equals_the_reference(family, counts):
    build, reference, num_logits = FAMILIES[family]
    objects, logits, boxes = batch(1, counts, num_logits)
    result = parts_of(build(assignment="host"), pad(objects), split_layers(logits, boxes))
    expected = reference_loss.components(logits, boxes, objects, reference)
    for name in PARTS + ERRORS:
        assert result[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-4 * (name in ERRORS))
    assert result["clipped_boxes"] == result["dropped_boxes"] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_weighs_its_own_part(family):
    build, reference, num_logits = FAMILIES[family]
    weights = {
        "class_cost": 0.5,
        "box_cost": 0.25,
        "giou_cost": 8.0,
        "class_weight": 3.0,
        "box_weight": 7.0,
        "giou_weight": 11.0,
    }
    part = {"alpha": 0.6, "gamma": 1.5} if family == "deformable" else {"no_object_weight": 0.4}
    kind = FocalClassification if family == "deformable" else SoftmaxClassification
    objects, logits, boxes = batch(2, [9, 4, 0], num_logits)
    loss = build(classification=kind(**part), assignment="host", **weights)
    result = parts_of(loss, pad(objects), split_layers(logits, boxes))
    reference = reference._replace(**weights, **part)
    expected = reference_loss.components(logits, boxes, objects, reference)
    for name in PARTS:
        assert result[name] == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("counts", [[0, 12, 5], [0, 0, 0]])
def test_gradients_equal_differences_of_the_reference(counts, family):
    build, reference, num_logits = FAMILIES[family]
    objects, logits, boxes = batch(3, counts, num_logits)
    value, gradients = loss_and_gradients(build(assignment="host"), pad(objects), logits, boxes)
    matches = reference_loss.match_all(logits, boxes, objects, reference)

    def expected(logits, boxes):
        parts = reference_loss.components(logits, boxes, objects, reference, matches)
        return reference_loss.total(parts)

    assert value == pytest.approx(expected(logits, boxes), rel=1e-5)
    assert np.abs(gradients[0]).max() > 0
    assert (np.abs(gradients[1]).max() > 0) == (sum(counts) > 0)
    rng = np.random.default_rng(4)
    step = 1e-6
    for _ in range(10):
        ways = [rng.normal(size=logits.shape), rng.normal(size=boxes.shape)]
        for which in (0, 1):
            up, down = [logits, boxes], [logits, boxes]
            up[which] = up[which] + step * ways[which]
            down[which] = down[which] - step * ways[which]
            difference = (expected(*up) - expected(*down)) / (2 * step)
            # The sum has float32's rounding errors of a gradient of this norm.
            tolerance = 1e-5 * float(np.linalg.norm(gradients[which])) + 1e-8
            along = (gradients[which].astype("float64") * ways[which]).sum()
            assert along == pytest.approx(difference, abs=tolerance)


def test_calling_gives_the_sum_of_the_parts():
    objects, logits, boxes = batch(5, [3, 0, 1])
    loss = HungarianLoss.detr(assignment="host")
    y_true, y_pred = to_tensors(pad(objects)), to_tensors(split_layers(logits, boxes))
    parts = as_floats(loss.components(y_true, y_pred))
    total = loss(y_true, y_pred)
    assert tuple(total.shape) == ()
    assert float(total) == pytest.approx(sum(parts[name] for name in PARTS), rel=1e-6)
    assert set(parts) == {*HungarianLoss.component_names, *HungarianLoss.metric_names}
    assert float(loss.call(y_true, y_pred)) == float(total)


def test_numpy_arrays_will_do():
    objects, logits, boxes = batch(6, [3, 0, 1])
    loss = HungarianLoss.detr(assignment="host")
    y_true, y_pred = pad(objects), split_layers(logits, boxes)
    expected = loss(to_tensors(y_true), to_tensors(y_pred))
    assert float(loss(y_true, y_pred)) == pytest.approx(float(expected), rel=1e-6)


def test_each_layer_is_matched_anew():
    """The loss of two layers is the sum of both alone, which one matching couldn't give."""
    objects, logits, boxes = batch(7, [6, 3, 0])
    loss = HungarianLoss.detr(assignment="host")
    both = parts_of(loss, pad(objects), split_layers(logits, boxes))
    alone = [
        parts_of(loss, pad(objects), split_layers(logits[:, i : i + 1], boxes[:, i : i + 1]))
        for i in range(2)
    ]
    for name in PARTS:
        assert both[name] == pytest.approx(alone[0][name] + alone[1][name], rel=1e-5)
    assert both["class_error"] == alone[1]["class_error"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_rows", [0, NUM_ROWS])
def test_a_batch_without_objects_is_background(num_rows, family):
    build, _, num_logits = FAMILIES[family]
    objects, logits, boxes = batch(8, [0, 0, 0], num_logits)
    loss = build(assignment="host")
    value, gradients = loss_and_gradients(loss, pad(objects, num_rows), logits, boxes)
    assert np.isfinite(value)
    assert np.abs(gradients[0]).min() > 0
    np.testing.assert_array_equal(gradients[1], np.zeros_like(boxes))
    parts = parts_of(loss, pad(objects, num_rows), split_layers(logits, boxes))
    assert parts["box_loss"] == parts["giou_loss"] == 0
    assert parts["classification_loss"] > 0
    assert parts["class_error"] == 100


def test_errors_by_hand():
    boxes = np.tile([0.5, 0.5, 0.1, 0.3], (NUM_QUERIES, 1))
    boxes[:, 0] = np.linspace(0.2, 0.8, NUM_QUERIES)
    logits = np.full((3, 2, NUM_QUERIES, NUM_CLASSES + 1), -9.0)
    logits[..., -1] = 5
    # The first image names 2 for its 2, and 4 for its 3; the second names one of none.
    for image, query, label in ((0, 0, 2), (0, 1, 4), (1, 0, 5)):
        logits[image, :, query, label] = 9
    nothing = np.zeros((0, 4)), np.zeros(0, int)
    objects = [(boxes[:2], np.array([2, 3])), nothing, nothing]
    y_pred = split_layers(logits, np.tile(boxes, (3, 2, 1, 1)))
    parts = parts_of(HungarianLoss.detr(assignment="host"), pad(objects), y_pred)
    assert parts["class_error"] == pytest.approx(50)
    assert parts["cardinality_error"] == pytest.approx((0 + 1 + 0) / 3)
    assert parts["box_loss"] == pytest.approx(0, abs=1e-5)
    assert parts["giou_loss"] == pytest.approx(0, abs=1e-5)


@settings(max_examples=15)
@given(st.data())
def test_neither_order_nor_padding_matters(data):
    counts = data.draw(st.lists(st.integers(0, 6), min_size=3, max_size=3))
    family = data.draw(st.sampled_from(sorted(FAMILIES)))
    build, _, num_logits = FAMILIES[family]
    objects, logits, boxes = batch(9, counts, num_logits)
    loss = build(assignment="host")
    y_pred = split_layers(logits, boxes)
    expected = parts_of(loss, pad(objects), y_pred)
    y_true = pad(objects)
    # What lies in padding mustn't matter: not even values that aren't numbers.
    garbage = data.draw(st.sampled_from([-1.0, 0.0, 0.5, 7.0, np.nan, np.inf, -1e30]))
    y_true["boxes"][y_true["classes"] < 0] = garbage
    for i in range(3):
        order = data.draw(st.permutations(range(NUM_ROWS)))
        y_true["boxes"][i], y_true["classes"][i] = (
            y_true["boxes"][i][order],
            y_true["classes"][i][order],
        )
    result = parts_of(loss, y_true, y_pred)
    for name in expected:
        # Sums run in another order.
        assert result[name] == pytest.approx(expected[name], rel=2e-6, abs=1e-5)


def test_more_padding_changes_nothing():
    objects, logits, boxes = batch(23, [6, 2, 0])
    loss = HungarianLoss.detr(assignment="host")
    few, many = (parts_of(loss, pad(objects, n), split_layers(logits, boxes)) for n in (12, 30))
    for name, value in few.items():
        assert many[name] == pytest.approx(value, rel=2e-6)


def test_boxes_over_the_edge_are_clipped_and_counted():
    objects, logits, boxes = batch(10, [3, 2, 0])
    y_true, y_pred = pad(objects), split_layers(logits, boxes)
    # Half of the box lies on the left of the image; another reaches out at the corner.
    y_true["boxes"][0, 1] = [0.0, 0.5, 0.4, 0.2]
    y_true["boxes"][1, 0] = [0.9, 0.9, 0.4, 0.6]
    loss = HungarianLoss.detr(assignment="host")
    result = parts_of(loss, y_true, y_pred)
    assert result["clipped_boxes"] == 2
    assert result["dropped_boxes"] == 0
    y_true["boxes"][0, 1] = [0.1, 0.5, 0.2, 0.2]
    y_true["boxes"][1, 0] = [0.85, 0.8, 0.3, 0.4]
    expected = parts_of(loss, y_true, y_pred)
    assert expected["clipped_boxes"] == 0
    for name in PARTS + ERRORS:
        assert result[name] == pytest.approx(expected[name], rel=1e-5)


BAD_BOXES = {
    "no width": [0.5, 0.5, 0.0, 0.2],
    "no height": [0.5, 0.5, 0.2, 0.0],
    "negative width": [0.5, 0.5, -0.2, 0.2],
    "outside": [1.5, 0.5, 0.2, 0.2],
    "far outside": [1e30, 0.5, 0.2, 0.2],
    "NaN": [np.nan, 0.5, 0.2, 0.2],
    "NaN size": [0.5, 0.5, 0.2, np.nan],
    "infinite": [0.5, np.inf, 0.2, 0.2],
    "infinite size": [0.5, 0.5, np.inf, 0.2],
}


@pytest.mark.parametrize("name", BAD_BOXES)
def test_boxes_without_area_are_dropped_and_counted(name):
    objects, logits, boxes = batch(11, [3, 2, 0])
    y_true, y_pred = pad(objects), split_layers(logits, boxes)
    loss = HungarianLoss.detr(assignment="host")
    y_true["boxes"][0, 1] = BAD_BOXES[name]
    value, gradients = loss_and_gradients(loss, y_true, logits, boxes)
    result = parts_of(loss, y_true, y_pred)
    assert result["dropped_boxes"] == 1
    assert result["clipped_boxes"] == 0
    y_true["classes"][0, 1] = -1
    expected_value, expected_gradients = loss_and_gradients(loss, y_true, logits, boxes)
    expected = parts_of(loss, y_true, y_pred)
    assert expected["dropped_boxes"] == 0
    assert value == pytest.approx(expected_value, rel=1e-6)
    np.testing.assert_array_equal(gradients[1], expected_gradients[1])
    for part in PARTS + ERRORS:
        assert result[part] == pytest.approx(expected[part], rel=1e-6)


@pytest.mark.parametrize("size", [3.0, 1e6, 1e18, 3e38])
def test_runaway_boxes_train_finite(size):
    objects, logits, boxes = batch(12, [3, 2, 0])
    y_true = pad(objects)
    y_true["boxes"][0, 1] = [0.5, 0.5, size, size]
    loss = HungarianLoss.detr(assignment="host")
    value, gradients = loss_and_gradients(loss, y_true, logits, boxes)
    assert parts_of(loss, y_true, split_layers(logits, boxes))["clipped_boxes"] == 1
    y_true["boxes"][0, 1] = [0.5, 0.5, 1.0, 1.0]
    assert value == pytest.approx(float(loss(y_true, split_layers(logits, boxes))), rel=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize(
    ("value", "assignment"),
    [(np.nan, "host"), (np.inf, "host"), (-np.inf, "host"), (np.nan, "in_graph")],
)
def test_images_with_broken_predictions_leave_the_others_alone(value, assignment):
    objects, logits, boxes = batch(13, [4, 3, 2])
    loss = HungarianLoss.detr(assignment=assignment)
    _, expected = loss_and_gradients(loss, pad(objects), logits, boxes)
    logits[0], boxes[0] = value, value
    _, gradients = loss_and_gradients(loss, pad(objects), logits, boxes)
    # The sign of a box's gradient tells which object it was matched with.
    np.testing.assert_allclose(gradients[1][1:], expected[1][1:], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_query_with_a_broken_box_is_matched_last(value):
    objects, logits, boxes = batch(14, [4, 11, 0])
    broken = boxes.copy()
    broken[:, :, 5] = value
    loss = HungarianLoss.detr(assignment="host")
    total, gradients = loss_and_gradients(loss, pad(objects), logits, broken)
    assert np.isfinite(total)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    np.testing.assert_array_equal(gradients[1][:, :, 5], 0)
    # The same as if that query stood where no object wants it.
    kept = np.delete(np.arange(12), 5)
    for image in range(2):
        queries = reference_loss.match(
            logits[image, 0][kept], boxes[image, 0][kept], objects[image], reference_loss.DETR
        )
        is_matched = np.abs(gradients[1][image, 0]).max(-1) > 0
        np.testing.assert_array_equal(np.nonzero(is_matched)[0], np.sort(kept[queries]))


@pytest.mark.parametrize("assignment", ["host", "in_graph"])
def test_nothing_but_broken_predictions_raises_no_exception(assignment):
    objects, logits, boxes = batch(15, [4, 12, 0])
    loss = HungarianLoss.detr(assignment=assignment)
    parts = parts_of(loss, pad(objects), split_layers(logits * np.nan, boxes * np.nan))
    assert np.isnan(parts["box_loss"])
    assert 0 <= parts["class_error"] <= 100


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("label", [NUM_CLASSES, NUM_CLASSES + 5, -2])
def test_labels_out_of_range_are_shown(label, family):
    build, _, num_logits = FAMILIES[family]
    objects, logits, boxes = batch(17, [3, 2, 0], num_logits)
    y_true = pad(objects)
    y_true["classes"][1, 1] = label
    with pytest.raises(ValueError, match=rf"from 0 to 6 .*{label} .*index \(1, 1\)"):
        parts_of(build(assignment="host"), y_true, split_layers(logits, boxes))


def test_sample_weight_is_refused():
    objects, logits, boxes = batch(18, [1, 0, 0])
    with pytest.raises(ValueError, match="takes no `sample_weight`"):
        HungarianLoss()(pad(objects), split_layers(logits, boxes), sample_weight=np.ones(1))


def test_an_unknown_assignment_is_shown():
    with pytest.raises(ValueError, match=r"`assignment` must be one of .*'scipy'"):
        HungarianLoss(assignment="scipy")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_predictions_are_compared_in_float32(dtype):
    objects, logits, boxes = batch(19, [3, 0, 12])
    halves = [ops.cast(ops.convert_to_tensor(x, "float32"), dtype) for x in (logits, boxes)]
    rounded = [ops.convert_to_numpy(ops.cast(x, "float32")).astype("float64") for x in halves]
    y_pred = split_layers(*halves)
    loss = HungarianLoss.detr(assignment="host")
    components = loss.components(to_tensors(pad(objects)), y_pred)
    assert {keras.backend.standardize_dtype(x.dtype) for x in components.values()} == {"float32"}
    expected = reference_loss.components(*rounded, objects)
    for name in PARTS:
        assert float(components[name]) == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("assignment", ["auto", "in_graph"])
def test_a_compiled_program_gives_the_same(assignment, family):
    build, reference, num_logits = FAMILIES[family]
    # On TensorFlow "auto" calls the host unless XLA compiles, which is said to the loss.
    is_xla = assignment == "auto" and family == "detr"
    objects, logits, boxes = batch(20, [0, 1, 12], num_logits)
    loss = build(assignment=assignment)

    def program(true_boxes, classes, logits, boxes):
        return loss.components(
            {"boxes": true_boxes, "classes": classes},
            split_layers(logits, boxes),
            is_compiled_by_xla=is_xla,
        )

    y_true = to_tensors(pad(objects))
    predictions = [ops.convert_to_tensor(x, "float32") for x in (logits, boxes)]
    result = compiled(program, is_xla)(y_true["boxes"], y_true["classes"], *predictions)
    expected = reference_loss.components(logits, boxes, objects, reference)
    for name in PARTS + ERRORS:
        assert float(result[name]) == pytest.approx(expected[name], rel=1e-5, abs=1e-4)


LOSSES = {
    "default": HungarianLoss(),
    "detr": HungarianLoss.detr(
        classification=SoftmaxClassification(no_object_weight=0.3),
        class_cost=0.5,
        box_cost=1.5,
        giou_cost=2.5,
        class_weight=3.5,
        box_weight=4.5,
        giou_weight=5.5,
        assignment="in_graph",
        name="mine",
    ),
    "deformable": HungarianLoss.deformable_detr(
        classification=FocalClassification(alpha=0.6, gamma=1.5), assignment="host"
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_config_round_trip(name):
    loss = LOSSES[name]
    copies = [
        HungarianLoss.from_config(loss.get_config()),
        keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss)),
        keras.losses.deserialize(keras.losses.serialize(loss)),
    ]
    for copy in copies:
        assert type(copy) is HungarianLoss
        assert copy.get_config() == loss.get_config()
        assert type(copy.classification) is type(loss.classification)
        assert vars(copy.classification) == vars(loss.classification)
        for key, value in loss.get_config().items():
            if key != "classification":
                assert getattr(copy, key) == value


def test_the_papers_settings():
    detr, deformable = HungarianLoss.detr(), HungarianLoss.deformable_detr()
    for loss, weight in ((detr, 1.0), (deformable, 2.0)):
        assert (loss.class_cost, loss.box_cost, loss.giou_cost) == (weight, 5.0, 2.0)
        assert (loss.class_weight, loss.box_weight, loss.giou_weight) == (weight, 5.0, 2.0)
    assert detr.classification.no_object_weight == 0.1
    assert (deformable.classification.alpha, deformable.classification.gamma) == (0.25, 2.0)
    assert detr.classification.activation == "softmax"
    assert deformable.classification.activation == "sigmoid"


def test_inputs_are_not_changed():
    objects, logits, boxes = batch(21, [3, 1, 0])
    y_true, y_pred = pad(objects), split_layers(logits, boxes)
    y_true["boxes"][0, 0] = random_boxes(np.random.default_rng(22), (1,))[0] + 0.7
    kept = {name: x.copy() for name, x in {**y_true, **y_pred}.items()}
    HungarianLoss(assignment="host").components(y_true, y_pred)
    for name, x in {**y_true, **y_pred}.items():
        np.testing.assert_array_equal(x, kept[name])
