"""Steps of the paper's optimizer against AdamW computed by hand."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.layers.primitives.frozen_norm_conv2d import FrozenNormConv2D
from keras_detr.ops.backends import current
from keras_detr.optimizers import GlobalClipMultiOptimizer, detr_optimizer, fused_adamw

pytestmark = pytest.mark.every_backend

RATES = {"backbone": 1e-3, "rest": 1e-2}


class TinyDetector(keras.Model):
    """Two dense layers, one of which is the backbone."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.backbone = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(4, name="b")],
            name="backbone",
        )
        self.head = keras.layers.Dense(2, name="head")
        self.head.build((None, 4))
        self.built = True

    def call(self, inputs):
        return self.head(self.backbone(inputs))


def adamw(values, all_gradients, rates, weight_decay=1e-4, clip_norm=0.1):
    """Return variables after steps of AdamW in float64, the norm of all gradients clipped.

    Epsilon stands where Kingma and Ba put it at the end of their section 2, as in Keras.
    """
    values = [value.astype("float64") for value in values]
    first, second = ([np.zeros_like(value) for value in values] for _ in range(2))
    for number, gradients in enumerate(all_gradients, 1):
        norm = np.sqrt(sum((gradient.astype("float64") ** 2).sum() for gradient in gradients))
        scale = 1.0 if clip_norm is None else min(1.0, clip_norm / (norm + 1e-6))
        for i, gradient in enumerate(gradients):
            rate = rates[i](number - 1) if callable(rates[i]) else rates[i]
            gradient = gradient * scale
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient**2
            correction = np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
            step = correction * first[i] / (np.sqrt(second[i]) + 1e-8)
            values[i] = values[i] - rate * (step + weight_decay * values[i])
    return values


def random_gradients(variables, num_steps, scale, seed=1):
    rng = np.random.default_rng(seed)
    return [
        [(scale * rng.normal(size=v.shape)).astype("float32") for v in variables]
        for _ in range(num_steps)
    ]


def to_numpy(variable):
    return np.array(ops.convert_to_numpy(variable[...]))


def arrays_of(variables):
    return [to_numpy(variable) for variable in variables]


def rates_of(model, backbone=RATES["backbone"], rest=RATES["rest"]):
    of_backbone = {id(variable) for variable in model.backbone.trainable_variables}
    return [backbone if id(v) in of_backbone else rest for v in model.trainable_variables]


def apply(optimizer, variables, all_gradients):
    for gradients in all_gradients:
        gradients = [ops.convert_to_tensor(g) for g in gradients]
        if keras.backend.backend() != "jax":
            optimizer.apply(gradients, variables)
            continue
        # As Keras' trainer does it on JAX.
        optimizer.build(variables)
        values, state = optimizer.stateless_apply(
            [variable.value for variable in optimizer.variables],
            gradients,
            [variable.value for variable in variables],
        )
        for variable, value in zip([*variables, *optimizer.variables], values + state, strict=True):
            variable.assign(value)


def check_equal(variables, expected):
    for variable, value in zip(variables, expected, strict=True):
        # Four steps of at most 1e-2, each with some rounding errors of float32.
        np.testing.assert_allclose(to_numpy(variable), value, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("clip_norm", [0.1, 1e3, None])
@pytest.mark.parametrize("weight_decay", [1e-4, 0.5])
def test_steps_equal_adamw_by_hand(weight_decay, clip_norm):
    model = TinyDetector()
    variables = model.trainable_variables
    assert len(variables) == 6
    # Norms from far below the clip to far above, so that the clip's share differs by step.
    gradients = [
        step[0]
        for step in (random_gradients(variables, 1, scale, i) for i, scale in enumerate((5, 1e-3)))
    ] + random_gradients(variables, 2, 0.3)
    expected = adamw(arrays_of(variables), gradients, rates_of(model), weight_decay, clip_norm)
    optimizer = detr_optimizer(model, 1e-2, 1e-3, weight_decay, clip_norm)
    apply(optimizer, variables, gradients)
    check_equal(variables, expected)


def test_accumulated_gradients_step_by_their_mean():
    model = TinyDetector()
    variables = model.trainable_variables
    gradients = random_gradients(variables, 6, 1.0)
    means = [
        [(first + second) / 2 for first, second in zip(*pair, strict=True)]
        for pair in zip(gradients[::2], gradients[1::2], strict=True)
    ]
    start = arrays_of(variables)
    expected = adamw(start, means, rates_of(model), 0.5, clip_norm=None)
    optimizer = detr_optimizer(model, 1e-2, 1e-3, weight_decay=0.5, global_clipnorm=None)
    for group in optimizer.optimizers:
        group.gradient_accumulation_steps = 2
    apply(optimizer, variables, gradients[:1])
    check_equal(variables, start)
    apply(optimizer, variables, gradients[1:])
    check_equal(variables, expected)


def test_a_schedule_counts_batches_where_gradients_are_accumulated():
    model = TinyDetector()
    variables = model.trainable_variables
    gradients = random_gradients(variables, 1, 1.0) * 4
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([2], [1e-2, 0.0])
    optimizer = detr_optimizer(model, schedule, schedule, weight_decay=0.0, global_clipnorm=None)
    for group in optimizer.optimizers:
        group.gradient_accumulation_steps = 2
    start = arrays_of(variables)
    apply(optimizer, variables, gradients[:2])
    after_one_update = arrays_of(variables)
    assert not np.array_equal(after_one_update[0], start[0])
    # The fourth batch makes the second update, and is beyond the schedule's second batch.
    apply(optimizer, variables, gradients[2:])
    check_equal(variables, after_one_update)


@pytest.mark.parametrize("is_laid_out", [True, False])
def test_kernels_step_in_whatever_order_memory_holds_them(is_laid_out, monkeypatch):
    if not is_laid_out:
        monkeypatch.setattr(type(current()), "lay_out_kernel", lambda backend, variable: None)
    layer = FrozenNormConv2D(6, 3)
    layer.build((None, 8, 8, 5))
    gradients = random_gradients([layer.kernel], 3, 0.1)
    expected = adamw(arrays_of([layer.kernel]), gradients, [1e-2], 0.5, clip_norm=None)
    optimizer = fused_adamw.FusedAdamW(1e-2, weight_decay=0.5, beta_2=0.999, epsilon=1e-8)
    apply(optimizer, [layer.kernel], gradients)
    check_equal([layer.kernel], expected)


def test_the_backbone_moves_a_tenth_of_the_rest():
    model = TinyDetector()
    before = arrays_of(model.trainable_variables)
    optimizer = detr_optimizer(model, weight_decay=0.0)
    gradients = random_gradients(model.trainable_variables, 1, 1.0)
    apply(optimizer, model.trainable_variables, gradients)
    moved = [
        np.abs(b - a) for a, b in zip(before, arrays_of(model.trainable_variables), strict=True)
    ]
    # The first step of Adam is the learning rate, whatever the gradient; float32 rounds by 6e-8.
    for distance, rate in zip(moved, rates_of(model, 1e-5, 1e-4), strict=True):
        np.testing.assert_allclose(distance, rate, rtol=1e-2, atol=1e-7)


def test_slow_layers_have_a_rate_of_their_own():
    model = TinyDetector()
    before = arrays_of(model.trainable_variables)
    optimizer = detr_optimizer(
        model, weight_decay=0.0, slow_layers=["head"], slow_learning_rate=3e-6
    )
    gradients = random_gradients(model.trainable_variables, 1, 1.0)
    apply(optimizer, model.trainable_variables, gradients)
    after = arrays_of(model.trainable_variables)
    for first, last, rate in zip(before, after, rates_of(model, 1e-5, 3e-6), strict=True):
        np.testing.assert_allclose(np.abs(last - first), rate, rtol=2e-2, atol=1e-7)


def test_slow_layers_that_are_not_there():
    with pytest.raises(ValueError, match=r"`slow_layers` must name .* 'tail'"):
        detr_optimizer(TinyDetector(), slow_layers=["tail"], slow_learning_rate=1e-5)
    with pytest.raises(ValueError, match="`slow_learning_rate` is missing"):
        detr_optimizer(TinyDetector(), slow_layers=["head"])


def test_one_groups_large_gradients_shrink_the_other_groups():
    """A clip of each group alone would leave the small gradients of the head as they are."""
    model = TinyDetector()
    variables = model.trainable_variables
    is_backbone = [rate == RATES["backbone"] for rate in rates_of(model)]
    first, second = random_gradients(variables, 2, 1.0)
    first = [(100 if large else 1e-3) * g for g, large in zip(first, is_backbone, strict=True)]
    # The second step is small everywhere, which shows what the first left in the moments.
    gradients = [first, [1e-4 * g for g in second]]
    expected = adamw(arrays_of(variables), gradients, rates_of(model))
    apply(detr_optimizer(model, 1e-2, 1e-3), variables, gradients)
    check_equal(variables, expected)


def test_missing_gradients_are_left_out_of_the_norm():
    model = TinyDetector()
    variables = model.trainable_variables
    optimizer = detr_optimizer(model, 1e-2, 1e-3, weight_decay=0.0)
    before = arrays_of(variables)
    gradients = [ops.convert_to_tensor(g) for g in random_gradients(variables, 1, 1.0)[0]]
    gradients[0] = None
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply(gradients, variables)
    np.testing.assert_array_equal(to_numpy(variables[0]), before[0])
    assert np.abs(to_numpy(variables[-1]) - before[-1]).max() > 0


def test_schedules():
    model = TinyDetector()
    variables = model.trainable_variables
    schedules = [
        keras.optimizers.schedules.PiecewiseConstantDecay([1], [rate, rate / 10])
        for rate in (1e-3, 1e-2)
    ]
    by_hand = [lambda step: 1e-3 if step <= 1 else 1e-4, lambda step: 1e-2 if step <= 1 else 1e-3]
    gradients = random_gradients(variables, 4, 0.5)
    expected = adamw(arrays_of(variables), gradients, rates_of(model, *by_hand))
    apply(detr_optimizer(model, schedules[1], schedules[0]), variables, gradients)
    check_equal(variables, expected)


class CountedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that counts how often it is asked for."""

    def __init__(self):
        self.num_calls = 0

    def __call__(self, step):
        self.num_calls += 1
        return 1e-3

    def get_config(self):
        return {}


def test_a_schedule_is_read_once_for_all_variables_of_a_step():
    model = TinyDetector()
    schedules = CountedSchedule(), CountedSchedule()
    optimizer = detr_optimizer(model, *schedules)
    optimizer.build(model.trainable_variables)
    for schedule in schedules:
        schedule.num_calls = 0
    variables = model.trainable_variables
    gradients = [ops.ones(v.shape) for v in variables]
    if keras.backend.backend() == "jax":
        optimizer.stateless_apply(
            [v.value for v in optimizer.variables], gradients, [v.value for v in variables]
        )
    else:
        optimizer.apply(gradients, variables)
    assert [schedule.num_calls for schedule in schedules] == [1, 1]
    assert all(opt._learning_rate in schedules for opt in optimizer.optimizers)


def test_a_frozen_backbone_is_left_alone():
    model = TinyDetector()
    model.backbone.trainable = False
    before = arrays_of(model.backbone.variables)
    variables = model.trainable_variables
    assert len(variables) == 2
    gradients = random_gradients(variables, 2, 1.0)
    expected = adamw(arrays_of(variables), gradients, [1e-2, 1e-2])
    apply(detr_optimizer(model, 1e-2, 1e-3), variables, gradients)
    check_equal(variables, expected)
    for variable, value in zip(model.backbone.variables, before, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), value)


# Keras' variables don't speak NumPy 2's protocol in full, and Keras itself hands them to NumPy.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning")
def test_round_trip_with_state():
    model = TinyDetector(name="tiny")
    variables = model.trainable_variables
    optimizer = detr_optimizer(model, 1e-2, 1e-3, 0.3, 0.2)
    gradients = random_gradients(variables, 4, 0.5)
    expected = adamw(arrays_of(variables), gradients, rates_of(model), 0.3, 0.2)
    apply(optimizer, variables, gradients[:2])
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is GlobalClipMultiOptimizer
    assert copy.get_config() == optimizer.get_config()
    assert copy.clip_norm == 0.2
    copy.build(variables)
    copy.set_weights(arrays_of(optimizer.variables))
    apply(copy, variables, gradients[2:])
    check_equal(variables, expected)


def test_under_a_loss_scale():
    model = TinyDetector()
    variables = model.trainable_variables
    optimizer = keras.optimizers.LossScaleOptimizer(
        detr_optimizer(model, 1e-2, 1e-3), initial_scale=1024.0
    )
    gradients = random_gradients(variables, 3, 0.5)
    expected = adamw(arrays_of(variables), gradients, rates_of(model))
    optimizer.build(variables)
    assert float(optimizer.scale_loss(ops.convert_to_tensor(2.0))) == 2048.0
    apply(optimizer, variables, [[1024 * g for g in step] for step in gradients])
    check_equal(variables, expected)
    # A step that overflowed is left out, and the scale halved.
    before = arrays_of(variables)
    apply(optimizer, variables, [[np.full_like(g, np.inf) for g in gradients[0]]])
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), value)
    assert float(optimizer.scale_loss(ops.convert_to_tensor(2.0))) == 1024.0


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_fit(dtype):
    model = TinyDetector(dtype=dtype)
    before = arrays_of(model.trainable_variables)
    model.compile(detr_optimizer(model, 1e-2, 1e-3), loss="mse")
    if dtype == "mixed_float16":
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    rng = np.random.default_rng(3)
    inputs, outputs = rng.normal(size=(32, 3)), rng.normal(size=(32, 2))
    history = model.fit(inputs, outputs, batch_size=8, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < history[0]
    for variable, value in zip(model.trainable_variables, before, strict=True):
        assert np.abs(to_numpy(variable) - value).max() > 0


def test_variables_that_cannot_be_told_apart_are_named():
    model = TinyDetector()
    twin = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="a")], name="backbone")
    model.twin = twin
    with pytest.raises(ValueError, match=r"same path inside and outside.*a/bias.*other names"):
        detr_optimizer(model)


@pytest.mark.parametrize("clip_norm", [0.0, -1.0])
def test_a_clip_norm_that_is_not_positive_is_shown(clip_norm):
    with pytest.raises(ValueError, match=rf"`clip_norm` must be positive or `None`.*{clip_norm}"):
        detr_optimizer(TinyDetector(), global_clipnorm=clip_norm)
