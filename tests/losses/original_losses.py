"""Compute losses with transformers' copies of the originals; a script, run by its test.

Transformers loads torch's compilers, which some builds can't share a process with TensorFlow's.
"""

import sys

import numpy as np
import torch
from transformers.loss.loss_deformable_detr import (
    DeformableDetrHungarianMatcher,
    DeformableDetrImageLoss,
)
from transformers.loss.loss_for_object_detection import HungarianMatcher, ImageLoss

from tests.losses.detection_batches import (
    COUNTS_BESIDE_ORIGINAL,
    TOKENS_BESIDE_ORIGINAL,
    batch_beside_original,
)

WEIGHTS = {
    "detr": {"loss_ce": 1.0, "loss_bbox": 5.0, "loss_giou": 2.0},
    "deformable": {"loss_ce": 2.0, "loss_bbox": 5.0, "loss_giou": 2.0},
}


def criterion_of(family, num_logits):
    """Return the original's loss, in float64: so every difference is ours."""
    parts = ["labels", "boxes", "cardinality"]
    if family == "detr":
        matcher = HungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)
        return ImageLoss(matcher, num_logits - 1, eos_coef=0.1, losses=parts).double()
    # Transformers' default class cost is 1, the original's 2.
    matcher = DeformableDetrHungarianMatcher(class_cost=2, bbox_cost=5, giou_cost=2)
    return DeformableDetrImageLoss(matcher, num_logits, focal_alpha=0.25, losses=parts).double()


def original(family, objects, *predictions):
    """Return the weighted parts over all layers, the last cardinality error, and gradients.

    Args:
        family: str, "detr" or "deformable".
        objects: for each image a pair of boxes (n, 4) and classes (n,).
        *predictions: logits and boxes of queries, perhaps followed by those of tokens.
    """
    predictions = [torch.tensor(x, requires_grad=True) for x in predictions]
    logits, boxes, *of_tokens = predictions
    num_layers = logits.shape[1]
    criterion = criterion_of(family, logits.shape[-1])
    targets = [
        {"boxes": torch.tensor(of_image), "class_labels": torch.tensor(labels)}
        for of_image, labels in objects
    ]
    layers = [{"logits": logits[:, i], "pred_boxes": boxes[:, i]} for i in range(num_layers)]
    losses = criterion({**layers[-1], "auxiliary_outputs": layers[:-1]}, targets)
    layer_ends = ["", *(f"_{i}" for i in range(num_layers - 1))]
    weighted = {
        name: sum(weight * losses[name + end] for end in layer_ends)
        for name, weight in WEIGHTS[family].items()
    }
    if of_tokens:
        # Transformers leaves the encoder's loss out. The original's is the same criterion on
        # tokens, with objects of class 0.
        for target in targets:
            target["class_labels"] = torch.zeros_like(target["class_labels"])
        of_encoder = criterion(dict(zip(("logits", "pred_boxes"), of_tokens, strict=True)), targets)
        weighted |= {
            f"{name}_enc": weight * of_encoder[name] for name, weight in WEIGHTS[family].items()
        }
    sum(weighted.values()).backward()
    return {
        **{name: value.item() for name, value in weighted.items()},
        "cardinality_error": losses["cardinality_error"].item(),
        **{f"gradient_{i}": x.grad.numpy() for i, x in enumerate(predictions)},
    }


if __name__ == "__main__":
    for name in COUNTS_BESIDE_ORIGINAL:
        for family, num_tokens in (("detr", 0), ("deformable", TOKENS_BESIDE_ORIGINAL[name])):
            result = original(family, *batch_beside_original(name, num_tokens))
            np.savez(f"{sys.argv[1]}/{family} {name}.npz", **result)
