"""Frozen stays frozen, and weights don't care what was frozen when they were saved."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.models.task.frozen_layers import apply_frozen_paths, frozen_paths
from tests.models.detectors import DETECTORS, inputs_of, patch_backbone, tiny_backbone, tiny_batch

pytestmark = pytest.mark.every_backend


def freeze_nothing(model):
    pass


def freeze_backbone(model):
    model.backbone.trainable = False


def freeze_encoder(model):
    model.encoder.trainable = False


def freeze_one_layer(model):
    model.encoder.encoder_layers[0].trainable = False


STATES = (freeze_nothing, freeze_backbone, freeze_encoder, freeze_one_layer)


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    """Give one row of the table."""
    return DETECTORS[request.param]


def trainable_paths(model):
    return {variable.path for variable in model.trainable_variables}


def values(model):
    return {v.path: ops.convert_to_numpy(v) for v in model.weights}


def assert_same_weights(model, expected):
    actual = values(model)
    assert actual.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(actual[path], value, err_msg=path)


def shuffled(model):
    """Give every variable a value of its own, so that a mix-up of two can't hide."""
    generator = np.random.default_rng(3)
    for variable in model.weights:
        variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    return model


def test_weights_load_under_any_trainable_state(detector, tmp_path):
    models = [detector.build() for _ in STATES]
    for freeze, model in zip(STATES, models, strict=True):
        freeze(model)
    file = tmp_path / "model.weights.h5"
    for saved in models:
        expected = values(shuffled(saved))
        saved.save_weights(file)
        for model in models:
            before = trainable_paths(model)
            if model is not saved:
                for variable in model.weights:
                    variable.assign(ops.zeros(variable.shape))
            model.load_weights(file)
            assert_same_weights(model, expected)
            assert trainable_paths(model) == before


def test_a_functional_backbone_that_comes_frozen_is_frozen_to_the_last_layer(detector):
    levels = (2, 3, 4, 5) if detector.has_masks else (5,)
    # Keras builds it with `trainable=False` from its configuration, and tells no layer.
    model = detector.build(backbone=patch_backbone(levels, trainable=False))
    apply_frozen_paths(model, ["patch_backbone"])
    assert not any(variable.trainable for variable in model.backbone.variables)
    assert not any(path.startswith("patches") for path in trainable_paths(model))


def test_a_backbone_that_is_built_frozen():
    backbone = tiny_backbone(trainable=False)
    assert not any(variable.trainable for variable in backbone.variables)
    backbone.trainable = True
    assert trainable_paths(backbone) == trainable_paths(tiny_backbone())


@pytest.mark.parametrize("state", [freeze_backbone, freeze_one_layer])
def test_loading_thaws_nothing(detector, tmp_path, state):
    model = shuffled(detector.build())
    state(model)
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    for loaded in (
        keras.saving.load_model(tmp_path / "model.keras"),
        type(model).from_preset(tmp_path / "preset"),
        type(model).from_preset(tmp_path / "preset", num_queries=4),
        type(model).from_config(model.get_config()),
    ):
        assert trainable_paths(loaded) == trainable_paths(model)
    assert_same_weights(keras.saving.load_model(tmp_path / "model.keras"), values(model))
    assert_same_weights(type(model).from_preset(tmp_path / "preset"), values(model))


def test_a_stem_that_is_frozen_stays_so(detector, tmp_path):
    model = detector.build()
    expected = trainable_paths(model)
    assert not any("/conv1/" in path or "layer1_" in path for path in expected)
    assert any("layer2_" in path for path in expected)
    model.trainable = False
    assert not trainable_paths(model)
    model.save(tmp_path / "frozen.keras")
    loaded = keras.saving.load_model(tmp_path / "frozen.keras")
    assert not trainable_paths(loaded)
    for thawed in (model, loaded):
        thawed.trainable = True
        assert trainable_paths(thawed) == expected


@pytest.mark.parametrize(
    ("num_frozen_stages", "frozen", "trained"),
    [(0, (), ("conv1", "layer1_")), (1, ("conv1",), ("layer1_",)), (5, ("layer4_",), ())],
)
def test_frozen_stages(num_frozen_stages, frozen, trained):
    backbone = tiny_backbone(num_frozen_stages=num_frozen_stages)
    paths = trainable_paths(backbone)
    assert not any(path.startswith(frozen) for path in paths if frozen)
    assert all(any(path.startswith(prefix) for path in paths) for prefix in trained)
    # Statistics and affine parameters of norms never train.
    assert all(path.endswith("kernel") for path in paths)


def test_frozen_layers_are_bit_identical_after_a_step(detector):
    model = detector.build()
    freeze_encoder(model)
    freeze_backbone(model)
    # What is quicker for a single step.
    is_eager = keras.backend.backend() != "jax"
    model.compile(optimizer=keras.optimizers.AdamW(1e-2, weight_decay=0.1), run_eagerly=is_eager)
    before, trainable = values(model), trainable_paths(model)
    batch = tiny_batch(batch_size=2)
    model.fit(inputs_of(batch), batch["bounding_boxes"], batch_size=2, verbose=0)
    changed = {path for path, value in values(model).items() if (value != before[path]).any()}
    assert changed <= trainable
    assert not any(path.startswith(("encoder/", "resnet/", "conv", "layer")) for path in changed)
    assert changed >= {path for path in trainable if path.startswith("class_head")}


def test_paths_of_frozen_layers(detector):
    model = detector.build()
    assert all(path.startswith("resnet/") for path in frozen_paths(model))
    freeze_one_layer(model)
    assert "encoder/layer_0" in frozen_paths(model)
    freeze_encoder(model)
    # What lies below a frozen layer needs no mention.
    assert [path for path in frozen_paths(model) if "encoder" in path] == ["encoder"]
    with pytest.raises(ValueError, match=r"doesn't have: \['encoder/layer_9'\]"):
        apply_frozen_paths(model, ["encoder/layer_9"])


@pytest.mark.parametrize("optimizer", [pytest.param("auto", marks=pytest.mark.once), "sgd"])
@pytest.mark.parametrize("was_frozen", [True, False])
def test_layers_that_change_after_the_first_step(optimizer, was_frozen):
    # TensorFlow's compiled step would go on training what it was made for, without a word.
    model = DETECTORS["detr"].build()
    model.encoder.trainable = not was_frozen
    model.compile(optimizer, run_eagerly=True)
    batch = tiny_batch(batch_size=2)
    model.fit(batch, verbose=0)
    model.encoder.trainable = was_frozen
    for call in (lambda: model.fit(batch, verbose=0), lambda: model.train_on_batch(batch)):
        with pytest.raises(ValueError, match=r"'encoder/.*Call `compile\(\)` again"):
            call()
    model.evaluate(batch, verbose=0)
    model.compile(optimizer, run_eagerly=True)
    before = values(model.encoder)
    model.fit(batch, verbose=0)
    after = values(model.encoder)
    assert was_frozen == any((after[path] != value).any() for path, value in before.items())
