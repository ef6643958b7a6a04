"""Training that was interrupted and goes on equals training that wasn't."""

import h5py
import keras
import numpy as np
import pytest

from keras_detr.optimizers import detr_optimizer
from tests.models.detectors import DETECTORS, tiny_batch

EPOCHS = 4
STEPS = 1


class Stopped(Exception):
    pass


class StopAfter(keras.callbacks.Callback):
    """Raise as a machine's end would, in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch
        self.current = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.current = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.current == self.epoch:
            raise Stopped


def detector(name, **settings):
    keras.utils.set_random_seed(1)
    # On torch Keras draws dropout from torch's own generator, which isn't the model's.
    dropout = 0.0 if keras.backend.backend() == "torch" else 0.1
    model = DETECTORS[name].build(dropout=dropout)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0, 2], [1e-3, 5e-4, 1e-4])
    optimizer = detr_optimizer(model, schedule, backbone_learning_rate=1e-3, **settings)
    # On TensorFlow the steps are few, and take less than their compilation.
    model.compile(optimizer, run_eagerly=keras.backend.backend() == "tensorflow")
    return model


class Batches(keras.utils.PyDataset):
    """Give the same batches in every epoch."""

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        return tiny_batch(index, batch_size=2)


def train(name, callbacks=(), has_averages=False):
    """Train a new detector; return it and the losses of the epochs."""
    model = detector(name, use_ema=has_averages, ema_momentum=0.5)
    if has_averages:
        callbacks = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True), *callbacks]
    history = model.fit(
        Batches(), epochs=EPOCHS, callbacks=list(callbacks), shuffle=False, verbose=0
    )
    return model, history.history["loss"]


def check_equal(variables, expected):
    for one, other in zip(variables, expected, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other), rtol=1e-6, atol=1e-6
        )


# All train and save alike, and on JAX it takes two minutes: so on one backend, one detector, and
# one whose noise has a random state of its own.
# One of them has moving averages of its weights too.
@pytest.mark.parametrize(("name", "has_averages"), [("detr", True), ("dino_detr", False)])
def test_two_epochs_and_two_equal_four(name, has_averages, tmp_path):
    expected, losses = train(name, has_averages=has_averages)
    interrupted = [keras.callbacks.BackupAndRestore(tmp_path), StopAfter(epoch=2)]
    with pytest.raises(Stopped):
        train(name, interrupted, has_averages)
    backup = keras.callbacks.BackupAndRestore(tmp_path)
    resumed, all_losses = train(name, [backup], has_averages)
    np.testing.assert_allclose(all_losses, losses, rtol=1e-6)
    check_equal(resumed.variables, expected.variables)
    check_equal(resumed.optimizer.variables, expected.optimizer.variables)


def test_files_without_a_random_state_load(tmp_path):
    path = tmp_path / "model.weights.h5"
    model = detector("detr")
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        file["vars"].pop("random_state", None)
    other = detector("detr")
    other.load_weights(path)
    check_equal(other.variables, model.variables)


def test_weights_load_into_a_model_without_dropout(tmp_path):
    model = detector("detr")
    model.save_weights(tmp_path / "model.weights.h5")
    other = DETECTORS["detr"].build(dropout=0.0)
    other.load_weights(tmp_path / "model.weights.h5")
    check_equal(other.trainable_variables, model.trainable_variables)
