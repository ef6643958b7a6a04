"""What is asked of the backend, inside and outside of a program."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.ops.backends import current
from tests.ops.gradients import compiled

pytestmark = pytest.mark.every_backend


def scaled(values, factors):
    assert isinstance(values, np.ndarray)
    return (values * factors[:, None]).astype("int32")


@pytest.mark.parametrize("is_compiled", [False, True])
def test_the_host_is_called_with_numpy_arrays(is_compiled):
    def program(values, factors):
        return current().call_on_host(scaled, [values, factors], (2, 3), "int32")

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
        seen.append(current().known_values(x) is not None)
        return x + 1

    np.testing.assert_array_equal(current().known_values(ops.ones(2)), np.ones(2))
    np.testing.assert_array_equal(current().known_values(np.ones(2)), np.ones(2))
    assert current().known_values(keras.Input((2,))) is None
    compiled(program, jit_compile=False)(ops.ones(2))
    assert seen[0] == (keras.backend.backend() == "torch")


def test_a_tensor_among_the_settings_is_read_at_each_call():
    def scale(values, factors):
        return (values * factors[0],)

    for factor in (2.0, 3.0):
        factors = (ops.convert_to_tensor(factor),)
        (result,) = current().run(scale, ops.ones(2), factors=factors)
        np.testing.assert_array_equal(ops.convert_to_numpy(result), [factor, factor])


def test_one_device_is_one_replica():
    assert current().num_replicas() == 1
    value = ops.convert_to_tensor(3.0)
    assert current().sum_over_replicas(value) is value


def test_rows_are_added_on_a_gpu_as_by_numpy():
    # What torch does where SciPy can't read its tensors; the CPU computes it too.
    torch = pytest.importorskip("torch")
    from keras_detr.ops.backends.torch import add_rows_by_torch

    generator = np.random.default_rng(0)
    indices = generator.integers(0, 5, (20, 6)).astype("int32")
    weights = generator.normal(size=(20, 6)).astype("float32")
    upstream = generator.normal(size=(20, 4)).astype("float32")
    expected = np.zeros((5, 4))
    np.add.at(expected, indices, weights[..., None] * upstream[:, None])
    tensors = [torch.tensor(array) for array in (indices, weights, upstream)]
    np.testing.assert_allclose(add_rows_by_torch(5, *tensors), expected, atol=1e-5)


def test_the_faster_of_host_and_program_is_called():
    backend = keras.backend.backend()
    seen = {}

    def choose(x, **settings):
        calls = []

        def on_host(x):
            calls.append("host")
            return x

        def in_program(x):
            calls.append("program")
            return x

        current().call_where_fastest(on_host, in_program, [x], (2,), "float32", **settings)
        return calls

    def program(x):
        seen["inside"] = choose(x) != ["program"]
        seen["inside XLA"] = choose(x, is_compiled_by_xla=True) != ["program"]
        return x + 1

    compiled(program, jit_compile=False)(ops.ones(2))
    assert seen["inside"] == (backend in ("tensorflow", "torch"))
    assert seen["inside XLA"] == (backend == "torch")
    assert choose(ops.ones(2)) == ["host"]
