"""DINO's decoder, which corrects anchors and looks forward twice."""

from typing import Any

import keras
from keras import ops

from keras_detr.layers.deformable_detr.decoder import DeformableDecoderLayer
from keras_detr.layers.deformable_detr.references import (
    on_image,
    on_padded_maps,
    sine_codes_of_boxes,
)
from keras_detr.layers.multilayer_perceptron import MultilayerPerceptron
from keras_detr.layers.primitives.initializers import xavier_uniform
from keras_detr.layers.primitives.transformer_base import TransformerBase
from keras_detr.ops.boxes import inverse_sigmoid

# The least value of a side and of a distance to the edge before its logit is taken.
EPSILON = 1e-3


def corrected(boxes, corrections):
    """Return boxes, float32 (..., 4) in 0..1, whose logits a box head has corrected."""
    return ops.sigmoid(ops.cast(corrections, "float32") + inverse_sigmoid(boxes, EPSILON))


@keras.saving.register_keras_serializable("keras_detr")
class DINODecoder(TransformerBase):
    """Turn queries with anchor boxes into states, and anchors into better ones.

    Each layer's query positions are made of the anchors that it starts from.

    Args:
        num_layers: int.
        num_levels: int, feature maps.
        num_points: int, points that a head reads on each map.
        **kwargs: of `TransformerBase`.

    Call arguments:
        states: (batch, queries, size), what the queries start with.
        anchors: float32 (batch, queries, 4), rel_center_xywh of the unpadded image.
        memory, spatial_shapes, token_mask, query_mask: see `DeformableDecoderLayer`.
        valid_ratios: float32 (batch or 1, levels, 2), the image's share of each padded map's width
            and height.
        box_head: callable from states to corrections of boxes' logits, shared by all layers.
        return_intermediate: bool, whether to return the states and boxes of every layer instead of
            the last one only.

    Returns:
        triple of normalized states (batch, layers, queries, size), for the heads to read; of the
        boxes float32 (batch, layers, queries, 4) that the box head is to correct for them; and of
        where all layers read, see `DeformableDecoder`. A layer's box has a gradient to the layer
        before (which so looks forward twice), and to none before that.

    Example:
        ```python
        from keras_detr.layers import DINODecoder

        decoder = DINODecoder(1, num_levels=1, num_points=2, num_heads=2, feed_forward_dim=16)
        states, memory = np.ones((1, 5, 8), "float32"), np.ones((1, 12, 8), "float32")
        anchors, ratios = np.full((1, 5, 4), 0.5, "float32"), np.ones((1, 1, 2), "float32")
        box_head = keras.layers.Dense(4)
        maps = {"spatial_shapes": [(3, 4)], "valid_ratios": ratios}
        states, boxes, _ = decoder(states, anchors, memory, box_head=box_head, **maps)
        print(states.shape, boxes.shape)  # (1, 1, 5, 8) (1, 1, 5, 4)
        ```

    Source: Zhang et al. 2022 (DINO), section 3.5; models/dino/deformable_transformer.py of the
    original.
    """

    def __init__(
        self, num_layers: int = 6, num_levels: int = 4, num_points: int = 4, **kwargs: Any
    ) -> None:
        # Anchors stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.num_layers = num_layers
        self.num_levels = num_levels
        self.num_points = num_points

    def build(self, states_shape, *_, **__):
        """Create the layers, the network of query positions and the normalization of states."""
        size = states_shape[-1]
        self.decoder_layers = self.new_layers(
            DeformableDecoderLayer,
            self.num_layers,
            states_shape,
            num_levels=self.num_levels,
            num_points=self.num_points,
        )
        self.ref_point_head = MultilayerPerceptron(
            size, size, num_layers=2, dtype=self.dtype_policy, name="ref_point_head"
        )
        self.ref_point_head.build((None, None, 2 * size))
        for dense in self.ref_point_head.dense_layers:
            shape = dense.kernel.shape
            dense.kernel.assign(xavier_uniform(*shape)(shape))
        self.norm = self.new_norm("norm", size)

    def call(
        self,
        states,
        anchors,
        memory,
        spatial_shapes,
        valid_ratios,
        box_head,
        token_mask=None,
        query_mask=None,
        return_intermediate=True,
        training=None,
    ):
        """Return states and boxes of all layers, or of the last one."""
        all_states, all_boxes, all_points, all_weights = [], [], [], []
        boxes = anchors
        for index, layer in enumerate(self.decoder_layers):
            placed = on_padded_maps(anchors, valid_ratios)
            codes = sine_codes_of_boxes(_y_first(placed[:, :, 0]), states.shape[-1])
            states, (points, weights) = layer(
                states,
                self.ref_point_head(ops.cast(codes, self.compute_dtype)),
                placed,
                memory,
                spatial_shapes=spatial_shapes,
                token_mask=token_mask,
                query_mask=query_mask,
                training=training,
            )
            is_last = index == self.num_layers - 1
            if return_intermediate or is_last:
                all_states.append(self.norm(states))
                all_boxes.append(boxes)
            if not is_last:
                boxes = corrected(anchors, box_head(states))
                anchors = ops.stop_gradient(boxes)
            all_points.append(on_image(points, valid_ratios))
            all_weights.append(weights)
        states, boxes, points, weights = (
            ops.stack(of_layers, axis=1)
            for of_layers in (all_states, all_boxes, all_points, all_weights)
        )
        return states, boxes, (points, weights)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "num_levels": self.num_levels,
            "num_points": self.num_points,
        }


def _y_first(boxes):
    """Return boxes as (y, x, width, height): in DINO, this is the order of their codes."""
    return ops.concatenate([boxes[..., 1:2], boxes[..., :1], boxes[..., 2:]], axis=-1)
