"""Everything that a backend computes in its own way, against the reference.

Each row of `CASES` whose method the backend overrides is run by it and by the plain `Backend`: the
result and the gradients are the same, in single and in half precision. A new override needs a row.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.ops.backends import current
from keras_detr.ops.backends.interface import AdamWUpdate, Backend
from tests.ops.gradients import compiled, value_and_gradients

pytestmark = pytest.mark.every_backend

# These don't return the same as the reference; the files of this folder test each.
OTHERS = {
    "alone",
    "call_on_host",
    "call_where_fastest",
    "check_export",
    "check_training",
    "compilable_steps",
    "divided_rows",
    "dropout",
    "executions",
    "dropout_mask",
    "gather_bytes",
    "global_norm",
    "gradient_of_batch",
    "known_number",
    "known_values",
    "join_processes",
    "logs_of_replica",
    "predicting",
    "lay_out_kernel",
    "loss_of_replica",
    "num_own_parts",
    "num_parts",
    "num_replicas",
    "prediction_function",
    "prediction_program",
    "process",
    "repeat_while",
    "reserve_gpus",
    "rows_of_process",
    "run",
    "strategy_scope",
    "sum_over_replicas",
    "variables_apart",
    "variables_kept",
    "adamw_step",
    "adamw_steps",
    "weighted_row_sums",
    "weighted_row_gradients",
}


class Case(NamedTuple):
    """Hold one computation.

    Attributes:
        method: str, of `Backend`.
        call: callable of a backend and tensors to a tensor.
        shapes: tuple of the tensors' shapes.
        gradients: int, of how many of the first tensors gradients are compared.
    """

    method: str
    call: Callable
    shapes: tuple
    gradients: int = 10


def attention(bias_shape=None):
    def call(backend, query, key, value, *bias):
        # A bias of the size that masks have, and finite.
        bias = [ops.cast(b > 0, "float32") * -1e9 for b in bias]
        return backend.attention(query, key, value, *bias)

    def case(targets, sources, batch=2, heads=2, size=4):
        shapes = ((batch, heads, targets, size), (batch, heads, size, sources))
        shapes += ((batch, heads, sources, size),)
        biases = () if bias_shape is None else (bias_shape(batch, targets, sources),)
        return Case("attention", call, shapes + biases, gradients=3)

    return case


def of_sources(batch, targets, sources):
    return (batch, 1, 1, sources)


def of_both(batch, targets, sources):
    return (1, 1, targets, sources)


def convolution(kernel, size=(2, 9, 7), residual=None, **settings):
    def call(backend, inputs, kernel, bias, *residual):
        return backend.convolution(inputs, kernel, bias, *residual, **settings)

    groups = settings.pop("groups", 1)
    shapes = ((*size, kernel[2] * groups), kernel, kernel[3:])
    return Case("convolution", call, shapes + (() if residual is None else (residual,)))


def max_pool(size, sizes, strides, margins):
    return Case(
        "max_pool",
        lambda backend, x: backend.max_pool(ops.relu(x), sizes, strides, margins),
        (size,),
    )


def norm(shape, groups=None):
    def call(backend, x, scale, offset):
        if groups is None:
            return backend.layer_norm(3 * x + 2, scale, offset, 1e-5)
        return backend.group_norm(3 * x + 2, scale, offset, groups, 1e-5)

    shapes = (shape, shape[-1:], shape[-1:])
    return Case("layer_norm" if groups is None else "group_norm", call, shapes)


def feed_forward(backend, x, widen, bias, narrow, last_bias):
    return backend.relu_feed_forward(x, (widen, narrow), (bias, last_bias), 0.0, None)


CASES = {
    "attention": attention()(5, 7),
    "attention, masked": attention(of_sources)(50, 60),
    "attention, of one image": attention(of_both)(50, 60, batch=1),
    "attention, head by head": attention(of_sources)(520, 510),
    "attention, in blocks": attention()(1500, 1401, batch=1),
    "attention, in blocks, masked": attention(of_sources)(1501, 1400),
    "attention, in blocks with own masks": attention(of_both)(1501, 1400, batch=1),
    "convolution": convolution((3, 3, 4, 6), padding="same"),
    "convolution, 1x1": convolution((1, 1, 4, 6)),
    "convolution, strided 1x1 of few channels": convolution((1, 1, 4, 6), strides=(2, 2)),
    "convolution, strided 1x1": convolution((1, 1, 32, 6), strides=(2, 2)),
    "convolution, strided": convolution((3, 3, 4, 6), strides=(2, 2), margin=1),
    "convolution, strided and same": convolution((3, 3, 4, 6), strides=(2, 2), padding="same"),
    "convolution, even": convolution((2, 2, 4, 6), padding="same"),
    "convolution, dilated": convolution((5, 3, 4, 6), padding="same", dilation=(1, 2)),
    "convolution, in groups": convolution((3, 3, 2, 6), padding="same", groups=2),
    "convolution, with ReLU": convolution((3, 3, 4, 6), (2, 4, 4), (2, 2, 2, 6), use_relu=True),
    "convolution, with residual": convolution((1, 1, 4, 6), (2, 4, 4), (2, 4, 4, 6)),
    "convolution, of one image": convolution((3, 3, 512, 64), (1, 5, 6), padding="same"),
    "convolution, of one image, odd": convolution((3, 3, 512, 7), (1, 5, 6), padding="same"),
    "convolution, while training": convolution(
        (3, 3, 4, 6), padding="same", training=True, use_relu=True
    ),
    "max_pool": max_pool((2, 8, 8, 3), (3, 3), (2, 2), (1, 1)),
    "max_pool, of odd maps": max_pool((2, 7, 9, 3), (5, 3), (3, 2), (2, 1)),
    "layer_norm": norm((2, 5, 8)),
    "layer_norm, of one token": norm((1, 1, 16)),
    "group_norm": norm((2, 3, 5, 8), groups=4),
    "group_norm, of one axis": norm((3, 7, 4), groups=1),
    "relu_feed_forward": Case(
        "relu_feed_forward", feed_forward, ((11, 4), (4, 7), (7,), (7, 4), (4,))
    ),
    "add_bias": Case("add_bias", lambda backend, *x: backend.add_bias(*x), ((2, 3, 4), (4,))),
    "masked": Case("masked", lambda backend, x, y: backend.masked(x, y > 0), ((3, 4), (3, 4)), 1),
    "relu_gradient": Case(
        "relu_gradient", lambda backend, *x: backend.relu_gradient(*x), ((3, 4), (3, 4)), 0
    ),
    "sum_of_rows": Case("sum_of_rows", lambda backend, x: backend.sum_of_rows(x), ((30, 4),)),
}

OVERRIDDEN = [name for name, case in CASES.items() if case.method in vars(type(current()))]


def arrays(case):
    generator = np.random.default_rng(len(case.shapes[0]))
    return [generator.normal(size=shape).astype("float32") for shape in case.shapes]


def scalar(case, backend, dtype):
    """Return a function of the case's tensors to a number that all of its result enters."""

    def function(*tensors):
        result = case.call(backend, *(ops.cast(tensor, dtype) for tensor in tensors))
        assert keras.backend.standardize_dtype(result.dtype) == dtype
        weights = np.random.default_rng(7).normal(size=tuple(result.shape)).astype("float32")
        return ops.sum(ops.cast(result, "float32") * ops.convert_to_tensor(weights))

    return function


def check(found, expected, unit):
    scale = max(np.abs(expected).max(), 1e-3)
    assert np.abs(found - expected).max() <= unit * scale


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_result_and_gradients_are_the_reference(name):
    case = CASES[name]
    inputs = arrays(case)
    value, gradients = value_and_gradients(scalar(case, current(), "float32"), *inputs)
    reference, expected = value_and_gradients(scalar(case, Backend(), "float32"), *inputs)
    total = sum(float(np.abs(gradient).sum()) for gradient in expected[: case.gradients])
    # Sums of as many numbers in another order.
    assert value == pytest.approx(reference, rel=1e-4, abs=1e-6 * total)
    pairs = list(zip(gradients, expected, strict=True))[: case.gradients]
    for gradient, other in pairs:
        assert gradient.shape == other.shape
        check(gradient, other, 1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", [name for name in OVERRIDDEN if "blocks" not in name])
def test_half_precision_is_as_near_as_the_reference(name, dtype):
    """Both are compared with single precision: which roundings they make is their own."""
    case, unit = CASES[name], 2.0**-7 if dtype == "bfloat16" else 2.0**-10
    inputs = arrays(case)
    results = {
        backend: case.call(backend, *(ops.cast(ops.convert_to_tensor(x), dtype) for x in inputs))
        for backend in (current(), Backend())
    }
    rounded = [
        np.asarray(
            ops.convert_to_numpy(ops.cast(ops.cast(ops.convert_to_tensor(x), dtype), "float32"))
        )
        for x in inputs
    ]
    exact = ops.convert_to_numpy(case.call(Backend(), *map(ops.convert_to_tensor, rounded)))
    for result in results.values():
        assert keras.backend.standardize_dtype(result.dtype) == dtype
        check(ops.convert_to_numpy(ops.cast(result, "float32")), exact, 4 * unit)


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("name", ["attention, masked", "convolution", "layer_norm", "group_norm"])
def test_within_a_program(name, jit_compile):
    case = CASES[name]
    tensors = [ops.convert_to_tensor(array) for array in arrays(case)]
    program = compiled(lambda *tensors: case.call(current(), *tensors), jit_compile)
    expected = ops.convert_to_numpy(case.call(current(), *tensors))
    check(ops.convert_to_numpy(program(*tensors)), expected, 1e-5)


def rows(num_sums=300):
    generator = np.random.default_rng(0)
    table = generator.normal(size=(40, 5)).astype("float32")
    indices = [generator.integers(0, 40, (num_sums, 3)).astype("int32") for _ in range(2)]
    weights = [generator.normal(size=(num_sums, 3)).astype("float32") for _ in range(2)]
    upstream = generator.normal(size=(num_sums, 5)).astype("float32")
    return table, indices, weights, upstream


@pytest.mark.parametrize("num_sums", [1, 256, 300])
def test_rows_of_a_table(num_sums):
    table, indices, weights, upstream = keras.tree.map_structure(
        ops.convert_to_tensor, rows(num_sums)
    )
    results = [
        (
            backend.weighted_row_sums(table, indices, weights),
            *backend.weighted_row_gradients(table, indices, weights, upstream),
        )
        for backend in (current(), Backend())
    ]
    found, expected = (keras.tree.map_structure(ops.convert_to_numpy, list(r)) for r in results)
    for array, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        check(array, other, 1e-5)


def test_rows_by_numpy():
    table, indices, weights, upstream = rows()
    tensors = keras.tree.map_structure(ops.convert_to_tensor, (table, indices, weights, upstream))
    index, weight = (np.concatenate(arrays, axis=1) for arrays in (indices, weights))
    sums = Backend().weighted_row_sums(*tensors[:3])
    expected = np.einsum("nk,nkd->nd", weight, table[index])
    check(ops.convert_to_numpy(sums), expected, 1e-5)
    to_table, to_weights = Backend().weighted_row_gradients(*tensors)
    expected = np.zeros_like(table)
    np.add.at(expected, index, weight[..., None] * upstream[:, None])
    check(ops.convert_to_numpy(to_table), expected, 1e-5)
    found = np.concatenate([ops.convert_to_numpy(x) for x in to_weights], axis=1)
    check(found, np.einsum("nkd,nd->nk", table[index], upstream), 1e-5)


def test_global_norm():
    arrays = [np.array(x, "float32") for x in ([[1.0, -2.0]], [4.0], -2.0)]
    for backend in (current(), Backend()):
        norm = backend.global_norm([ops.convert_to_tensor(array) for array in arrays])
        assert float(norm) == pytest.approx(5.0, rel=1e-6)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_adamw(one_by_one):
    generator = np.random.default_rng(0)
    decays, shapes = (0.0, 0.3, 0.3, 0.0), ((3, 4), (5,), (2, 1, 3), ())
    draws = [[generator.normal(size=s).astype("float32") for s in shapes] for _ in range(4)]
    start, *gradients = draws
    settings = {"betas": (0.9, 0.999), "epsilon": 1e-8}
    results = []
    for backend in (current(), Backend()):
        states = [[keras.Variable(x) for x in (values, 0 * values, 0 * values)] for values in start]
        # One by one, TensorFlow's optimizers hand their own variables over.
        is_own = one_by_one and backend is current() and keras.backend.backend() == "tensorflow"
        variables = [(state[0].value if is_own else state[0], *state[1:]) for state in states]
        for step, arrays in enumerate(gradients, 1):
            updates = [
                AdamWUpdate(*variable, ops.convert_to_tensor(array), decay)
                for variable, array, decay in zip(variables, arrays, decays, strict=True)
            ]
            step_settings = {**settings, "step": step, "learning_rate": ops.convert_to_tensor(0.01)}

            def update_one_by_one(backend=backend, updates=updates, settings=step_settings):
                for update in updates:
                    backend.adamw_step(update, **settings)

            if one_by_one:
                update_one_by_one()
            else:
                backend.adamw_steps(iter(updates), update_one_by_one, **step_settings)
        results.append([np.asarray(x.numpy()) for state in states for x in state])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_every_override_is_compared():
    own = {name for name in vars(type(current())) if not name.startswith("_")}
    assert own <= {case.method for case in CASES.values()} | OTHERS
    assert own <= set(dir(Backend))
