"""What it costs to match an object with a query."""

from keras import ops

from keras_detr.ops.boxes import center_to_corners, generalized_iou


def values_of_classes(values, classes):
    """Pick the values of the objects' classes, for all pairs.

    Args:
        values: float32 (batch, layers, queries, C).
        classes: int32 (batch, objects), from 0 to C - 1.

    Returns:
        float32 (batch, layers, objects, queries).
    """
    shape = (*ops.shape(values)[:3], ops.shape(classes)[1])
    indices = ops.broadcast_to(classes[:, None, None, :], shape)
    return ops.swapaxes(ops.take_along_axis(values, indices, axis=3), 2, 3)


def l1_cost(object_boxes, query_boxes):
    """Return the sum of absolute differences of four coordinates, for all pairs.

    Args:
        object_boxes: float32 (batch, objects, 4), rel_center_xywh.
        query_boxes: float32 (batch, layers, queries, 4), rel_center_xywh.

    Returns:
        float32 (batch, layers, objects, queries).

    Source: models/matcher.py of the original.
    """
    total = 0.0
    for i in range(4):
        # One coordinate at a time: a quarter of the memory of one broadcast.
        total = total + ops.abs(object_boxes[:, None, :, None, i] - query_boxes[:, :, None, :, i])
    return total


def giou_cost(object_boxes, query_boxes):
    """Return minus the generalized intersection over union, for all pairs.

    Arguments and returns are those of `l1_cost`.

    Source: models/matcher.py of the original.
    """
    return -generalized_iou(
        center_to_corners(object_boxes)[:, None, :, None],
        center_to_corners(query_boxes)[:, :, None],
    )
