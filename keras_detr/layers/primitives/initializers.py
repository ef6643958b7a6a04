"""Starting values of the original, said in Keras' terms."""

import math

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("keras_detr")
class HostUniform(keras.initializers.RandomUniform):
    """Draw Keras' uniform starting values on the host.

    JAX compiles a program for every shape that Keras' own initializer draws: 0.4 s each, which was
    nearly all of the time that building a model took.
    """

    def __call__(self, shape, dtype=None):
        """Return a tensor of values from `minval` to `maxval`."""
        values = _generator(self.seed).random(shape, "float32")
        return _tensor(self.minval + (self.maxval - self.minval) * values, dtype)


@keras.saving.register_keras_serializable("keras_detr")
class HostNormal(keras.initializers.RandomNormal):
    """Draw Keras' normal starting values on the host; see `HostUniform` for why."""

    def __call__(self, shape, dtype=None):
        """Return a tensor of values around `mean` with the deviation `stddev`."""
        values = _generator(self.seed).standard_normal(shape, "float32")
        return _tensor(self.mean + self.stddev * values, dtype)


def torch_linear_initializers(fan_in):
    """Return the (kernel, bias) initializers of a torch layer with `fan_in` inputs to an output.

    Both are uniform in +-1/sqrt(fan_in).
    """
    limit = 1.0 / math.sqrt(fan_in)
    return HostUniform(-limit, limit), HostUniform(-limit, limit)


def xavier_uniform(fan_in, fan_out):
    """Return Xavier's uniform initializer for a matrix whose fans the variable's shape hides.

    Attention kernels have a head axis, from which Keras would derive other fans.

    Source: Glorot and Bengio 2010, equation 16.
    """
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return HostUniform(-limit, limit)


def kaiming_uniform(fan_in):
    """Return He's uniform initializer for a layer that no ReLU is made allowance for.

    Source: He et al. 2015, equation 10, with a rectifier of slope 1.
    """
    limit = math.sqrt(3.0 / fan_in)
    return HostUniform(-limit, limit)


def kaiming_normal_fan_out(size, filters):
    """Return the normal initializer that keeps a convolution's gradients in scale before a ReLU.

    The kernel is of `size` rows and columns.

    Source: He et al. 2015, equation 14.
    """
    return HostNormal(stddev=math.sqrt(2.0 / (size * size * filters)))


def _generator(seed):
    if isinstance(seed, keras.random.SeedGenerator):
        seed = ops.convert_to_numpy(seed.next())
    return np.random.default_rng(seed)


def _tensor(values, dtype):
    return ops.convert_to_tensor(values, dtype or keras.config.floatx())
