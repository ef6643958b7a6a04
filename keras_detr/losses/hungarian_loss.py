"""The loss between a set of predictions and a set of objects."""

import copy
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_detr.losses.focal_classification import FocalClassification
from keras_detr.losses.input_checks import (
    check_masks,
    check_predictions,
    check_surplus,
    check_targets,
)
from keras_detr.losses.logged_errors import logged_errors
from keras_detr.losses.mask_losses import mask_losses
from keras_detr.losses.matched_pairs import box_losses, classes_of_queries, queries_of_groups
from keras_detr.losses.matching_costs import giou_cost, l1_cost
from keras_detr.losses.softmax_classification import SoftmaxClassification
from keras_detr.ops.backends import current
from keras_detr.ops.batched_rows import batched_rows
from keras_detr.ops.linear_assignment import METHODS, linear_assignment
from keras_detr.ops.target_objects import pack_target_objects


@keras.saving.register_keras_serializable("keras_detr")
class HungarianLoss(keras.losses.Loss):
    """Match every object with one query at the least cost, then compare the pairs.

    Every decoder layer is matched anew, all layers and images in one call. So is what a two-stage
    detector's encoder predicts; in Deformable DETR every object has class 0 there, because its
    tokens only tell objects from background. Denoising queries need no matching: each was made of
    an object, which the positive ones are to find and the negative ones to reject.
    Under `tf.distribute` and `torch.distributed` sums are divided by counts over all replicas, so
    that several devices compute what one would. A part of the loss is then the replica's: the mean
    over all of them is that of the whole batch.

    Args:
        classification: what separates the families: `SoftmaxClassification` (DETR) or
            `FocalClassification` (Deformable DETR). Default: `SoftmaxClassification()`.
        class_cost, box_cost, giou_cost: float, the weights of the classification, of the L1
            distance of boxes and of the generalized IoU in the matching cost.
        class_weight, box_weight, giou_weight: float, their weights in the loss.
        mask_weight, dice_weight: float, the weights of the focal loss and of the Dice loss of
            masks, where predictions and targets have masks.
        has_encoder_classes: bool, whether a two-stage detector's encoder predicts the real classes
            (DINO), instead of objects against background.
        area_epsilon: float, added to the areas that generalized IoU divides by; DINO's code does.
        assignment: "auto", "host" (SciPy) or "in_graph": see `linear_assignment`.
        name: str.
        **kwargs: of `keras.losses.Loss`; `reduction` has no effect, the loss is a scalar already.

    Call arguments:
        y_true: dict of "boxes" float (batch, objects, 4), rel_center_xywh of the unpadded image,
            and "classes" int (batch, objects), 0-based, -1 for padding. Boxes are clipped to the
            image; those without area are dropped, and both are counted. Where `y_pred` has masks,
            also "masks" bool (batch, objects, image height, image width), of the padded image.
            Optionally "image_weights" float32 (batch,): 0 for images without objects that only fill
            up the batch, and don't count; 1 for others.
        y_pred: dict of "classification" (batch, queries, C + 1 or C) logits and "box" (batch,
            queries, 4), rel_center_xywh; optionally "aux_classification" and "aux_box" with an axis
            of decoder layers after the batch axis; optionally "encoder_classification" and
            "encoder_box" with tokens in the place of queries; optionally "denoising_classification"
            and "denoising_box" of all decoder layers, of the queries of `ContrastiveDenoising`;
            optionally masks of the last decoder layer, logits: "mask" (batch, queries, height,
            width), or "matched_mask" (batch, objects, height, width) of the queries that `match`
            names.

    Returns:
        float32 scalar.

    Raises:
        ValueError: shapes don't fit, or (where values can be read) a label is out of range, or an
            image has more objects than there are queries.

    Example:
        ```python
        loss = keras_detr.HungarianLoss(box_weight=5.0, giou_weight=2.0)
        # Two objects in one image, as centers and sizes.
        y_true = {
            "boxes": np.array([[[0.5, 0.5, 0.2, 0.3], [0.2, 0.3, 0.1, 0.1]]], "float32"),
            "classes": np.array([[0, 1]]),
        }
        y_pred = {
            "classification": np.zeros((1, 5, 3), "float32"),  # Two classes and no-object.
            "box": np.full((1, 5, 4), 0.4, "float32"),
        }
        print(float(loss(y_true, y_pred)))
        print({name: float(part) for name, part in loss.components(y_true, y_pred).items()})
        ```

    Source: Carion et al. 2020, section 3.1; models/detr.py and models/matcher.py of the original.
    For the encoder: Zhu et al. 2021, section A.4; models/deformable_detr.py of the original. For
    denoising: Zhang et al. 2022, section 3.3; models/dino/dino.py of the original. For masks:
    Carion et al. 2020, section 4.4; models/segmentation.py of the original.
    """

    component_names = ("classification_loss", "box_loss", "giou_loss")
    # Beside them where predictions have an encoder's part.
    encoder_component_names = tuple(f"encoder_{name}" for name in component_names)
    # And where they have denoising queries, in training.
    denoising_component_names = tuple(f"denoising_{name}" for name in component_names)
    # And where they have masks.
    mask_component_names = ("mask_loss", "dice_loss")
    metric_names = ("class_error", "cardinality_error", "clipped_boxes", "dropped_boxes")

    def __init__(
        self,
        classification: Any = None,
        *,
        class_cost: float = 1.0,
        box_cost: float = 5.0,
        giou_cost: float = 2.0,
        class_weight: float = 1.0,
        box_weight: float = 5.0,
        giou_weight: float = 2.0,
        mask_weight: float = 1.0,
        dice_weight: float = 1.0,
        has_encoder_classes: bool = False,
        area_epsilon: float = 0.0,
        assignment: str = "auto",
        name: str = "hungarian_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if assignment not in METHODS:
            raise ValueError(f"`assignment` must be one of {METHODS}. Received: {assignment!r}.")
        self.classification = classification or SoftmaxClassification()
        self.class_cost = class_cost
        self.box_cost = box_cost
        self.giou_cost = giou_cost
        self.class_weight = class_weight
        self.box_weight = box_weight
        self.giou_weight = giou_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.has_encoder_classes = has_encoder_classes
        self.area_epsilon = area_epsilon
        self.assignment = assignment

    @classmethod
    def detr(cls, **kwargs: Any) -> "HungarianLoss":
        """Return the loss of Carion et al. 2020, with other settings from `kwargs`."""
        return cls(**{"name": "detr_loss", **kwargs})

    @classmethod
    def deformable_detr(cls, **kwargs: Any) -> "HungarianLoss":
        """Return the loss of Zhu et al. 2021, with other settings from `kwargs`."""
        settings = {
            "classification": FocalClassification(),
            "class_cost": 2.0,
            "class_weight": 2.0,
            "name": "deformable_detr_loss",
        }
        return cls(**{**settings, **kwargs})

    @classmethod
    def dino_detr(cls, **kwargs: Any) -> "HungarianLoss":
        """Return the loss of Zhang et al. 2022 (DINO), with other settings from `kwargs`."""
        settings = {
            "classification": FocalClassification(),
            "class_cost": 2.0,
            "has_encoder_classes": True,
            "area_epsilon": 1e-6,
            "name": "dino_detr_loss",
        }
        return cls(**{**settings, **kwargs})

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Return the total loss."""
        if sample_weight is not None:
            raise ValueError(
                "`HungarianLoss` takes no `sample_weight`: objects of several images share one "
                "normalizer. Leave images out of the data set instead."
            )
        return self.call(y_true, y_pred)

    def call(self, y_true, y_pred):
        """Return the total loss."""
        return self.total(self.components(y_true, y_pred))

    def total(self, components: Mapping[str, Any]) -> Any:
        """Add up what `components` returned, scaled for the way replicas combine gradients."""
        names = (
            *self.component_names,
            *self.encoder_component_names,
            *self.denoising_component_names,
            *self.mask_component_names,
        )
        total = sum(components[name] for name in names if name in components)
        return current().loss_of_replica(total)

    def match(
        self,
        y_true: Mapping[str, Any],
        y_pred: Mapping[str, Any],
        is_compiled_by_xla: bool = False,
    ) -> Any:
        """Return which query of the last decoder layer is matched with each row of the targets.

        Arguments are those of `components`.

        Returns:
            int32 (batch, objects), -1 for padding and for boxes that are dropped; (batch, 1) of
            targets without a row.
        """
        logits, boxes = (ops.expand_dims(part, 1) for part in _predictions(y_pred))
        objects = pack_target_objects(y_true["boxes"], y_true["classes"])
        queries = self._match(logits, boxes, objects, objects.classes, is_compiled_by_xla)
        return objects.in_rows_of_targets(queries[:, 0])

    def components(
        self,
        y_true: Mapping[str, Any],
        y_pred: Mapping[str, Any],
        is_compiled_by_xla: bool = False,
    ) -> dict[str, Any]:
        """Return the parts of the loss and what else is worth logging.

        Args:
            y_true, y_pred: as in a call.
            is_compiled_by_xla: bool, whether the surrounding TensorFlow program is compiled with
                `jit_compile=True`, where SciPy can't be called.

        Returns:
            dict of float32 scalars. "classification_loss", "box_loss", "giou_loss": weighted, over
            all decoder layers. "encoder_classification_loss", "encoder_box_loss",
            "encoder_giou_loss": the same of the encoder, if `y_pred` has its predictions;
            "denoising_classification_loss", "denoising_box_loss", "denoising_giou_loss": of the
            denoising queries, likewise; "mask_loss" (focal) and "dice_loss": of the masks of the
            last layer's matched queries, likewise. Their sum is the loss. Of the last layer,
            without gradients: "class_error" (percent of objects whose query names another class)
            and "cardinality_error" (mean absolute error of the number of objects in an image).
            "clipped_boxes", "dropped_boxes": counts.
        """
        check_predictions(y_pred)
        logits, boxes = _stack_layers(y_pred)
        check_targets(y_true, logits.shape[0], self.classification.num_classes(logits))
        objects = pack_target_objects(y_true["boxes"], y_true["classes"])
        check_surplus(objects.is_object, logits.shape[2])
        num_objects = ops.cast(ops.sum(objects.num_objects), "float32")
        # At least 1 over all replicas, as one device would have it.
        divisor = (
            ops.maximum(current().sum_over_replicas(num_objects), 1.0) / current().num_replicas()
        )
        queries = self._match(logits, boxes, objects, objects.classes, is_compiled_by_xla)
        weights = y_true.get("image_weights")
        compared = objects.boxes, objects.classes, queries, divisor, weights
        losses = self._losses(logits, boxes, *compared)
        components = dict(zip(self.component_names, losses, strict=True))
        if "encoder_box" in y_pred:
            losses = self._encoder_losses(y_pred, objects, divisor, weights, is_compiled_by_xla)
            components |= zip(self.encoder_component_names, losses, strict=True)
        if "denoising_box" in y_pred:
            losses = self._denoising_losses(y_pred, objects, divisor, weights)
            components |= zip(self.denoising_component_names, losses, strict=True)
        if "mask" in y_pred or "matched_mask" in y_pred:
            rows = objects.in_rows_of_targets(queries[:, -1])
            losses = self._mask_losses(y_true, y_pred, rows, divisor)
            components |= zip(self.mask_component_names, losses, strict=True)
        last = ops.stop_gradient(logits[:, -1]), queries[:, -1]
        return {
            **components,
            **logged_errors(self.classification, *last, objects, weights),
            "clipped_boxes": objects.num_clipped,
            "dropped_boxes": objects.num_dropped,
        }

    def _encoder_losses(self, y_pred, objects, divisor, image_weights, is_compiled_by_xla):
        """Return the losses of a two-stage detector's encoder."""
        logits, boxes = (ops.expand_dims(part, 1) for part in _predictions(y_pred, "encoder_"))
        classes = objects.classes
        if not self.has_encoder_classes:
            # One column for all objects of an image: one class' cost of each of many tokens.
            classes = ops.zeros_like(classes[:, :1])
        tokens = self._match(logits, boxes, objects, classes, is_compiled_by_xla)
        compared = objects.boxes, classes, tokens, divisor, image_weights
        return self._losses(logits, boxes, *compared)

    def _denoising_losses(self, y_pred, objects, divisor, image_weights):
        """Return the losses of denoising queries, a mean over their groups."""
        logits, boxes = _predictions(y_pred, "denoising_")
        repeated, queries, num_groups = queries_of_groups(objects, *ops.shape(logits)[1:3])
        divisor = divisor * ops.cast(num_groups, "float32")
        compared = repeated.boxes, repeated.classes, queries, divisor, image_weights
        return self._losses(logits, boxes, *compared)

    def _mask_losses(self, y_true, y_pred, queries, divisor):
        """Return the losses of the masks that the last layer's matched queries predict.

        `queries` are those of the targets' rows (batch, objects), -1 for padding.
        """
        check_masks(y_true, y_pred)
        if "matched_mask" in y_pred:
            logits = y_pred["matched_mask"]
        else:
            logits = batched_rows(y_pred["mask"], queries)
        masks = y_true["masks"]
        if masks.shape[1] == 0:
            masks = ops.pad(masks, ((0, 0), (0, 1), (0, 0), (0, 0)))
        focal, dice = mask_losses(ops.cast(logits, "float32"), masks, queries >= 0)
        return self.mask_weight * focal / divisor, self.dice_weight * dice / divisor

    def _losses(self, logits, boxes, object_boxes, classes, queries, divisor, image_weights):
        """Return the weighted losses of classes, boxes and overlaps, over all layers.

        `classes` are (batch, objects), or (batch, 1) where an image has one class only; `queries`
        are those of the objects (batch, layers, objects), -1 for padding.
        """
        num_classes = self.classification.num_classes(logits)
        targets = classes_of_queries(queries, classes, ops.shape(boxes)[2], num_classes)
        class_losses = self.classification.loss(
            logits, targets, divisor, _mean_over_replicas, image_weights
        )
        l1_losses, giou_losses = box_losses(boxes, queries, object_boxes, self.area_epsilon)
        return (
            self.class_weight * ops.sum(class_losses),
            self.box_weight * ops.sum(l1_losses) / divisor,
            self.giou_weight * ops.sum(giou_losses) / divisor,
        )

    def _match(self, logits, boxes, objects, classes, is_compiled_by_xla):
        """Return the query of each object, int32 (batch, layers, objects), -1 for padding."""
        logits, boxes = ops.stop_gradient(logits), ops.stop_gradient(boxes)
        cost = (
            self.class_cost * self.classification.cost(logits, classes)
            + self.box_cost * l1_cost(objects.boxes, boxes)
            + self.giou_cost * giou_cost(objects.boxes, boxes)
        )
        num_layers, num_queries = ops.shape(boxes)[1:3]
        max_objects = ops.shape(objects.classes)[1]
        queries = linear_assignment(
            ops.reshape(cost, (-1, max_objects, num_queries)),
            ops.repeat(objects.num_objects, num_layers),
            self.assignment,
            is_compiled_by_xla,
        )
        return ops.reshape(queries, (-1, num_layers, max_objects))

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "classification": keras.saving.serialize_keras_object(self.classification),
            "class_cost": self.class_cost,
            "box_cost": self.box_cost,
            "giou_cost": self.giou_cost,
            "class_weight": self.class_weight,
            "box_weight": self.box_weight,
            "giou_weight": self.giou_weight,
            "mask_weight": self.mask_weight,
            "dice_weight": self.dice_weight,
            "has_encoder_classes": self.has_encoder_classes,
            "area_epsilon": self.area_epsilon,
            "assignment": self.assignment,
        }

    @classmethod
    def from_config(cls, config):
        """Build from `get_config`."""
        config = copy.deepcopy(config)
        config["classification"] = keras.saving.deserialize_keras_object(config["classification"])
        return cls(**config)


def _predictions(y_pred, prefix=""):
    """Return float32 logits and boxes whose names have a prefix."""
    return tuple(
        ops.cast(y_pred[f"{prefix}{name}"], "float32") for name in ("classification", "box")
    )


def _stack_layers(y_pred):
    """Return float32 logits and boxes of all decoder layers, the last one last.

    They are (batch, layers, queries, classes) and (batch, layers, queries, 4).
    """
    stacked = [ops.expand_dims(part, 1) for part in _predictions(y_pred)]
    if "aux_box" in y_pred:
        earlier = _predictions(y_pred, "aux_")
        stacked = [ops.concatenate(pair, axis=1) for pair in zip(earlier, stacked, strict=True)]
    return stacked


def _mean_over_replicas(value):
    return current().sum_over_replicas(value) / current().num_replicas()
