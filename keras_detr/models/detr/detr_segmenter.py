"""DETR with a mask head: instance and panoptic segmentation."""

import keras
from keras import ops

from keras_detr.checkpoints import DETR_SEGMENTER_TABLE
from keras_detr.layers.detr.mask_attention import MaskAttention
from keras_detr.layers.detr.mask_head import MaskHead
from keras_detr.models.detr.detr import DETR
from keras_detr.models.detr.detr_checkpoint import detr_segmenter_variables
from keras_detr.models.necks.single_scale_neck import coarsest_level

# The finer maps that the mask head adds to the coarsest one.
NUM_FINER_MAPS = 3


@keras.saving.register_keras_serializable("keras_detr")
class DETRSegmenter(DETR):
    """Segment objects and stuff as a set: a `DETR` whose queries have masks too.

    Takes the arguments of `DETR`. The backbone needs four levels. The raw outputs have "mask" too,
    float32 (batch, queries, height / 4, width / 4): logits, positive on the object.

    Source: Carion et al. 2020, section 4.4; models/segmentation.py of the original.
    """

    checkpoint_table = DETR_SEGMENTER_TABLE

    def __init__(self, backbone, num_classes, bounding_box_format=None, **kwargs):
        super().__init__(backbone, num_classes, bounding_box_format, **kwargs)
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

    def predict_set(self, pyramid, pixel_mask, training, return_auxiliary):
        """Return the raw outputs for a feature pyramid."""
        states, _, read = self._transform(
            pyramid, pixel_mask, training=training, return_intermediate=return_auxiliary
        )
        return {**self._read(states), "mask": self._masks(pyramid, read, states[:, -1], training)}

    def _masks(self, pyramid, read, states, training):
        """Return the logits of the masks of some queries' states (batch, queries, size)."""
        height, width = ops.shape(pyramid[coarsest_level(pyramid)])[1:3]

        def as_map(tokens):
            return ops.reshape(tokens, (-1, height, width, *tokens.shape[2:]))

        mask = None if read["mask"] is None else as_map(read["mask"])
        attention = self.mask_attention(states, as_map(read["memory"]), mask, training=training)
        finer = [pyramid[level] for level in finer_levels(pyramid)]
        return self.mask_head(as_map(read["tokens"]), attention, finer)

    def checkpoint_variables(self):
        """Return the variables by canonical name."""
        return detr_segmenter_variables(self)


def finer_levels(pyramid):
    """Return the names of the three levels below a pyramid's highest, the coarsest first."""
    return sorted(pyramid, key=lambda level: -int(level[1:]))[1 : NUM_FINER_MAPS + 1]
