"""A model compiled with `jit_compile=True` against one that isn't."""

import functools

import keras
import numpy as np
import pytest

from .detectors import DETECTORS, inputs_of, tiny_batch

pytestmark = pytest.mark.every_backend


@pytest.fixture(autouse=True)
def compiler_of_torch(monkeypatch):
    """Trace programs for torch, but leave them to it: a compiler of C++ may be missing."""
    if keras.backend.backend() == "torch":
        import torch

        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))


def both(detector, optimizer="auto", **settings):
    """Return the same model twice: compiled, and not."""
    pair = [DETECTORS[detector].build(**settings) for _ in range(2)]
    pair[1].set_weights([keras.ops.convert_to_numpy(v[...]) for v in pair[0].weights])
    for model, jit_compile in zip(pair, (True, False), strict=True):
        model.compile(optimizer, jit_compile=jit_compile)
    return pair


def check_alike(models, inputs):
    found, expected = (model.predict_on_batch(inputs) for model in models)
    for name, value in expected.items():
        # Boxes are pixels; XLA computes in another order.
        np.testing.assert_allclose(found[name], value, atol=1e-3)
    return found


@pytest.mark.parametrize("detector", DETECTORS)
def test_predictions_follow_the_weights(detector):
    models, inputs = both(detector), inputs_of(tiny_batch(batch_size=2))
    before = check_alike(models, inputs)
    for model in models:
        for variable in model.backbone.variables:
            if variable.path.endswith("kernel"):
                variable.assign(1.5 * keras.ops.convert_to_numpy(variable[...]))
    after = check_alike(models, inputs)
    assert np.abs(after["confidence"] - before["confidence"]).max() > 1e-5


def test_each_shape_is_a_program_of_its_own():
    models, inputs = both("detr"), inputs_of(tiny_batch(batch_size=3))["images"]
    results = [check_alike(models, inputs[:size])["boxes"] for size in (2, 1, 2)]
    np.testing.assert_array_equal(results[0], results[2])
    # The last batch has one image.
    whole = models[0].predict(inputs, batch_size=2, verbose=0)
    np.testing.assert_allclose(whole["boxes"][:2], results[0], atol=1e-3)


def test_losses_are_the_same():
    batch = tiny_batch(batch_size=2)
    losses = []
    for model in both("detr", "sgd", num_encoder_layers=1, num_decoder_layers=1):
        model.optimizer.learning_rate = 0.0
        data = {"x": inputs_of(batch), "y": batch["bounding_boxes"], "batch_size": 2, "verbose": 0}
        (trained,) = model.fit(**data).history["loss"]
        losses.append([trained, model.evaluate(**data, return_dict=True)["loss"]])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
