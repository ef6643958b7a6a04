"""Programs of TensorFlow that know one side of their images, or none, as batches by canvas do."""

import numpy as np
import pytest
import tensorflow as tf

from .detectors import DETECTORS, HEIGHT, WIDTH, inputs_of, tiny_batch


@pytest.mark.parametrize("sides", [(HEIGHT, None), (None, WIDTH), (None, None)])
@pytest.mark.parametrize("detector", DETECTORS)
def test_sides_may_be_known_late(detector, sides):
    model = DETECTORS[detector].build()
    inputs = inputs_of(tiny_batch())
    signature = {
        "images": tf.TensorSpec((None, *sides, 3)),
        "pixel_mask": tf.TensorSpec((None, *sides), "uint8"),
    }
    found = tf.function(model, input_signature=[signature])(inputs)
    for name, expected in model(inputs).items():
        # Loops over the same numbers, compiled another way.
        np.testing.assert_allclose(found[name], expected, atol=1e-5)
