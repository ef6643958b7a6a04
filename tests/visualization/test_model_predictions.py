"""A picture of a batch and what a detector predicts for it."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from keras_detr.visualization import plot_predictions
from tests.models.detectors import DETECTORS, tiny_batch


@pytest.fixture(scope="module")
def model():
    return DETECTORS["detr"].build()


def test_each_image_is_drawn_twice(model, tmp_path):
    path = tmp_path / "picture.png"
    figure = plot_predictions(model, tiny_batch(batch_size=3), path=path, max_images=2)
    assert len([axes for axes in figure.axes if axes.get_images()]) == 4
    with Image.open(path) as picture:
        assert picture.size[0] > 300


def test_confident_detections_alone_are_drawn(model):
    batch = tiny_batch(batch_size=1)
    without, everything = (
        plot_predictions(model, batch, confidence_threshold=threshold) for threshold in (1.0, 0.0)
    )
    shapes = [sum(len(axes.patches) for axes in f.axes) for f in (without, everything)]
    assert shapes[0] < shapes[1]


def test_a_segmenter_is_drawn_with_masks():
    segmenter, batch = DETECTORS["detr_segmenter"].build(), tiny_batch(batch_size=2)
    settings = {"confidence_threshold": 0.0, "max_images": 1}
    found = plot_predictions(segmenter, batch, **settings)
    for shown in found.axes:
        masks = [patch for patch in shown.patches if not isinstance(patch, Rectangle)]
        assert any(mask.get_fill() and mask.get_alpha() == 0.4 for mask in masks)


def test_boxes_in_another_format_are_refused(model):
    batch = tiny_batch(batch_size=2)
    batch["bounding_box_format"] = np.array(["rel_yxyx"] * 2)
    with pytest.raises(ValueError, match="rel_yxyx"):
        plot_predictions(model, batch)
