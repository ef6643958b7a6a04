"""DETR's decoder."""

import keras
from keras import ops

from keras_detr.layers.detr_decoder_layer import DETRDecoderLayer
from keras_detr.layers.initializers import HostNormal
from keras_detr.layers.transformer_settings import TransformerSettings


@keras.saving.register_keras_serializable("keras_detr")
class DETRDecoder(TransformerSettings):
    """Turn learned object queries into one state for each possible object.

    Args:
        num_queries: int, the most objects that an image can have.
        num_layers: int.
        **kwargs: of `TransformerSettings`.

    Call arguments:
        memory: (batch, tokens, size), the encoder's output.
        positions: (batch or 1, tokens, size).
        attention_mask: bool (batch, 1, tokens), true on the image, or `None`.
        return_intermediate: bool, whether to return the states after every layer instead of the
            last one only.
        return_attention: bool, whether to return also how much each token counted.

    Returns:
        (batch, layers, queries, size), where `layers` is `num_layers` or 1. Each is normalized for
        the heads; the next layer gets the state before that normalization. With `return_attention`
        a pair of it and the weights of the attention to the image in all layers, float32 (batch,
        num_layers, heads, queries, tokens).

    Source: Carion et al. 2020, section 3.2; models/transformer.py of the original.
    """

    def __init__(
        self,
        num_queries=100,
        num_layers=6,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_queries = num_queries
        self.num_layers = num_layers

    def build(self, memory_shape, positions_shape=None, attention_mask_shape=None):
        """Create the query embeddings, standard normal as in the original, and the layers."""
        size = memory_shape[-1]
        self.query_embeddings = self.add_weight(
            (self.num_queries, size),
            HostNormal(stddev=1.0),
            name="query_embeddings",
        )
        self.decoder_layers = [
            DETRDecoderLayer(
                **self.transformer_settings(), dtype=self.dtype_policy, name=f"layer_{index}"
            )
            for index in range(self.num_layers)
        ]
        states_shape = (memory_shape[0], self.num_queries, size)
        for layer in self.decoder_layers:
            layer.build(states_shape, memory_shape)
        self.norm = self._build_norm("norm", states_shape)

    def call(
        self,
        memory,
        positions,
        attention_mask=None,
        return_intermediate=True,
        return_attention=False,
        training=None,
    ):
        """Return the states of all layers, or of the last one."""
        query_positions = ops.expand_dims(ops.cast(self.query_embeddings, self.compute_dtype), 0)
        placed_memory = memory + positions
        shape = (ops.shape(memory)[0], self.num_queries, memory.shape[-1])
        states = ops.zeros(shape, self.compute_dtype)
        intermediate, attention = [], []
        for layer in self.decoder_layers:
            states = layer(
                states,
                memory,
                placed_memory,
                query_positions,
                attention_mask=attention_mask,
                return_attention=return_attention,
                training=training,
            )
            if return_attention:
                states, weights = states
                attention.append(weights)
            intermediate.append(states)
        if return_intermediate:
            states = self.norm(ops.stack(intermediate, axis=1))
        else:
            states = ops.expand_dims(self.norm(states), 1)
        return (states, ops.stack(attention, axis=1)) if return_attention else states

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_queries": self.num_queries,
            "num_layers": self.num_layers,
        }
