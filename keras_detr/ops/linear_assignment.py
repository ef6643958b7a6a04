"""Give every object a query of its own at the least total cost, for a batch of problems at once."""

import functools
import logging
from typing import Any

import numpy as np
from keras import ops
from scipy.optimize import linear_sum_assignment

from keras_detr.ops.backends import current

__all__ = ["linear_assignment"]

METHODS = ("auto", "host", "in_graph")

logger = logging.getLogger("keras_detr")


def linear_assignment(
    cost: Any, num_objects: Any, method: str = "auto", is_compiled_by_xla: bool = False
) -> Any:
    """Give every object a query of its own at the least total cost.

    Args:
        cost: float32 (problems, objects, queries), lower is better. NaN and infinite entries are
            taken only where an object has no other choice.
        num_objects: int32 (problems,). Rows beyond it are padding and don't matter.
        method: "host" (SciPy, one call for all problems), "in_graph" (`keras.ops` alone, for
            programs that XLA compiles) or "auto" (the faster of the two that can run here).
        is_compiled_by_xla: bool, whether the surrounding TensorFlow program is compiled with
            `jit_compile=True`, where the host can't be called.

    Returns:
        int32 (problems, objects): the query of each object, -1 for padding. Not differentiable.

    Raises:
        ValueError: `method` is unknown, or a problem has more objects than queries (on the host;
            in the graph the surplus objects get -1).

    Example:
        ```python
        from keras_detr.ops.linear_assignment import linear_assignment

        # Two objects, three queries.
        cost = np.array([[[3.0, 1.0, 2.0], [1.0, 2.0, 3.0]]], "float32")
        print(linear_assignment(cost, np.array([2])))  # [[1, 0]]
        ```

    Source: Carion et al. 2020, equation 1; Crouse 2016 for the algorithm of both solvers.
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}. Received: {method!r}.")
    cost = ops.stop_gradient(ops.cast(cost, "float32"))
    num_objects = ops.cast(num_objects, "int32")
    arrays, result = [cost, num_objects], (tuple(cost.shape[:2]), "int32")
    if method == "host":
        return current().call_on_host(assign_on_host, arrays, *result)
    if method == "in_graph":
        return assign_in_graph(*arrays)
    return current().call_where_fastest(
        assign_on_host, assign_in_graph, arrays, *result, is_compiled_by_xla=is_compiled_by_xla
    )


def assign_in_graph(cost, num_objects):
    """Solve a batch of assignment problems with `keras.ops`; see `linear_assignment`."""
    if 0 in tuple(cost.shape[:2]):
        return ops.zeros(ops.shape(cost)[:2], "int32")
    return _solve_in_graph(_replace_non_finite(cost, num_objects), num_objects)


def assign_on_host(cost, num_objects):
    """Solve a batch of assignment problems, NumPy arrays, with SciPy; see `linear_assignment`."""
    num_queries = cost.shape[2]
    if num_objects.size and num_objects.max() > num_queries:
        raise ValueError(describe_surplus(int(num_objects.max()), num_queries))
    queries = np.full(cost.shape[:2], -1, np.int32)
    for problem, count in enumerate(num_objects):
        if count:
            rows = cost[problem, :count]
            if not np.isfinite(rows).all():
                _report_non_finite()
                rows = _replace_non_finite_on_host(rows.astype("float64"))
            # The rows come back sorted, because there are no more of them than of columns.
            queries[problem, :count] = linear_sum_assignment(rows)[1]
    return queries


def describe_surplus(num_objects, num_queries, image="An image"):
    """Return the error's message for an image with more objects than there are queries."""
    return (
        f"{image} has {num_objects} objects, but the model has only {num_queries} queries, and "
        "every object needs a query of its own. Build the model with a larger `num_queries`, or "
        "leave objects out of the data set knowingly."
    )


@functools.cache
def _report_non_finite():
    # The cache makes this speak once a process: a diverging run would repeat it every step.
    logger.warning(
        "Predictions hold NaN or infinity, so they can't be compared with objects. They are "
        "matched last and training goes on, but look at the loss, the learning rate and the "
        "images. (Said once.)"
    )


def _replace_non_finite_on_host(rows):
    is_finite = np.isfinite(rows)
    largest = np.max(np.abs(rows), where=is_finite, initial=0.0)
    return np.where(is_finite, rows, _price_of_non_finite(largest, len(rows)))


def _replace_non_finite(cost, num_objects):
    # Padding rows don't enter: garbage there mustn't raise the price, which costs precision.
    is_object = ops.arange(ops.shape(cost)[1], dtype="int32")[None, :] < num_objects[:, None]
    is_finite = ops.logical_and(ops.isfinite(cost), is_object[:, :, None])
    # Sums of costs must stay below the solver's infinity, or its search never ends.
    finite = ops.clip(ops.where(is_finite, cost, ops.zeros_like(cost)), -1e30, 1e30)
    largest = ops.max(ops.abs(finite), axis=(1, 2), keepdims=True)
    count = ops.cast(num_objects, "float32")[:, None, None]
    return ops.where(is_finite, finite, _price_of_non_finite(largest, count) + finite * 0.0)


def _price_of_non_finite(largest, num_objects):
    # Dearer than any set of finite choices, so that one is taken only for want of another.
    return 2.0 * largest * num_objects + 1.0


def _solve_in_graph(cost, num_objects):
    """Solve with shortest augmenting paths, all problems side by side in one loop.

    At first every object gets its cheapest query, unless one before it wants the same. For each
    object that is left, every problem is a small machine of its own that either *searches* (one
    step of Dijkstra's algorithm over the queries, with dual prices keeping reduced costs
    non-negative) or *augments* (one hop back along the path found). None waits for another to
    finish an object.
    """
    num_problems, max_objects, num_queries = ops.shape(cost)
    infinity = 3e38
    num_solvable = ops.minimum(num_objects, num_queries)
    per_query = ops.zeros((num_problems, num_queries), "float32")
    query_range = ops.arange(num_queries, dtype="int32")[None, :]
    row_range = ops.arange(max_objects, dtype="int32")[None, :]
    cheapest, least = _cheapest(cost)
    row_of_query, query_of_row = _first_come(cheapest, num_solvable, num_queries)

    def first_left(query_of_row):
        is_left = ops.logical_and(query_of_row < 0, row_range < num_solvable[:, None])
        left = ops.where(is_left, row_range, num_solvable[:, None])
        return ops.min(left, axis=1, initial=max_objects)

    def is_at(indices, size_range):
        return ops.equal(indices[:, None], size_range)

    def select(values, is_chosen):
        return ops.sum(ops.where(is_chosen, values, ops.zeros_like(values)), axis=1)

    def unfinished(current, *_):
        return ops.any(current < num_solvable)

    def step(current, row, end, depth, distance, parent, is_done, row_of_query, query_of_row, u, v):
        """Advance every problem by one step.

        current: the object being placed. row: the object whose edges are relaxed. end: the query
        to walk back from, -1 while searching. depth: length of the shortest path so far.
        distance, parent, is_done: Dijkstra's tables over queries. u, v: dual prices.
        """
        is_active = current < num_solvable
        is_searching = ops.logical_and(is_active, end < 0)

        # Search: relax the edges of `row`, then close the nearest open query.
        at_row = is_at(row, row_range)
        row_cost = ops.squeeze(ops.take_along_axis(cost, row[:, None, None], axis=1), 1)
        reduced = depth[:, None] + row_cost - select(u, at_row)[:, None] - v
        is_open = ops.logical_and(is_searching[:, None], ops.logical_not(is_done))
        is_shorter = ops.logical_and(is_open, reduced < distance)
        distance = ops.where(is_shorter, reduced, distance)
        parent = ops.where(is_shorter, row[:, None], parent)
        open_distance = ops.where(is_done, infinity, distance)
        nearest, least = _cheapest(open_distance)
        at_nearest = is_at(nearest, query_range)
        depth = ops.where(is_searching, least, depth)
        closes = ops.logical_and(is_searching[:, None], at_nearest)
        owner = ops.sum(ops.where(at_nearest, row_of_query, 0), axis=1)
        found = ops.logical_and(is_searching, owner < 0)
        row = ops.where(ops.logical_and(is_searching, owner >= 0), owner, row)

        # A free query ends the search: update the dual prices of all that the path touched.
        gain = ops.where(ops.logical_and(is_done, found[:, None]), depth[:, None] - distance, 0.0)
        v = v - gain
        # The object that owns a closed query rises by what its query falls.
        owned_query = ops.maximum(query_of_row, 0)
        u_gain = ops.take_along_axis(gain, owned_query, axis=1)
        u_gain = ops.where(query_of_row >= 0, u_gain, 0.0)
        at_current = is_at(current, row_range)
        u_gain = ops.where(ops.logical_and(at_current, found[:, None]), depth[:, None], u_gain)
        u = u + u_gain
        is_done = ops.logical_or(is_done, closes)

        # Augment: hand `end` to its parent, and go on with the query that the parent gives up.
        is_augmenting = ops.logical_and(is_active, end >= 0)
        at_end = ops.logical_and(is_at(end, query_range), is_augmenting[:, None])
        taker = ops.sum(ops.where(at_end, parent, 0), axis=1)
        at_taker = ops.logical_and(is_at(taker, row_range), is_augmenting[:, None])
        given_up = ops.sum(ops.where(at_taker, query_of_row, 0), axis=1)
        row_of_query = ops.where(at_end, taker[:, None], row_of_query)
        query_of_row = ops.where(at_taker, end[:, None], query_of_row)
        is_placed = ops.logical_and(is_augmenting, ops.equal(taker, current))
        end = ops.where(is_augmenting, given_up, end)
        end = ops.where(found, nearest, end)

        # A placed object makes room for the next one, with fresh tables.
        current = ops.where(is_placed, first_left(query_of_row), current)
        row = ops.where(is_placed, ops.minimum(current, max_objects - 1), row)
        end = ops.where(is_placed, -1, end)
        depth = ops.where(is_placed, 0.0, depth)
        distance = ops.where(is_placed[:, None], infinity, distance)
        is_done = ops.logical_and(is_done, ops.logical_not(is_placed)[:, None])
        return (
            current,
            row,
            end,
            depth,
            distance,
            parent,
            is_done,
            row_of_query,
            query_of_row,
            u,
            v,
        )

    current = first_left(query_of_row)
    state = ops.while_loop(
        unfinished,
        step,
        (
            current,
            ops.minimum(current, max_objects - 1),
            ops.full_like(current, -1),
            ops.zeros((num_problems,), "float32"),
            per_query + infinity,
            ops.cast(per_query, "int32"),
            per_query > 0,
            row_of_query,
            query_of_row,
            least,
            per_query,
        ),
    )
    return state[8]


def _cheapest(cost):
    """Return the first least entry along the last axis, int32, and its value.

    XLA reduces to the least several entries at a time, but for `argmin` one after the other.
    """
    num_queries = ops.shape(cost)[-1]
    least = ops.min(cost, axis=-1, initial=3e38)
    is_least = ops.equal(cost, least[..., None])
    query_range = ops.arange(num_queries, dtype="int32")
    # One of them even if a NaN has come through.
    index = ops.min(ops.where(is_least, query_range, num_queries), axis=-1, initial=num_queries)
    return ops.minimum(index, num_queries - 1), least


def _first_come(cheapest, num_objects, num_queries):
    """Give objects their cheapest queries, each to the first that wants it.

    Returns:
        int32 (problems, queries), the object of each query; and int32 (problems, objects), the
        query of each object; -1 where there is none.
    """
    max_objects = ops.shape(cheapest)[1]
    row_range = ops.arange(max_objects, dtype="int32")[None, :]
    is_wanted = ops.equal(cheapest[:, :, None], ops.arange(num_queries, dtype="int32"))
    is_wanted = ops.logical_and(is_wanted, (row_range < num_objects[:, None])[:, :, None])
    wanting = ops.where(is_wanted, row_range[:, :, None], max_objects)
    first = ops.min(wanting, axis=1, initial=max_objects)
    is_first = ops.equal(ops.take_along_axis(first, cheapest, axis=1), row_range)
    return (
        ops.where(first < max_objects, first, -1),
        ops.where(is_first, cheapest, -1),
    )
