"""The abstract task: a detector that predicts a set of objects and trains through `fit`."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from keras import ops

from keras_detr.batches.class_names import check_class_names
from keras_detr.batches.image_range import image_range_of
from keras_detr.batches.structure import input_parts
from keras_detr.models.backbones.feature_pyramid import pyramid_extractor
from keras_detr.models.keras_cv_bases import Task
from keras_detr.models.task.carried_inputs import (
    THRESHOLD_ENTRY,
    split_targets,
    without_extra_entries,
)
from keras_detr.models.task.data_adapter import unpadded_size
from keras_detr.models.task.detector_contract import DetectorContract
from keras_detr.models.task.from_preset import DetectorPresets
from keras_detr.models.task.objective import DetectorObjective
from keras_detr.models.task.prediction import DetectorPrediction
from keras_detr.models.task.raw_images import PREPROCESSOR_SIZES, check_preprocessor_sizes
from keras_detr.models.task.saving import DetectorSaving
from keras_detr.models.task.sharing import DetectorSharing
from keras_detr.models.task.training import DetectorTraining
from keras_detr.ops.backends import current
from keras_detr.ops.boxes import check_box_format, convert_box_format


class SetPredictionDetector(
    DetectorTraining,
    DetectorObjective,
    DetectorPrediction,
    DetectorPresets,
    DetectorSaving,
    DetectorSharing,
    DetectorContract,
    Task,
):
    """Predict a set of objects at once, and train it with bipartite matching.

    Abstract: a detector builds its layers, implements `predict_set`, and names its default loss;
    `keras_detr.models.task.DetectorContract` lists all that it can say. This class does what all
    detectors share: inputs and masks, boxes and their formats, `compile`, `fit`, `evaluate`,
    `predict`, decoding, saving.

    Args:
        backbone: a KerasCV, KerasHub or keras_detr backbone.
        num_classes: int, the real classes; labels run from 0 to `num_classes - 1`.
        bounding_box_format: str, of targets and of detections: KerasCV's eight formats and
            "rel_center_xywh". Relative formats mean fractions of the unpadded image.
        prediction_decoder: `SetPredictionDecoder`.
        class_names: sequence of str, one a class, or `None`.
        preprocessor_sizes: pair of int, pixels: the short side that `preprocessor` resizes raw
            images to, and the long side's limit, or `None` for no limit; or `None` for no
            `preprocessor`: raw images keep their size.
        **kwargs: of `keras.Model`.

    Call arguments:
        inputs: images (batch, height, width, 3), or a dict of "images" and "pixel_mask" (batch,
            height, width): 1 on the image, 0 on padding, which lies at the bottom and on the right.
        targets: dict of "boxes" (batch, objects, 4), rel_center_xywh of the unpadded image, and
            "classes" (batch, objects), -1 for padding; or `None`. With `training`, a detector with
            denoising queries makes them of these; one with masks computes only those that are
            matched with them. `fit` and `evaluate` pass them.
        return_auxiliary: bool, whether to return the outputs of all decoder layers.
        return_attention: bool, whether to return the last layer's outputs and the attention of all
            layers instead; see `decoder_attention`.

    Returns:
        dict of float32 tensors: "classification" (batch, queries, logits) and "box" (batch,
        queries, 4), rel_center_xywh of the unpadded image; with `return_auxiliary` also
        "aux_classification" and "aux_box" with an axis of earlier layers after the batch axis, and,
        if `use_two_stage`, "encoder_classification" and "encoder_box" with tokens for queries; with
        denoising queries "denoising_classification" and "denoising_box" (batch, layers, denoising
        queries, ...) of all decoder layers. Of a detector with masks also "mask" (batch, queries,
        height, width), or with `targets` "matched_mask" (batch, objects, height, width): logits.

    Raises:
        ValueError: `bounding_box_format` is missing or unknown, or an argument is out of range.

    Example:
        ```python
        model = keras_detr.ObjectDetector.from_preset("detr_r50")
        for found in model.detect("photo.jpg", confidence_threshold=0.7):
            print(found.names, found.confidence, found.boxes)
        ```
    """

    def __init__(
        self,
        backbone: Any,
        num_classes: int,
        bounding_box_format: str | None,
        prediction_decoder: Any,
        *,
        class_names: Sequence[str] | None = None,
        preprocessor_sizes: Sequence[int | None] | None = PREPROCESSOR_SIZES,
        **kwargs: Any,
    ) -> None:
        current().join_processes()
        check_box_format(bounding_box_format)
        check_preprocessor_sizes(preprocessor_sizes)
        if not isinstance(num_classes, int) or num_classes < 1:
            raise ValueError(
                "`num_classes` must be an integer of at least 1, the number of real classes "
                f"(no-object isn't one of them). Received: {num_classes!r}."
            )
        class_names = check_class_names(class_names, num_classes)
        # Images stay in float32 until the backbone has normalized them.
        super().__init__(autocast=False, **kwargs)
        self.backbone = backbone
        self.num_classes = num_classes
        self.bounding_box_format = bounding_box_format
        self.prediction_decoder = prediction_decoder
        self.preprocessor_sizes = None if preprocessor_sizes is None else tuple(preprocessor_sizes)
        # No attribute of the class: torch would find that instead of a layer.
        self.denoising = None
        self._extract_pyramid, self._pyramid_shapes = pyramid_extractor(backbone)
        self._loss_trackers: Any = None
        # Keras doesn't look inside, and so doesn't count these among the model's layers.
        self._untracked = SimpleNamespace(
            attention_model=None,
            class_names=class_names,
            image_range=image_range_of(self, is_first_only=False),
            is_evaluating=False,
            preprocessor=None,
            # The size of the batch that a line in the log was about, if there was one.
            told_unresized=[],
            trained_paths=None,
        )

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes 0..num_classes-1, tuple of str, or `None`; it can be assigned."""
        return self._untracked.class_names

    @class_names.setter
    def class_names(self, names: Sequence[str] | None) -> None:
        self._untracked.class_names = check_class_names(names, self.num_classes)

    def build_neck(self):
        """Build `neck` for the backbone's feature maps, if it isn't built already.

        A neck that comes from a saved configuration is.
        """
        if not self.neck.built:
            self.neck.build(self._pyramid_shapes)

    def __call__(self, inputs, *args, **kwargs):
        inputs, targets = split_targets(inputs, kwargs.pop("targets", None))
        if targets is not None:
            kwargs["targets"] = targets
        # Keras would make arrays of entries that aren't inputs, and can't of strings.
        return super().__call__(without_extra_entries(inputs), *args, **kwargs)

    def call(
        self,
        inputs,
        training=None,
        targets=None,
        return_auxiliary=True,
        return_attention=False,
    ):
        """Return raw outputs."""
        # Keras' trainer for JAX comes here without `__call__`.
        inputs, targets = split_targets(inputs, targets)
        images, pixel_mask, _ = input_parts(inputs)
        images = ops.cast(images, "float32")
        if pixel_mask is not None:
            is_image = ops.expand_dims(ops.cast(pixel_mask, "bool"), -1)
            padding = getattr(self.backbone, "padding_value", (0.0, 0.0, 0.0))
            images = ops.where(is_image, images, ops.convert_to_tensor(padding, "float32"))
        pyramid = self._extract_pyramid(images, training=training)
        if return_attention:
            return self.attend_set(pyramid, pixel_mask)
        settings = {}
        if targets is not None and self.wants_targets(bool(training)):
            settings["targets"] = targets
        if self.has_masks and isinstance(inputs, dict):
            settings["confidence_threshold"] = inputs.get(THRESHOLD_ENTRY)
        return self.predict_set(pyramid, pixel_mask, training, return_auxiliary, **settings)

    def encode_targets(self, inputs, bounding_boxes):
        """Convert targets to what the loss compares: rel_center_xywh of the unpadded image.

        Args:
            inputs: the model's inputs that they belong to.
            bounding_boxes: dict of "boxes" (batch, objects, 4) in `bounding_box_format`, and
                others, which stay as they are.
        """
        height, width = unpadded_size(inputs)
        boxes = convert_box_format(
            ops.cast(bounding_boxes["boxes"], "float32"),
            self.bounding_box_format,
            "rel_center_xywh",
            image_size=(ops.expand_dims(height, -1), ops.expand_dims(width, -1)),
        )
        return {**bounding_boxes, "boxes": boxes}

    def decode_predictions(self, predictions: Mapping[str, Any], images: Any) -> dict[str, Any]:
        """Turn raw outputs into detections.

        Args:
            predictions: dict, the raw outputs.
            images: the model's inputs that they belong to: images, or a dict with "pixel_mask".

        Returns:
            dict of "boxes" (batch, detections, 4) in `bounding_box_format`, "classes", "confidence"
            (batch, detections), the most confident first, and "num_detections" (batch,). With
            "mask" in `predictions` also "mask_logits" (batch, detections, height, width).
        """
        return self.prediction_decoder(predictions, image_size=unpadded_size(images))
