"""The assignment of objects to queries alone: 24 problems, as of six layers and four images."""

import inspect

import numpy as np
from programs import compiled


def costs(problems, objects, queries):
    """Return random costs, float32 (problems, objects, queries), and counts of objects."""
    generator = np.random.default_rng(0)
    cost = generator.normal(size=(problems, objects, queries)).astype("float32")
    return cost, np.full(problems, objects, "int32")


def ours(problems, objects, queries, method):
    """Return a callable that solves all problems in one call."""
    from keras_detr.ops.linear_assignment import linear_assignment

    def solve(cost, num_objects):
        return linear_assignment(cost, num_objects, method=method)

    cost, num_objects = costs(problems, objects, queries)
    import keras

    if method == "in_graph" and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        program = tf.function(solve, jit_compile=True, autograph=False)
        tensors = tf.constant(cost), tf.constant(num_objects)
        return lambda: program(*tensors)
    return compiled(solve, cost, num_objects)


def on_host(**size):
    """Solve with SciPy, in one call to the host."""
    return ours(**size, method="host")


def in_graph(**size):
    """Solve in the compiled program."""
    return ours(**size, method="in_graph")


def scipy(**size):
    """Solve with SciPy alone, in a loop of Python: what no host solver can undercut."""
    from scipy.optimize import linear_sum_assignment

    cost, _ = costs(**size)
    return lambda: [linear_sum_assignment(problem) for problem in cost]


def keras_hub(problems, objects, queries):
    """Solve with the matcher of KerasHub's D-FINE, problem by problem as its loss does."""
    from keras_hub.models import DFineObjectDetector

    # It has no public name: it is found where the detector's own loss finds it.
    try:
        matcher = inspect.getmodule(DFineObjectDetector).hungarian_matcher
        assignment = inspect.getmodule(matcher).hungarian_assignment
    except AttributeError as error:
        raise ImportError(f"this version of keras-hub has no such matcher: {error}") from error
    cost, _ = costs(problems, objects, queries)

    # One problem of all: a second takes as long.
    return compiled(lambda problem: assignment(problem, queries), cost[0].T)


CONTENDERS = {
    "keras_detr, on the host": on_host,
    "keras_detr, in the graph": in_graph,
    "SciPy in a loop": scipy,
    "KerasHub's D-FINE, one problem": keras_hub,
}
