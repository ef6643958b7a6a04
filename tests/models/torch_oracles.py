"""The originals' computations written with torch.nn.functional, straight from the papers' facts.

Tensors go by the official names, with `backbone.` for `backbone.0.body.` and separate projections.
"""

import re

import numpy as np

# Attention sharp enough for queries to stay apart, and boxes away from the image's center; tokens
# of size 1, though a random ResNet's features are ten times that.
_GAINS = {r"\.[qk]_proj\.": 2.5, "bbox_": 2.5, "input_proj": 0.1}


def random_tensors(shapes, seed=0):
    """Draw tensors for which every part of a network matters, and outputs stay near 1.

    Args:
        shapes: dict of name to torch's shape.
        seed: int.

    Returns:
        dict of name to float32 array: norms away from the identity; convolutions and matrices that
        keep the variance, but for those of `_GAINS`.
    """
    generator = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes.items():
        if name.endswith("running_var"):
            value = generator.uniform(0.5, 1.5, shape)
        elif len(shape) == 1 and name.endswith("weight"):
            value = generator.uniform(0.6, 1.4, shape)
        elif len(shape) == 1:
            value = generator.normal(0, 0.05, shape)
        elif re.search(r"(query|row|col)\w*_embed", name):
            value = generator.normal(0, 1, shape)
        else:
            gain = next((g for part, g in _GAINS.items() if re.search(part, name)), 1.1)
            value = generator.normal(0, gain / np.sqrt(np.prod(shape[1:])), shape)
        tensors[name] = np.asarray(value, "float32")
    return tensors


def resnet_pyramid(tensors, images, blocks, is_bottleneck, dilation=False):
    """Compute torchvision's ResNet v1.5 with frozen statistics.

    Args:
        tensors: dict of torchvision's names to arrays.
        images: float32 array (batch, height, width, 3), normalized.
        blocks: the number of blocks of each of the four stages.
        is_bottleneck: bool.
        dilation: bool, whether the last stage is dilated instead of strided.

    Returns:
        list of four float32 arrays (batch, height, width, channels).
    """
    import torch
    from torch.nn import functional

    weights = {name: torch.tensor(value) for name, value in tensors.items()}

    def convolve(x, name, norm, stride=1, dilation=1):
        kernel = weights[f"{name}.weight"]
        padding = dilation * (kernel.shape[-1] // 2)
        x = functional.conv2d(x, kernel, None, stride, padding, dilation)
        statistics = (weights[f"{norm}.{part}"] for part in ("running_mean", "running_var"))
        affine = (weights[f"{norm}.{part}"] for part in ("weight", "bias"))
        return functional.batch_norm(x, *statistics, *affine, training=False, eps=1e-5)

    def block(x, name, stride, dilation):
        if is_bottleneck:
            y = convolve(x, f"{name}.conv1", f"{name}.bn1").relu()
            y = convolve(y, f"{name}.conv2", f"{name}.bn2", stride, dilation).relu()
            y = convolve(y, f"{name}.conv3", f"{name}.bn3")
        else:
            y = convolve(x, f"{name}.conv1", f"{name}.bn1", stride, dilation).relu()
            y = convolve(y, f"{name}.conv2", f"{name}.bn2", 1, dilation)
        if f"{name}.downsample.0.weight" in weights:
            x = convolve(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
        return (x + y).relu()

    x = torch.tensor(np.transpose(images, (0, 3, 1, 2)))
    x = functional.max_pool2d(convolve(x, "conv1", "bn1", stride=2).relu(), 3, 2, 1)
    pyramid = []
    for stage, depth in enumerate(blocks):
        is_dilated = dilation and stage == 3
        for index in range(depth):
            is_first = index == 0
            x = block(
                x,
                f"layer{stage + 1}.{index}",
                stride=2 if is_first and stage > 0 and not is_dilated else 1,
                dilation=2 if is_dilated and not is_first else 1,
            )
        pyramid.append(np.transpose(x.numpy(), (0, 2, 3, 1)))
    return pyramid


def pre_norm_detr(tensors, features, feature_mask, num_heads):
    """Compute a pre-norm DETR with learned positions, from the backbone's last feature map on.

    Args:
        tensors: dict of official names to arrays.
        features: float32 array (batch, height, width, channels).
        feature_mask: bool array (batch, height, width), true on the image.
        num_heads: int.

    Returns:
        pair of float32 arrays: (batch, layers, queries, classes + 1), (batch, layers, queries, 4).
    """
    import torch
    from torch.nn import functional

    weights = {name: torch.tensor(value) for name, value in tensors.items()}

    def linear(x, name):
        return functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x, name):
        return functional.layer_norm(
            x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5
        )

    def attend(name, query, key, value, is_allowed=None):
        def heads(x, part):
            return linear(x, f"{name}.{part}_proj").unflatten(-1, (num_heads, -1)).transpose(1, 2)

        mixed = functional.scaled_dot_product_attention(
            heads(query, "q"), heads(key, "k"), heads(value, "v"), attn_mask=is_allowed
        )
        return linear(mixed.transpose(1, 2).flatten(2), f"{name}.out_proj")

    def transform(x, name):
        return linear(linear(x, f"{name}.linear1").relu(), f"{name}.linear2")

    def num_layers(side):
        return 1 + max(int(n.split(".")[3]) for n in weights if n.startswith(f"{side}.layers."))

    tokens = functional.conv2d(
        torch.tensor(np.transpose(features, (0, 3, 1, 2))),
        weights["input_proj.weight"],
        weights["input_proj.bias"],
    )
    height, width = tokens.shape[2:]
    columns = weights["backbone.1.col_embed.weight"][:width].expand(height, -1, -1)
    rows = weights["backbone.1.row_embed.weight"][:height, None].expand(-1, width, -1)
    positions = torch.cat([columns, rows], -1).flatten(0, 1)
    is_allowed = torch.tensor(feature_mask).flatten(1)[:, None, None]

    x = tokens.flatten(2).transpose(1, 2)
    side = "transformer.encoder"
    for index in range(num_layers(side)):
        name = f"{side}.layers.{index}"
        y = norm(x, f"{name}.norm1")
        x = x + attend(f"{name}.self_attn", y + positions, y + positions, y, is_allowed)
        x = x + transform(norm(x, f"{name}.norm2"), name)
    memory = norm(x, f"{side}.norm")

    queries = weights["query_embed.weight"]
    x = torch.zeros(len(memory), *queries.shape)
    side = "transformer.decoder"
    states = []
    for index in range(num_layers(side)):
        name = f"{side}.layers.{index}"
        y = norm(x, f"{name}.norm1")
        x = x + attend(f"{name}.self_attn", y + queries, y + queries, y)
        y = norm(x, f"{name}.norm2")
        x = x + attend(
            f"{name}.multihead_attn", y + queries, memory + positions, memory, is_allowed
        )
        x = x + transform(norm(x, f"{name}.norm3"), name)
        states.append(norm(x, f"{side}.norm"))
    states = torch.stack(states, 1)
    boxes = linear(linear(states, "bbox_embed.layers.0").relu(), "bbox_embed.layers.1").relu()
    boxes = linear(boxes, "bbox_embed.layers.2").sigmoid()
    return linear(states, "class_embed").numpy(), boxes.numpy()
