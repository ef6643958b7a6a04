"""Both solvers against SciPy, by cost: where costs tie, several matchings are right."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy.optimize import linear_sum_assignment

from keras_detr.ops.linear_assignment import assign_on_host, linear_assignment
from tests.ops.gradients import compiled, value_and_gradients

pytestmark = pytest.mark.every_backend

METHODS = ["host", "in_graph"]
GARBAGE = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 7.0], "float32")


@functools.cache
def solver(method):
    function = functools.partial(linear_assignment, method=method)
    # Outside of a program JAX would compile the loop anew at every call.
    is_slow = method == "in_graph" and keras.backend.backend() == "jax"
    return compiled(function) if is_slow else function


def solve(cost, num_objects, method):
    tensors = ops.convert_to_tensor(cost), ops.convert_to_tensor(num_objects)
    result = solver(method)(*tensors)
    assert keras.backend.standardize_dtype(result.dtype) == "int32"
    return ops.convert_to_numpy(result)


def check(cost, num_objects, queries):
    """Check that matchings are one-to-one, complete, and as cheap as SciPy's."""
    assert queries.shape == cost.shape[:2]
    totals, expected = [], []
    for rows, count, chosen in zip(cost.astype("float64"), num_objects, queries, strict=True):
        assert (chosen[count:] == -1).all()
        chosen = chosen[:count]
        assert (chosen >= 0).all()
        assert (chosen < cost.shape[2]).all()
        assert len(set(chosen)) == count
        totals.append(rows[np.arange(count), chosen].sum())
        expected.append(rows[:count][linear_sum_assignment(rows[:count])].sum())
    # Prices are sums of up to some dozens of float32 costs of about this size.
    scale = np.abs(cost[np.isfinite(cost) & (np.abs(cost) < 1e20)]).max(initial=1.0)
    np.testing.assert_allclose(totals, expected, rtol=1e-5, atol=1e-5 * scale)


def problems(kind, size, seed):
    rng = np.random.default_rng(seed)
    if kind == "random":
        cost = rng.normal(size=size)
    elif kind == "ties":
        cost = rng.integers(0, 4, size)
    elif kind == "all the same":
        cost = np.full(size, -2.5)
    elif kind == "everyone wants the same":
        # Every object ranks the queries alike, so each one placed pushes others away.
        cost = np.outer(np.arange(1, size[1] + 1), np.arange(size[2]))[None] + rng.normal(size=size)
    else:
        # As in training: one coordinate distance, and one probability shared by many.
        objects, places = rng.uniform(size=(*size[:2], 1)), rng.uniform(size=(size[0], 1, size[2]))
        cost = 5 * np.abs(objects - places) - np.round(rng.uniform(size=size), 1)
    return np.broadcast_to(cost, size).astype("float32").copy()


def thousand_problems():
    """Return groups of problems, 1,000 in all, with garbage in the padding."""
    rng = np.random.default_rng(11)
    groups = []
    kinds = ["random", "ties", "all the same", "everyone wants the same", "as in training"]
    for max_objects, num_queries in ((9, 9), (7, 25)):
        cost = np.concatenate(
            [problems(kind, (100, max_objects, num_queries), i) for i, kind in enumerate(kinds)]
        )
        num_objects = rng.integers(0, max_objects + 1, len(cost)).astype("int32")
        # None, one, and as many as there is room for, of every kind.
        num_objects[0::10], num_objects[1::10], num_objects[2::10] = 0, 1, max_objects
        is_padding = np.arange(max_objects)[None] >= num_objects[:, None]
        cost[is_padding] = rng.choice(GARBAGE, (is_padding.sum(), num_queries))
        groups.append((cost, num_objects))
    return groups


@pytest.mark.parametrize("method", METHODS)
def test_a_thousand_problems_cost_what_they_cost_scipy(method):
    program = compiled(functools.partial(linear_assignment, method=method), jit_compile=False)
    num_problems = 0
    for cost, num_objects in thousand_problems():
        tensors = ops.convert_to_tensor(cost), ops.convert_to_tensor(num_objects)
        check(cost, num_objects, ops.convert_to_numpy(program(*tensors)))
        num_problems += len(cost)
    assert num_problems == 1000


@pytest.mark.parametrize("method", METHODS)
def test_whole_numbers_cost_exactly_what_they_cost_scipy(method):
    cost = np.random.default_rng(12).integers(-50, 50, (64, 4, 5)).astype("float32")
    queries = solve(cost, np.full(64, 4, "int32"), method)
    total = np.take_along_axis(cost, queries[..., None], axis=2).sum((1, 2))
    np.testing.assert_array_equal(total, [c[linear_sum_assignment(c)].sum() for c in cost])


@pytest.mark.parametrize("method", METHODS)
def test_problems_of_the_size_of_training(method):
    cost = problems("as in training", (6, 60, 100), 13)
    num_objects = np.array([60, 0, 1, 33, 59, 12], "int32")
    program = compiled(functools.partial(linear_assignment, method=method), jit_compile=False)
    tensors = ops.convert_to_tensor(cost), ops.convert_to_tensor(num_objects)
    check(cost, num_objects, ops.convert_to_numpy(program(*tensors)))


@pytest.mark.parametrize("method", METHODS)
def test_one_problem_does_not_disturb_another(method):
    """A batch gives what each problem gives alone, whatever its neighbours look like."""
    cost = problems("random", (5, 4, 6), 14)
    num_objects = np.array([4, 2, 0, 3, 1], "int32")
    together = solve(cost, num_objects, method)
    for i in range(5):
        alone = solve(cost[i : i + 1], num_objects[i : i + 1], method)
        np.testing.assert_array_equal(alone[0], together[i])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(0, 3, 5), (3, 0, 5), (3, 2, 5), (2, 1, 1)])
def test_no_problems_no_rows_no_objects(size, method):
    num_objects = np.zeros(size[0], "int32")
    queries = solve(np.full(size, np.nan, "float32"), num_objects, method)
    np.testing.assert_array_equal(queries, np.full(size[:2], -1))


def test_inside_a_program_compiled_by_xla():
    """XLA can't call the host from TensorFlow, and "auto" must know."""

    def program(cost, num_objects):
        return linear_assignment(cost, num_objects, is_compiled_by_xla=True)

    cost, num_objects = thousand_problems()[1]
    tensors = ops.convert_to_tensor(cost), ops.convert_to_tensor(num_objects)
    check(cost, num_objects, ops.convert_to_numpy(compiled(program)(*tensors)))


def test_auto_solves():
    cost = problems("random", (3, 4, 6), 15)
    num_objects = np.array([4, 2, 0], "int32")
    check(cost, num_objects, solve(cost, num_objects, "auto"))


def check_non_finite(cost, num_objects, queries):
    """Check against SciPy with a price for what isn't finite that nothing outweighs."""
    is_object = np.arange(cost.shape[1])[None] < num_objects[:, None]
    is_finite = np.isfinite(cost) & is_object[:, :, None]
    priced = np.where(is_finite, cost, 0).astype("float64")
    priced = np.where(is_finite, priced, 1e6 * (1 + np.abs(priced).max()))
    for rows, count, chosen in zip(priced, num_objects, queries, strict=True):
        assert (chosen[count:] == -1).all()
        assert len(set(chosen[:count])) == count
        assert (chosen[:count] >= 0).all()
        best = rows[:count][linear_sum_assignment(rows[:count])].sum()
        assert rows[np.arange(count), chosen[:count]].sum() == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_finite_is_taken_only_for_want_of_another(method):
    rng = np.random.default_rng(16)
    cost = rng.integers(-9, 9, (60, 4, 5)).astype("float32")
    # From a few such entries to nothing else, and whole rows and columns of them.
    is_bad = rng.uniform(size=cost.shape) < np.linspace(0.02, 1.0, 60)[:, None, None]
    is_bad[20:30, 2], is_bad[30:40, :, 3] = True, True
    cost = np.where(is_bad, rng.choice(GARBAGE[:3], cost.shape), cost)
    num_objects = rng.integers(0, 5, 60).astype("int32")
    num_objects[-5:] = 4
    # Huge values in padding mustn't make the price so high that finite costs drown in it.
    is_padding = np.arange(4)[None] >= num_objects[:, None]
    cost[is_padding] = rng.choice(GARBAGE, (is_padding.sum(), 5))
    check_non_finite(cost, num_objects, solve(cost, num_objects, method))


@pytest.mark.parametrize("method", METHODS)
def test_huge_but_finite_costs_still_match(method):
    rng = np.random.default_rng(17)
    values = np.array([3.4e38, -3.4e38, 1e38, 1e30, -1e30, np.nan, 0, 1, -2], "float32")
    cost = rng.choice(values, (200, 4, 5))
    cost[100:] = rng.choice(values[[0, 5, 7]], (100, 4, 5))
    # The first 50 have a matching without anything huge or missing.
    cost[:50] = np.where(cost[:50] < 0, 2, cost[:50])
    cost[:50, np.arange(4), np.arange(4)] = 1
    queries = solve(cost, np.full(200, 4, "int32"), method)
    for chosen in queries:
        assert len(set(chosen)) == 4
        assert (chosen >= 0).all()
    assert (np.take_along_axis(cost[:50], queries[:50, :, None], axis=2) < 10).all()


@settings(max_examples=60)
@given(st.data())
def test_any_values_on_the_host(data):
    num_objects = data.draw(st.integers(0, 4))
    values = st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0])
    rows = st.lists(values, min_size=5, max_size=5)
    cost = data.draw(st.lists(rows, min_size=4, max_size=4))
    chosen = assign_on_host(np.array([cost], "float32"), np.array([num_objects]))[0]
    assert (chosen[num_objects:] == -1).all()
    assert len(set(chosen[:num_objects])) == num_objects
    assert (chosen[:num_objects] >= 0).all()


def test_more_objects_than_queries_raises_on_the_host():
    cost = np.zeros((2, 5, 3), "float32")
    with pytest.raises(ValueError, match=r"5 objects.*only 3 queries.*larger `num_queries`"):
        solve(cost, np.array([2, 5], "int32"), "host")


def test_more_objects_than_queries_leave_some_out_in_the_graph():
    cost = problems("random", (2, 5, 3), 18)
    queries = solve(cost, np.array([5, 2], "int32"), "in_graph")
    assert sorted(queries[0, :3]) == [0, 1, 2]
    np.testing.assert_array_equal(queries[0, 3:], [-1, -1])
    assert (queries[1, :2] >= 0).all()


def test_an_unknown_method_is_shown():
    with pytest.raises(ValueError, match=r"`method` must be one of .*'in_graph'.*'scipy'"):
        linear_assignment(np.zeros((1, 1, 1)), np.ones(1), method="scipy")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision_costs_are_solved_in_float32(dtype, method):
    cost = ops.cast(problems("random", (3, 4, 6), 19), dtype)
    num_objects = np.array([4, 3, 0], "int32")
    queries = ops.convert_to_numpy(linear_assignment(cost, num_objects, method))
    check(ops.convert_to_numpy(ops.cast(cost, "float32")), num_objects, queries)


@pytest.mark.parametrize("method", METHODS)
def test_no_gradient_goes_through(method):
    def chosen_cost(cost):
        queries = linear_assignment(cost, np.array([2], "int32"), method)
        return ops.sum(ops.take_along_axis(cost, queries[..., None], axis=2))

    cost = np.array([[[1.0, 2.0, 3.0], [1.0, 5.0, 9.0]]])
    value, (gradient,) = value_and_gradients(chosen_cost, cost)
    assert value == 3.0
    np.testing.assert_array_equal(gradient, [[[0, 1, 0], [1, 0, 0]]])
