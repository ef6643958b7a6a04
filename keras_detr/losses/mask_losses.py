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
    """Resize (batch, objects, height, width) as torch does without `align_corners`."""
    batch, num_objects, *old = ops.shape(maps)
    maps = ops.reshape(maps, (batch * num_objects, *old, 1))
    maps = ops.image.resize(
        maps, size, interpolation="bilinear", antialias=False, data_format="channels_last"
    )
    return ops.reshape(maps, (batch, num_objects, *size))
