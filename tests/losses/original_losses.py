"""Compute losses with transformers' copy of the original; a script, run by its test.

Transformers loads torch's compilers, which some builds can't share a process with TensorFlow's.
"""

import sys

import numpy as np
import torch
from transformers.loss.loss_for_object_detection import HungarianMatcher, ImageLoss

from tests.losses.detection_batches import COUNTS_BESIDE_ORIGINAL, batch_beside_original

WEIGHTS = {"loss_ce": 1.0, "loss_bbox": 5.0, "loss_giou": 2.0}


def original(objects, logits, boxes):
    """Return the weighted parts over all layers, the last cardinality error, and gradients."""
    # In float64, so that every difference is ours.
    logits, boxes = (torch.tensor(x, requires_grad=True) for x in (logits, boxes))
    matcher = HungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)
    parts = ["labels", "boxes", "cardinality"]
    num_layers, num_classes = logits.shape[1], logits.shape[-1] - 1
    criterion = ImageLoss(matcher, num_classes, eos_coef=0.1, losses=parts).double()
    targets = [
        {"boxes": torch.tensor(of_image), "class_labels": torch.tensor(labels)}
        for of_image, labels in objects
    ]
    layers = [{"logits": logits[:, i], "pred_boxes": boxes[:, i]} for i in range(num_layers)]
    losses = criterion({**layers[-1], "auxiliary_outputs": layers[:-1]}, targets)
    layer_ends = ["", *(f"_{i}" for i in range(num_layers - 1))]
    weighted = {
        name: sum(weight * losses[name + end] for end in layer_ends)
        for name, weight in WEIGHTS.items()
    }
    sum(weighted.values()).backward()
    return {
        **{name: value.item() for name, value in weighted.items()},
        "cardinality_error": losses["cardinality_error"].item(),
        "logits": logits.grad.numpy(),
        "boxes": boxes.grad.numpy(),
    }


if __name__ == "__main__":
    for name in COUNTS_BESIDE_ORIGINAL:
        np.savez(f"{sys.argv[1]}/{name}.npz", **original(*batch_beside_original(name)))
