"""The focal cost and loss against NumPy in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.losses import FocalClassification
from tests.losses import reference_loss
from tests.losses.reference_loss import DEFORMABLE_DETR
from tests.ops.gradients import value_and_gradients

pytestmark = pytest.mark.every_backend

SETTINGS = [(0.25, 2.0), (0.6, 1.0), (0.5, 3.0)]
CLASSES = np.array([[2, 0, 2], [1, 1, 0]])


def logits_of(seed, scale=3.0):
    logits = np.random.default_rng(seed).normal(0, scale, (2, 2, 5, 4))
    return logits.astype("float32").astype("float64")


def targets_of(seed):
    """Return one-hot classes of some queries, zeros for others: (images, layers, queries, C)."""
    labels = np.random.default_rng(seed).integers(0, 6, (2, 2, 5))
    return np.eye(6)[labels][..., :4]


def loss_of(part, logits, targets, num_objects=3.0):
    targets = ops.convert_to_tensor(targets, "float32")
    return part.loss(logits, targets, ops.convert_to_tensor(num_objects, "float32"), None)


@pytest.mark.parametrize(("alpha", "gamma"), SETTINGS)
def test_cost(alpha, gamma):
    logits = logits_of(1)
    cost = FocalClassification(alpha, gamma).cost(
        ops.convert_to_tensor(logits, "float32"), ops.convert_to_tensor(CLASSES, "int32")
    )
    settings = DEFORMABLE_DETR._replace(alpha=alpha, gamma=gamma)
    expected = [
        [reference_loss.class_costs(layer, classes, settings) for layer in layers]
        for layers, classes in zip(logits, CLASSES, strict=True)
    ]
    assert tuple(cost.shape) == (2, 2, 3, 5)
    np.testing.assert_allclose(ops.convert_to_numpy(cost), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("alpha", "gamma"), SETTINGS)
def test_loss(alpha, gamma):
    logits, targets = logits_of(2), targets_of(3)
    part = FocalClassification(alpha, gamma)
    settings = DEFORMABLE_DETR._replace(alpha=alpha, gamma=gamma)
    result = loss_of(part, ops.convert_to_tensor(logits, "float32"), targets)
    expected = reference_loss.focal_loss(logits, targets > 0, settings).sum((0, 2, 3)) / 3.0
    np.testing.assert_allclose(ops.convert_to_numpy(result), expected, rtol=1e-5)


@pytest.mark.parametrize(("alpha", "gamma"), SETTINGS)
def test_gradients_equal_differences_of_the_reference(alpha, gamma):
    """Zero is among the logits: a new class head without biases says it of every query."""
    logits, targets = logits_of(4), targets_of(5)
    logits[:, 0] = 0.0
    part = FocalClassification(alpha, gamma)
    settings = DEFORMABLE_DETR._replace(alpha=alpha, gamma=gamma)
    _, (gradient,) = value_and_gradients(lambda x: ops.sum(loss_of(part, x, targets)), logits)
    step = 1e-6
    up, down = (
        reference_loss.focal_loss(logits + sign * step, targets > 0, settings) for sign in (1, -1)
    )
    # The sigmoid's last digit, of gradients that are about 1.
    np.testing.assert_allclose(gradient, (up - down) / (2 * step) / 3.0, rtol=1e-5, atol=1e-6)


def test_minus_infinity_is_sure_to_be_no_object():
    logits, targets = logits_of(7), targets_of(8)
    part = FocalClassification()
    expected, (expected_gradient,) = value_and_gradients(
        lambda x: ops.sum(loss_of(part, x, targets)), np.where(targets > 0, logits, -200.0)
    )
    result, (gradient,) = value_and_gradients(
        lambda x: ops.sum(loss_of(part, x, targets)), np.where(targets > 0, logits, -np.inf)
    )
    assert result == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6, atol=1e-8)
    cost = part.cost(ops.full((2, 2, 5, 4), -np.inf), ops.convert_to_tensor(CLASSES, "int32"))
    assert np.isfinite(ops.convert_to_numpy(cost)).all()


@pytest.mark.parametrize("value", [100.0, -100.0, 1e4, -1e4])
def test_extreme_logits_stay_finite(value):
    logits, targets = np.full((2, 2, 5, 4), value), targets_of(6)
    part = FocalClassification()
    result, (gradient,) = value_and_gradients(lambda x: ops.sum(loss_of(part, x, targets)), logits)
    assert np.isfinite(result)
    assert np.isfinite(gradient).all()
    classes = ops.convert_to_tensor(CLASSES, "int32")
    cost = part.cost(ops.convert_to_tensor(logits, "float32"), classes)
    assert np.isfinite(ops.convert_to_numpy(cost)).all()


def test_all_logits_are_classes():
    logits = ops.convert_to_tensor(np.full((1, 3, 4), -1.0), "float32")
    part = FocalClassification()
    assert part.num_classes(logits) == 4
    assert not ops.convert_to_numpy(part.is_object(logits)).any()
    logits = ops.convert_to_tensor([[[-1.0, 0.1], [-0.1, -3.0], [0.0, -2.0]]])
    np.testing.assert_array_equal(ops.convert_to_numpy(part.is_object(logits)), [[1, 0, 0]])


def test_round_trip():
    part = FocalClassification(alpha=0.6, gamma=1.5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(part))
    assert type(copy) is FocalClassification
    assert copy.get_config() == {"alpha": 0.6, "gamma": 1.5}
