"""DETR of Hugging Face's transformers with random weights, as the original to compare with."""

import contextlib

import numpy as np
import pytest

from tests.models.originals import dilate_last_stage, originals_inputs
from tests.models.torch_oracles import random_tensors

# What transformers calls a class of which the head has a row, but no data set has objects.
UNUSED = "N/A"


def transformers_detr(resnet, seed=0, is_dilated=False, **settings):
    """Build a DETR of transformers on its own ResNet, with random weights.

    Args:
        resnet: dict of arguments of `transformers.ResNetConfig`.
        seed: int.
        is_dilated: bool, whether to turn the backbone into that of the DC5 models.
        **settings: of `transformers.DetrConfig`.
    """
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        backbone_config=transformers.ResNetConfig(out_features=["stage4"], **resnet),
        auxiliary_loss=False,
        **settings,
    )
    model = transformers.DetrForObjectDetection(config).eval()
    state = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    with torch.no_grad():
        for name, value in random_tensors(shapes, seed).items():
            state[name].copy_(torch.tensor(value))
    if is_dilated:
        dilate_last_stage(model)
    return model


def outputs_of_all_layers(model, images, pixel_mask):
    """Compute logits and boxes of every decoder layer.

    Args:
        model: from `transformers_detr`.
        images: float32 array (batch, height, width, 3) in 0..255.
        pixel_mask: array (batch, height, width), 1 on the image.

    Returns:
        pair of float64 arrays (batch, layers, queries, rows) and (batch, layers, queries, 4).
    """
    import torch

    model = model.double()
    images, pixel_mask = originals_inputs(images, pixel_mask)
    states = []
    with contextlib.ExitStack() as hooks, torch.no_grad():
        for layer in model.model.decoder.layers:
            # Taken before the final norm: what the next layer gets.
            hooks.callback(
                layer.register_forward_hook(lambda *call: states.append(call[-1])).remove
            )
        outputs = model(images, pixel_mask=pixel_mask)
        states = [state[0] if isinstance(state, tuple) else state for state in states]
        normed = model.model.decoder.layernorm(torch.stack(states, 1))
        logits = model.class_labels_classifier(normed)
        boxes = model.bbox_predictor(normed).sigmoid()
    np.testing.assert_array_equal(logits[:, -1], outputs.logits)
    np.testing.assert_array_equal(boxes[:, -1], outputs.pred_boxes)
    return logits.numpy(), boxes.numpy()
