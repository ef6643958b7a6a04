"""The small network that turns a query's state into a box."""

from typing import Any

import keras

from keras_detr.layers.primitives.initializers import torch_linear_initializers
from keras_detr.layers.primitives.token_dense import TokenDense


@keras.saving.register_keras_serializable("keras_detr")
class MultilayerPerceptron(keras.layers.Layer):
    """Apply dense layers with relu in between, and none after the last.

    Args:
        hidden_dim: int, width of all layers but the last.
        output_dim: int, width of the last layer.
        num_layers: int.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: (..., size).

    Returns:
        (..., output_dim).

    Example:
        ```python
        from keras_detr.layers import MultilayerPerceptron

        box_head = MultilayerPerceptron(hidden_dim=8, output_dim=4)
        print(box_head(np.ones((1, 5, 8), "float32")).shape)  # (1, 5, 4)
        ```

    Source: Carion et al. 2020, section 3.2 (prediction feed-forward networks).
    """

    def __init__(
        self, hidden_dim: int, output_dim: int, num_layers: int = 3, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.output_dim = output_dim
        self.num_layers = num_layers

    def build(self, input_shape):
        """Create the dense layers with torch's starting values."""
        widths = [self.hidden_dim] * (self.num_layers - 1) + [self.output_dim]
        self.dense_layers = []
        size = input_shape[-1]
        for index, width in enumerate(widths):
            kernel_initializer, bias_initializer = torch_linear_initializers(size)
            dense = TokenDense(
                width,
                activation="relu" if index < self.num_layers - 1 else None,
                kernel_initializer=kernel_initializer,
                bias_initializer=bias_initializer,
                dtype=self.dtype_policy,
                name=f"layer_{index}",
            )
            dense.build((*input_shape[:-1], size))
            self.dense_layers.append(dense)
            size = width

    def call(self, inputs):
        """Return the last layer's output."""
        for dense in self.dense_layers:
            inputs = dense(inputs)
        return inputs

    def compute_output_shape(self, input_shape):
        """Return (..., output_dim)."""
        return (*input_shape[:-1], self.output_dim)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "output_dim": self.output_dim,
            "num_layers": self.num_layers,
        }
