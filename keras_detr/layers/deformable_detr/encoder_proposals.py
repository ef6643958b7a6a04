"""The first stage of two-stage Deformable DETR: boxes from the encoder's tokens."""

import keras
from keras import ops

from keras_detr.layers.deformable_detr.references import sine_codes_of_boxes
from keras_detr.layers.primitives.initializers import xavier_uniform
from keras_detr.layers.primitives.token_dense import TokenDense
from keras_detr.layers.primitives.token_norm import TokenNorm

# A logit whose sigmoid is 1 in float32, where the original has infinity: no gradient is NaN.
CERTAIN = 1e4
# The side of a proposal on the finest level, relative to the image; it doubles with each level.
PROPOSAL_SIDE = 0.05
MARGIN = 0.01
# Below all logits.
LEAST_SCORE = -1e9


@keras.saving.register_keras_serializable("keras_detr")
class TokenProposals(keras.layers.Layer):
    """Prepare the encoder's tokens for heads that propose boxes.

    Args:
        hidden_dim: int, the size of a token; a multiple of 4.
        **kwargs: of `keras.layers.Layer`.

    Source: Zhu et al. 2021, section 4.3; models/deformable_transformer.py of the original.
    """

    def __init__(self, hidden_dim=256, **kwargs):
        # Places stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.hidden_dim = hidden_dim

    def build(self, *_, **__):
        """Create the projection and its normalization."""
        size = self.hidden_dim
        self.enc_output = self._dense("enc_output", size, size)
        self.enc_output_norm = self._norm("enc_output_norm", size)

    def _dense(self, name, inputs, width):
        dense = TokenDense(
            width,
            kernel_initializer=xavier_uniform(inputs, width),
            dtype=self.dtype_policy,
            name=name,
        )
        dense.build((None, None, inputs))
        return dense

    def _norm(self, name, size):
        norm = TokenNorm(epsilon=1e-5, dtype=self.dtype_policy, name=name)
        norm.build((None, None, size))
        return norm

    def call(self, memory, centers, spatial_shapes, token_mask=None):
        """Return what the heads read, and the proposals that they correct.

        Args:
            memory: (batch, tokens, hidden_dim).
            centers: float32 (batch or 1, tokens, 2), each token's place in the unpadded image.
            spatial_shapes: sequence of (height, width) of the levels.
            token_mask: bool (batch, tokens), true on the image, or `None`.

        Returns:
            pair of tokens (batch, tokens, hidden_dim) and logits of boxes, float32 (batch or 1,
            tokens, 4). Padding, and what lies at the image's very edge, is zero as a token and
            has logits whose sigmoid is 1.
        """
        sides = ops.concatenate(
            [
                ops.full((height * width,), PROPOSAL_SIDE * 2.0**level, dtype="float32")
                for level, (height, width) in enumerate(spatial_shapes)
            ]
        )
        sides = ops.reshape(sides, (1, -1, 1)) * ops.ones_like(centers)
        proposals = ops.concatenate([centers, sides], axis=-1)
        is_inside = ops.logical_and(proposals > MARGIN, proposals < 1.0 - MARGIN)
        is_valid = ops.all(is_inside, axis=-1, keepdims=True)
        if token_mask is not None:
            is_valid = ops.logical_and(is_valid, ops.expand_dims(token_mask, -1))
        # Both branches of a `where` are computed, so the unused one must be finite too.
        safe = ops.where(is_valid, proposals, 0.5)
        logits = ops.where(is_valid, ops.log(safe / (1.0 - safe)), CERTAIN)
        tokens = ops.where(is_valid, memory, ops.zeros_like(memory))
        return self.enc_output_norm(self.enc_output(tokens)), logits

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "hidden_dim": self.hidden_dim}


@keras.saving.register_keras_serializable("keras_detr")
class EncoderProposals(TokenProposals):
    """Prepare tokens for heads that propose boxes, and make queries of the best proposals.

    Args:
        hidden_dim: int, the size of a token; a multiple of 4.
        **kwargs: of `keras.layers.Layer`.

    Example:
        ```python
        from keras_detr.layers import EncoderProposals

        proposals = EncoderProposals(hidden_dim=8)
        memory, centers = np.ones((1, 12, 8), "float32"), np.full((1, 12, 2), 0.5, "float32")
        tokens, box_logits = proposals(memory, centers, spatial_shapes=[(3, 4)])
        positions, states = proposals.queries(box_logits[:, :5])
        print(tokens.shape, states.shape)  # (1, 12, 8) (1, 5, 8)
        ```

    Source: Zhu et al. 2021, section 4.3; models/deformable_transformer.py of the original.
    """

    def build(self, *_, **__):
        """Create both projections and their normalizations."""
        super().build()
        self.pos_trans = self._dense("pos_trans", 2 * self.hidden_dim, 2 * self.hidden_dim)
        self.pos_trans_norm = self._norm("pos_trans_norm", 2 * self.hidden_dim)

    def queries(self, logits):
        """Return the positions and first states of queries for chosen proposals.

        Args:
            logits: float32 (batch, queries, 4), of the proposals' boxes.

        Returns:
            pair of (batch, queries, hidden_dim).
        """
        codes = sine_codes_of_boxes(ops.sigmoid(logits), self.hidden_dim)
        both = self.pos_trans_norm(self.pos_trans(ops.cast(codes, self.compute_dtype)))
        return both[..., : self.hidden_dim], both[..., self.hidden_dim :]


def best_tokens(scores, count):
    """Return the indices of the tokens with the highest scores, int32 (batch, count).

    Small images may have fewer tokens than `count`; after all of them the first come once more.

    Args:
        scores: float32 (batch, tokens).
        count: int.
    """
    batch, num_tokens = ops.shape(scores)
    if scores.shape[1] is None or scores.shape[1] < count:
        nothing = ops.full((batch, count), LEAST_SCORE, dtype="float32")
        scores = ops.concatenate([scores, nothing], axis=1)
    return ops.cast(ops.top_k(scores, count)[1], "int32") % num_tokens


def take_tokens(tokens, indices):
    """Return some tokens of each image: (batch, count, size).

    Args:
        tokens: (batch, tokens, size).
        indices: int32 (batch, count).
    """
    batch, num_tokens, size = ops.shape(tokens)
    starts = ops.expand_dims(ops.arange(batch, dtype="int32") * num_tokens, 1)
    return ops.take(ops.reshape(tokens, (-1, size)), indices + starts, axis=0)
