"""The parts of a batch, in whichever structure it comes."""

import numpy as np


def batch_parts(batch):
    """Return the arrays of a batch's images, masks (or `None`), and the dict of boxes and classes.

    Args:
        batch: dict or pair, see `plot_batch`.

    Raises:
        ValueError: it has no images or no boxes.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        inputs, boxes = batch
        inputs = inputs if isinstance(inputs, dict) else {"images": inputs}
    elif isinstance(batch, dict):
        inputs, boxes = batch, batch.get("bounding_boxes")
    else:
        inputs, boxes = {}, None
    if "images" not in inputs or not isinstance(boxes, dict) or {"boxes", "classes"} - set(boxes):
        raise ValueError(
            '`batch` must be a dict of "images" and "bounding_boxes" ("boxes" and "classes"), or '
            f"a pair of inputs and bounding boxes. Received: {_describe(batch)}."
        )
    mask = inputs.get("pixel_mask")
    return (
        np.asarray(inputs["images"]),
        None if mask is None else np.asarray(mask),
        {name: _dense(boxes[name]) for name in ("boxes", "classes")},
    )


def _dense(values):
    # Ragged tensors of TensorFlow.
    return np.asarray(values.to_tensor(-1) if hasattr(values, "to_tensor") else values)


def _describe(batch):
    if isinstance(batch, dict):
        return f"a dict of {sorted(batch)}"
    return f"{type(batch).__name__}"
