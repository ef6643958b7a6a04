"""The logged parts of a loss: those that predictions have."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.losses import HungarianLoss
from keras_detr.models import DETR
from keras_detr.models.task.loss_trackers import LossTrackers
from tests.models.detectors import NUM_CLASSES, inputs_of, tiny_batch, tiny_detr
from tests.one_program import in_one_program

pytestmark = pytest.mark.every_backend

PARTS = ["classification_loss", "box_loss", "giou_loss"]
ENCODER_PARTS = [f"encoder_{name}" for name in PARTS]
ERRORS = ["class_error", "cardinality_error", "clipped_boxes", "dropped_boxes"]


class TwoStageDETR(DETR):
    """Give the first decoder layer out as if it were the encoder."""

    use_two_stage = True

    def predict_set(self, pyramid, pixel_mask, training, return_auxiliary):
        outputs = super().predict_set(pyramid, pixel_mask, training, return_auxiliary)
        if return_auxiliary:
            outputs["encoder_classification"] = outputs["aux_classification"][:, 0]
            outputs["encoder_box"] = outputs["aux_box"][:, 0]
        return outputs


def test_one_for_each_part():
    loss, metric = HungarianLoss.detr(), keras.metrics.Mean("mine")

    def names(*args, **kwargs):
        return [tracker.name for tracker in LossTrackers(*args, **kwargs).all]

    assert names(loss) == ["loss", *PARTS, *ERRORS]
    two_stage = names(loss, [metric], use_two_stage=True)
    assert two_stage == ["loss", *PARTS, *ENCODER_PARTS, *ERRORS, "mine"]
    assert names(None, [metric], use_two_stage=True) == ["loss", "mine"]


def test_means_weigh_images_and_counts_add_up():
    trackers = LossTrackers(HungarianLoss.detr(), use_two_stage=True)
    names = PARTS + ENCODER_PARTS + ERRORS
    for value, batch_size in ((1.0, 3), (5.0, 1)):
        components = {name: ops.convert_to_tensor(value) for name in names}
        trackers.update(components, 0.5, batch_size)
    results = {tracker.name: float(tracker.result()) for tracker in trackers.all}
    assert results.pop("loss") == 2.0 * 6 + 0.5
    assert results == {name: 6.0 if name.endswith("_boxes") else 2.0 for name in names}


@pytest.mark.once
def test_a_two_stage_detector_logs_the_parts_of_its_encoder():
    keras.utils.set_random_seed(0)
    settings = tiny_detr().get_config()
    assert settings["num_classes"] == NUM_CLASSES
    model = TwoStageDETR.from_config(settings)
    model.compile()
    batch = tiny_batch(batch_size=4)
    inputs, targets = inputs_of(batch), batch["bounding_boxes"]
    history = model.fit(
        inputs, targets, batch_size=4, validation_data=(inputs, targets), verbose=0
    ).history
    names = ["loss", *PARTS, *ENCODER_PARTS, *ERRORS]
    assert set(history) == {*names, *(f"val_{name}" for name in names)}
    for prefix in ("", "val_"):
        total = sum(history[prefix + name][0] for name in PARTS + ENCODER_PARTS)
        np.testing.assert_allclose(history[f"{prefix}loss"][0], total, rtol=1e-5)
        assert all(history[prefix + name][0] > 0 for name in ENCODER_PARTS)

    def loss(inputs, targets):
        return model.loss(model.encode_targets(inputs, targets), model(inputs))

    expected = in_one_program(loss)(inputs, targets)
    np.testing.assert_allclose(
        history["val_loss"][0], float(ops.convert_to_numpy(expected)), rtol=1e-4
    )
    assert "boxes" in model.predict(inputs, verbose=0)
