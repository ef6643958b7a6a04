"""The settings that every part of DETR's transformer shares."""

import keras

from keras_detr.layers.token_norm import TokenNorm


class TransformerSettings(keras.layers.Layer):
    """Hold a transformer's sizes, for its layers and for the stacks of them.

    Abstract: knows no variables and no computation.

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

    def _build_norm(self, name, token_shape):
        norm = TokenNorm(epsilon=1e-5, dtype=self.dtype_policy, name=name)
        norm.build(token_shape)
        return norm
