"""Decode COCO's compressed RLE in the graph of a data set.

A Python function there could still be running in a thread of TensorFlow's when the program ends,
which aborts it.
"""

import tensorflow as tf

_CHARACTER_OF_0 = 48
_BITS = 5
_SIGN_BIT = 16
_IS_CONTINUED = 32


def decoded_masks(encoded, image_size):
    """Return the masks of an image as bool (N, height, width), true on the object.

    Args:
        encoded: str tensor (N,), valid compressed RLE.
        image_size: int32 tensor (height, width), in pixels.

    Source: cocodataset/cocoapi, common/maskApi.c, rleFrString and rleDecode.
    """
    height, width = tf.unstack(image_size)
    num_masks, num_pixels = tf.shape(encoded)[0], height * width
    ends = tf.cast(_run_ends(encoded), tf.int32)
    rows = tf.broadcast_to(tf.range(num_masks)[:, None], tf.shape(ends))
    # Runs outside and inside of the object alternate, and begin outside: a pixel is inside if an
    # odd number of runs end before it. uint8 may overflow, as 256 is even.
    places = tf.reshape(tf.stack([rows, ends], axis=-1), (-1, 2))
    changes = tf.ones(tf.shape(places)[:1], tf.uint8)
    changes = tf.scatter_nd(places, changes, (num_masks, num_pixels + 1))
    num_ended = tf.cumsum(changes, axis=1)[:, :num_pixels]
    columns = tf.reshape(tf.cast(num_ended & 1, tf.bool), (num_masks, width, height))
    return tf.transpose(columns, (0, 2, 1))


def _run_ends(encoded):
    """Return the pixel after each run, int64 (N, most runs); a mask's last end is repeated."""
    numbers = _numbers(encoded)
    is_run = tf.sequence_mask(numbers.row_lengths())
    numbers = numbers.to_tensor()
    num_masks, num_rest = tf.shape(numbers)[0], tf.maximum(tf.shape(numbers)[1] - 1, 0)
    # From the fourth on, a number is the difference to the run before the last one.
    pairs = tf.pad(numbers[:, 1:], ((0, 0), (0, num_rest % 2)))
    pairs = tf.cumsum(tf.reshape(pairs, (num_masks, (num_rest + 1) // 2, 2)), axis=1)
    rest = tf.reshape(pairs, (num_masks, num_rest + num_rest % 2))[:, :num_rest]
    lengths = tf.concat([numbers[:, :1], rest], axis=1)
    return tf.cumsum(tf.where(is_run, lengths, 0), axis=1)


def _numbers(encoded):
    """Return the numbers that each text holds, a ragged int64 tensor (N, None).

    A character has five bits of a number, the lowest first, and says whether more follow.
    """
    characters = tf.io.decode_raw(tf.strings.reduce_join(encoded), tf.uint8)
    characters = tf.cast(characters, tf.int64) - _CHARACTER_OF_0
    is_last = characters < _IS_CONTINUED
    number = tf.cumsum(tf.cast(is_last, tf.int64), exclusive=True)
    lasts = tf.where(is_last)[:, 0]
    starts = tf.concat([[0], lasts + 1], axis=0)
    shift = _BITS * (tf.range(tf.size(characters, tf.int64)) - tf.gather(starts, number))
    bits = tf.bitwise.left_shift(characters % _IS_CONTINUED, shift)
    values = tf.math.unsorted_segment_sum(bits, number, tf.size(lasts))
    last_characters = tf.gather(characters, lasts)
    is_negative = last_characters & _SIGN_BIT > 0
    overflow = tf.bitwise.left_shift(tf.ones_like(lasts), tf.gather(shift, lasts) + _BITS)
    values -= tf.where(is_negative, overflow, 0)
    rows = tf.repeat(tf.range(tf.size(encoded)), tf.strings.length(encoded))
    return tf.RaggedTensor.from_value_rowids(
        values, tf.gather(rows, lasts), nrows=tf.size(encoded), validate=False
    )
