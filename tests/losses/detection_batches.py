"""Random predictions and objects."""

import numpy as np
from scipy.special import expit

# Objects in each image, of batches that the original sees too; there are 100 queries.
COUNTS_BESIDE_ORIGINAL = {
    "up to as many as queries": [0, 1, 63, 100],
    "as in COCO": [3, 17, 0, 8],
    "no image with an object": [0, 0],
}

# Tokens of the batches that a two-stage Deformable DETR's original sees; an image of 800 by 1066
# pixels has 17,821.
TOKENS_BESIDE_ORIGINAL = {
    "up to as many as queries": 500,
    "as in COCO": 17821,
    "no image with an object": 500,
}


def random_boxes(rng, size):
    """Return float64 (*size, 4) boxes inside of the image, with an area, in rel_center_xywh."""
    centers = rng.uniform(0.1, 0.9, (*size, 2))
    largest = 2 * np.minimum(centers, 1 - centers)
    sizes = largest * rng.uniform(0.05, 1.0, (*size, 2))
    # What float32 holds exactly, so that an oracle in float64 sees the same boxes.
    return np.concatenate([centers, sizes], -1).astype("float32").astype("float64")


def random_objects(rng, counts, num_classes):
    """Return for each image a pair of boxes (n, 4) and classes (n,)."""
    return [(random_boxes(rng, (n,)), rng.integers(0, num_classes, n)) for n in counts]


def random_predictions(rng, num_images, num_layers, num_queries, num_logits):
    """Return float64 logits and boxes with a layer axis after the batch axis."""
    logits = rng.normal(0, 2, (num_images, num_layers, num_queries, num_logits))
    boxes = expit(rng.normal(-0.5, 1, (num_images, num_layers, num_queries, 4)))
    return (x.astype("float32").astype("float64") for x in (logits, boxes))


def pad(objects, num_rows=None):
    """Return `y_true`: float32 boxes and int32 classes, padded with -1."""
    num_rows = max(len(classes) for _, classes in objects) if num_rows is None else num_rows
    boxes = np.full((len(objects), num_rows, 4), -1, "float32")
    classes = np.full((len(objects), num_rows), -1, "int32")
    for i, (of_image, labels) in enumerate(objects):
        boxes[i, : len(labels)], classes[i, : len(labels)] = of_image, labels
    return {"boxes": boxes, "classes": classes}


def split_layers(logits, boxes, token_logits=None, token_boxes=None):
    """Return `y_pred`: the last layer apart from those before it, and the encoder's tokens."""
    y_pred = {"classification": logits[:, -1], "box": boxes[:, -1]}
    if logits.shape[1] > 1:
        y_pred |= {"aux_classification": logits[:, :-1], "aux_box": boxes[:, :-1]}
    if token_logits is not None:
        y_pred |= {"encoder_classification": token_logits, "encoder_box": token_boxes}
    return y_pred


def random_tokens(rng, num_images, num_tokens, num_logits):
    """Return float64 logits and boxes of tokens, the last tenth of them outside of the image."""
    logits, boxes = (
        x[:, 0] for x in random_predictions(rng, num_images, 1, num_tokens, num_logits)
    )
    # What the original says there: the logits of zeros, and a box whose logits are infinite.
    num_outside = num_tokens // 10
    logits[:, -num_outside:] = logits[:, -1:]
    boxes[:, -num_outside:] = 1.0
    return logits, boxes


def batch_beside_original(name, num_tokens=0):
    """Return objects, logits and boxes of one of `COUNTS_BESIDE_ORIGINAL`.

    Args:
        name: str.
        num_tokens: int; 0 is for DETR, more are for a two-stage Deformable DETR, whose tokens'
            logits and boxes come after those of queries.
    """
    counts = COUNTS_BESIDE_ORIGINAL[name]
    rng = np.random.default_rng(sum(counts))
    num_classes, num_layers, num_queries = 9, 3, 100
    objects = random_objects(rng, counts, num_classes)
    shape = len(counts), num_layers, num_queries, num_classes + (num_tokens == 0)
    predictions = random_predictions(rng, *shape)
    tokens = random_tokens(rng, len(counts), num_tokens, num_classes) if num_tokens else ()
    return objects, *predictions, *tokens
