"""The set prediction loss once more: NumPy in float64, one image and one layer at a time.

It follows the equations of Carion et al. 2020 (softmax) and Zhu et al. 2021 (focal), not our code.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import expit, log_expit, log_softmax, softmax


class Settings(NamedTuple):
    """Hold what separates the families."""

    is_focal: bool = False
    class_cost: float = 1.0
    box_cost: float = 5.0
    giou_cost: float = 2.0
    class_weight: float = 1.0
    box_weight: float = 5.0
    giou_weight: float = 2.0
    no_object_weight: float = 0.1
    alpha: float = 0.25
    gamma: float = 2.0


DETR = Settings()
DEFORMABLE_DETR = Settings(is_focal=True, class_cost=2.0, class_weight=2.0)


def generalized_iou(a, b):
    """Return the overlaps of boxes (..., 4), rel_center_xywh."""
    (al, at), (bl, bt) = (np.moveaxis(x[..., :2] - x[..., 2:] / 2, -1, 0) for x in (a, b))
    (ar, ab), (br, bb) = (np.moveaxis(x[..., :2] + x[..., 2:] / 2, -1, 0) for x in (a, b))
    width = np.clip(np.minimum(ar, br) - np.maximum(al, bl), 0, None)
    height = np.clip(np.minimum(ab, bb) - np.maximum(at, bt), 0, None)
    common = width * height
    union = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - common
    hull = (np.maximum(ar, br) - np.minimum(al, bl)) * (np.maximum(ab, bb) - np.minimum(at, bt))
    return common / union - (hull - union) / hull


def class_costs(logits, classes, settings):
    """Return (objects, queries)."""
    if not settings.is_focal:
        return -softmax(logits, axis=-1)[:, classes].T
    p = expit(logits)
    positive = settings.alpha * (1 - p) ** settings.gamma * -log_expit(logits)
    negative = (1 - settings.alpha) * p**settings.gamma * -log_expit(-logits)
    return (positive - negative)[:, classes].T


def match(logits, boxes, objects, settings):
    """Return the query of each object of one image and one layer."""
    target_boxes, classes = objects
    if not len(classes):
        return np.zeros(0, int)
    pairs = target_boxes[:, None], boxes[None]
    cost = (
        settings.class_cost * class_costs(logits, classes, settings)
        + settings.box_cost * np.abs(pairs[0] - pairs[1]).sum(-1)
        - settings.giou_cost * generalized_iou(*pairs)
    )
    return linear_sum_assignment(cost)[1]


def match_all(logits, boxes, objects, settings):
    """Return matches[image][layer]."""
    return [
        [match(logits[b, k], boxes[b, k], objects[b], settings) for k in range(logits.shape[1])]
        for b in range(len(objects))
    ]


def focal_loss(logits, is_class, settings):
    """Return the focal loss of each logit."""
    p = expit(logits)
    if_class = settings.alpha * (1 - p) ** settings.gamma * -log_expit(logits)
    if_not = (1 - settings.alpha) * p**settings.gamma * -log_expit(-logits)
    return np.where(is_class, if_class, if_not)


def components(logits, boxes, objects, settings=DETR, matches=None):
    """Return the parts of the loss and the errors.

    Args:
        logits: float64 (images, layers, queries, classes).
        boxes: float64 (images, layers, queries, 4).
        objects: for each image a pair of boxes (n, 4) and classes (n,).
        settings: `Settings`.
        matches: of `match_all`, to hold the matching fixed; else it is computed.
    """
    num_images, num_layers, num_queries, num_logits = logits.shape
    matches = match_all(logits, boxes, objects, settings) if matches is None else matches
    num_objects = max(sum(len(classes) for _, classes in objects), 1)
    class_loss, box_loss, giou_loss = 0.0, 0.0, 0.0
    for layer in range(num_layers):
        weighted, weights = 0.0, 0.0
        for image in range(num_images):
            target_boxes, classes = objects[image]
            queries = matches[image][layer]
            if settings.is_focal:
                is_class = np.zeros((num_queries, num_logits), bool)
                is_class[queries, classes] = True
                weighted += focal_loss(logits[image, layer], is_class, settings).sum()
            else:
                labels = np.full(num_queries, num_logits - 1)
                labels[queries] = classes
                weight = np.where(labels == num_logits - 1, settings.no_object_weight, 1.0)
                logs = log_softmax(logits[image, layer], axis=-1)
                weighted -= (weight * logs[np.arange(num_queries), labels]).sum()
                weights += weight.sum()
            chosen = boxes[image, layer][queries]
            box_loss += np.abs(chosen - target_boxes).sum() / num_objects
            giou_loss += (1 - generalized_iou(chosen, target_boxes)).sum() / num_objects
        class_loss += weighted / (num_objects if settings.is_focal else weights)
    parts = {
        "classification_loss": settings.class_weight * class_loss,
        "box_loss": settings.box_weight * box_loss,
        "giou_loss": settings.giou_weight * giou_loss,
    }
    return {**parts, **errors(logits[:, -1], objects, [m[-1] for m in matches], settings)}


def errors(logits, objects, matches, settings):
    """Return class_error and cardinality_error of the last layer."""
    num_right, num_objects, cardinality_errors = 0, 0, []
    for of_image, (_, classes), queries in zip(logits, objects, matches, strict=True):
        num_right += (of_image[queries].argmax(-1) == classes).sum()
        num_objects += len(classes)
        if settings.is_focal:
            num_predicted = (expit(of_image).max(-1) > 0.5).sum()
        else:
            num_predicted = (of_image.argmax(-1) != of_image.shape[-1] - 1).sum()
        cardinality_errors.append(abs(num_predicted - len(classes)))
    return {
        "class_error": 100 * (1 - num_right / max(num_objects, 1)),
        "cardinality_error": np.mean(cardinality_errors),
    }


def total(parts):
    """Return the loss from its parts."""
    return parts["classification_loss"] + parts["box_loss"] + parts["giou_loss"]
