"""Deformable DETR's decoder."""

import keras
from keras import ops

from keras_detr.layers.deformable_decoder_layer import DeformableDecoderLayer
from keras_detr.layers.transformer_settings import TransformerSettings


@keras.saving.register_keras_serializable("keras_detr")
class DeformableDecoder(TransformerSettings):
    """Turn object queries and their reference points into states and boxes.

    Args:
        num_layers: int.
        num_levels: int, feature maps.
        num_points: int, points that a head reads on each map.
        use_box_refinement: bool, whether each layer refers to the boxes of the one before, instead
            of the first reference points.
        **kwargs: of `TransformerSettings`.

    Call arguments:
        states: (batch, queries, size), what the queries start with.
        query_positions: (batch or 1, queries, size).
        reference_points: float32 (batch, queries, 2 or 4), relative to the unpadded image.
        memory: (batch, tokens, size), the encoder's output.
        spatial_shapes: sequence of (height, width) of the levels.
        valid_ratios: float32 (batch or 1, levels, 2), the image's share of each padded map's width
            and height.
        predict_boxes: callable of (layer's index, states, reference points) that returns boxes
            float32 (batch, queries, 4).
        token_mask: bool (batch, tokens), true on the image, or `None`.
        return_intermediate: bool, whether to return states and boxes after every layer instead of
            the last one only.
        return_attention: bool, whether to return also where was read, and how much it counted.

    Returns:
        pair of states (batch, layers, queries, size) and boxes (batch, layers, queries, 4), where
        `layers` is `num_layers` or 1. No gradient flows from a layer's boxes to those before. With
        `return_attention` also, of all layers, the points read, float32 (batch, num_layers,
        queries, heads, levels, points, 2), x and y relative to the unpadded image, and their
        weights, float32 (batch, num_layers, queries, heads, levels, points).

    Source: Zhu et al. 2021, sections 4.1 and 4.2; models/deformable_transformer.py of the original.
    """

    def __init__(
        self, num_layers=6, num_levels=4, num_points=4, use_box_refinement=False, **kwargs
    ):
        # Reference points stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.num_layers = num_layers
        self.num_levels = num_levels
        self.num_points = num_points
        self.use_box_refinement = use_box_refinement

    def build(self, states_shape, *_, **__):
        """Create the layers."""
        self.decoder_layers = [
            DeformableDecoderLayer(
                self.num_levels,
                self.num_points,
                **self.transformer_settings(),
                dtype=self.dtype_policy,
                name=f"layer_{index}",
            )
            for index in range(self.num_layers)
        ]
        for layer in self.decoder_layers:
            layer.build(states_shape)

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
        return_intermediate=True,
        return_attention=False,
        training=None,
    ):
        """Return states and boxes of all layers, or of the last one."""
        all_states, all_boxes, all_points, all_weights = [], [], [], []
        for index, layer in enumerate(self.decoder_layers):
            states = layer(
                states,
                query_positions,
                _on_padded_maps(reference_points, valid_ratios),
                memory,
                spatial_shapes=spatial_shapes,
                token_mask=token_mask,
                return_attention=return_attention,
                training=training,
            )
            if return_attention:
                states, points, weights = states
                all_points.append(_on_image(points, valid_ratios))
                all_weights.append(weights)
            is_last = index == self.num_layers - 1
            if self.use_box_refinement or return_intermediate or is_last:
                boxes = predict_boxes(index, states, reference_points)
            if return_intermediate or is_last:
                all_states.append(states)
                all_boxes.append(boxes)
            if self.use_box_refinement:
                reference_points = ops.stop_gradient(boxes)
        outputs = [all_states, all_boxes]
        if return_attention:
            outputs += [all_points, all_weights]
        return tuple(ops.stack(of_layers, axis=1) for of_layers in outputs)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "num_levels": self.num_levels,
            "num_points": self.num_points,
            "use_box_refinement": self.use_box_refinement,
        }


def _on_image(points, valid_ratios):
    """Return points of the padded maps relative to the unpadded image."""
    return points / valid_ratios[:, None, None, :, None]


def _on_padded_maps(reference_points, valid_ratios):
    """Return references relative to each padded map: (batch, queries, levels, 2 or 4)."""
    ratios = ops.expand_dims(valid_ratios, 1)
    if reference_points.shape[-1] == 4:
        ratios = ops.concatenate([ratios, ratios], axis=-1)
    return ops.expand_dims(reference_points, 2) * ratios
