"""Take rows of each element of a batch."""

from keras import ops


def batched_rows(rows, places):
    """Return the rows (batch, N, ...) that places name, for each element of a batch its own.

    `ops.take_along_axis` does so too, with an index for every number.

    Args:
        rows: tensor (batch, rows, ...).
        places: int32 (batch, N); the first row stands for negative ones.
    """
    batch, num_rows, *size = ops.shape(rows)
    starts = ops.expand_dims(ops.arange(batch, dtype="int32") * num_rows, 1)
    places = ops.maximum(places, 0) + starts
    return ops.take(ops.reshape(rows, (-1, *size)), places, axis=0)
