"""DETR's mask head in the whole model against transformers', for the same random weights."""

import numpy as np
import pytest

from keras_detr.checkpoints import to_canonical_names
from keras_detr.checkpoints.files.tensor_files import read_tensors
from keras_detr.models.detr.detr_segmenter import DETRSegmenter
from keras_detr.models.presets.checkpoint_variables import fill_variables
from tests.models.detectors import tiny_backbone, tiny_settings
from tests.models.originals import TOLERANCE, images_of_two_sizes, originals_inputs
from tests.models.torch_oracles import random_tensors
from tests.one_program import outputs_of

SIZE, HEADS, QUERIES = 128, 8, 10


def transformers_segmenter():
    """Return DETR for segmentation of transformers on a tiny ResNet, with random weights."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    resnet = transformers.ResNetConfig(
        out_features=["stage1", "stage2", "stage3", "stage4"],
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        backbone_config=resnet,
        d_model=SIZE,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_queries=QUERIES,
        num_labels=3,
    )
    model = transformers.DetrForSegmentation(config).eval()
    state = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    with torch.no_grad():
        for name, value in random_tensors(shapes).items():
            state[name].copy_(torch.tensor(value))
    return model


@pytest.mark.every_backend
@pytest.mark.parametrize("sides", [(160, 192), (160, 200)])
def test_masks_of_all_queries(tmp_path, sides):
    original = transformers_segmenter()
    import torch

    original.save_pretrained(tmp_path)
    settings = {"hidden_dim": SIZE, "num_heads": HEADS, "num_queries": QUERIES}
    model = DETRSegmenter(**tiny_settings({**settings, "backbone": tiny_backbone()}))
    found = to_canonical_names(read_tensors(tmp_path / "model.safetensors"), model.checkpoint_table)
    fill_variables(model.checkpoint_variables(), found.tensors, "transformers")
    images, pixel_mask = images_of_two_sizes(*sides)
    with torch.no_grad():
        inputs, mask = originals_inputs(images, pixel_mask)
        expected = original.double()(inputs, pixel_mask=mask)
    outputs = outputs_of(model, {"images": images, "pixel_mask": pixel_mask})
    masks = expected.pred_masks.numpy()
    assert np.abs(masks).max() > 0.1
    for name, value in (
        ("classification", expected.logits.numpy()),
        ("box", expected.pred_boxes.numpy()),
        ("mask", masks),
    ):
        assert outputs[name].shape == value.shape
        np.testing.assert_allclose(outputs[name], value, rtol=0, atol=TOLERANCE)
