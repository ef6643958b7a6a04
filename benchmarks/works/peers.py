"""Detectors of transformers on its own ResNet, with random weights, as contenders."""

import contextlib

import numpy as np
from programs import random_images, random_mask, random_masks, random_targets


def transformers_model(family):
    """Build "detr", "detr_dc5", "detr_segmenter" or "deformable_detr" R50."""
    from transformers import (
        DeformableDetrConfig,
        DeformableDetrForObjectDetection,
        DetrConfig,
        DetrForObjectDetection,
        DetrForSegmentation,
        ResNetConfig,
    )

    first = {"detr_segmenter": 1, "deformable_detr": 2}.get(family, 4)
    stages = [f"stage{number}" for number in range(first, 5)]
    settings = {
        "use_timm_backbone": False,
        "backbone_config": ResNetConfig(out_features=stages),
        "num_labels": 91,
    }
    if family == "detr_segmenter":
        return DetrForSegmentation(DetrConfig(**settings))
    if family != "deformable_detr":
        model = DetrForObjectDetection(DetrConfig(**settings))
        if family == "detr_dc5":
            # The tests have it for the same reason: transformers' own ResNet can't be dilated.
            from tests.models.originals import dilate_last_stage

            dilate_last_stage(model)
        return model
    config = DeformableDetrConfig(**settings, disable_custom_kernels=True)
    return DeformableDetrForObjectDetection(config)


def device():
    """Return torch's device."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def synchronize():
    """Wait for the device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def inference(family, batch, height, width, is_masked, is_compiled=False, dtype=None):
    """Return a callable that computes the outputs of transformers' model."""
    import torch

    model = transformers_model(family).eval().to(device())
    images = random_images(batch, height, width).transpose(0, 3, 1, 2) / 255
    images = torch.tensor(images, device=device())
    mask = random_mask(batch, height, width) if is_masked else np.ones((batch, height, width))
    mask = torch.tensor(mask, dtype=torch.int64, device=device())
    if dtype:
        model, images = model.to(getattr(torch, dtype)), images.to(getattr(torch, dtype))
    if is_compiled:
        model = torch.compile(model)

    def run():
        with torch.no_grad():
            model(images, pixel_mask=mask)
        synchronize()

    return run


def train_last_stages(model):
    """Let the last three stages of the backbone learn, as the recipe wants and ours do.

    transformers looks for them by names that its own ResNet doesn't have, and freezes all of it: a
    step is a third cheaper, and learns less.
    """
    for name, parameter in model.named_parameters():
        if any(f".stages.{stage}." in name for stage in (1, 2, 3)):
            parameter.requires_grad_(True)


def training(family, batch, height, width, is_compiled=False, dtype=None):
    """Return a callable that takes a training step: forward, loss, gradient, clip, AdamW."""
    import torch

    model = transformers_model(family).train().to(device())
    train_last_stages(model)
    if is_compiled:
        # Not the loss, which matches with SciPy.
        getattr(model, "detr", model).model.compile()
    precision = contextlib.nullcontext()
    if dtype:
        precision = torch.autocast(device(), getattr(torch, dtype))
    images = np.ascontiguousarray(random_images(batch, height, width).transpose(0, 3, 1, 2) / 255)
    mask = torch.ones((batch, height, width), dtype=torch.int64, device=device())
    targets = random_targets(batch)
    scale = np.array((width, height, width, height))
    labels = []
    for boxes, classes in zip(targets["boxes"], targets["classes"], strict=True):
        centers, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        relative = (np.concatenate([centers, sizes], -1) / scale).astype("float32")
        labels.append(
            {
                "boxes": torch.tensor(relative, device=device()),
                "class_labels": torch.tensor(classes.astype("int64"), device=device()),
            }
        )
    if family == "detr_segmenter":
        for label, masks in zip(labels, random_masks(targets["boxes"], height, width), strict=True):
            label["masks"] = torch.tensor(masks, device=device())
    backbone = [p for n, p in model.named_parameters() if "backbone" in n and p.requires_grad]
    others = [p for n, p in model.named_parameters() if "backbone" not in n]
    optimizer = torch.optim.AdamW(
        [{"params": others}, {"params": backbone, "lr": 1e-5}], lr=1e-4, weight_decay=1e-4
    )

    def run():
        # The batch comes from the host, as ours does.
        pixels = torch.from_numpy(images).to(device())
        with precision:
            loss = model(pixels, pixel_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*others, *backbone], 0.1)
        optimizer.step()
        synchronize()

    return run
