"""What queries look at, against transformers' attention for the same weights."""

import contextlib

import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from keras_detr.models import DETR, DeformableDETR
from keras_detr.models.task.set_prediction_detector import SetPredictionDetector
from tests.models.deformable_detr.transformers_deformable_detr import transformers_deformable_detr
from tests.models.detectors import inputs_of, tiny_batch, tiny_deformable_detr, tiny_detr
from tests.models.detr.transformers_detr import transformers_detr
from tests.models.originals import (
    TINY_RESNET,
    TINY_TRANSFORMER,
    images_of_two_sizes,
    originals_inputs,
)

pytestmark = pytest.mark.every_backend

# Sums in float32 against float64, and a softmax of them.
TOLERANCE = 1e-5
# Every map's stride divides them.
HEIGHT, WIDTH = 128, 192
TINY = {
    **TINY_TRANSFORMER,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "two_stage_num_proposals": 10,
    "id2label": dict(enumerate(["cat", "dog", "person"])),
}


def attention_of_original(model, images, pixel_mask):
    """Return what the cross-attention of each decoder layer computes, by hooks.

    Args:
        model: of transformers.
        images: float32 array (batch, height, width, 3) in 0..255.
        pixel_mask: array (batch, height, width).

    Returns:
        lists of tuples, one a layer: what the attention returns, and what its sampling gets; and
        the model's outputs.
    """
    import torch

    # The default computes no weights.
    model.set_attn_implementation("eager")
    model = model.double()
    images, pixel_mask = originals_inputs(images, pixel_mask)
    returned, sampled = [], []
    with contextlib.ExitStack() as hooks, torch.no_grad():
        for layer in model.model.decoder.layers:
            attention = layer.encoder_attn
            hook = attention.register_forward_hook(lambda *call: returned.append(call[-1]))
            hooks.callback(hook.remove)
            if hasattr(attention, "attn"):
                hook = attention.attn.register_forward_pre_hook(
                    lambda _, arguments: sampled.append(arguments)
                )
                hooks.callback(hook.remove)
        outputs = model(images, pixel_mask=pixel_mask)
    return returned, sampled, outputs


def test_detr(tmp_path):
    original = transformers_detr(TINY_RESNET, **TINY)
    original.save_pretrained(tmp_path)
    images, pixel_mask = images_of_two_sizes(HEIGHT, WIDTH)
    returned, _, outputs = attention_of_original(original, images, pixel_mask)
    expected = np.stack([weights.numpy() for _, weights in returned], axis=1)
    model = DETR.from_preset(tmp_path)
    found = model.decoder_attention({"images": images, "pixel_mask": pixel_mask})
    weights = found["attention_weights"]
    assert weights.shape == (2, 2, 10, 4, 4, 6)
    assert weights.dtype == np.float32
    expected = expected.transpose(0, 1, 3, 2, 4).reshape(weights.shape)
    # Attention that is the same everywhere would prove little.
    assert expected.std() > 0.05
    np.testing.assert_allclose(weights, expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(weights.sum((-2, -1)), 1.0, atol=TOLERANCE)
    # The masks at every 32nd pixel are those of the cells.
    padding = pixel_mask[:, ::32, ::32] == 0
    assert padding.any((1, 2)).all()
    assert not (weights * padding[:, None, None, None]).any()
    logits, boxes = outputs["logits"].numpy(), outputs["pred_boxes"].numpy()
    scores = softmax(logits, axis=-1)[..., :-1]
    np.testing.assert_array_equal(found["classes"], scores.argmax(-1))
    np.testing.assert_allclose(found["confidence"], scores.max(-1), atol=1e-4)
    sides = np.array([(WIDTH // 2 + 9, HEIGHT), (WIDTH, HEIGHT // 2 + 13)])[:, None]
    centers = (found["boxes"][..., :2] + found["boxes"][..., 2:]) / 2
    np.testing.assert_allclose(centers / sides, boxes[..., :2], atol=1e-4)


@pytest.mark.parametrize(
    "is_refined", [pytest.param(False, marks=pytest.mark.once), True], ids=["plain", "two-stage"]
)
def test_deformable_detr(tmp_path, is_refined):
    settings = {"with_box_refine": is_refined, "two_stage": is_refined}
    original = transformers_deformable_detr(TINY_RESNET, **TINY, **settings)
    original.save_pretrained(tmp_path)
    images, pixel_mask = images_of_two_sizes(HEIGHT, WIDTH)
    _, sampled, _ = attention_of_original(original, images, pixel_mask)
    points, weights = (
        np.stack([arguments[place].numpy() for arguments in sampled], axis=1) for place in (4, 5)
    )
    # From the padded maps to the image: its share of each map's width and height.
    masks = [pixel_mask[:, ::stride, ::stride] for stride in (8, 16, 32, 64)]
    shares = [(mask[:, 0].mean(axis=-1), mask[:, :, 0].mean(axis=-1)) for mask in masks]
    points /= np.transpose(shares, (2, 0, 1))[:, None, None, None, :, None]
    model = DeformableDETR.from_preset(tmp_path)
    found = model.decoder_attention({"images": images, "pixel_mask": pixel_mask})
    assert found["sampling_points"].shape == (2, 2, 10, 4, 4, 4, 2)
    assert weights.std() > 0.01
    assert points.std() > 0.1
    np.testing.assert_allclose(found["attention_weights"], weights, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found["sampling_points"], points, rtol=0, atol=10 * TOLERANCE)
    np.testing.assert_allclose(found["attention_weights"].sum((-2, -1)), 1.0, atol=TOLERANCE)


@pytest.mark.once
def test_each_query_has_its_detection():
    model = tiny_deformable_detr(bounding_box_format="xywh")
    num_variables, paths = len(model.variables), [layer.path for layer in model.layers]
    inputs = inputs_of(tiny_batch(batch_size=2))
    found = model.decoder_attention(inputs)
    # Nothing of it stays in the model, which is saved as it was.
    assert (len(model.variables), [layer.path for layer in model.layers]) == (num_variables, paths)
    predicted = {
        name: ops.convert_to_numpy(value)
        for name, value in model.decode_predictions(model(inputs), inputs).items()
    }
    for image in range(2):
        # The most confident one only: a query may have several.
        best = found["confidence"][image].argmax()
        assert found["classes"][image, best] == predicted["classes"][image, 0]
        for name in ("boxes", "confidence"):
            np.testing.assert_allclose(
                found[name][image, best], predicted[name][image, 0], rtol=1e-5
            )


@pytest.mark.once
def test_weights_stay_float32_in_half_precision():
    model = tiny_detr(dtype="mixed_bfloat16")
    weights = model.decoder_attention(tiny_batch(batch_size=1)["images"])["attention_weights"]
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights.sum((-2, -1)), 1.0, atol=TOLERANCE)


def test_a_detector_that_does_not_tell():
    model = tiny_detr()
    model.attend_set = lambda *arguments: SetPredictionDetector.attend_set(model, *arguments)
    with pytest.raises(NotImplementedError, match="DETR doesn't show its attention"):
        model.decoder_attention(tiny_batch(batch_size=1)["images"])
