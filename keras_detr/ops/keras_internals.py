"""The private names of Keras that keras_detr can't do without, each behind a function.

No other module of keras_detr uses a private name of Keras. `tests/ops/test_keras_internals.py`
names those that a newer version of Keras lacks.
"""


def flatten_layers(layer, include_self=True, recursive=True):
    """Return the layers inside a layer, parents first.

    Keras has a public list of them for models only: `keras.Model.layers`.

    Args:
        layer: `keras.Layer`.
        include_self: bool, whether the layer itself comes first.
        recursive: bool, whether to return all layers below it, or its direct children only.
    """
    return layer._flatten_layers(include_self=include_self, recursive=recursive)


def is_validation_of_fit(arguments):
    """Return whether `evaluate` is called by `fit`, with validation data that are checked already.

    Keras has no public sign of it.

    Args:
        arguments: dict, the keyword arguments that `evaluate` was called with.
    """
    return arguments.get("_use_cached_eval_dataset", False)
