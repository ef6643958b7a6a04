"""The targets and losses of queries whose objects are known."""

from keras import ops

from keras_detr.losses.layer_sums import sum_by_layer
from keras_detr.ops.boxes import center_to_corners, generalized_iou


def classes_of_queries(queries, classes, num_queries, num_classes):
    """Return one-hot classes (batch, layers, queries, C), zeros where a query has no object.

    Args:
        queries: int32 (batch, layers, objects), the query of each object, -1 for padding.
        classes: int32 (batch, objects), or (batch, 1) where an image has one class only.
        num_queries: int, or a tensor.
        num_classes: int, C.
    """
    num_layers, max_objects = ops.shape(queries)[1:]
    classes = ops.broadcast_to(ops.expand_dims(classes, 1), ops.shape(queries))
    queries = ops.reshape(queries, (-1, max_objects))
    num_rows = ops.shape(queries)[0]
    # A query more in every row takes what padding is written to.
    queries = ops.where(queries >= 0, queries, num_queries)
    starts = ops.arange(num_rows, dtype="int32") * (num_queries + 1)
    indices = ops.reshape(queries + ops.expand_dims(starts, 1), (-1, 1))
    nothing = ops.full((num_rows * (num_queries + 1),), -1, dtype="int32")
    labels = ops.scatter_update(nothing, indices, ops.reshape(classes, (-1,)))
    labels = ops.reshape(labels, (-1, num_layers, num_queries + 1))[..., :-1]
    return ops.one_hot(labels, num_classes, dtype="float32")


def box_losses(boxes, queries, object_boxes, area_epsilon=0.0):
    """Return sums of the L1 distances and of 1 - GIoU over pairs, by layer.

    Args:
        boxes: float32 (batch, layers, queries, 4), rel_center_xywh.
        queries: int32 (batch, layers, objects), the query of each object, -1 for padding.
        object_boxes: float32 (batch, objects, 4).
        area_epsilon: float, see `generalized_iou`.

    Returns:
        pair of float32 (layers,).
    """
    matched = ops.take_along_axis(boxes, ops.expand_dims(ops.maximum(queries, 0), -1), axis=2)
    targets = ops.expand_dims(object_boxes, 1)
    # Padding is compared to itself, which has no gradient.
    is_pair = ops.expand_dims(queries >= 0, -1)
    matched = ops.where(is_pair, matched, targets)
    l1 = sum_by_layer(ops.abs(matched - targets))
    corners = center_to_corners(matched), center_to_corners(targets)
    giou = generalized_iou(*corners, area_epsilon)
    not_giou = ops.where(queries >= 0, 1.0 - giou, 0.0)
    return l1, sum_by_layer(not_giou)


def queries_of_groups(objects, num_layers, num_denoising_queries):
    """Pair the objects with denoising queries: each object has a positive one in every group.

    Args:
        objects: `TargetObjects`, as many rows as a half of a group has queries.
        num_layers: int, decoder layers.
        num_denoising_queries: int or tensor, laid out as `ContrastiveDenoising` returns them.

    Returns:
        tuple of the objects, repeated once for each group (their counts aren't); the query of each
        of them, int32 (batch, layers, groups * objects), -1 for padding; and the number of groups.
    """
    max_objects = ops.shape(objects.classes)[1]
    num_groups = num_denoising_queries // (2 * max_objects)
    starts = ops.arange(num_groups, dtype="int32") * (2 * max_objects)
    places = ops.expand_dims(starts, 1) + ops.arange(max_objects, dtype="int32")
    repeated = objects._replace(
        boxes=ops.tile(objects.boxes, (1, num_groups, 1)),
        classes=ops.tile(objects.classes, (1, num_groups)),
        is_object=ops.tile(objects.is_object, (1, num_groups)),
    )
    queries = ops.where(repeated.is_object, ops.reshape(places, (1, -1)), -1)
    queries = ops.tile(ops.expand_dims(queries, 1), (1, num_layers, 1))
    return repeated, queries, num_groups
