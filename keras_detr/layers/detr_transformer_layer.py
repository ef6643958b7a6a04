"""What DETR's encoder and decoder layers have in common."""

from keras_detr.layers.dropout import Dropout
from keras_detr.layers.feed_forward import FeedForward
from keras_detr.layers.multi_head_attention import MultiHeadAttention
from keras_detr.layers.transformer_settings import TransformerSettings


class DETRTransformerLayer(TransformerSettings):
    """Build a transformer layer's sub-layers, and run them with residuals.

    Abstract: a concrete layer names its sub-layers in `build` and orders them in `call`.

    Arguments of the constructor: see `TransformerSettings`.
    """

    def _build_attention(self, name, query_shape, value_shape):
        size = query_shape[-1]
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
        attention.build(query_shape, value_shape)
        return attention

    def _build_feed_forward(self, token_shape):
        feed_forward = FeedForward(
            self.feed_forward_dim,
            self.dropout,
            self.activation,
            dtype=self.dtype_policy,
            name="feed_forward",
        )
        feed_forward.build(token_shape)
        return feed_forward

    def _residual(self, tokens, sublayer, norm, training):
        """Add what `sublayer` makes of the tokens, normalized before or after."""
        if self.normalize_before:
            return tokens + self.residual_dropout(sublayer(norm(tokens)), training=training)
        return norm(tokens + self.residual_dropout(sublayer(tokens), training=training))

    def build(self, *_):
        """Create what has no variables."""
        self.residual_dropout = Dropout(
            self.dropout, dtype=self.dtype_policy, name="residual_dropout"
        )
