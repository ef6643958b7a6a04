"""Denoising queries: their noise, their layout, and what may attend to what."""

import numpy as np
import pytest
from keras import ops

from keras_detr import ContrastiveDenoising
from tests.one_program import in_one_program

from .layer_checks import check_config, to_numpy

pytestmark = pytest.mark.every_backend

SIZE = 8
NUM_CLASSES = 5
# One image with three objects, one with one and one without.
BOXES = np.array(
    [
        [[0.5, 0.5, 0.4, 0.2], [0.3, 0.6, 0.2, 0.4], [0.6, 0.3, 0.1, 0.1]],
        [[0.5, 0.4, 0.3, 0.3], [-1, -1, -1, -1], [-1, -1, -1, -1]],
        [[-1, -1, -1, -1]] * 3,
    ],
    "float32",
)
CLASSES = np.array([[4, 0, 2], [1, -1, -1], [-1, -1, -1]])
IS_OBJECT = CLASSES >= 0


def denoising(num_queries=12, **settings):
    layer = ContrastiveDenoising(num_queries, **settings)
    layer.build((NUM_CLASSES, SIZE))
    return layer


def call(layer, boxes, classes, num_matching_queries):
    """Return what the layer returns, computed as one program."""
    variables = layer.trainable_variables, layer.non_trainable_variables

    def stateless(trainable, non_trainable, boxes, classes):
        return layer.stateless_call(
            trainable,
            non_trainable,
            boxes,
            classes,
            num_matching_queries=num_matching_queries,
        )

    values = [[variable.value for variable in group] for group in variables]
    outputs, updated = in_one_program(stateless)(*values, boxes, classes)
    for variable, value in zip(layer.non_trainable_variables, updated, strict=True):
        variable.assign(value)
    return outputs


def queries_of(layer, boxes=BOXES, classes=CLASSES, num_matching_queries=7):
    """Return states and anchors (batch, groups, 2, objects, ...), and the mask, as arrays."""
    *queries, mask = call(layer, boxes, classes, num_matching_queries)
    shape = (len(boxes), -1, 2, boxes.shape[1])
    return *(to_numpy(array).reshape(*shape, array.shape[-1]) for array in queries), mask


def labels_of(layer, states):
    """Return the label that each state is the embedding of, -1 for zeros."""
    table = np.concatenate([to_numpy(layer.label_embeddings[...]), np.zeros((1, SIZE))])
    distances = np.abs(states[..., None, :] - table).sum(axis=-1)
    assert distances.min(axis=-1).max() < 1e-5
    labels = distances.argmin(axis=-1)
    return np.where(labels == NUM_CLASSES, -1, labels)


def corners_of(boxes):
    return np.concatenate(
        [boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1
    )


def test_without_noise_every_group_has_the_objects_themselves():
    layer = denoising(label_noise_ratio=0, box_noise_scale=0)
    states, anchors, _ = queries_of(layer)
    assert states.shape == (3, 4, 2, 3, SIZE)
    expected = np.broadcast_to(CLASSES[:, None, None], states.shape[:-1])
    np.testing.assert_array_equal(labels_of(layer, states), expected)
    expected = np.where(IS_OBJECT[..., None], BOXES, 0.5)[:, None, None]
    np.testing.assert_allclose(anchors, np.broadcast_to(expected, anchors.shape), atol=1e-6)
    again = queries_of(layer)
    np.testing.assert_array_equal(states, again[0])
    np.testing.assert_array_equal(anchors, again[1])


@pytest.mark.once
@pytest.mark.parametrize(
    ("num_queries", "num_rows", "num_groups"),
    [(100, 7, 14), (100, 100, 1), (100, 101, 1), (1, 3, 1), (100, 0, 100)],
)
def test_the_number_of_groups_follows_from_the_number_of_rows(num_queries, num_rows, num_groups):
    layer = denoising(num_queries)
    boxes, classes = np.full((2, num_rows, 4), 0.5, "float32"), np.zeros((2, num_rows), "int32")
    states, anchors, mask = call(layer, boxes, classes, 3)
    count = num_groups * 2 * max(num_rows, 1)
    assert tuple(states.shape) == (2, count, SIZE)
    assert tuple(anchors.shape) == (2, count, 4)
    assert tuple(mask.shape) == (1, 3 + count, 3 + count)


def test_noise_agrees_with_its_formulas():
    num_groups = 2500
    layer = denoising(2 * num_groups, label_noise_ratio=0.5, box_noise_scale=0.4, seed=3)
    # Far enough from the edges, and large enough, that nothing is clamped.
    boxes = np.array([[[0.5, 0.5, 0.4, 0.2], [0.4, 0.5, 0.2, 0.3]]], "float32")
    states, anchors, _ = queries_of(layer, boxes, np.array([[1, 3]]))
    assert states.shape[1] == num_groups
    labels = labels_of(layer, states)[0]
    is_changed = labels != [1, 3]
    # A quarter is drawn anew, and of these a fifth get their own label.
    assert abs(is_changed.mean() - 0.25 * 0.8) < 4 * np.sqrt(0.2 * 0.8 / labels.size)
    counts = np.bincount(labels[..., 0].ravel(), minlength=NUM_CLASSES)[[0, 2, 3, 4]]
    expected = labels[..., 0].size * 0.25 / NUM_CLASSES
    assert np.abs(counts - expected).max() < 4 * np.sqrt(expected)

    moved = corners_of(anchors[0]) - corners_of(boxes[0])
    steps = moved / (0.4 * 0.5 * boxes[0][..., [2, 3, 2, 3]])
    for half, least in ((steps[:, 0], 0.0), (steps[:, 1], 1.0)):
        magnitudes = np.abs(half)
        assert least - 1e-3 < magnitudes.min() < least + 0.01
        assert least + 0.99 < magnitudes.max() < least + 1.001
        assert abs(magnitudes.mean() - (least + 0.5)) < 0.01
        assert abs((half > 0).mean() - 0.5) < 0.02

    # Groups, halves, objects and sides are independent: no two columns go together.
    columns = steps.reshape(num_groups, -1)
    correlations = np.corrcoef(np.concatenate([columns[:-1], columns[1:]], axis=1).T)
    np.fill_diagonal(correlations, 0)
    assert np.abs(correlations).max() < 5 / np.sqrt(num_groups)


def test_noise_stays_in_the_image():
    layer = denoising(3000, box_noise_scale=1.0, seed=1)
    _, anchors, _ = queries_of(layer)
    anchors = anchors[0]
    assert anchors.min() > 0
    assert anchors.max() < 1
    corners = corners_of(anchors)
    is_small = (anchors[..., 2:] < 1.1e-3).any(axis=-1)
    # Corners of negative queries can pass each other; those boxes are as small as can be.
    assert 0 < is_small[:, 1].mean() < 0.6
    assert is_small[:, 0].mean() < 0.01
    assert corners[~is_small].min() > -2e-3
    assert corners[~is_small].max() < 1 + 2e-3


def test_every_call_draws_anew_and_the_seed_repeats_it():
    first, second = denoising(seed=5), denoising(seed=5)
    drawn = [queries_of(first)[1] for _ in range(2)]
    assert np.abs(drawn[0] - drawn[1]).max() > 0.01
    np.testing.assert_array_equal(drawn[0], queries_of(second)[1])


def test_boxes_are_clipped_and_those_without_area_make_no_queries():
    layer = denoising(label_noise_ratio=0, box_noise_scale=0)
    boxes = np.array([[[0.5, 0.5, 0, 0.2], [0.9, 0.5, 0.4, 0.2], [2, 2, 0.1, 0.1]]], "float32")
    states, anchors, _ = queries_of(layer, boxes, np.array([[3, 2, 1]]))
    # What is left comes first.
    np.testing.assert_array_equal(labels_of(layer, states)[0, 0, 0], [2, -1, -1])
    np.testing.assert_allclose(anchors[0, 0, 0, 0], [0.85, 0.5, 0.3, 0.2], atol=1e-6)
    np.testing.assert_allclose(anchors[0, 0, 0, 1:], 0.5, atol=1e-6)


def test_the_mask():
    layer = denoising(4)
    *_, mask = queries_of(layer, BOXES[:, :2], CLASSES[:, :2], num_matching_queries=3)
    mask = ops.convert_to_numpy(mask)
    # Three matching queries, then two groups of two positive and two negative ones.
    expected = np.zeros((11, 11), bool)
    expected[:, :3] = True
    expected[3:7, 3:7] = True
    expected[7:11, 7:11] = True
    np.testing.assert_array_equal(mask, expected[None])


def test_noise_is_drawn_in_float32_under_mixed_precision():
    settings = {"label_noise_ratio": 0, "seed": 2}
    states, anchors, _ = call(denoising(dtype="mixed_bfloat16", **settings), BOXES, CLASSES, 7)
    assert "bfloat16" in str(states.dtype)
    expected = call(denoising(**settings), BOXES, CLASSES, 7)[1]
    np.testing.assert_array_equal(to_numpy(anchors), to_numpy(expected))
    assert "float32" in str(anchors.dtype)


def test_config():
    layer = ContrastiveDenoising(30, label_noise_ratio=0.2, box_noise_scale=0.4, seed=1)
    copy = check_config(layer)
    assert (copy.num_queries, copy.label_noise_ratio, copy.box_noise_scale) == (30, 0.2, 0.4)
    # The detector that it belongs to builds it, for its own classes.
    assert not check_config(denoising()).built


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_queries": 0}, "`num_queries`"),
        ({"label_noise_ratio": 1.5}, r"`label_noise_ratio` must be in \[0, 1\]. Received: 1.5"),
        ({"box_noise_scale": -1.0}, "`box_noise_scale` must be at least 0. Received: -1.0"),
        ({"box_noise_scale": float("nan")}, "`box_noise_scale` must be at least 0"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveDenoising(**settings)
