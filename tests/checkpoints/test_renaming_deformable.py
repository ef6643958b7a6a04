"""Deformable DETR's table and heads against the names of the official model and of the Hub."""

import numpy as np
import pytest

from keras_detr.checkpoints import (
    DEFORMABLE_DETR_TABLE,
    DETR_TABLE,
    repeat_shared_heads,
    resolve_shared_heads,
    to_canonical_names,
    to_hub_names,
)

from .checkpoint_names import (
    RESNET18,
    RESNET50,
    assert_same,
    fuse,
    hub_spelling_of_deformable,
    numbered,
    official_deformable_detr,
    timm_spelling,
    with_head_copies,
)

REFINE = {"with_box_refine": True}
TWO_STAGE = REFINE | {"two_stage": True}


def official_tensors(resnet=RESNET18, with_box_refine=False, **variant):
    names = official_deformable_detr(*resnet, with_box_refine=with_box_refine, **variant)
    return with_head_copies(numbered(names), with_box_refine)


def canonical(tensors, num_heads):
    renamed = to_canonical_names(tensors, DEFORMABLE_DETR_TABLE)
    assert not renamed.skipped
    return resolve_shared_heads(renamed.tensors, num_heads)


@pytest.mark.parametrize(
    ("variant", "num_heads", "source", "resolved"),
    [
        # 265 of the backbone, 4 a level, 16 and 22 a layer, 8 a head; without refinement 5 of 6
        # heads fall away; each of the 6 self-attentions turns 2 fused tensors into 6.
        ({}, 1, 561, 545),
        ({"levels": 1}, 1, 549, 533),
        (REFINE, 6, 597, 585),
        (TWO_STAGE, 7, 630, 598),
        ({"learned": True}, 1, 563, 547),
    ],
)
def test_official_model_is_used_up(variant, num_heads, source, resolved):
    tensors = official_tensors(RESNET50, **variant)
    assert len(tensors) == source
    renamed = canonical(tensors, num_heads)
    assert len(renamed) == resolved
    dropped = {name for name in tensors if name.startswith("transformer.decoder.")}
    dropped = {name for name in dropped if "_embed." in name}
    if num_heads == 1:
        later = tuple(f"{x}_embed.{k}." for x in ("class", "bbox") for k in range(1, 6))
        dropped |= {name for name in tensors if name.startswith(later)}
    assert_same(fuse(renamed), {n: value for n, value in tensors.items() if n not in dropped})
    assert_same(canonical(renamed, num_heads), renamed)
    wrapped = {f"module.{name}": value for name, value in tensors.items()}
    assert_same(canonical(wrapped, num_heads), renamed)


@pytest.mark.parametrize("variant", [{}, {"levels": 1}, TWO_STAGE, {"learned": True}])
def test_files_of_the_hub(variant):
    num_heads = 7 if "two_stage" in variant else 1
    expected = canonical(official_tensors(**variant), num_heads)
    file = {hub_spelling_of_deformable(name): value for name, value in expected.items()}
    assert all(name.startswith(("model.", "class_embed.", "bbox_embed.")) for name in file)
    assert_same(canonical(file, num_heads), expected)
    in_decoder = {
        f"model.decoder.{n}" if n.startswith(("class_embed.", "bbox_embed.")) else n: value
        for n, value in file.items()
    }
    assert_same(canonical(in_decoder, num_heads), expected)
    # In memory, since transformers 5.
    for old, new in (
        ("backbone.conv_encoder.", "backbone."),
        (".out_proj.", ".o_proj."),
        (".fc", ".mlp.fc"),
        ("backbone.position_embedding.", "position_embedding."),
    ):
        file = {name.replace(old, new): value for name, value in file.items()}
    assert_same(canonical(file, num_heads), expected)


def test_norms_of_the_decoder_are_counted_as_the_official_model_counts_them():
    norms = ("encoder_attn_layer_norm", "self_attn_layer_norm", "final_layer_norm")
    file = numbered([f"model.decoder.layers.3.{norm}.weight" for norm in norms])
    renamed = to_canonical_names(file, DEFORMABLE_DETR_TABLE).tensors
    names = [f"transformer.decoder.layers.3.norm{i}.weight" for i in (1, 2, 3)]
    assert_same(renamed, dict(zip(names, file.values(), strict=True)))


def test_bookkeeping_and_unknown_names():
    tensors = numbered(
        [
            "backbone.0.body.fc.weight",
            "backbone.0.body.bn1.num_batches_tracked",
            "transformer.encoder.layers.0.self_attn.total_ops",
            "transformer.decoder.norm.weight",
            "class_embed.weight",
            "bbox_embed.0.layers.3.weight",
        ]
    )
    renamed = to_canonical_names(tensors, DEFORMABLE_DETR_TABLE)
    assert list(renamed.skipped) == list(tensors)[:3]
    assert list(renamed.tensors) == list(tensors)[3:]


def test_tables_tell_their_detectors_apart():
    of_deformable = official_tensors(layers=1)
    unknown = to_canonical_names(of_deformable, DETR_TABLE).tensors
    assert {"transformer.level_embed", "class_embed.0.weight"} <= unknown.keys()


def test_copies_that_differ_are_refused():
    tensors = official_tensors(layers=2, with_box_refine=True)
    name = "transformer.decoder.bbox_embed.1.layers.2.bias"
    tensors[name] = tensors[name] + 1
    with pytest.raises(ValueError, match=rf"bbox_embed.1.layers.2.bias' and '{name}'"):
        canonical(tensors, 2)


HEADS = ("class_embed.{}.weight", "bbox_embed.{}.layers.2.bias")


def heads(values):
    """Give heads by their numbers."""
    return {name.format(k): np.full(2, value) for name in HEADS for k, value in values.items()}


@pytest.mark.parametrize(
    ("stored", "num_heads", "expected"),
    [
        # One head that all layers share, under whichever numbers.
        ({0: 1.0, 1: 1.0, 2: 1.0}, 1, {0: 1.0}),
        ({0: 1.0}, 1, {0: 1.0}),
        ({2: 1.0}, 1, {0: 1.0}),
        ({1: np.nan, 2: np.nan}, 1, {0: np.nan}),
        # A refined file in a model without refinement.
        ({0: 1.0, 1: 2.0, 2: 1.0}, 1, {0: 1.0, 1: 2.0}),
        # Heads of their own.
        ({0: 1.0, 1: 2.0, 2: 3.0}, 3, {0: 1.0, 1: 2.0, 2: 3.0}),
        ({0: 1.0, 1: 1.0, 2: 1.0}, 3, {0: 1.0, 1: 1.0, 2: 1.0}),
        # One stored for all.
        ({0: 1.0}, 3, {0: 1.0, 1: 1.0, 2: 1.0}),
        ({1: 1.0}, 2, {0: 1.0, 1: 1.0}),
        # Too few or too many stay, so that filling the model names them.
        ({0: 1.0, 1: 2.0}, 3, {0: 1.0, 1: 2.0}),
        ({0: 1.0, 1: 2.0, 2: 3.0}, 2, {0: 1.0, 1: 2.0, 2: 3.0}),
        ({}, 3, {}),
    ],
)
def test_resolving_heads(stored, num_heads, expected):
    other = {"query_embed.weight": np.zeros(3), "class_embed.bias": np.ones(1)}
    tensors = heads(stored) | other
    before = dict(tensors)
    assert_same(resolve_shared_heads(tensors, num_heads), heads(expected) | other)
    assert_same(tensors, before)
    assert tensors.keys() == before.keys()


def test_heads_resolve_one_by_one():
    # What transformers writes of a new model with refinement: boxes apart, classes tied.
    tensors = {"class_embed.0.bias": np.ones(2)}
    tensors |= {f"bbox_embed.{k}.layers.0.bias": np.full(2, k) for k in range(3)}
    resolved = resolve_shared_heads(tensors, 3)
    assert_same(resolved, tensors | {f"class_embed.{k}.bias": np.ones(2) for k in (1, 2)})


@pytest.mark.parametrize(
    ("variant", "num_heads"), [({}, 1), ({"levels": 1}, 1), (REFINE, 6), (TWO_STAGE, 7)]
)
def test_names_of_transformers_and_back(variant, num_heads):
    expected = canonical(official_tensors(**variant), num_heads)
    file = to_hub_names(expected, DEFORMABLE_DETR_TABLE)
    assert_same(canonical(file, num_heads), expected)
    spelled = {hub_spelling_of_deformable(name): value for name, value in expected.items()}
    assert_same({timm_spelling(name): value for name, value in file.items()}, spelled)


@pytest.mark.parametrize(
    ("stored", "num_heads", "in_decoder", "copies"),
    [
        ({0: 1.0}, 3, (), {0: 1.0, 1: 1.0, 2: 1.0}),
        ({0: 1.0, 1: 2.0}, 2, ("bbox_embed",), {0: 1.0, 1: 2.0}),
        ({0: 1.0, 1: 2.0}, 2, ("bbox_embed", "class_embed"), {0: 1.0, 1: 2.0}),
    ],
)
def test_repeating_heads(stored, num_heads, in_decoder, copies):
    other = {"model.level_embed": np.zeros(3)}
    repeated = repeat_shared_heads(heads(stored) | other, num_heads, in_decoder)
    expected = heads(copies)
    again = {f"model.decoder.{n}": v for n, v in expected.items() if n.startswith(in_decoder)}
    assert len(again) == len(in_decoder) * num_heads
    assert_same(repeated, expected | again | other)
    resolved = to_canonical_names(repeated, DEFORMABLE_DETR_TABLE).tensors
    resolved.pop("transformer.level_embed")
    assert_same(resolve_shared_heads(resolved, len(stored)), heads(stored))
