"""What a detector's queries attend to, and what each of them detects."""

import keras
import numpy as np
from keras import ops
from scipy import special

from keras_detr.models.task.data_adapter import prediction_batch, unpadded_size
from keras_detr.ops.boxes import convert_box_format


class AttentionModel(keras.Model):
    """Compute a detector's `attend_set` as `predict` computes detections: in one program.

    It has no variables of its own, and isn't saved.

    Args:
        detector: a detector whose `attend_set` is implemented.
    """

    def __init__(self, detector):
        # Images stay in float32, as in the detector.
        super().__init__(autocast=False, name="attention")
        self.detector = detector
        self.built = True

    def call(self, inputs):
        """Return raw outputs and attention."""
        return self.detector(inputs, training=False, return_attention=True)


def attend(attention_model, inputs):
    """Return what `SetPredictionDetector.decoder_attention` does, of an `AttentionModel`."""
    detector = attention_model.detector
    inputs = prediction_batch(detector, inputs)
    outputs = attention_model.predict_on_batch(inputs)
    logits = outputs.pop("classification")
    if detector.has_no_object:
        scores = special.softmax(logits, axis=-1)[..., :-1]
    else:
        scores = special.expit(logits)
    boxes = convert_box_format(
        outputs.pop("box"),
        "rel_center_xywh",
        detector.bounding_box_format,
        [ops.convert_to_numpy(side)[:, None] for side in unpadded_size(inputs)],
        np.stack,
    )
    return {
        "boxes": boxes.astype("float32"),
        "classes": scores.argmax(axis=-1),
        "confidence": scores.max(axis=-1),
        **outputs,
    }
