"""Torch's transformer layers with the weights of ours, in float64."""

import numpy as np


def _attention_state(weights, name):
    size = weights[f"{name}/query/bias"].size
    kernels = [
        weights[f"{name}/{x}/kernel"].reshape(size, size).T for x in ("query", "key", "value")
    ]
    biases = [weights[f"{name}/{x}/bias"].ravel() for x in ("query", "key", "value")]
    return {
        f"{name}.in_proj_weight": np.concatenate(kernels),
        f"{name}.in_proj_bias": np.concatenate(biases),
        f"{name}.out_proj.weight": weights[f"{name}/attention_output/kernel"].reshape(size, size).T,
        f"{name}.out_proj.bias": weights[f"{name}/attention_output/bias"],
    }


def _load(peer, weights, attentions, num_norms):
    import torch

    state = {}
    for name in attentions:
        state |= _attention_state(weights, name)
    for name in ("linear1", "linear2"):
        state[f"{name}.weight"] = weights[f"feed_forward/{name}/kernel"].T
        state[f"{name}.bias"] = weights[f"feed_forward/{name}/bias"]
    for i in range(1, num_norms + 1):
        state[f"norm{i}.weight"] = weights[f"norm{i}/gamma"]
        state[f"norm{i}.bias"] = weights[f"norm{i}/beta"]
    # Every tensor of the peer is filled, and none of ours is left over.
    assert sum(x.size for x in state.values()) == sum(x.size for x in weights.values())
    peer.load_state_dict({name: torch.tensor(x.copy()) for name, x in state.items()})
    return peer.double().eval()


def _arguments(weights, normalize_before):
    size, feed_forward_dim = weights["feed_forward/linear1/kernel"].shape
    return {
        "d_model": size,
        "nhead": weights["self_attn/query/kernel"].shape[1],
        "dim_feedforward": feed_forward_dim,
        "batch_first": True,
        "norm_first": normalize_before,
    }


def torch_encoder_layer(weights, normalize_before):
    """Return `torch.nn.TransformerEncoderLayer`."""
    import torch

    peer = torch.nn.TransformerEncoderLayer(**_arguments(weights, normalize_before))
    return _load(peer, weights, ["self_attn"], 2)


def torch_decoder_layer(weights, normalize_before):
    """Return `torch.nn.TransformerDecoderLayer`."""
    import torch

    peer = torch.nn.TransformerDecoderLayer(**_arguments(weights, normalize_before))
    return _load(peer, weights, ["self_attn", "multihead_attn"], 3)
