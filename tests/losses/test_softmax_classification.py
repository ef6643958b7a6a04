"""The softmax cost and the weighted cross-entropy against NumPy in float64."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import log_softmax, softmax

from keras_detr.losses import SoftmaxClassification
from tests.ops.gradients import value_and_gradients

pytestmark = pytest.mark.every_backend

LABELS = np.array([[[0, 3, 3, 2, 3], [3, 3, 3, 3, 3]], [[1, 1, 3, 0, 2], [3, 3, 0, 3, 3]]])


def logits_of(seed):
    logits = np.random.default_rng(seed).normal(0, 2, (2, 2, 5, 4))
    return logits.astype("float32").astype("float64")


def loss_of(part, logits):
    is_class = ops.convert_to_tensor(np.eye(4)[LABELS][..., :3], "float32")
    return part.loss(logits, is_class, None, lambda value: value)


def test_cost():
    classes = np.array([[2, 0, 2], [1, 1, 0]])
    logits = logits_of(1)
    cost = SoftmaxClassification().cost(
        ops.convert_to_tensor(logits, "float32"), ops.convert_to_tensor(classes, "int32")
    )
    probabilities = softmax(logits, axis=-1)
    for image in range(2):
        for layer in range(2):
            np.testing.assert_allclose(
                ops.convert_to_numpy(cost)[image, layer],
                -probabilities[image, layer][:, classes[image]].T,
                rtol=1e-5,
            )


@pytest.mark.parametrize("weight", [0.1, 1.0, 0.0])
def test_loss_and_gradients(weight):
    part, logits = SoftmaxClassification(weight), logits_of(2)
    weights = np.where(LABELS == 3, weight, 1.0)
    sums = weights.sum((0, 2))
    logs = np.take_along_axis(log_softmax(logits, axis=-1), LABELS[..., None], -1)[..., 0]
    result = ops.convert_to_numpy(loss_of(part, ops.convert_to_tensor(logits, "float32")))
    np.testing.assert_allclose(result, -(weights * logs).sum((0, 2)) / sums, rtol=1e-5)
    _, (gradient,) = value_and_gradients(lambda x: ops.sum(loss_of(part, x)), logits)
    expected = (softmax(logits, axis=-1) - np.eye(4)[LABELS]) * weights[..., None]
    np.testing.assert_allclose(gradient, expected / sums[:, None, None], rtol=1e-5, atol=1e-7)


def test_extreme_logits_stay_finite():
    logits = np.where(np.eye(4)[LABELS] > 0, -1e4, 1e4)
    part = SoftmaxClassification()
    result, (gradient,) = value_and_gradients(lambda x: ops.sum(loss_of(part, x)), logits)
    assert np.isfinite(result)
    assert np.isfinite(gradient).all()


def test_the_last_logit_is_no_object():
    logits = ops.convert_to_tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 2.0], [0.0, 3.0, 2.0]]])
    part = SoftmaxClassification()
    assert part.num_classes(logits) == 2
    np.testing.assert_array_equal(ops.convert_to_numpy(part.is_object(logits)), [[1, 0, 1]])


def test_round_trip():
    part = SoftmaxClassification(no_object_weight=0.3)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(part))
    assert type(copy) is SoftmaxClassification
    assert copy.get_config() == {"no_object_weight": 0.3}
