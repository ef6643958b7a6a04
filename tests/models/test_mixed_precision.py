"""Half precision: nothing overflows, and what must be float32 is."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.one_program import outputs_of

from .detectors import DETECTORS, NUM_QUERIES, inputs_of, tiny_batch

STEPS = 200


@pytest.fixture
def global_policy():
    """Give a function that sets the policy, and take it back afterwards."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("detector", "policy"),
    [
        ("detr", "mixed_bfloat16"),
        ("detr", "mixed_float16"),
        # What overflows in bfloat16 overflows in float16 too.
        ("deformable_detr", "mixed_float16"),
    ],
)
def test_many_steps_stay_finite(detector, policy, global_policy):
    global_policy(policy)
    model = DETECTORS[detector].build(dropout=0.1)
    batch = tiny_batch()
    # Far beyond the usual rate, so that weights and logits travel.
    model.compile(optimizer=keras.optimizers.AdamW(1e-3, global_clipnorm=0.1))
    losses = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: losses.append(logs["loss"])
    )
    images = {name: np.concatenate([value] * 10) for name, value in inputs_of(batch).items()}
    targets = {
        name: np.concatenate([value] * 10) for name, value in batch["bounding_boxes"].items()
    }
    model.fit(images, targets, batch_size=4, epochs=STEPS // 10, verbose=0, callbacks=[callback])
    assert len(losses) == STEPS
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in model.variables)


@pytest.mark.every_backend
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("detector", DETECTORS)
def test_half_precision_is_close_to_single(detector, policy, global_policy):
    keras.utils.set_random_seed(0)
    expected_model = DETECTORS[detector].build()
    global_policy(policy)
    model = DETECTORS[detector].build()
    for variable, value in zip(model.weights, expected_model.weights, strict=True):
        assert variable.dtype == "float32"
        variable.assign(value)
    inputs = inputs_of(tiny_batch())
    expected, outputs = outputs_of(expected_model, inputs), outputs_of(model, inputs)
    # Tokens of nearly the same score may change places: queries that start alike are compared.
    is_same = np.full((4, NUM_QUERIES), True)
    if DETECTORS[detector].has_proposals:
        moved = np.abs(outputs["encoder_box"] - expected["encoder_box"]).max(axis=-1)
        is_same = moved < 0.02
        assert is_same.mean() > 0.7
    for name, value in outputs.items():
        assert value.dtype == np.float32
        # Images and queries first; bfloat16 has 8 bits: errors of half a percent, over a dozen
        # layers.
        queries = 1 if name == "mask" else -2
        errors = np.moveaxis(np.abs(value - expected[name]), queries, 1)
        assert errors[is_same].max() < 0.1, name
    # The last layer of the boxes doesn't round.
    logits = np.log(outputs["box"] / (1 - outputs["box"]))
    dtype = policy.removeprefix("mixed_")
    rounded = ops.convert_to_numpy(ops.cast(ops.cast(logits, dtype), "float32"))
    assert (np.abs(logits - rounded) > 2e-5).mean() > 0.3
    # Under way it was half precision, not single in disguise.
    assert DETECTORS[detector].class_head(model).compute_dtype == dtype
