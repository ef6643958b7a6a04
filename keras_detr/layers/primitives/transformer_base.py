"""The settings and sub-layers that all parts of a transformer share."""

import keras

from keras_detr.layers.primitives.dropout import Dropout
from keras_detr.layers.primitives.feed_forward import FeedForward
from keras_detr.layers.primitives.multi_head_attention import MultiHeadAttention
from keras_detr.layers.primitives.token_norm import TokenNorm


class TransformerBase(keras.layers.Layer):
    """Hold a transformer's sizes, for its layers and for the stacks of them.

    Abstract: a concrete part creates its sub-layers in `build` and calls them in `call`.

    Args:
        num_heads: int, must divide the size of tokens.
        feed_forward_dim: int, width of the feed-forward network.
        dropout: float in [0, 1): on attention weights, after every sub-layer, and inside the
            feed-forward network.
        activation: str or callable, of the feed-forward network.
        normalize_before: bool, whether layer normalization comes before each sub-layer (pre-norm)
            instead of after its residual (post-norm, as published).
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self,
        num_heads=8,
        feed_forward_dim=2048,
        dropout=0.1,
        activation="relu",
        normalize_before=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.feed_forward_dim = feed_forward_dim
        self.dropout = dropout
        self.activation = keras.activations.get(activation)
        self.normalize_before = normalize_before

    def transformer_settings(self):
        """Return the constructor's arguments that a part of this one takes over."""
        return {
            "num_heads": self.num_heads,
            "feed_forward_dim": self.feed_forward_dim,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "normalize_before": self.normalize_before,
        }

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), **self.transformer_settings()}

    # Sub-layers, built.

    def new_attention(self, name, size):
        """Return multi-head attention for tokens of a size."""
        if size % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the size of tokens. Received: num_heads="
                f"{self.num_heads}, size {size}."
            )
        attention = MultiHeadAttention(
            self.num_heads,
            size // self.num_heads,
            dropout=self.dropout,
            dtype=self.dtype_policy,
            name=name,
        )
        attention.build((None, None, size))
        return attention

    def new_feed_forward(self, size):
        """Return the feed-forward network for tokens of a size."""
        feed_forward = FeedForward(
            self.feed_forward_dim,
            self.dropout,
            self.activation,
            dtype=self.dtype_policy,
            name="feed_forward",
        )
        feed_forward.build((None, None, size))
        return feed_forward

    def new_norm(self, name, size):
        """Return a layer normalization for tokens of a size."""
        norm = TokenNorm(epsilon=1e-5, dtype=self.dtype_policy, name=name)
        norm.build((None, None, size))
        return norm

    def new_residual_dropout(self):
        """Return the dropout on what a sub-layer adds to the tokens."""
        return Dropout(self.dropout, dtype=self.dtype_policy, name="residual_dropout")

    def new_layers(self, layer_class, num_layers, shape, **settings):
        """Return layers with the settings of this one and others, built for tokens of a shape."""
        settings = {**self.transformer_settings(), "dtype": self.dtype_policy, **settings}
        layers = [layer_class(**settings, name=f"layer_{index}") for index in range(num_layers)]
        for layer in layers:
            layer.build(shape)
        return layers

    # Residuals.

    def norm_before(self, norm, tokens):
        """Return what a sub-layer reads: the tokens, normalized in a pre-norm transformer."""
        return norm(tokens) if self.normalize_before else tokens

    def add_and_norm(self, norm, tokens, changes, training):
        """Add what a sub-layer made of the tokens; a post-norm transformer normalizes the sum."""
        tokens = tokens + self.residual_dropout(changes, training=training)
        return tokens if self.normalize_before else norm(tokens)
