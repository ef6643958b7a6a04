"""Moving averages of the weights, through Keras' own `use_ema` and `SwapEMAWeights`."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.optimizers import GlobalClipMultiOptimizer, detr_optimizer
from tests.models.detectors import inputs_of, tiny_batch, tiny_detr

pytestmark = [
    pytest.mark.every_backend,
    # Keras hands its variables to NumPy 2, whose protocol they don't speak in full yet.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
]

EPOCHS, STEPS = 3, 2
MOMENTUM = 0.8


class TinyDetector(keras.Model):
    """Two dense layers, one of which is the backbone."""

    def __init__(self):
        super().__init__()
        self.backbone = keras.layers.Dense(3, name="backbone")
        self.head = keras.layers.Dense(1, name="head")
        self.backbone.build((None, 2))
        self.head.build((None, 3))
        self.built = True

    def call(self, inputs):
        return self.head(self.backbone(inputs))


def values_of(model):
    return [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]


class Recorder(keras.callbacks.Callback):
    """Record the weights after each step, and at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.steps, self.ends, self.tests = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        # Keras keeps JAX' variables elsewhere within an epoch.
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        self.steps.append(values_of(self.model))

    def on_test_begin(self, logs=None):
        self.tests.append(values_of(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(values_of(self.model))


def train(swap=None, is_frozen=False, **settings):
    """Fit a model, and return it and what was recorded."""
    keras.utils.set_random_seed(3)
    model = TinyDetector()
    model.backbone.trainable = not is_frozen
    model.compile(detr_optimizer(model, 1e-1, 1e-2, **settings), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 2)).astype("float32"), rng.normal(size=(4, 1)).astype("float32")
    recorder = Recorder()
    callbacks = [recorder] if swap is None else [swap, recorder]
    model.fit(
        x,
        y,
        batch_size=4 // STEPS,
        epochs=EPOCHS,
        shuffle=False,
        validation_data=(x, y),
        callbacks=callbacks,
        verbose=0,
    )
    return model, recorder


def averages_by_hand(steps):
    """Return the averages after each step: of the first it is the first."""
    averages = [steps[0]]
    for values in steps[1:]:
        pairs = zip(averages[-1], values, strict=True)
        averages.append([MOMENTUM * average + (1 - MOMENTUM) * value for average, value in pairs])
    return averages


def check_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        # Averages of at most six steps in float32.
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_averages_are_evaluated_and_seen_by_later_callbacks(is_frozen):
    _, plain = train(is_frozen=is_frozen)
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    model, recorder = train(swap, is_frozen, use_ema=True, ema_momentum=MOMENTUM)
    # Training goes on with the weights of the steps, not with their averages.
    for values, expected in zip(recorder.steps, plain.steps, strict=True):
        check_equal(values, expected)
    averages = averages_by_hand(plain.steps)[STEPS - 1 :: STEPS]
    assert len(recorder.tests) == len(recorder.ends) == EPOCHS
    for seen in (recorder.tests, recorder.ends):
        for values, expected in zip(seen, averages, strict=True):
            check_equal(values, expected)
    assert not np.allclose(averages[-1][0], plain.steps[-1][0], atol=1e-4)
    # At its end `fit` leaves the averages in the model.
    check_equal(values_of(model), averages[-1])


def test_after_a_training_a_model_is_evaluated_saved_and_trained_on(tmp_path):
    model = tiny_detr()
    model.compile(model.default_optimizer(use_ema=True, ema_momentum=MOMENTUM))
    batch = tiny_batch()
    data = (inputs_of(batch), batch["bounding_boxes"])
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    model.fit(*data, validation_data=data, callbacks=[swap], verbose=0)
    trained = values_of(model)
    loss = model.evaluate(*data, verbose=0)
    check_equal(values_of(model), trained)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.evaluate(*data, verbose=0), loss, rtol=1e-5)
    for again in (model, loaded):
        again.fit(*data, callbacks=[swap], verbose=0)
    check_equal(values_of(loaded), values_of(model))


class Predictor(keras.callbacks.Callback):
    """Predict, and evaluate, single batches at the end of each epoch, as `COCOEvaluation` does."""

    def on_epoch_end(self, epoch, logs=None):
        batch = tiny_batch()
        for _ in range(2):
            self.model.predict_on_batch(inputs_of(batch))
            self.model.test_on_batch(inputs_of(batch), batch["bounding_boxes"])


def test_a_callback_predicts_after_the_averages_have_come():
    batch = tiny_batch()
    data = (inputs_of(batch), batch["bounding_boxes"])
    results = []
    for others in ([], [Predictor()]):
        keras.utils.set_random_seed(3)
        model = tiny_detr()
        model.compile(model.default_optimizer(use_ema=True, ema_momentum=MOMENTUM))
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        model.fit(*data, epochs=2, callbacks=[swap, *others], verbose=0)
        model.train_on_batch(*data)
        results.append(values_of(model))
    check_equal(*results)


def test_an_error_in_the_first_step_is_what_is_raised(monkeypatch):
    def fail(*args, **kwargs):
        raise ArithmeticError("while the step is traced")

    model = tiny_detr()
    model.compile(model.default_optimizer(use_ema=True, ema_momentum=MOMENTUM))
    before = values_of(model)
    batch = tiny_batch()
    monkeypatch.setattr(model, "compute_loss", fail)
    with pytest.raises(ArithmeticError, match="while the step is traced"):
        model.fit(inputs_of(batch), batch["bounding_boxes"], verbose=0)
    check_equal(values_of(model), before)


def test_a_model_without_averages_is_refused():
    with pytest.raises(ValueError, match="`use_ema=True`"):
        train(keras.callbacks.SwapEMAWeights())


def test_settings_are_saved_with_the_optimizer():
    optimizer = detr_optimizer(TinyDetector(), use_ema=True, ema_momentum=MOMENTUM)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, GlobalClipMultiOptimizer)
    assert [(o.use_ema, o.ema_momentum) for o in again.optimizers] == [(True, MOMENTUM)] * 2


def test_callbacks_read_the_rate_of_the_default_optimizer():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.25])
    for rate, expected in ((0.125, 0.125), (schedule, 0.5)):
        optimizer = detr_optimizer(TinyDetector(), rate, 1e-3)
        assert float(ops.convert_to_numpy(optimizer.learning_rate)) == expected
        with pytest.raises(AttributeError, match="set those of `optimizers`"):
            optimizer.learning_rate = 1.0


def test_without_a_default_there_is_no_rate():
    optimizer = GlobalClipMultiOptimizer(lambda variable: keras.optimizers.SGD())
    with pytest.raises(AttributeError, match="read the rates of `optimizers`"):
        _ = optimizer.learning_rate
