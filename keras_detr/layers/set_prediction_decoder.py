"""From raw outputs to detections."""

import numbers
from typing import Any

import keras
from keras import ops

from keras_detr.checkpoints.counts import check_counts
from keras_detr.ops.batched_rows import batched_rows
from keras_detr.ops.boxes import check_box_format, convert_box_format

ACTIVATIONS = ("softmax", "sigmoid")
# More than there are candidates stands for all.
_LARGEST_COUNT = 2**31


@keras.saving.register_keras_serializable("keras_detr")
class SetPredictionDecoder(keras.layers.Layer):
    """Turn a set of predictions into detections, the most confident first.

    A set predictor gives every object one query, so there is no non-maximum suppression.

    Args:
        bounding_box_format: str, the format of the boxes returned.
        activation: "softmax" (DETR: logits end with no-object; every query gives its best class)
            or "sigmoid" (Deformable DETR: every pair of query and class is a candidate).
        max_detections: int, how many detections an image gets; at most one for each candidate.
        confidence_threshold: float in [0, 1] or `None`. Detections below it become padding.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        predictions: dict with "classification" (batch, queries, classes) logits and "box"
            (batch, queries, 4), rel_center_xywh; perhaps "mask" (batch, queries, height, width).
        image_size: pair (height, width) of the unpadded images in pixels, each a number or a
            (batch,) tensor. Needed for absolute formats.

    Returns:
        dict of "boxes" float32 (batch, detections, 4), "classes" int32 (batch, detections),
        "confidence" float32 (batch, detections), and "num_detections" int32 (batch,). Padding has
        class -1, and -1 for boxes and confidence. Where predictions have "mask", also
        "mask_logits" (batch, detections, height, width), of which padding has any.

    Example:
        ```python
        from keras_detr.layers import SetPredictionDecoder

        decoder = SetPredictionDecoder("xyxy", max_detections=5)
        predictions = {
            "classification": np.zeros((1, 10, 3), "float32"),  # Two classes and no-object.
            "box": np.full((1, 10, 4), 0.5, "float32"),
        }
        found = decoder(predictions, image_size=(480, 640))
        print(found["boxes"].shape, found["confidence"].shape)  # (1, 5, 4) (1, 5)
        ```

    Source: models/detr.py of the original, `PostProcess`; Deformable DETR's likewise.
    """

    def __init__(
        self,
        bounding_box_format: str | None,
        *,
        activation: str = "softmax",
        max_detections: int = 100,
        confidence_threshold: float | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        check_box_format(bounding_box_format)
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"`activation` must be one of {ACTIVATIONS}. Received: {activation!r}."
            )
        check_counts(_LARGEST_COUNT, max_detections=max_detections)
        if confidence_threshold is not None and not (
            isinstance(confidence_threshold, numbers.Real) and 0 <= confidence_threshold <= 1
        ):
            raise ValueError(
                "`confidence_threshold` must be a number in [0, 1], or None. Received: "
                f"{confidence_threshold!r}."
            )
        self.bounding_box_format = bounding_box_format
        self.activation = activation
        self.max_detections = max_detections
        self.confidence_threshold = confidence_threshold
        self.built = True

    def call(self, predictions, image_size=None):
        """Return the detections."""
        logits = ops.cast(predictions["classification"], "float32")
        boxes = ops.cast(predictions["box"], "float32")
        if self.activation == "softmax":
            probabilities = _class_probabilities(logits)
            scores = ops.max(probabilities, axis=-1)
            classes = _first_best(probabilities, scores)
            confidence, queries = self._best(scores)
            classes = ops.take_along_axis(classes, queries, axis=1)
        else:
            num_classes = logits.shape[-1]
            scores = ops.reshape(ops.sigmoid(logits), (-1, logits.shape[1] * num_classes))
            confidence, candidates = self._best(scores)
            queries, classes = candidates // num_classes, candidates % num_classes
        boxes = ops.take_along_axis(boxes, ops.expand_dims(queries, -1), axis=1)
        masks = {}
        if "mask" in predictions:
            masks["mask_logits"] = batched_rows(predictions["mask"], queries)
        if image_size is not None:
            image_size = [ops.reshape(ops.cast(side, "float32"), (-1, 1)) for side in image_size]
        boxes = convert_box_format(
            boxes, "rel_center_xywh", self.bounding_box_format, image_size=image_size
        )
        if self.confidence_threshold is None:
            num_detections = ops.sum(ops.ones_like(classes), axis=1)
        else:
            is_kept = confidence >= self.confidence_threshold
            classes = ops.where(is_kept, classes, -1)
            boxes = ops.where(ops.expand_dims(is_kept, -1), boxes, -1.0)
            confidence = ops.where(is_kept, confidence, -1.0)
            num_detections = ops.sum(ops.cast(is_kept, "int32"), axis=1)
        return {
            "boxes": boxes,
            "classes": classes,
            "confidence": confidence,
            "num_detections": num_detections,
            **masks,
        }

    def confidence_of_queries(self, logits):
        """Return float32 (batch, queries), the confidence of each query's best class."""
        logits = ops.cast(logits, "float32")
        if self.activation == "softmax":
            return ops.max(_class_probabilities(logits), axis=-1)
        return ops.max(ops.sigmoid(logits), axis=-1)

    def _best(self, scores):
        confidence, indices = ops.top_k(scores, min(self.max_detections, scores.shape[1]))
        return confidence, ops.cast(indices, "int32")

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "bounding_box_format": self.bounding_box_format,
            "activation": self.activation,
            "max_detections": self.max_detections,
            "confidence_threshold": self.confidence_threshold,
        }


def _class_probabilities(logits):
    """Return those of real classes, of logits that end with no-object."""
    return ops.softmax(logits, axis=-1)[..., :-1]


def _first_best(scores, best):
    """Return where the last axis first has its maximum, int32.

    Keras' argmax looks at the bits of floats on TensorFlow, which ONNX has no operation for.
    """
    num_classes = scores.shape[-1]
    places = ops.arange(num_classes, dtype="int32")
    is_best = ops.equal(scores, ops.expand_dims(best, -1))
    return ops.min(ops.where(is_best, places, num_classes - 1), axis=-1)
