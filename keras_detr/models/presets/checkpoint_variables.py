"""Fill a model's variables from a checkpoint: every tensor used, every variable filled."""

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_detr.layers.deformable_detr.multi_scale_deformable_attention import (
    MultiScaleDeformableAttention,
)
from keras_detr.layers.primitives.multi_head_attention import MultiHeadAttention

# The attributes that hold an attention's projections, by torch's names.
_DEFORMABLE_PROJECTIONS = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
_PROJECTIONS = {
    MultiHeadAttention: {
        "q_proj": "query_dense",
        "k_proj": "key_dense",
        "v_proj": "value_dense",
        "out_proj": "output_dense",
    },
    MultiScaleDeformableAttention: {name: name for name in _DEFORMABLE_PROJECTIONS},
}


class CheckpointVariable(NamedTuple):
    """Tie a Keras variable to the tensor that torch would keep for it.

    Attributes:
        variable: `keras.Variable`.
        torch_shape: tuple of int, the shape of torch's tensor.
        is_table: bool, whether both sides store it alike, as they do a table of vectors, rather
            than a kernel, which torch transposes.
    """

    variable: Any
    torch_shape: tuple
    is_table: bool = False

    def from_torch(self, tensor):
        """Return the variable's value for a tensor in torch's layout."""
        if self.is_table:
            return tensor
        if len(self.torch_shape) == 4:
            return np.transpose(tensor, (2, 3, 1, 0))
        if len(self.torch_shape) == 2:
            tensor = tensor.T
        return np.reshape(tensor, self.variable.shape)

    def to_torch(self):
        """Return the variable's value in torch's layout, float32."""
        # A layer adapted with LoRA has a tensor for a kernel: the sum.
        value = np.asarray(ops.convert_to_numpy(self.variable), "float32")
        if self.is_table:
            return value
        if len(self.torch_shape) == 4:
            return np.transpose(value, (3, 2, 0, 1))
        if len(self.torch_shape) == 2:
            return np.reshape(value, self.torch_shape[::-1]).T
        return np.reshape(value, self.torch_shape)


def vector(variable):
    """Tie a bias or a factor, which may be split into heads."""
    return CheckpointVariable(variable, (math.prod(variable.shape),))


def table(variable):
    """Tie a table of vectors (rows, size), or what only Keras has, of any shape."""
    return CheckpointVariable(variable, tuple(variable.shape), is_table=True)


def convolution(variable):
    """Tie a convolution's kernel (height, width, inputs, outputs)."""
    height, width, inputs, outputs = variable.shape
    return CheckpointVariable(variable, (outputs, inputs, height, width))


def convolution_variables(name, layer):
    """Tie a convolution with a bias."""
    return {f"{name}.weight": convolution(layer.kernel), f"{name}.bias": vector(layer.bias)}


def dense_variables(name, layer):
    """Tie a dense layer with a bias, whose inputs or outputs may be split into heads."""
    num_outputs = math.prod(layer.bias.shape)
    shape = (num_outputs, math.prod(layer.kernel.shape) // num_outputs)
    return {
        f"{name}.weight": CheckpointVariable(layer.kernel, shape),
        f"{name}.bias": vector(layer.bias),
    }


def perceptron_variables(name, perceptron):
    """Tie the dense layers of a `MultilayerPerceptron`."""
    variables = {}
    for index, layer in enumerate(perceptron.dense_layers):
        variables.update(dense_variables(f"{name}.layers.{index}", layer))
    return variables


def norm_variables(name, layer):
    """Tie a layer or group normalization."""
    return {f"{name}.weight": vector(layer.gamma), f"{name}.bias": vector(layer.beta)}


def transformer_variables(encoder, decoder, cross_attention):
    """Tie the layers of an encoder and of a decoder.

    Args:
        encoder: layer with `encoder_layers`.
        decoder: layer with `decoder_layers`.
        cross_attention: str, the attribute of a decoder's layer that is its second attention.
    """
    variables = {}
    for index, layer in enumerate(encoder.encoder_layers):
        name = f"transformer.encoder.layers.{index}"
        variables.update(_transformer_layer(name, layer, ("self_attn",)))
    for index, layer in enumerate(decoder.decoder_layers):
        name = f"transformer.decoder.layers.{index}"
        variables.update(_transformer_layer(name, layer, ("self_attn", cross_attention)))
    return variables


def _transformer_layer(name, layer, attentions):
    """Tie a layer's attentions, its feed-forward network, and the norm that each of them has."""
    variables = {
        **dense_variables(f"{name}.linear1", layer.feed_forward.linear1),
        **dense_variables(f"{name}.linear2", layer.feed_forward.linear2),
    }
    for attention in attentions:
        part = getattr(layer, attention)
        for torch_name, keras_name in _PROJECTIONS[type(part)].items():
            dense = getattr(part, keras_name)
            variables.update(dense_variables(f"{name}.{attention}.{torch_name}", dense))
    for index in range(1, len(attentions) + 2):
        variables.update(norm_variables(f"{name}.norm{index}", getattr(layer, f"norm{index}")))
    return variables


def fill_variables(variables, tensors, source):
    """Assign all tensors to all variables, or raise before anything is changed.

    Args:
        variables: dict of canonical name -> `CheckpointVariable`.
        tensors: dict of canonical name -> NumPy array in torch's layout.
        source: str, the file or preset that the tensors are from, for the error.
    """
    missing = [name for name in variables if name not in tensors]
    unexpected = [name for name in tensors if name not in variables]
    misshapen = [
        f"{name}: {tuple(tensors[name].shape)} instead of {variables[name].torch_shape}"
        for name in variables
        if name in tensors and tuple(tensors[name].shape) != variables[name].torch_shape
    ]
    # Numbers of another kind stand for others, as quantized ones do for their multiples.
    unreal = [
        f"{name}: {tensors[name].dtype}"
        for name in variables
        if name in tensors and not np.issubdtype(tensors[name].dtype, np.floating)
    ]
    if missing or unexpected or misshapen or unreal:
        problems = (
            ("not in the checkpoint", missing),
            ("not in the model", unexpected),
            ("of another shape", misshapen),
            ("not of real numbers", unreal),
        )
        text = "; ".join(
            f"{len(names)} {what} ({_some(names)})" for what, names in problems if names
        )
        raise ValueError(
            f"The checkpoint {source} is of another architecture than the model: {text}. Choose "
            "the preset or the constructor's arguments that the checkpoint was made with."
        )
    for name, variable in variables.items():
        variable.variable.assign(variable.from_torch(tensors[name]))


def read_variables(variables):
    """Return the tensors, in torch's layout, that `fill_variables` would restore."""
    return {name: variable.to_torch() for name, variable in variables.items()}


def _some(names, most=3):
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
