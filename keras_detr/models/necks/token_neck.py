"""What the necks have in common: the size of their tokens, and the codes of the positions."""

import copy

import keras

from keras_detr.layers.sine_position_embedding import SinePositionEmbedding


class TokenNeck(keras.layers.Layer):
    """Hold the size of a token and the position embedding, and save both.

    The necks document the arguments; `offset` is that of the default position embedding.
    """

    def __init__(self, hidden_dim, position_embedding=None, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.position_embedding = position_embedding or SinePositionEmbedding(
            hidden_dim, offset=offset, dtype=self.dtype_policy, name="position_embedding"
        )

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "position_embedding": keras.saving.serialize_keras_object(self.position_embedding),
        }

    @classmethod
    def from_config(cls, config):
        """Build from `get_config`."""
        embedding = copy.deepcopy(config["position_embedding"])
        embedding = keras.saving.deserialize_keras_object(embedding)
        return cls(**{**config, "position_embedding": embedding})
