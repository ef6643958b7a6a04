"""Deformable DETR of Hugging Face's transformers with random weights, to compare with."""

import numpy as np
import pytest

from tests.models.originals import dilate_last_stage, originals_inputs
from tests.models.torch_oracles import random_tensors

# Points several pixels away, in all directions, that don't jump about with each rounding of what
# came before; nor do boxes that are refined.
_GAINS = {"sampling_offsets.bias": 20.0, "sampling_offsets.weight": 0.1}
_GAINS_OF_REFINEMENT = {**_GAINS, "bbox_embed": 0.3}


def transformers_deformable_detr(resnet, seed=0, is_dilated=False, **settings):
    """Build a Deformable DETR of transformers on its own ResNet, every head with its own weights.

    Args:
        resnet: dict of arguments of `transformers.ResNetConfig`.
        seed: int.
        is_dilated: bool, whether to turn the backbone into that of the DC5 models.
        **settings: of `transformers.DeformableDetrConfig`.
    """
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    is_single = settings.get("num_feature_levels") == 1
    stages = ["stage4"] if is_single else ["stage2", "stage3", "stage4"]
    config = transformers.DeformableDetrConfig(
        use_timm_backbone=False,
        backbone_config=transformers.ResNetConfig(out_features=stages, **resnet),
        disable_custom_kernels=True,
        **settings,
    )
    model = transformers.DeformableDetrForObjectDetection(config).eval()
    if config.with_box_refine:
        _untie_heads(model)
    state = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    gains = _GAINS_OF_REFINEMENT if config.with_box_refine else _GAINS
    with torch.no_grad():
        for name, value in random_tensors(shapes, seed).items():
            gain = next((gain for part, gain in gains.items() if part in name), 1.0)
            state[name].copy_(torch.tensor(value * gain))
    if is_dilated:
        dilate_last_stage(model)
    return model


def _untie_heads(model):
    """Give each layer heads of its own, known to the decoder too, as in the published files."""
    import torch

    for heads in (model.class_embed, model.bbox_embed):
        for module in heads.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, torch.nn.Parameter(parameter.detach().clone()))
    model.model.decoder.bbox_embed = model.bbox_embed
    if model.config.two_stage:
        model.model.decoder.class_embed = model.class_embed


def outputs_of_all_layers(model, images, pixel_mask):
    """Compute logits and boxes of every decoder layer, and of the encoder with two stages.

    Args:
        model: from `transformers_deformable_detr`.
        images: float32 array (batch, height, width, 3) in 0..255.
        pixel_mask: array (batch, height, width), 1 on the image.

    Returns:
        dict of float64 arrays: "logits" (batch, layers, queries, rows), "boxes" (batch, layers,
        queries, 4); "encoder_logits" and "encoder_boxes", `None` with one stage.
    """
    import torch

    model = model.double()
    images, pixel_mask = originals_inputs(images, pixel_mask)
    with torch.no_grad():
        outputs = model(images, pixel_mask=pixel_mask)
        states = outputs.intermediate_hidden_states
        references = [outputs.init_reference_points]
        references += list(outputs.intermediate_reference_points.unbind(1))
        logits, boxes = [], []
        for index in range(states.shape[1]):
            state, reference = states[:, index], references[index]
            reference = reference.clamp(0, 1)
            places = torch.log(reference.clamp(min=1e-5) / (1 - reference).clamp(min=1e-5))
            corrections = model.bbox_embed[index](state)
            corrections[..., : places.shape[-1]] += places
            logits.append(model.class_embed[index](state))
            boxes.append(corrections.sigmoid())
        logits, boxes = torch.stack(logits, 1), torch.stack(boxes, 1)
        is_two_stage = model.config.two_stage
    np.testing.assert_allclose(logits[:, -1], outputs.logits, atol=1e-9)
    np.testing.assert_allclose(boxes[:, -1], outputs.pred_boxes, atol=1e-9)
    return {
        "logits": logits.numpy(),
        "boxes": boxes.numpy(),
        "encoder_logits": outputs.enc_outputs_class.numpy() if is_two_stage else None,
        "encoder_boxes": outputs.enc_outputs_coord_logits.sigmoid().numpy()
        if is_two_stage
        else None,
    }
