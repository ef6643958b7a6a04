"""What is asked of the backend, inside and outside of a program."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.ops import backends
from tests.ops.gradients import compiled

pytestmark = pytest.mark.every_backend


def scaled(values, factors):
    assert isinstance(values, np.ndarray)
    return (values * factors[:, None]).astype("int32")


@pytest.mark.parametrize("is_compiled", [False, True])
def test_the_host_is_called_with_numpy_arrays(is_compiled):
    def program(values, factors):
        return backends.call_on_host(scaled, [values, factors], (2, 3), "int32")

    if is_compiled:
        program = compiled(program, jit_compile=False)
    values = np.arange(6, dtype="float32").reshape(2, 3)
    result = program(ops.convert_to_tensor(values), ops.convert_to_tensor([1.0, 10.0]))
    assert keras.backend.standardize_dtype(result.dtype) == "int32"
    assert tuple(result.shape) == (2, 3)
    np.testing.assert_array_equal(ops.convert_to_numpy(result), [[0, 1, 2], [30, 40, 50]])


def test_values_can_be_read_outside_of_a_program_only():
    seen = []

    def program(x):
        seen.append(backends.is_concrete(x))
        return x + 1

    assert backends.is_concrete(ops.ones(2))
    assert backends.is_concrete(np.ones(2))
    assert not backends.is_concrete(keras.Input((2,)))
    compiled(program, jit_compile=False)(ops.ones(2))
    assert seen[0] == (keras.backend.backend() == "torch")


def test_one_device_is_one_replica():
    assert backends.num_replicas() == 1
    value = ops.convert_to_tensor(3.0)
    assert backends.sum_over_replicas(value) is value


def test_data_sets_are_told_apart_without_importing_tensorflow():
    assert not backends.is_tensorflow_dataset([1, 2])
    assert not backends.is_tensorflow_dataset(np.ones(2))
    if backends.is_tensorflow_installed() and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        assert backends.is_tensorflow_dataset(tf.data.Dataset.range(3))


def test_rows_are_added_on_a_gpu_as_by_numpy():
    # What torch does where SciPy can't read its tensors; the CPU computes it too.
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    indices = generator.integers(0, 5, (20, 6)).astype("int32")
    weights = generator.normal(size=(20, 6)).astype("float32")
    upstream = generator.normal(size=(20, 4)).astype("float32")
    expected = np.zeros((5, 4))
    np.add.at(expected, indices, weights[..., None] * upstream[:, None])
    tensors = [torch.tensor(array) for array in (indices, weights, upstream)]
    np.testing.assert_allclose(backends._rows_added_by_torch(5, *tensors), expected, atol=1e-5)
