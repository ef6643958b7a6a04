"""The losses of masks: focal loss of each pixel, and the Dice coefficient of each object."""

from keras import ops

from keras_detr.losses.sigmoid_focal_loss import sigmoid_focal_loss

# Of the focal loss: the weight of pixels on the object, and the exponent.
_ALPHA, _GAMMA = 0.25, 2.0


def mask_losses(logits, masks, is_object):
    """Return the sums over all objects of the focal loss and of the Dice loss.

    Args:
        logits: float32 (batch, objects, height, width), of the query of each object; resized to the
            size of `masks`, bilinearly.
        masks: bool (batch, objects, image height, image width), true on the object.
        is_object: bool (batch, objects), false where there is padding.

    Returns:
        pair of float32 scalars. The focal loss of an object is the mean over its image's pixels,
        those of padding too.

    Source: Carion et al. 2020, section 4.4; models/segmentation.py and models/detr.py of the
    original.
    """
    logits = _resized(logits, ops.shape(masks)[2:])
    masks = ops.cast(masks, "float32")
    probabilities = ops.sigmoid(logits)
    focal = ops.mean(sigmoid_focal_loss(logits, masks, _ALPHA, _GAMMA), axis=(2, 3))
    shared = ops.sum(probabilities * masks, axis=(2, 3))
    whole = ops.sum(probabilities, axis=(2, 3)) + ops.sum(masks, axis=(2, 3))
    # The original adds 1 to both, so that an empty mask isn't divided by 0.
    dice = 1.0 - (2.0 * shared + 1.0) / (whole + 1.0)
    return tuple(ops.sum(ops.where(is_object, loss, 0.0)) for loss in (focal, dice))


def _resized(maps, size):
    """Resize (batch, objects, height, width) bilinearly, as torch does without `align_corners`.

    Of each axis by a matrix product: `ops.image.resize` takes no size that is known only when it
    runs, and TensorFlow's own takes 1.3 times as long with its gradient.
    """
    height, width = ops.shape(maps)[2:]
    maps = ops.matmul(_interpolation(size[0], height), maps)
    return ops.matmul(maps, ops.transpose(_interpolation(size[1], width)))


def _interpolation(new, old):
    """Return float32 (new, old), the shares of an axis' old values in its new ones."""
    ratio = ops.cast(old, "float32") / ops.cast(new, "float32")
    places = (ops.cast(ops.arange(new), "float32") + 0.5) * ratio - 0.5
    places = ops.clip(places, 0.0, ops.cast(old - 1, "float32"))
    distances = ops.abs(ops.expand_dims(places, 1) - ops.cast(ops.arange(old), "float32"))
    return ops.maximum(1.0 - distances, 0.0)
