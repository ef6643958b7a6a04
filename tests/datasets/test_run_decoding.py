"""Masks decoded by TensorFlow equal those that pycocotools encoded."""

# ruff: noqa: E402
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from pycocotools import mask as oracle

from keras_detr.datasets.run_decoding import decoded_masks

DECODE = tf.function(
    decoded_masks,
    input_signature=[tf.TensorSpec((None,), tf.string), tf.TensorSpec((2,), tf.int32)],
    autograph=False,
)


def encoded(masks):
    runs = oracle.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    return tf.constant([run["counts"] for run in runs], tf.string)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (40, 30), (300, 200)])
def test_random_masks(size):
    rng = np.random.default_rng(0)
    # From single pixels to single holes; runs of up to the whole image, of 1 to 4 characters.
    densities = np.array([0, 0.0001, 0.01, 0.2, 0.5, 0.8, 0.99, 0.9999, 1])
    masks = rng.random((len(densities), *size)) < densities[:, None, None]
    found = DECODE(encoded(masks), size)
    assert found.dtype == tf.bool
    np.testing.assert_array_equal(found, masks)


def test_masks_of_many_and_of_few_runs_at_once():
    masks = np.zeros((4, 64, 48), bool)
    masks[0, ::2] = True
    masks[1, 10:20, 5:9] = True
    masks[2, 0, 0] = masks[2, -1, -1] = True
    masks[3] = ~masks[1]
    np.testing.assert_array_equal(DECODE(encoded(masks), (64, 48)), masks)
    for number in range(3):
        np.testing.assert_array_equal(DECODE(encoded(masks)[:number], (64, 48)), masks[:number])


def test_no_python_runs_in_the_threads_of_tensorflow():
    kinds = {operation.type for operation in DECODE.get_concrete_function().graph.get_operations()}
    assert not kinds & {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
    assert "ScatterNd" in kinds
