"""A backbone's maps, however its layers hang together."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_detr.models.backbones.feature_pyramid import pyramid_extractor
from tests.models.detectors import tiny_backbone

pytestmark = pytest.mark.every_backend


def with_levels(images, outputs, **names):
    backbone = keras.Model(images, outputs)
    backbone.pyramid_level_inputs = names
    return backbone


def residual():
    return tiny_backbone()


def chain():
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="first")(images)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="second")(x)
    return with_levels(images, layers.Conv2D(2, 1, name="last")(x), P1="first", P2="last")


def level_within_a_block():
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(images)
    y = layers.Conv2D(4, 3, padding="same", name="within")(x)
    x = layers.Add(name="block")([x, layers.Conv2D(4, 1)(y)])
    return with_levels(images, layers.Conv2D(2, 1, name="last")(x), P1="within", P2="last")


def level_on_a_branch():
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(images)
    branch = layers.Conv2D(3, 1, name="branch")(x)
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="last")(x)
    return with_levels(images, [x, branch], P1="branch", P2="last")


def layer_called_twice():
    images = keras.Input((None, None, 3))
    shared = layers.Conv2D(4, 1)
    x = layers.Conv2D(4, 3, strides=2, padding="same")(images)
    first = layers.ReLU(name="first")(shared(x))
    x = layers.Add()([shared(first), x])
    return with_levels(images, layers.Conv2D(2, 1, name="last")(x), P1="first", P2="last")


def level_twice():
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="only")(images)
    return with_levels(images, x, P1="only", P2="only")


@pytest.mark.parametrize(
    "build",
    [residual, chain, level_within_a_block, level_on_a_branch, layer_called_twice, level_twice],
)
def test_maps_are_those_of_the_whole_model(build):
    backbone = build()
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 96, 3)).astype("float32")
    names = backbone.pyramid_level_inputs
    whole = keras.Model(
        backbone.inputs[0], [backbone.get_layer(name).output for name in names.values()]
    )
    expected = dict(zip(names, whole(images), strict=True))
    extract, shapes = pyramid_extractor(backbone)
    pyramid = extract(images, training=False)
    assert pyramid.keys() == shapes.keys() == names.keys()
    for level, features in pyramid.items():
        np.testing.assert_allclose(
            ops.convert_to_numpy(features), ops.convert_to_numpy(expected[level]), rtol=1e-5
        )
        assert shapes[level] == (None, None, None, features.shape[-1])


@pytest.fixture
def young_garbage():
    """Let a collection look only through what the test makes, not what is left of others."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("young_garbage")
def test_maps_are_freed_on_the_way():
    alive, most = [], 0

    class Watched(layers.Layer):
        def call(self, x):
            nonlocal most
            x = x + 1.0
            # What Keras walks through structures with refers to itself.
            gc.collect()
            alive.append(weakref.ref(x))
            most = max(most, sum(reference() is not None for reference in alive))
            return x

    images = x = keras.Input((8, 8, 3))
    for index in range(10):
        x = Watched(name=f"watched_{index}")(x)
    extract, _ = pyramid_extractor(with_levels(images, x, P0="watched_9"))
    alive.clear()
    most = 0
    extract(np.zeros((1, 8, 8, 3), "float32"), training=False)
    assert len(alive) == 10
    assert most <= 3
