"""The record of the original: its inputs can be made again, and it would show a mistake."""

import re

import numpy as np
import pytest

from tests.models.dino_detr.official_weights import official_tensors
from tests.models.dino_detr.recorded import (
    FULL,
    LOSS_PARTS,
    SMALL,
    checksum_of,
    in_recorded_order,
    recorded,
    recorded_denoising_outputs,
    recorded_gradient_norms,
    recorded_losses,
    recorded_outputs,
    targets_of,
    weights_of,
)
from tests.models.originals import assert_telling

CASES = pytest.mark.parametrize("case", [SMALL, FULL], ids=lambda case: case.name)
BATCHES = pytest.mark.parametrize(
    ("case", "counts"), [(case, counts) for case in (SMALL, FULL) for counts in case.counts]
)


@CASES
def test_the_weights_are_those_of_the_record(case):
    tensors = weights_of(case)
    other = official_tensors(case.sizes._replace(seed=case.sizes.seed + 1))
    assert checksum_of(other) != checksum_of(tensors)
    assert list(tensors) == sorted(tensors)
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype("float32")}


@CASES
def test_decoder_layers_share_their_heads(case):
    tensors = official_tensors(case.sizes)
    aliases = [re.fullmatch(r"(.*(?:class|bbox)_embed)\.\d+\.(.+)", name) for name in tensors]
    aliases = [match for match in aliases if match]
    # Four weights and four biases for each layer, in the model and in its decoder.
    assert len(aliases) == 2 * 8 * case.sizes.num_decoder_layers
    for match in aliases:
        head = match[1].removeprefix("transformer.decoder.")
        np.testing.assert_array_equal(tensors[match[0]], tensors[f"{head}.0.{match[2]}"])
    proposals = tensors["transformer.enc_out_class_embed.weight"]
    assert np.abs(proposals - tensors["class_embed.0.weight"]).max() > 0.1


@CASES
def test_outputs_differ_between_queries_and_images(case):
    outputs = recorded_outputs(case)
    assert_telling(outputs["classification"], outputs["box"])
    assert_telling(outputs["encoder_classification"][:, None], outputs["encoder_box"][:, None])
    changes = np.abs(np.diff(outputs["box"], axis=1)).mean(axis=(0, 2, 3))
    assert (changes > 0.003).all()


@BATCHES
def test_losses_and_gradients(case, counts):
    for has_plain_giou in (False, True):
        losses = recorded_losses(case, counts, has_plain_giou)
        assert sum(losses[part] for part in LOSS_PARTS) == pytest.approx(losses["loss"], rel=1e-12)
        norms = recorded_gradient_norms(case, counts, has_plain_giou)
        silent = {name for name, norm in norms.items() if norm < 1e-3}
        assert len(silent) == case.sizes.num_decoder_layers
        assert all(name.endswith("self_attn.k_proj.bias") for name in silent)
        assert not any(".layer1." in name or ".body.conv1" in name for name in norms)


@BATCHES
def test_denoising_queries(case, counts):
    outputs = recorded_denoising_outputs(case, counts)
    boxes = outputs["denoising_box"]
    assert boxes.shape[2] == 2 * max(counts) * (100 // max(counts))
    # A random network moves boxes, but most stay nearest to the object that they come from.
    targets = targets_of(case, counts)["boxes"][0]
    slots = boxes[0, 0, : max(counts)]
    distances = np.abs(slots[:, None] - targets[None]).sum(-1)
    assert (distances.argmin(1) == np.arange(max(counts))).mean() > 0.5
    # Empty slots of an image are all the same query.
    assert boxes[1, :, counts[1] : max(counts)].std(axis=1).max() < 1e-6


@CASES
def test_queries_are_put_in_the_order_of_the_record(case):
    arrays = recorded(case)
    outputs = recorded_outputs(case)
    num_queries, kept = case.sizes.num_queries, arrays["ranks"]
    shuffled = np.random.default_rng(0).permutation(num_queries)
    classification = np.zeros((2, outputs["box"].shape[1], num_queries, len(case.class_rows)))
    box = np.zeros((*classification.shape[:3], 4))
    encoder_classification = np.zeros(classification[:, 0].shape)
    classification[:, :, kept], box[:, :, kept] = outputs["classification"], outputs["box"]
    encoder_classification[:, kept] = outputs["encoder_classification"]
    box[:, -1] = outputs["last_box"]
    raw = {
        "classification": classification[:, -1][:, shuffled],
        "aux_classification": classification[:, :-1][:, :, shuffled],
        "box": box[:, -1][:, shuffled],
        "aux_box": box[:, :-1][:, :, shuffled],
        "encoder_classification": encoder_classification[:, shuffled],
        "encoder_box": outputs["encoder_box"][:, shuffled],
    }
    found = in_recorded_order(raw, case)
    assert found.keys() == outputs.keys()
    for name, value in outputs.items():
        np.testing.assert_array_equal(found[name], value)
