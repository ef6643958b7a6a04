"""Checks of values that are known only when a tf.data pipeline runs."""

import tensorflow as tf


def checked(value, condition, message):
    """Return `value` if a condition holds.

    Args:
        value: tensor, or nested structure of tensors. What is computed from the returned value
            runs after the check, so that its error is the one that is seen.
        condition: bool scalar tensor.
        message: list of str and tensors, joined in this order.

    Raises:
        tf.errors.InvalidArgumentError: the condition doesn't hold.
    """
    if tf.executing_eagerly():
        if not condition:
            raise tf.errors.InvalidArgumentError(None, None, " ".join(map(_text, message)))
        return value
    with tf.control_dependencies([tf.debugging.Assert(condition, message, summarize=16)]):
        return tf.nest.map_structure(tf.identity, value)


def _text(part):
    value = part.numpy() if tf.is_tensor(part) else part
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value.tolist() if hasattr(value, "tolist") else value)
