"""Weights of a DINO detector under the official names, computed from the names with NumPy alone.

The original was run with these weights, and what it computed was recorded. A test that compares
with the record makes the same weights again, so no file of weights is needed.

Each tensor has a generator of its own, whose seed is the CRC-32 of its name. Values are uniform:
these draws are the same on every machine, as no transcendental function is involved.

Source: IDEA-Research/DINO models/dino/dino.py, deformable_transformer.py, backbone.py; torchvision
models/resnet.py.
"""

import re
import zlib
from typing import NamedTuple

import numpy as np


class OfficialSizes(NamedTuple):
    """Sizes of a DINO detector whose feature maps are the backbone's last three and smaller ones.

    Attributes:
        stem_num_filters, stage_num_filters, stage_num_blocks, is_bottleneck: of the ResNet;
            filters before a bottleneck's expansion by 4.
        hidden_dim, feed_forward_dim, num_heads, num_encoder_layers, num_decoder_layers,
            num_levels, num_points, num_queries: int, of the transformer.
        num_classes: int, rows of the class heads; the table of labels has one more.
        unused_rows: tuple of int, rows of the class heads that no query ever scores above 0, as
            those of the ids that COCO doesn't use.
        equal_queries: int, how many queries in a row have the same content. Two proposals with
            nearly the same score may change places by rounding: it has no effect where the queries
            that they get are equal.
        seed: int.
        proposal_seed: int, added to `seed` for the class head that chooses the proposals: with
            the right one, the last that is chosen isn't a close call.
    """

    stem_num_filters: int = 64
    stage_num_filters: tuple = (64, 128, 256, 512)
    stage_num_blocks: tuple = (3, 4, 6, 3)
    is_bottleneck: bool = True
    hidden_dim: int = 256
    feed_forward_dim: int = 2048
    num_heads: int = 8
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    num_levels: int = 4
    num_points: int = 4
    num_queries: int = 900
    num_classes: int = 91
    unused_rows: tuple = ()
    equal_queries: int = 1
    seed: int = 0
    proposal_seed: int = 0


# The first pattern that a name contains decides: mean, standard deviation, and whether that is
# divided by the square root of the number of inputs.
_DISTRIBUTIONS = (
    (r"running_var$", 1.0, 0.2, False),
    (r"running_mean$", 0.0, 0.1, False),
    # Points are spread over a box, and follow the query a little.
    (r"sampling_offsets\.bias$", 0.0, 2.0, False),
    (r"sampling_offsets\.weight$", 0.0, 0.3, True),
    (r"class_embed.*bias$", -2.5, 0.3, False),
    # Corrections that don't drive boxes to the edges of the image.
    (r"bbox_embed.*layers\.2\.weight$", 0.0, 0.4, True),
    # Attention that is far from a mean over all queries.
    (r"in_proj_weight$", 0.0, 1.5, True),
    (r"(tgt_embed|label_enc)\.weight$|level_embed$", 0.0, 1.0, False),
    # A residual block adds a third of what it gets, so that features don't grow with depth.
    (r"layer\d\.\d+\.last_norm\.weight$", 0.3, 0.05, False),
    (r"(norm\d?|bn\d|downsample\.1|input_proj\.\d\.1)\.weight$", 1.0, 0.1, False),
    (r"bias$", 0.0, 0.1, False),
    (r"backbone.*weight$", 0.0, 2.0**0.5, True),
    (r"weight$", 0.0, 1.0, True),
)


def official_tensors(sizes):
    """Make every tensor of the original's state, in the order of their names.

    Args:
        sizes: `OfficialSizes`.

    Returns:
        dict of name to float32 array in torch's layout. Heads that decoder layers share are there
        under all of their names, with equal values.
    """
    shapes = official_shapes(sizes)
    return {name: _draw(name, shapes[name], sizes) for name in sorted(shapes)}


def _draw(name, shape, sizes):
    name = re.sub(r"^(transformer\.decoder\.)?(class|bbox)_embed\.\d+\.", r"\2_embed.0.", name)
    num_rows = shape[0]
    if name == "transformer.tgt_embed.weight":
        shape = (-(-num_rows // sizes.equal_queries), *shape[1:])
    last_norm = r"\.bn3\." if sizes.is_bottleneck else r"\.bn2\."
    described = re.sub(last_norm, ".last_norm.", name)
    _, mean, deviation, is_by_inputs = next(
        row for row in _DISTRIBUTIONS if re.search(row[0], described)
    )
    if is_by_inputs:
        deviation /= np.sqrt(np.prod(shape[1:]))
    seed = sizes.seed + sizes.proposal_seed * ("enc_out_class_embed" in name)
    generator = np.random.default_rng(zlib.crc32(f"{seed} {name}".encode()))
    value = mean + deviation * np.sqrt(3.0) * generator.uniform(-1.0, 1.0, shape)
    if name == "transformer.tgt_embed.weight":
        value = np.repeat(value, sizes.equal_queries, axis=0)[:num_rows]
    if "class_embed" in name:
        value[list(sizes.unused_rows)] = -20.0 if name.endswith("bias") else 0.0
    return value.astype("float32")


def official_shapes(sizes):
    """Return the shape of every tensor of the original's state.

    Args:
        sizes: `OfficialSizes`.

    Returns:
        dict of name to torch's shape.
    """
    hidden = sizes.hidden_dim
    shapes = {
        **_backbone(sizes),
        **_neck(sizes),
        **_transformer(sizes),
        "label_enc.weight": (sizes.num_classes + 1, hidden),
        **_heads("transformer.enc_out_class_embed", "transformer.enc_out_bbox_embed", sizes),
    }
    for owner in ("", "transformer.decoder."):
        for layer in range(sizes.num_decoder_layers):
            names = (f"{owner}{head}_embed.{layer}" for head in ("class", "bbox"))
            shapes |= _heads(*names, sizes)
    return shapes


def _backbone(sizes):
    body = "backbone.0.body"
    shapes = _convolution(f"{body}.conv1", f"{body}.bn1", sizes.stem_num_filters, 3, 7)
    inputs = sizes.stem_num_filters
    stages = zip(sizes.stage_num_filters, sizes.stage_num_blocks, strict=True)
    for stage, (filters, num_blocks) in enumerate(stages, start=1):
        outputs = _stage_outputs(sizes, stage - 1)
        kernels = [(filters, 1), (filters, 3), (outputs, 1)]
        if not sizes.is_bottleneck:
            kernels = [(filters, 3), (filters, 3)]
        for block in range(num_blocks):
            name = f"{body}.layer{stage}.{block}"
            if block == 0 and (stage > 1 or inputs != outputs):
                projection = f"{name}.downsample.0", f"{name}.downsample.1"
                shapes |= _convolution(*projection, outputs, inputs, 1)
            for index, (channels, size) in enumerate(kernels, start=1):
                convolution = f"{name}.conv{index}", f"{name}.bn{index}"
                shapes |= _convolution(*convolution, channels, inputs, size)
                inputs = channels
    return shapes


def _stage_outputs(sizes, stage):
    return sizes.stage_num_filters[stage] * (4 if sizes.is_bottleneck else 1)


def _convolution(name, norm_name, outputs, inputs, size):
    statistics = ("weight", "bias", "running_mean", "running_var")
    return {
        f"{name}.weight": (outputs, inputs, size, size),
        **{f"{norm_name}.{part}": (outputs,) for part in statistics},
    }


def _neck(sizes):
    channels = [_stage_outputs(sizes, stage) for stage in (1, 2, 3)]
    kernels = [(inputs, 1) for inputs in channels] + [(channels[-1], 3)]
    kernels += [(sizes.hidden_dim, 3)] * (sizes.num_levels - len(kernels))
    shapes = {}
    for index, (inputs, size) in enumerate(kernels):
        name = f"input_proj.{index}"
        shapes[f"{name}.0.weight"] = (sizes.hidden_dim, inputs, size, size)
        shapes[f"{name}.0.bias"] = (sizes.hidden_dim,)
        shapes |= _norm(f"{name}.1", sizes)
    return shapes


def _transformer(sizes):
    name, hidden = "transformer", sizes.hidden_dim
    shapes = {
        f"{name}.level_embed": (sizes.num_levels, hidden),
        f"{name}.tgt_embed.weight": (sizes.num_queries, hidden),
        **_dense(f"{name}.enc_output", hidden, hidden),
        **_norm(f"{name}.enc_output_norm", sizes),
        **_norm(f"{name}.decoder.norm", sizes),
        **_dense(f"{name}.decoder.ref_point_head.layers.0", 2 * hidden, hidden),
        **_dense(f"{name}.decoder.ref_point_head.layers.1", hidden, hidden),
    }
    for index in range(sizes.num_encoder_layers):
        layer = f"{name}.encoder.layers.{index}"
        shapes |= _deformable_attention(f"{layer}.self_attn", sizes)
        shapes |= _layer(layer, 2, sizes)
    for index in range(sizes.num_decoder_layers):
        layer = f"{name}.decoder.layers.{index}"
        shapes |= _deformable_attention(f"{layer}.cross_attn", sizes)
        shapes[f"{layer}.self_attn.in_proj_weight"] = (3 * hidden, hidden)
        shapes[f"{layer}.self_attn.in_proj_bias"] = (3 * hidden,)
        shapes |= _dense(f"{layer}.self_attn.out_proj", hidden, hidden)
        shapes |= _layer(layer, 3, sizes)
    return shapes


def _deformable_attention(name, sizes):
    hidden = sizes.hidden_dim
    num_samples = sizes.num_heads * sizes.num_levels * sizes.num_points
    return {
        **_dense(f"{name}.sampling_offsets", hidden, 2 * num_samples),
        **_dense(f"{name}.attention_weights", hidden, num_samples),
        **_dense(f"{name}.value_proj", hidden, hidden),
        **_dense(f"{name}.output_proj", hidden, hidden),
    }


def _layer(name, num_norms, sizes):
    shapes = {
        **_dense(f"{name}.linear1", sizes.hidden_dim, sizes.feed_forward_dim),
        **_dense(f"{name}.linear2", sizes.feed_forward_dim, sizes.hidden_dim),
    }
    for index in range(1, num_norms + 1):
        shapes |= _norm(f"{name}.norm{index}", sizes)
    return shapes


def _heads(class_name, box_name, sizes):
    hidden = sizes.hidden_dim
    return {
        **_dense(class_name, hidden, sizes.num_classes),
        **_dense(f"{box_name}.layers.0", hidden, hidden),
        **_dense(f"{box_name}.layers.1", hidden, hidden),
        **_dense(f"{box_name}.layers.2", hidden, 4),
    }


def _dense(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name, sizes):
    return {f"{name}.weight": (sizes.hidden_dim,), f"{name}.bias": (sizes.hidden_dim,)}
