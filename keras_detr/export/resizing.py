"""Resize a batch of images with operations that every runtime has.

Sizes and pixels are those of `keras_detr.preprocessing.ResizeShortestSide`, whose antialiased
resizing is an operation of TensorFlow only.
"""

from keras import ops


def resized_size(height, width, short_side, longest_side):
    """Return the result of `keras_detr.preprocessing.resized_size` for int32 scalar tensors.

    It computes with integers: that function divides in float64, which LiteRT lacks. Both agree for
    sides up to 2**31 / (2 * longest_side + 1), or 2**31 / short_side.
    """
    shorter, longer = ops.minimum(height, width), ops.maximum(height, width)
    short = ops.zeros_like(shorter) + short_side
    if longest_side is not None:
        capped = _rounded_quotient(longest_side * shorter, longer)
        is_capped = longer * short_side > longest_side * shorter
        short = ops.where(is_capped, ops.maximum(capped, 1), short)
        longer = ops.where(capped < 1, longest_side * shorter, longer)
    long = short * longer // shorter
    is_tall = width < height
    return ops.where(is_tall, long, short), ops.where(is_tall, short, long)


def _rounded_quotient(dividend, divisor):
    """Divide and round to the nearest integer, and halves to the even one."""
    double = 2 * divisor
    above = (2 * dividend + divisor) // double
    is_half = ops.equal(2 * dividend + divisor, above * double)
    is_odd = ops.equal(above % 2, 1)
    return above - ops.cast(ops.logical_and(is_half, is_odd), "int32")


def resize_images(images, size):
    """Resize images, float32 (batch, height, width, 3), to a pair of int32 scalar tensors.

    It is bilinear, with antialiasing for an axis that shrinks. Each axis is multiplied by a matrix:
    a resized pixel is a weighted mean of a line of pixels.

    Source: PIL's and TensorFlow's antialiased bilinear resizing.
    """
    batch, height, width, channels = ops.shape(images)
    new_height, new_width = size
    lines = ops.reshape(images, (batch, height, width * channels))
    lines = ops.matmul(ops.expand_dims(_mean_weights(height, new_height), 0), lines)
    # Move channels before columns, so that the columns can be multiplied.
    lines = ops.reshape(lines, (batch, new_height, width, channels))
    lines = ops.reshape(ops.transpose(lines, (0, 1, 3, 2)), (batch, new_height * channels, width))
    weights = ops.transpose(_mean_weights(width, new_width))
    lines = ops.matmul(lines, ops.expand_dims(weights, 0))
    lines = ops.reshape(lines, (batch, new_height, channels, new_width))
    return ops.transpose(lines, (0, 1, 3, 2))


def _mean_weights(length, new_length):
    """Return float32 (new_length, length): the weight of each pixel in each new one.

    The weights are a triangle around the new pixel's center, as wide as two new pixels but not
    narrower than two old ones. Pixels outside the image have no weight.
    """
    scale = ops.cast(length, "float32") / ops.cast(new_length, "float32")
    centers = (ops.arange(new_length, dtype="float32") + 0.5) * scale - 0.5
    pixels = ops.arange(length, dtype="float32")
    distances = ops.abs(ops.expand_dims(centers, 1) - ops.expand_dims(pixels, 0))
    weights = ops.maximum(0.0, 1.0 - distances / ops.maximum(scale, 1.0))
    return weights / ops.sum(weights, axis=1, keepdims=True)
