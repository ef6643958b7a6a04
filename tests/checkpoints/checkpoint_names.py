"""The names other projects give a detector's tensors, written down independently of the tables.

Each function returns names in the project's own spelling, so that the tables can be tested for
completeness: no name missing, none too many.
"""

import re

import numpy as np

# Block type, blocks of each stage, whether the first stage changes the channels.
RESNET50 = ("bottleneck", (3, 4, 6, 3), True)
RESNET101 = ("bottleneck", (3, 4, 23, 3), True)
RESNET18 = ("basic", (2, 2, 2, 2), False)

NORM = ("weight", "bias", "running_mean", "running_var")
BOTH = ("weight", "bias")
_CONVOLUTIONS = {"basic": 2, "bottleneck": 3}


def torchvision_resnet(block_type, depths, first_shortcut, counters=False):
    """Name the tensors of torchvision's ResNet, without its classifier.

    Args:
        block_type: str, "basic" or "bottleneck".
        depths: the blocks of each of the four stages.
        first_shortcut: bool, whether the first stage changes the number of channels.
        counters: bool, whether the norms count their batches (they don't when frozen).
    """
    norm = (*NORM, "num_batches_tracked") if counters else NORM
    names = ["conv1.weight", *(f"bn1.{part}" for part in norm)]
    for stage, depth in enumerate(depths, start=1):
        for block in range(depth):
            prefix = f"layer{stage}.{block}."
            for index in range(1, _CONVOLUTIONS[block_type] + 1):
                names.append(f"{prefix}conv{index}.weight")
                names += [f"{prefix}bn{index}.{part}" for part in norm]
            if block == 0 and (stage > 1 or first_shortcut):
                names.append(f"{prefix}downsample.0.weight")
                names += [f"{prefix}downsample.1.{part}" for part in norm]
    return names


def official_transformer(encoder_layers, decoder_layers, pre_norm=False):
    """Name the tensors of the official `Transformer`, without the leading "transformer."."""
    attention = (*(f"in_proj_{part}" for part in BOTH), *(f"out_proj.{part}" for part in BOTH))
    names = []
    for side, count, attentions, norms in (
        ("encoder", encoder_layers, ("self_attn",), 2),
        ("decoder", decoder_layers, ("self_attn", "multihead_attn"), 3),
    ):
        for layer in range(count):
            prefix = f"{side}.layers.{layer}."
            names += [f"{prefix}{block}.{part}" for block in attentions for part in attention]
            names += [f"{prefix}linear{i}.{part}" for i in (1, 2) for part in BOTH]
            names += [f"{prefix}norm{i + 1}.{part}" for i in range(norms) for part in BOTH]
    norms = ("encoder.norm", "decoder.norm") if pre_norm else ("decoder.norm",)
    return names + [f"{norm}.{part}" for norm in norms for part in BOTH]


def official_detr(block_type, depths, first_shortcut, layers=6, pre_norm=False, learned=False):
    """Name the tensors of the official DETR."""
    names = [
        f"backbone.0.body.{name}" for name in torchvision_resnet(block_type, depths, first_shortcut)
    ]
    if learned:
        names += ["backbone.1.row_embed.weight", "backbone.1.col_embed.weight"]
    names += [f"transformer.{name}" for name in official_transformer(layers, layers, pre_norm)]
    names += ["query_embed.weight"]
    names += [f"{head}.{part}" for head in ("input_proj", "class_embed") for part in BOTH]
    return names + [f"bbox_embed.layers.{i}.{part}" for i in range(3) for part in BOTH]


def official_mask_head():
    """Name the tensors that the official panoptic model adds to `detr.*`."""
    layers = [f"lay{i}" for i in range(1, 6)] + [f"gn{i}" for i in range(1, 6)]
    layers += ["out_lay", *(f"adapter{i}" for i in range(1, 4))]
    names = [f"mask_head.{layer}.{part}" for layer in layers for part in BOTH]
    return names + [f"bbox_attention.{x}_linear.{part}" for x in "qk" for part in BOTH]


def timm_spelling(name):
    """Turn a name of transformers' ResNet inside a DETR file into timm's, letter by letter."""
    prefix = "model.backbone.conv_encoder.model."
    if not name.startswith(prefix):
        return name
    words = name.removeprefix(prefix).split(".")
    kind = {"convolution": 0, "normalization": 1}[words[-2]]
    if words[0] == "embedder":
        return f"{prefix}{('conv1', 'bn1')[kind]}.{words[-1]}"
    block = f"{prefix}layer{int(words[2]) + 1}.{words[4]}"
    if words[5] == "shortcut":
        return f"{block}.downsample.{kind}.{words[-1]}"
    return f"{block}.{('conv', 'bn')[kind]}{int(words[6]) + 1}.{words[-1]}"


def official_deformable_detr(
    block_type,
    depths,
    first_shortcut,
    layers=6,
    levels=4,
    with_box_refine=False,
    two_stage=False,
    learned=False,
):
    """Name the tensors of the official Deformable DETR, every copy of its heads included."""
    names = [
        f"backbone.0.body.{name}" for name in torchvision_resnet(block_type, depths, first_shortcut)
    ]
    if learned:
        names += ["backbone.1.row_embed.weight", "backbone.1.col_embed.weight"]
    names += [f"input_proj.{x}.{i}.{part}" for x in range(levels) for i in (0, 1) for part in BOTH]
    names += ["transformer.level_embed"]
    sampling = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
    for side, attention, norms in (("encoder", "self_attn", 2), ("decoder", "cross_attn", 3)):
        for layer in range(layers):
            prefix = f"transformer.{side}.layers.{layer}."
            names += [f"{prefix}{attention}.{x}.{part}" for x in sampling for part in BOTH]
            names += [f"{prefix}linear{i}.{part}" for i in (1, 2) for part in BOTH]
            names += [f"{prefix}norm{i + 1}.{part}" for i in range(norms) for part in BOTH]
            if side == "decoder":
                names += [f"{prefix}self_attn.in_proj_{part}" for part in BOTH]
                names += [f"{prefix}self_attn.out_proj.{part}" for part in BOTH]
    if two_stage:
        added = ("enc_output", "enc_output_norm", "pos_trans", "pos_trans_norm")
    else:
        added = ("reference_points",)
        names += ["query_embed.weight"]
    names += [f"transformer.{x}.{part}" for x in added for part in BOTH]
    heads = range(layers + 1 if two_stage else layers)
    classes = [f"class_embed.{k}.{part}" for k in heads for part in BOTH]
    boxes = [f"bbox_embed.{k}.layers.{i}.{part}" for k in heads for i in range(3) for part in BOTH]
    names += classes + boxes
    if with_box_refine:
        names += [f"transformer.decoder.{name}" for name in boxes]
    if two_stage:
        names += [f"transformer.decoder.{name}" for name in classes]
    return names


def with_head_copies(tensors, with_box_refine):
    """Give every copy of a Deformable DETR's head the values of its first, as the official does."""
    first = {name: name.removeprefix("transformer.decoder.") for name in tensors}
    first = {name: new if "_embed." in new else name for name, new in first.items()}
    if not with_box_refine:
        first = {
            name: re.sub(r"^(class|bbox)_embed\.\d+\.", r"\1_embed.0.", new)
            for name, new in first.items()
        }
    return {name: tensors[first[name]] for name in tensors}


def hub_spelling_of_deformable(name):
    """Turn a canonical name of Deformable DETR into that of the files on the Hub."""
    if re.match(r"(class|bbox)_embed\.", name):
        return name
    words = {"norm1": "self_attn_layer_norm", "norm2": "final_layer_norm"}
    if ".decoder." in name:
        words = {"norm1": "encoder_attn_layer_norm", "norm2": "self_attn_layer_norm"}
        words |= {"norm3": "final_layer_norm", "cross_attn": "encoder_attn"}
    words |= {"linear1": "fc1", "linear2": "fc2"}
    if name.startswith("transformer."):
        name = ".".join(words.get(word, word) for word in name.split(".")[1:])
    name = name.replace("query_embed", "query_position_embeddings")
    name = name.replace("backbone.1.row_embed", "backbone.position_embedding.row_embeddings")
    name = name.replace("backbone.1.col_embed", "backbone.position_embedding.column_embeddings")
    if name.startswith("backbone.") and "position" not in name:
        name = name.replace("backbone.", "backbone.conv_encoder.model.", 1)
    return f"model.{name}"


def numbered(names):
    """Give every name a small array of its own, with a first axis that splits in three."""
    return {name: np.arange(6.0) + 10 * i for i, name in enumerate(names)}


def fuse(tensors):
    """Turn canonical tensors into official ones: fused projections and the long backbone prefix."""
    fused = {}
    for name, value in tensors.items():
        if ".q_proj." in name:
            parts = [tensors[name.replace(".q_proj.", f".{x}_proj.")] for x in "qkv"]
            fused[name.replace(".q_proj.", ".in_proj_")] = np.concatenate(parts)
        elif ".k_proj." not in name and ".v_proj." not in name:
            fused[re.sub(r"^backbone\.(?!1\.)", "backbone.0.body.", name)] = value
    return fused


def assert_same(actual, expected):
    """Fail unless two dictionaries hold the same names with the same arrays."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=name)
