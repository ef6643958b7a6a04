"""Eight real images, through TFDS and `fit`, are learned by heart: nothing on the way is broken."""

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import keras

from examples.quickstart import small_backbone
from keras_detr import DETR, detr_optimizer
from keras_detr.datasets import load_coco
from keras_detr.evaluation import evaluate_detector
from keras_detr.preprocessing import PadToCanvas, ResizeShortestSide
from tests.datasets.coco_mini import prepare_coco_mini

SIDE = 192
MOST_STEPS = 600
STEPS_AT_ONCE = 100


@pytest.mark.realdata
@pytest.mark.slow
def test_eight_images_of_coco_are_learned_by_heart(tmp_path):
    prepare_coco_mini(tmp_path)
    images = load_coco("train", data_dir=tmp_path, bounding_box_format="rel_xyxy").take(8)
    for layer in (
        ResizeShortestSide(SIDE, longest_side=SIDE, bounding_box_format="rel_xyxy"),
        PadToCanvas((SIDE, SIDE), max_boxes=30, bounding_box_format="rel_xyxy"),
    ):
        images = images.map(layer)
    batch = images.batch(8).cache()
    model = DETR(
        small_backbone(),
        num_classes=80,
        bounding_box_format="rel_xyxy",
        num_queries=30,
        hidden_dim=128,
        num_encoder_layers=1,
        num_decoder_layers=3,
        feed_forward_dim=256,
        dropout=0.0,
    )
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, MOST_STEPS, warmup_target=1e-3, warmup_steps=20
    )
    model.compile(detr_optimizer(model, rate, rate))
    for _ in range(MOST_STEPS // STEPS_AT_ONCE):
        model.fit(batch.repeat(), steps_per_epoch=STEPS_AT_ONCE, verbose=0)
        figures = evaluate_detector(model, batch)
        if figures["AP50"] > 0.95:
            break
    assert figures["AP50"] > 0.9, figures

    # A model that ignores its images can score, but predicts the same boxes for all of them.
    inputs = {name: next(iter(batch))[name].numpy() for name in ("images", "pixel_mask")}
    boxes = model.predict(inputs, verbose=0)["boxes"]
    for index in range(1, 8):
        assert np.abs(boxes[index] - boxes[0]).max() > 0.05
