"""Errors for targets and predictions that no loss should be computed from."""

from keras_detr.ops.backends import current
from keras_detr.ops.labels import check_labels

# The axes of predictions before their last one, by the prefix of their names.
_AXES = {
    "": "batch, queries",
    "aux_": "batch, layers, queries",
    "encoder_": "batch, tokens",
}


def check_targets(y_true, batch_size, num_classes):
    """Check the structure of targets, and their labels where values can be read.

    Args:
        y_true: dict of "boxes" and "classes".
        batch_size: int or `None`, of the predictions.
        num_classes: int.

    Raises:
        ValueError: a key is missing, a shape doesn't fit, or a label is out of range.
    """
    if not isinstance(y_true, dict) or not {"boxes", "classes"} <= set(y_true):
        received = sorted(y_true) if isinstance(y_true, dict) else type(y_true).__name__
        raise ValueError(
            f"`y_true` must be a dict with the keys 'boxes' and 'classes'. Received: {received}."
        )
    boxes_shape, classes_shape = tuple(y_true["boxes"].shape), tuple(y_true["classes"].shape)
    if len(boxes_shape) != 3 or boxes_shape[-1] != 4:
        raise ValueError(
            "`y_true['boxes']` must have the shape (batch, objects, 4). Received: "
            f"{boxes_shape}. Pad images with fewer objects, with class -1."
        )
    if len(classes_shape) != 2 or not _are_compatible(boxes_shape[:2], classes_shape):
        raise ValueError(
            "`y_true['classes']` must have the shape (batch, objects), like the boxes. Received: "
            f"{classes_shape}, and boxes of shape {boxes_shape}."
        )
    if not _are_compatible(boxes_shape[:1], (batch_size,)):
        raise ValueError(
            f"`y_true` and `y_pred` must speak of the same images. Received: {boxes_shape[0]} "
            f"images with targets and {batch_size} with predictions."
        )
    classes = current().known_values(y_true["classes"])
    if classes is not None:
        check_labels(classes, num_classes)


def check_predictions(y_pred):
    """Check the structure of predictions.

    Args:
        y_pred: dict of "classification" and "box", perhaps with the same of earlier layers
            ("aux_...") or of a two-stage detector's encoder ("encoder_...").

    Raises:
        ValueError: a key is missing, or a shape doesn't fit.
    """
    if not isinstance(y_pred, dict) or not {"classification", "box"} <= set(y_pred):
        received = sorted(y_pred) if isinstance(y_pred, dict) else type(y_pred).__name__
        raise ValueError(
            "`y_pred` must be a dict with the keys 'classification' and 'box', the raw outputs of "
            f"a detector. Received: {received}."
        )
    for prefix, axes in _AXES.items():
        names = f"{prefix}classification", f"{prefix}box"
        if (names[0] in y_pred) != (names[1] in y_pred):
            raise ValueError(
                f"`y_pred` must have both {names[0]!r} and {names[1]!r}, or neither. Received: "
                f"{sorted(y_pred)}."
            )
        if names[1] not in y_pred:
            continue
        logits, boxes = (tuple(y_pred[name].shape) for name in names)
        rank = axes.count(",") + 2
        is_right = len(logits) == len(boxes) == rank and boxes[-1] == 4
        if not is_right or not _are_compatible(logits[:-1], boxes[:-1]):
            raise ValueError(
                f"`y_pred[{names[0]!r}]` must have the shape ({axes}, logits) and "
                f"`y_pred[{names[1]!r}]` ({axes}, 4). Received: {logits} and {boxes}."
            )


def _are_compatible(shape, other):
    return all(a is None or b is None or a == b for a, b in zip(shape, other, strict=True))
