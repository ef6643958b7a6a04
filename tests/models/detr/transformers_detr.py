"""DETR of Hugging Face's transformers with random weights, as the original to compare with."""

import contextlib

import numpy as np
import pytest

from tests.models.torch_oracles import random_tensors

MEAN = np.array((0.485, 0.456, 0.406), "float32")
STANDARD_DEVIATION = np.array((0.229, 0.224, 0.225), "float32")
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


def dilate_last_stage(model):
    """Make the last stage keep its resolution; transformers itself can do so with timm only.

    Source: models/backbone.py of the original, `replace_stride_with_dilation`.
    """
    stage = model.model.backbone.model.encoder.stages[-1]
    for index, block in enumerate(stage.layers):
        for module in block.modules():
            if hasattr(module, "kernel_size"):
                module.stride = (1, 1)
                if module.kernel_size == (3, 3) and index > 0:
                    module.dilation = module.padding = (2, 2)


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

    # In float64, so that only the rounding of the model under test counts.
    model = model.double()
    normalized = (images / 255.0 - MEAN) / STANDARD_DEVIATION * pixel_mask[..., None]
    states = []
    with contextlib.ExitStack() as hooks, torch.no_grad():
        for layer in model.model.decoder.layers:
            # Taken before the final norm: what the next layer gets.
            hooks.callback(
                layer.register_forward_hook(lambda *call: states.append(call[-1])).remove
            )
        outputs = model(
            torch.tensor(np.transpose(normalized, (0, 3, 1, 2)).astype("float64")),
            pixel_mask=torch.tensor(pixel_mask.astype("int64")),
        )
        states = [state[0] if isinstance(state, tuple) else state for state in states]
        normed = model.model.decoder.layernorm(torch.stack(states, 1))
        logits = model.class_labels_classifier(normed)
        boxes = model.bbox_predictor(normed).sigmoid()
    np.testing.assert_array_equal(logits[:, -1], outputs.logits)
    np.testing.assert_array_equal(boxes[:, -1], outputs.pred_boxes)
    return logits.numpy(), boxes.numpy()


def images_of_two_sizes(height, width):
    """Make a padded batch of an upright and a lying image, with garbage where they are padded.

    Returns:
        pair of images float32 (2, height, width, 3) in 0..255 and pixel mask uint8.
    """
    generator = np.random.default_rng(1)
    # Coarse blocks: a network averages fine noise away, and all tokens would look alike.
    blocks = generator.uniform(0, 255, (2, -(-height // 16), -(-width // 16), 3))
    images = blocks.repeat(16, 1).repeat(16, 2)[:, :height, :width].astype("float32")
    pixel_mask = np.zeros((2, height, width), "uint8")
    pixel_mask[0, :, : width // 2 + 9] = 1
    pixel_mask[1, : height // 2 + 13, :] = 1
    return images, pixel_mask
