"""DETR with a mask head: instance and panoptic segmentation."""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from keras_detr.batches.shapes import check_batch_size
from keras_detr.checkpoints import DETR_SEGMENTER_TABLE
from keras_detr.inference.image_chunks import image_chunks
from keras_detr.inference.panoptic import PanopticSegments
from keras_detr.layers.detr.confident_masks import masks_of_confident
from keras_detr.layers.detr.mask_attention import MaskAttention
from keras_detr.layers.detr.mask_head import MaskHead
from keras_detr.models.detr.detr import DETR
from keras_detr.models.detr.detr_checkpoint import MASK_NAMES, detr_segmenter_variables
from keras_detr.models.detr.detr_presets import DETR_PRESETS
from keras_detr.models.detr.detr_segmenter_presets import DETR_SEGMENTER_PRESETS
from keras_detr.models.detr.panoptic_prediction import segments_of_images
from keras_detr.models.necks.single_scale_neck import coarsest_level
from keras_detr.models.presets.hub_settings import not_in_transformers
from keras_detr.ops.batched_rows import batched_rows
from keras_detr.preprocessing.exif_orientation import check_exif

logger = logging.getLogger("keras_detr")

# The finer maps that the mask head adds to the coarsest one.
NUM_FINER_MAPS = 3


@keras.saving.register_keras_serializable("keras_detr")
class DETRSegmenter(DETR):
    """Segment objects and stuff as a set: a `DETR` whose queries have masks too.

    The backbone needs four levels. The raw outputs have "mask" too, float32 (batch, queries,
    height / 4, width / 4): logits, positive on the object. Training computes the masks of matched
    queries only, "matched_mask", and `predict` those of detections that are confident enough, ten
    at a time.

    Args:
        backbone, num_classes, bounding_box_format: as in `DETR`; so are all others.
        is_thing: sequence of bool, for each class whether it is a thing, which can be counted, or
            stuff; `None` where all are things. Only `segment` reads it.
        **kwargs: of `DETR`.

    Example:
    ```python
    model = keras_detr.DETRSegmenter.from_preset("detr_r50_panoptic")
    for found in model.detect("photo.png"):
        print(found.names, found.dense_masks().shape)
    model.segment("photo.png")[0].plot("segments.png")
    ```

    Source: Carion et al. 2020, section 4.4; models/segmentation.py of the original.
    """

    has_masks = True
    presets: ClassVar[dict] = DETR_SEGMENTER_PRESETS
    starting_presets: ClassVar[dict] = DETR_PRESETS
    hub_architecture = "DetrForSegmentation"
    checkpoint_table = DETR_SEGMENTER_TABLE

    def __init__(
        self,
        backbone: Any,
        num_classes: int,
        bounding_box_format: str | None = None,
        *,
        is_thing: Sequence[bool] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, num_classes, bounding_box_format, **kwargs)
        self.is_thing = _checked_kinds(is_thing, num_classes)
        shapes = self._pyramid_shapes
        levels = finer_levels(shapes)
        if len(levels) < NUM_FINER_MAPS:
            raise ValueError(
                f"`backbone` must have at least {NUM_FINER_MAPS + 1} levels, of which the finer "
                f"ones make masks. Received levels: {sorted(shapes)}."
            )
        self.mask_attention = MaskAttention(
            self.num_heads, dtype=self.dtype_policy, name="mask_attention"
        )
        self.mask_head = MaskHead(self.hidden_dim, dtype=self.dtype_policy, name="mask_head")
        tokens = (None, self.num_queries, self.hidden_dim)
        features = (None, None, None, self.hidden_dim)
        self.mask_attention.build(tokens, features)
        self.mask_head.build(
            features,
            (None, self.num_queries, None, None, self.num_heads),
            [shapes[level] for level in levels],
        )

    def wants_targets(self, training):
        """Return whether `predict_set` takes targets: in training and in evaluation."""
        return True

    def predict_set(
        self,
        pyramid,
        pixel_mask,
        training,
        return_auxiliary,
        targets=None,
        *,
        confidence_threshold=None,
    ):
        """Return the raw outputs for a feature pyramid."""
        states, _, read = self._transform(
            pyramid, pixel_mask, training=training, return_intermediate=return_auxiliary
        )
        outputs, states = self._read(states), states[:, -1]

        def masks_of(states):
            return self._masks(pyramid, read, states, training)

        if targets is not None:
            matched = batched_rows(states, self._match(targets, outputs))
            return {**outputs, "matched_mask": masks_of(matched)}
        if return_auxiliary:
            return {**outputs, "mask": masks_of(states)}
        confidence = self.prediction_decoder.confidence_of_queries(outputs["classification"])
        if confidence_threshold is None:
            confidence_threshold = self.prediction_decoder.confidence_threshold
        size = ops.shape(pyramid[finer_levels(pyramid)[-1]])[1:3]
        masks = masks_of_confident(masks_of, states, size, confidence, confidence_threshold)
        return {**outputs, "mask": masks}

    def _match(self, targets, outputs):
        """Return the query of each row of the targets, as the loss matches them."""
        loss = self.loss or self.default_loss()
        is_compiled_by_xla = self.compiled and bool(self.jit_compile)
        return loss.match(targets, outputs, is_compiled_by_xla=is_compiled_by_xla)

    def _masks(self, pyramid, read, states, training):
        """Return the logits of the masks of some queries' states (batch, queries, size)."""
        height, width = ops.shape(pyramid[coarsest_level(pyramid)])[1:3]

        def as_map(tokens):
            return ops.reshape(tokens, (-1, height, width, *tokens.shape[2:]))

        mask = None if read["mask"] is None else as_map(read["mask"])
        attention = self.mask_attention(states, as_map(read["memory"]), mask, training=training)
        finer = [pyramid[level] for level in finer_levels(pyramid)]
        return self.mask_head(as_map(read["tokens"]), attention, finer)

    def freeze_detector(self) -> None:
        """Let only the mask head learn, as the paper does once the detector is trained.

        Call it before `compile`. What follows needs fewer epochs: 25 in the paper.
        """
        for layer in self.layers:
            layer.trainable = layer in (self.mask_attention, self.mask_head)

    def segment(
        self,
        images: Any,
        *,
        confidence_threshold: float = 0.85,
        fewest_pixels: int = 5,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        exif: str = "apply",
    ) -> list[PanopticSegments]:
        """Divide images of any kind and size into things and stuff: a panoptic segmentation.

        Args:
            images: as in `keras_detr.detect`, as are `batch_size`, `verbose` and `exif`.
            confidence_threshold: float in 0..1, queries of this confidence or less are left out.
            fewest_pixels: int, smaller segments are left out, and others get their pixels.
            batch_size: int or `None`, the number of images that are predicted at a time.
            verbose: "auto", 0 or 1: whether to show a progress bar.
            exif: "apply" or "ignore", whether pictures are turned as their EXIF tag says.

        Returns:
            list of `keras_detr.inference.PanopticSegments`, one for every image, in the same order.

        Raises:
            FileNotFoundError, ValueError: as in `keras_detr.detect`.
        """
        check_batch_size(batch_size)
        check_exif(exif)
        settings = {"confidence_threshold": confidence_threshold, "fewest_pixels": fewest_pixels}
        results = []
        for chunk in image_chunks(images, exif, verbose):
            readable = [image for _, image, _ in chunk if image is not None]
            found = iter(segments_of_images(self, readable, batch_size, **settings))
            for path, image, error in chunk:
                size = None if image is None else tuple(image.shape[:2])
                segments = [] if image is None else next(found)
                results.append(PanopticSegments(path, size, segments, error, exif=exif))
        return results

    def checkpoint_variables(self):
        """Return the variables by canonical name."""
        return detr_segmenter_variables(self)

    def fit_checkpoint(self, tensors, class_rows, may_reset_classes, source):
        """Return tensors that fit, with a new mask head for those of a detector without masks."""
        if not any(name.startswith(MASK_NAMES) for name in tensors):
            logger.warning("The mask head starts anew: %s has none.", source)
            own = self.checkpoint_variables()
            fresh = {name: own[name].to_torch() for name in own if name.startswith(MASK_NAMES)}
            tensors = {**tensors, **fresh}
        return super().fit_checkpoint(tensors, class_rows, may_reset_classes, source)

    def in_transformers(self):
        """Return what transformers' files hold of the detector."""
        raise not_in_transformers(
            self, "its export is written for detectors without masks; this one isn't yet"
        )

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "is_thing": self.is_thing}


def _checked_kinds(is_thing, num_classes):
    """Return whether each class is a thing, as a tuple, or `None`."""
    if is_thing is None:
        return None
    is_thing = tuple(is_thing)
    if len(is_thing) != num_classes or not all(isinstance(kind, bool) for kind in is_thing):
        raise ValueError(
            f"`is_thing` must have True or False for each of the {num_classes} classes, or be "
            f"None. Received {len(is_thing)}: {is_thing!r:.80}."
        )
    return is_thing


def finer_levels(pyramid):
    """Return the names of the three levels below a pyramid's highest, the coarsest first."""
    return sorted(pyramid, key=lambda level: -int(level[1:]))[1 : NUM_FINER_MAPS + 1]
