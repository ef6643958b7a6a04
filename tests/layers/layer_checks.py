"""What every layer must pass, and NumPy's version of the parts of a transformer."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

# Keras' variables don't speak NumPy 2's protocol in full, and Keras itself hands them to NumPy.
saves = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning")


def to_numpy(tensor):
    """Return a tensor as a float64 NumPy array."""
    return ops.convert_to_numpy(ops.cast(tensor, "float32")).astype("float64")


def randomize(layer, seed=0):
    """Give every float variable of a layer random values: norms and biases start as constants."""
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        variable.assign(rng.normal(0.1, 0.3, tuple(variable.shape)).astype("float32"))


def weights_of(layer):
    """Return float64 arrays by the end of the variables' paths, without the layer's own name."""
    start = len(layer.path or layer.name) + 1
    return {variable.path[start:]: to_numpy(variable[...]) for variable in layer.weights}


def check_config(layer):
    """Check that a layer comes back from its config, and return it."""
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(copy) is type(layer)
    assert copy.get_config() == layer.get_config()
    return copy


def check_saved(layer, call, shapes, folder):
    """Check that a model with the layer predicts the same after being saved and loaded.

    Args:
        layer: a layer.
        call: callable of the layer and the inputs.
        shapes: of the inputs, without the batch axis.
        folder: where to save.
    """
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, call(layer, *inputs))
    randomize(model)
    for variable in model.weights:
        if variable.name == "moving_variance":
            variable.assign(ops.abs(variable[...]))
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=(2, *shape)).astype("float32") for shape in shapes]
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    before, after = model(arrays), loaded(arrays)
    np.testing.assert_array_equal(to_numpy(before), to_numpy(after))
    assert len(loaded.weights) == len(model.weights)


def layer_norm(x, weights, name):
    """Normalize the last axis."""
    centered = x - x.mean(-1, keepdims=True)
    scaled = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def dense(x, weights, name):
    """Multiply and add."""
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def attention(query, value, key, weights, name, mask=None):
    """Attend with several heads, one head of one image at a time; return output and weights.

    Args:
        query, value, key: (batch, tokens, size).
        weights: of `weights_of`.
        name: str, before the names of the four projections.
        mask: bool (batch, targets, sources), true where attention is allowed.
    """
    kernels = [weights[f"{name}{part}/kernel"] for part in ("query", "key", "value")]
    biases = [weights[f"{name}{part}/bias"] for part in ("query", "key", "value")]
    num_heads, head_size = kernels[0].shape[1:]
    out, all_weights = 0.0, np.zeros((len(query), num_heads, query.shape[1], value.shape[1]))
    for head in range(num_heads):
        q, k, v = (
            x @ kernel[:, head] + bias[head]
            for x, kernel, bias in zip((query, key, value), kernels, biases, strict=True)
        )
        scores = np.einsum("btd,bsd->bts", q, k) / np.sqrt(head_size)
        if mask is not None:
            scores = np.where(mask, scores, -1e9)
        all_weights[:, head] = softmax(scores, axis=-1)
        out = out + all_weights[:, head] @ v @ weights[f"{name}attention_output/kernel"][head]
    return out + weights[f"{name}attention_output/bias"], all_weights


def feed_forward(x, weights, name):
    """Apply two dense layers with relu in between."""
    hidden = np.maximum(dense(x, weights, f"{name}/linear1"), 0)
    return dense(hidden, weights, f"{name}/linear2")


def residual(x, sublayer, weights, norm, normalize_before):
    """Add a sub-layer's output, normalized before or after."""
    if normalize_before:
        return x + sublayer(layer_norm(x, weights, norm))
    return layer_norm(x + sublayer(x), weights, norm)


def encoder_layer(x, positions, weights, prefix="", mask=None, normalize_before=False):
    """Apply one encoder layer."""
    weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}

    def attend(x):
        placed = x + positions
        return attention(placed, x, placed, weights, "self_attn/", mask)[0]

    x = residual(x, attend, weights, "norm1", normalize_before)
    return residual(
        x, lambda x: feed_forward(x, weights, "feed_forward"), weights, "norm2", normalize_before
    )


def decoder_layer(
    x, memory, positions, query_positions, weights, prefix="", mask=None, normalize_before=False
):
    """Apply one decoder layer."""
    weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}

    def attend_to_queries(x):
        placed = x + query_positions
        return attention(placed, x, placed, weights, "self_attn/")[0]

    def attend_to_image(x):
        placed = x + query_positions
        return attention(placed, memory, memory + positions, weights, "multihead_attn/", mask)[0]

    x = residual(x, attend_to_queries, weights, "norm1", normalize_before)
    x = residual(x, attend_to_image, weights, "norm2", normalize_before)
    return residual(
        x, lambda x: feed_forward(x, weights, "feed_forward"), weights, "norm3", normalize_before
    )
