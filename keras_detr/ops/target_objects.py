"""The objects of a batch, made safe and packed: what a loss and denoising queries are made of."""

from typing import Any, NamedTuple

from keras import ops

from keras_detr.ops.boxes import clip_to_image


class TargetObjects(NamedTuple):
    """Hold the objects of a batch, real ones first.

    Attributes:
        boxes: float32 (batch, objects, 4), rel_center_xywh inside of the image; a whole-image box
            where there is padding.
        classes: int32 (batch, objects), 0 where there is padding.
        is_object: bool (batch, objects), false where there is padding.
        num_objects: int32 (batch,), how many rows are real.
        order: int32 (batch, objects), the rows of the targets that these are.
        num_clipped: float32 scalar, how many boxes reached over their image's edge.
        num_dropped: float32 scalar, how many boxes had no area inside of their image, or a
            coordinate that is no number.
    """

    boxes: Any
    classes: Any
    is_object: Any
    num_objects: Any
    order: Any
    num_clipped: Any
    num_dropped: Any

    def in_rows_of_targets(self, values):
        """Return (batch, objects) values of these objects in the order of the targets' rows."""
        return ops.take_along_axis(values, ops.argsort(self.order, axis=1), axis=1)


def pack_target_objects(boxes, classes):
    """Return the `TargetObjects` of boxes and classes as `HungarianLoss` takes them.

    Boxes are clipped to their image, and those without area become padding.
    """
    boxes = ops.cast(boxes, "float32")
    classes = ops.cast(classes, "int32")
    if classes.shape[1] == 0:
        boxes = ops.pad(boxes, ((0, 0), (0, 1), (0, 0)))
        classes = ops.pad(classes, ((0, 0), (0, 1)), constant_values=-1)
    is_labelled = classes >= 0
    inside, is_clipped, has_area = clip_to_image(boxes)
    is_object = ops.logical_and(is_labelled, has_area)

    order = _real_ones_first(is_object)
    is_object = ops.take_along_axis(is_object, order, axis=1)
    inside = ops.take_along_axis(inside, ops.expand_dims(order, -1), axis=1)
    classes = ops.take_along_axis(classes, order, axis=1)
    whole_image = ops.convert_to_tensor([0.5, 0.5, 1.0, 1.0], "float32")
    return TargetObjects(
        boxes=ops.where(ops.expand_dims(is_object, -1), inside, whole_image),
        classes=ops.where(is_object, classes, 0),
        is_object=is_object,
        num_objects=ops.sum(ops.cast(is_object, "int32"), axis=1),
        order=order,
        num_clipped=_count(ops.logical_and(is_labelled, ops.logical_and(is_clipped, has_area))),
        num_dropped=_count(ops.logical_and(is_labelled, ops.logical_not(has_area))),
    )


def _real_ones_first(is_object):
    """Return the stable order (batch, objects) that puts true entries first."""
    size = ops.shape(is_object)[1]
    rank = ops.cast(ops.logical_not(is_object), "int32") * size + ops.arange(size, dtype="int32")
    return ops.cast(ops.argsort(rank, axis=1), "int32")


def _count(is_counted):
    return ops.sum(ops.cast(is_counted, "float32"))
