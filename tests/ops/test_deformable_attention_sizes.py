"""Maps whose sizes a TensorFlow program learns only when it runs."""

import numpy as np
import tensorflow as tf

from keras_detr.ops.deformable_attention import multi_scale_deformable_attention
from tests.ops.test_deformable_attention import HEADS, POINTS, SHAPES, SIZE, attend, draw


def test_sizes_that_are_known_late():
    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, HEADS, SIZE)),
            tf.TensorSpec((3, 2), "int32"),
            tf.TensorSpec((None, None, HEADS, 3, POINTS, 2)),
            tf.TensorSpec((None, None, HEADS, 3, POINTS)),
        ]
    )
    def program(values, shapes, locations, weights):
        sides = [tuple(tf.unstack(shape)) for shape in tf.unstack(shapes)]
        return multi_scale_deformable_attention(values, sides, locations, weights)

    for shapes in (SHAPES, ((2, 3), (1, 2), (1, 1))):
        arrays = draw(6, shapes)
        values, locations, weights = (array.astype("float32") for array in arrays)
        found = program(values, np.array(shapes, "int32"), locations, weights)
        np.testing.assert_allclose(found, attend(*arrays, shapes=shapes), atol=2e-6)
