"""Maps whose sizes a TensorFlow program learns only when it runs, and how often it is compiled."""

import time

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


def test_new_values_compile_nothing():
    # XLA takes shapes as constants; where it can't see that one of them is a shape, everything it
    # was made of becomes a constant too, and each batch a program of its own.
    @tf.function(
        jit_compile=True,
        input_signature=[
            tf.TensorSpec((None, None, None, HEADS * SIZE)),
            tf.TensorSpec((None, None, HEADS, 1, POINTS, 2)),
            tf.TensorSpec((None, None, HEADS, 1, POINTS)),
        ],
    )
    def gradients(feature_map, *arrays):
        shape = tf.shape(feature_map)
        with tf.GradientTape() as tape:
            tape.watch([feature_map, *arrays])
            values = tf.reshape(feature_map, (shape[0], shape[1] * shape[2], HEADS, SIZE))
            sums = multi_scale_deformable_attention(values, [(shape[1], shape[2])], *arrays)
            total = tf.reduce_sum(sums**2)
        return tape.gradient(total, [feature_map, *arrays])

    seconds = []
    for seed in range(4):
        values, *arrays = (array.astype("float32") for array in draw(seed, ((5, 7),)))
        start = time.perf_counter()
        gradients(values.reshape(-1, 5, 7, HEADS * SIZE), *arrays)
        seconds.append(time.perf_counter() - start)
    # Compiling takes a second or two, running a millisecond.
    assert min(seconds[1:]) < seconds[0] / 10
