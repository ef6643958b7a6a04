"""Deformable DETR's decoder, and its layer."""

from typing import Any

import keras
from keras import ops

from keras_detr.layers.deformable_detr.heads import FIRST_SIDE_LOGIT
from keras_detr.layers.deformable_detr.multi_scale_deformable_attention import (
    MultiScaleDeformableAttention,
)
from keras_detr.layers.deformable_detr.references import (
    on_image,
    on_padded_maps,
    with_reach_of_cells,
)
from keras_detr.layers.primitives.transformer_base import TransformerBase
from keras_detr.ops.boxes import inverse_sigmoid


@keras.saving.register_keras_serializable("keras_detr")
class DeformableDecoderLayer(TransformerBase):
    """Let the object queries attend to each other, then read points around their references.

    Args:
        num_levels: int, feature maps.
        num_points: int, points that a head reads on each map.
        **kwargs: of `TransformerBase`.

    Call arguments:
        states: (batch, queries, size), what each query has gathered so far.
        query_positions: (batch or 1, queries, size), added to queries and keys but not to values.
        reference_points: float32 (batch, queries, levels, 2 or 4).
        memory: (batch, tokens, size), the encoder's output.
        spatial_shapes: sequence of (height, width) of the levels.
        token_mask: bool (batch, tokens), true on the image, or `None`.
        query_mask: bool (1, queries, queries), true where a query, in its row, may attend to
            another; or `None`.

    Returns:
        pair of states (batch, queries, size), and of what `MultiScaleDeformableAttention` says of
        where was read.

    Example:
        ```python
        from keras_detr.layers import DeformableDecoderLayer

        layer = DeformableDecoderLayer(num_levels=1, num_points=2, num_heads=2, feed_forward_dim=16)
        queries, memory = np.ones((1, 5, 8), "float32"), np.ones((1, 12, 8), "float32")
        points = np.full((1, 5, 1, 2), 0.5, "float32")
        states, attention = layer(queries, queries, points, memory, spatial_shapes=[(3, 4)])
        print(states.shape)  # (1, 5, 8)
        ```

    Source: Zhu et al. 2021, section 4.1; models/deformable_transformer.py of the original, which
    numbers the norm after self-attention 2 and that after cross-attention 1.
    """

    def __init__(self, num_levels: int = 4, num_points: int = 4, **kwargs: Any) -> None:
        # Reference points stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.num_levels = num_levels
        self.num_points = num_points

    def build(self, states_shape, *_, **__):
        """Create the sub-layers, named as in the original."""
        size = states_shape[-1]
        self.residual_dropout = self.new_residual_dropout()
        self.self_attn = self.new_attention("self_attn", size)
        self.cross_attn = MultiScaleDeformableAttention(
            self.num_heads,
            self.num_levels,
            self.num_points,
            dtype=self.dtype_policy,
            name="cross_attn",
        )
        self.cross_attn.build(states_shape)
        self.feed_forward = self.new_feed_forward(size)
        self.norm1 = self.new_norm("norm1", size)
        self.norm2 = self.new_norm("norm2", size)
        self.norm3 = self.new_norm("norm3", size)

    def call(
        self,
        states,
        query_positions,
        reference_points,
        memory,
        spatial_shapes,
        token_mask=None,
        query_mask=None,
        training=None,
    ):
        """Apply self-attention, deformable cross-attention, then the feed-forward network."""
        values = self.norm_before(self.norm2, states)
        placed = values + query_positions
        gathered, _ = self.self_attn(
            placed, values, placed, attention_mask=query_mask, training=training
        )
        states = self.add_and_norm(self.norm2, states, gathered, training)

        gathered, attention = self.cross_attn(
            self.norm_before(self.norm1, states) + query_positions,
            reference_points,
            memory,
            spatial_shapes=spatial_shapes,
            token_mask=token_mask,
        )
        states = self.add_and_norm(self.norm1, states, gathered, training)

        changes = self.feed_forward(self.norm_before(self.norm3, states), training=training)
        return self.add_and_norm(self.norm3, states, changes, training), attention

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_levels": self.num_levels,
            "num_points": self.num_points,
        }


@keras.saving.register_keras_serializable("keras_detr")
class DeformableDecoder(TransformerBase):
    """Turn object queries and their reference points into states and boxes.

    Args:
        num_layers: int.
        num_levels: int, feature maps.
        num_points: int, points that a head reads on each map.
        use_box_refinement: bool, whether each layer refers to the boxes of the one before, instead
            of the first reference points.
        **kwargs: of `TransformerBase`.

    Call arguments:
        states: (batch, queries, size), what the queries start with.
        query_positions, memory, spatial_shapes, token_mask, query_mask: see
            `DeformableDecoderLayer`.
        reference_points: float32 (batch, queries, 2 or 4), relative to the unpadded image.
        valid_ratios: float32 (batch or 1, levels, 2), the image's share of each padded map's width
            and height.
        predict_boxes: callable of (layer's index, states, reference points) that returns boxes
            float32 (batch, queries, 4).
        denoising_boxes: float32 (batch, N, 4), the references of the last N queries, which
            `reference_points` leaves out; or `None`. Needs `use_box_refinement`.
        return_intermediate: bool, whether to return states and boxes after every layer instead of
            the last one only.

    Returns:
        triple of states (batch, layers, queries, size), of boxes (batch, layers, queries, 4), where
        `layers` is `num_layers` or 1, and of where all layers read: a pair of the points, float32
        (batch, num_layers, queries, heads, levels, points, 2), x and y relative to the unpadded
        image, and of their weights, float32 (batch, num_layers, queries, heads, levels, points).
        No gradient flows from a layer's boxes to those before.

    Example:
        ```python
        from keras_detr.layers import DeformableDecoder

        decoder = DeformableDecoder(1, num_levels=1, num_points=2, num_heads=2, feed_forward_dim=16)
        queries, memory = np.ones((1, 5, 8), "float32"), np.ones((1, 12, 8), "float32")
        points, ratios = np.full((1, 5, 2), 0.5, "float32"), np.ones((1, 1, 2), "float32")
        states, boxes, _ = decoder(
            queries,
            queries,
            points,
            memory,
            spatial_shapes=[(3, 4)],
            valid_ratios=ratios,
            predict_boxes=lambda index, states, points: points,
        )
        print(states.shape)  # (1, 1, 5, 8)
        ```

    Source: Zhu et al. 2021, sections 4.1 and 4.2; models/deformable_transformer.py of the original.
    """

    def __init__(
        self,
        num_layers: int = 6,
        num_levels: int = 4,
        num_points: int = 4,
        use_box_refinement: bool = False,
        **kwargs: Any,
    ) -> None:
        # Reference points stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.num_layers = num_layers
        self.num_levels = num_levels
        self.num_points = num_points
        self.use_box_refinement = use_box_refinement

    def build(self, states_shape, *_, **__):
        """Create the layers."""
        self.decoder_layers = self.new_layers(
            DeformableDecoderLayer,
            self.num_layers,
            states_shape,
            num_levels=self.num_levels,
            num_points=self.num_points,
        )

    def call(
        self,
        states,
        query_positions,
        reference_points,
        memory,
        spatial_shapes,
        valid_ratios,
        predict_boxes,
        token_mask=None,
        query_mask=None,
        denoising_boxes=None,
        return_intermediate=True,
        training=None,
    ):
        """Return states and boxes of all layers, or of the last one."""
        placed = on_padded_maps(reference_points, valid_ratios)
        if denoising_boxes is not None:
            of_boxes = on_padded_maps(denoising_boxes, valid_ratios)
            if reference_points.shape[-1] == 2:
                placed = with_reach_of_cells(placed, spatial_shapes, self.num_points)
                reference_points = _with_middle_sides(reference_points)
                denoising_boxes = _with_sides_for_first_head(denoising_boxes)
            placed = ops.concatenate([placed, of_boxes], axis=1)
            reference_points = ops.concatenate([reference_points, denoising_boxes], axis=1)
        all_states, all_boxes, all_points, all_weights = [], [], [], []
        for index, layer in enumerate(self.decoder_layers):
            states, (points, weights) = layer(
                states,
                query_positions,
                placed,
                memory,
                spatial_shapes=spatial_shapes,
                token_mask=token_mask,
                query_mask=query_mask,
                training=training,
            )
            is_last = index == self.num_layers - 1
            if self.use_box_refinement or return_intermediate or is_last:
                boxes = predict_boxes(index, states, reference_points)
            if return_intermediate or is_last:
                all_states.append(states)
                all_boxes.append(boxes)
            all_points.append(on_image(points, valid_ratios))
            all_weights.append(weights)
            if self.use_box_refinement:
                reference_points = ops.stop_gradient(boxes)
                placed = on_padded_maps(reference_points, valid_ratios)
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
            "use_box_refinement": self.use_box_refinement,
        }


def _with_middle_sides(points):
    """Return points as boxes whose sides have the logit 0: a box head predicts them itself."""
    return ops.concatenate([points, ops.full_like(points, 0.5)], axis=-1)


def _with_sides_for_first_head(boxes):
    """Return boxes that the first box head, as it starts, turns into the given ones."""
    sides = ops.sigmoid(inverse_sigmoid(boxes[..., 2:]) - FIRST_SIDE_LOGIT)
    return ops.concatenate([boxes[..., :2], sides], axis=-1)
