"""DINO computes what the original was recorded to compute, with the same weights."""

import keras
import numpy as np
import pytest

from keras_detr import DINODETR, ContrastiveDenoising, ResNetBackbone
from keras_detr.checkpoints import to_canonical_names
from keras_detr.models.presets.checkpoint_variables import fill_variables
from tests.models.originals import TOLERANCE
from tests.one_program import outputs_of

from .recorded import (
    FULL,
    LOSS_PARTS,
    SMALL,
    in_recorded_order,
    inputs_of,
    recorded_denoising_outputs,
    recorded_gradient_norms,
    recorded_losses,
    recorded_outputs,
    targets_of,
    weights_of,
)

pytestmark = pytest.mark.every_backend

SETTINGS = {"bounding_box_format": "rel_center_xywh", "name": "detector"}


def build(case):
    """Build the detector of a case, without noise, with the original's weights."""
    denoising = ContrastiveDenoising(label_noise_ratio=0, box_noise_scale=0)
    if case is FULL:
        model = DINODETR.from_preset(
            "dino_detr_r50", load_weights=False, denoising=denoising, **SETTINGS
        )
    else:
        sizes = case.sizes
        backbone = ResNetBackbone(
            18,
            stem_num_filters=sizes.stem_num_filters,
            stackwise_num_filters=sizes.stage_num_filters,
            stackwise_num_blocks=sizes.stage_num_blocks,
        )
        model = DINODETR(
            backbone,
            num_classes=sizes.num_classes,
            num_queries=sizes.num_queries,
            hidden_dim=sizes.hidden_dim,
            num_heads=sizes.num_heads,
            num_encoder_layers=sizes.num_encoder_layers,
            num_decoder_layers=sizes.num_decoder_layers,
            feed_forward_dim=sizes.feed_forward_dim,
            denoising=denoising,
            **SETTINGS,
        )
    tensors = to_canonical_names(weights_of(case), model.checkpoint_table)
    assert not tensors.skipped
    tensors = model.fit_checkpoint(tensors.tensors, case.class_rows, False, "the record")
    fill_variables(model.checkpoint_variables(), tensors, "the record")
    return model


@pytest.fixture(scope="module")
def small():
    return build(SMALL)


def check_evaluation(model, case):
    outputs = in_recorded_order(outputs_of(model, inputs_of(case)), case)
    for name, expected in recorded_outputs(case).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=0, atol=TOLERANCE, err_msg=name)


def test_outputs_of_all_layers_and_of_the_proposals(small):
    check_evaluation(small, SMALL)


# Compiling the architecture takes longer than everything else here.
@pytest.mark.once
@pytest.mark.slow
def test_the_published_architecture():
    check_evaluation(build(FULL), FULL)


@pytest.mark.parametrize("counts", SMALL.counts)
def test_denoising_outputs(small, counts):
    targets = targets_of(SMALL, counts)
    outputs = outputs_of(small, inputs_of(SMALL), training=True, targets=targets)
    for name, expected in recorded_denoising_outputs(SMALL, counts).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=0, atol=TOLERANCE, err_msg=name)
    # The matching queries don't see them.
    in_order = in_recorded_order(outputs, SMALL)
    for name, expected in recorded_outputs(SMALL).items():
        np.testing.assert_allclose(in_order[name], expected, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("counts", SMALL.counts)
def test_losses_and_gradients(counts):
    model = build(SMALL)
    # Its momentum after a step is the gradient.
    optimizer = keras.optimizers.SGD(1.0, momentum=0.5)
    model.compile(optimizer)
    inputs, targets = inputs_of(SMALL), targets_of(SMALL, counts)
    logs = model.train_on_batch(inputs, targets, return_dict=True)
    expected = recorded_losses(SMALL, counts)
    for name in (*LOSS_PARTS, "loss"):
        np.testing.assert_allclose(logs[name], expected[name], rtol=1e-5, err_msg=name)

    norms = {
        variable.path: np.linalg.norm(keras.ops.convert_to_numpy(momentum))
        for variable, momentum in zip(model.trainable_variables, optimizer.momentums, strict=True)
    }
    expected = recorded_gradient_norms(SMALL, counts)
    arrays = {name: np.array(norm) for name, norm in expected.items()}
    expected = to_canonical_names(arrays, model.checkpoint_table).tensors
    variables = model.checkpoint_variables()
    assert {variables[name].variable.path for name in expected} == norms.keys()
    for name, norm in expected.items():
        # A key's bias changes all scores of a query alike, so its gradient is rounding alone.
        tolerance = 1e-4 if name.endswith("self_attn.k_proj.bias") else 0
        found = norms[variables[name].variable.path]
        np.testing.assert_allclose(found, norm, rtol=1e-5, atol=tolerance, err_msg=name)
