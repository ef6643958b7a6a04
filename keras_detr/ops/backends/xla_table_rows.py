"""Sums of rows of a table, and their gradients, as loops that XLA makes one pass of."""

from keras import ops


def weighted_row_sums(take, table, indices, weights):
    """Sum one term at a time: XLA makes a single loop of it that reads whole rows.

    `take(table, index)` returns the rows there; for the rest see `Backend.weighted_row_sums`.
    """
    return sum(
        ops.cast(take(table, index[:, k]), "float32") * weight[:, k, None]
        for k in range(indices[0].shape[1])
        for index, weight in zip(indices, weights, strict=True)
    )


def weighted_row_gradients(take, add, table, indices, weights, upstream, chunk=256):
    """Go through a few sums at a time, a chunk, whose rows stay in the cache.

    `take(table, index)` returns the rows there, and `add(table, index, rows)` the table with these
    added; for the rest see `Backend.weighted_row_gradients`.
    """
    num_lists = len(indices)
    indices, weights = (ops.concatenate(numbers, axis=1) for numbers in (indices, weights))
    num_sums = ops.shape(indices)[0]
    num_chunks = (num_sums + chunk - 1) // chunk
    # Sums without weight fill the last chunk.
    missing = num_chunks * chunk - num_sums
    indices, weights, upstream = (
        ops.concatenate([array, ops.zeros((missing, array.shape[1]), array.dtype)])
        for array in (indices, weights, upstream)
    )

    def step(number, gradients):
        of_table, of_weights = gradients
        start = (number * chunk, 0)
        index, weight, others = (
            ops.slice(array, start, (chunk, array.shape[1]))
            for array in (indices, weights, upstream)
        )
        of_table = add(of_table, index, others[:, None] * weight[..., None])
        read = ops.cast(take(table, index), "float32")
        products = ops.matmul(read, others[..., None])[..., 0]
        return of_table, ops.slice_update(of_weights, start, products)

    start = (ops.zeros_like(table, "float32"), ops.zeros_like(weights))
    of_table, of_weights = ops.fori_loop(0, num_chunks, step, start)
    return of_table, ops.split(of_weights[:num_sums], num_lists, axis=1)
