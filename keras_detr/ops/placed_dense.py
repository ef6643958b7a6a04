"""A dense layer on tokens at their positions, with a gradient that doesn't keep their sum."""

from keras import ops

from keras_detr.ops import backends


def placed_dense(tokens, positions, kernel, bias):
    """Multiply the sum of tokens and positions with a matrix, and add a bias.

    Computed in the dtype of the kernel. Tokens and positions are kept for others anyway: for the
    gradient their sum is computed once more, which takes less than a hundredth of the product.

    Args:
        tokens: float (batch, tokens, size).
        positions: float, of the tokens' shape but for a batch of 1.
        kernel: float (size, width).
        bias: float (width,).

    Returns:
        float (batch, tokens, width).
    """

    def placed(tokens, positions):
        return ops.reshape(ops.cast(tokens + positions, kernel.dtype), (-1, tokens.shape[-1]))

    @backends.custom_gradient
    def transform(tokens, positions, kernel, bias):
        def gradients(upstream):
            to_sum = ops.matmul(upstream, ops.transpose(kernel))
            to_sum = ops.cast(ops.reshape(to_sum, ops.shape(tokens)), tokens.dtype)
            to_positions = to_sum
            if positions.shape[0] == 1:
                to_positions = ops.sum(to_sum, axis=0, keepdims=True)
            again = backends.computed_after(upstream, placed, tokens, positions)
            return (
                to_sum,
                ops.cast(to_positions, positions.dtype),
                ops.matmul(ops.transpose(again), upstream),
                backends.sum_of_rows(upstream),
            )

        product = ops.matmul(placed(tokens, positions), kernel)
        return backends.add_channel_bias(product, bias), gradients

    flat = transform(tokens, positions, kernel, bias)
    return ops.reshape(flat, (*ops.shape(tokens)[:-1], kernel.shape[1]))
