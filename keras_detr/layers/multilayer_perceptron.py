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
        output_dtype: str or `None`, the dtype policy of the last layer; by default that of the
            others. A box whose logits are rounded to bfloat16 is off by up to 1/500 of its image.
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
        self,
        hidden_dim: int,
        output_dim: int,
        num_layers: int = 3,
        output_dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.output_dim = output_dim
        self.num_layers = num_layers
        self.output_dtype = output_dtype

    def build(self, input_shape):
        """Create the dense layers with torch's starting values."""
        widths = [self.hidden_dim] * (self.num_layers - 1) + [self.output_dim]
        self.dense_layers = []
        size = input_shape[-1]
        for index, width in enumerate(widths):
            is_last = index == self.num_layers - 1
            kernel_initializer, bias_initializer = torch_linear_initializers(size)
            dense = TokenDense(
                width,
                activation=None if is_last else "relu",
                kernel_initializer=kernel_initializer,
                bias_initializer=bias_initializer,
                dtype=(is_last and self.output_dtype) or self.dtype_policy,
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
            "output_dtype": self.output_dtype,
        }
