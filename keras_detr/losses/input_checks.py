"""Errors for targets and predictions that no loss should be computed from."""

from keras_detr.batches.labels import check_labels, check_num_objects
from keras_detr.batches.shapes import are_compatible, check_box_shapes, described
from keras_detr.batches.structure import check_bounding_boxes
from keras_detr.ops.backends import current

# The axes of predictions before their last one, by the prefix of their names.
_AXES = {
    "": "batch, queries",
    "aux_": "batch, layers, queries",
    "encoder_": "batch, tokens",
    "denoising_": "batch, layers, queries",
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
    check_bounding_boxes(y_true, "y_true")
    check_box_shapes(y_true["boxes"], y_true["classes"], (batch_size,))
    classes = current().known_values(y_true["classes"])
    if classes is not None:
        check_labels(classes, num_classes)


def check_surplus(is_object, num_queries):
    """Raise a ValueError if an image has more objects than queries, where values can be read.

    Args:
        is_object: bool (batch, objects).
        num_queries: int.
    """
    # Most batches are known to fit by their shape.
    if is_object.shape[1] is None or is_object.shape[1] > num_queries:
        is_object = current().known_values(is_object)
        if is_object is not None:
            check_num_objects(is_object, num_queries)


def check_predictions(y_pred):
    """Check the structure of predictions.

    Args:
        y_pred: dict of "classification" and "box", perhaps with the same of earlier layers
            ("aux_..."), of a two-stage detector's encoder ("encoder_...") or of denoising queries
            ("denoising_...").

    Raises:
        ValueError: a key is missing, or a shape doesn't fit.
    """
    if not isinstance(y_pred, dict) or not {"classification", "box"} <= set(y_pred):
        raise ValueError(
            "`y_pred` must be a dict with the keys 'classification' and 'box', the raw outputs of "
            f"a detector. Received: {described(y_pred)}."
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
        if not is_right or not are_compatible(logits[:-1], boxes[:-1]):
            raise ValueError(
                f"`y_pred[{names[0]!r}]` must have the shape ({axes}, logits) and "
                f"`y_pred[{names[1]!r}]` ({axes}, 4). Received: {logits} and {boxes}."
            )


def check_masks(y_true, y_pred):
    """Check the shapes of true and predicted masks.

    Args:
        y_true: dict of "boxes" and perhaps "masks".
        y_pred: dict of "box", and "mask" or "matched_mask".

    Raises:
        ValueError: there are no true masks, or a shape doesn't fit.
    """
    if "masks" not in y_true:
        raise ValueError(
            "`y_true` must have 'masks', bool (batch, objects, image height, image width), because "
            f"masks are predicted. Received: {sorted(y_true)}."
        )
    batch, num_objects = y_true["boxes"].shape[:2]
    expected = [("y_true['masks']", y_true["masks"], (batch, num_objects), "objects")]
    if "mask" in y_pred:
        expected.append(
            ("y_pred['mask']", y_pred["mask"], tuple(y_pred["box"].shape[:2]), "queries")
        )
    if "matched_mask" in y_pred:
        # `match` returns a row of padding where there is no object.
        wanted = (batch, 1 if num_objects == 0 else num_objects)
        expected.append(("y_pred['matched_mask']", y_pred["matched_mask"], wanted, "objects"))
    for argument, masks, wanted, rows in expected:
        shape = tuple(masks.shape)
        if len(shape) != 4 or not are_compatible(shape[:2], wanted):
            raise ValueError(
                f"`{argument}` must have the shape (batch, {rows}, height, width), with as many "
                f"{rows} as boxes, {wanted}. Received: {shape}."
            )
