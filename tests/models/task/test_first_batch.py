"""What is wrong with validation data is said before the first step of a training."""

import keras
import numpy as np
import pytest

from keras_detr.evaluation import COCOEvaluation, evaluate_detector
from keras_detr.ops.installed_packages import is_installed
from tests.models.detectors import (
    HEIGHT,
    WIDTH,
    Batches,
    inputs_of,
    patch_backbone,
    tiny_batch,
    tiny_detr,
)

pytestmark = pytest.mark.every_backend


def of_tensorflow(*batches):
    import tensorflow as tf

    return tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature=keras.tree.map_structure(
            lambda value: tf.TensorSpec(value.shape, value.dtype), batches[0]
        ),
    )


def of_torch(*batches):
    from torch.utils.data import DataLoader

    return DataLoader(list(batches), batch_size=None)


KINDS = {"dataset": Batches, "generator": lambda *batches: iter(batches)}
KINDS |= {
    library: make
    for library, make in {"tensorflow": of_tensorflow, "torch": of_torch}.items()
    if is_installed(library)
}


class Steps(keras.callbacks.Callback):
    """Count the steps."""

    num_steps = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.num_steps += 1


@pytest.fixture(scope="module")
def model():
    settings = {"num_encoder_layers": 1, "num_decoder_layers": 1}
    model = tiny_detr(backbone=patch_backbone(), class_names=("cat", "dog", "emu"), **settings)
    model.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


def batch_of(**changes):
    batch = tiny_batch(batch_size=2)
    batch["image_size"] = np.array([[HEIGHT, WIDTH]] * 2)
    batch["bounding_boxes"] |= changes
    return batch


def classes_with(label):
    classes = batch_of()["bounding_boxes"]["classes"].copy()
    classes[0, 0] = label
    return classes


WRONG = {
    "a class too many": ({"classes": classes_with(3)}, "Received: 3 "),
    "relative boxes": ({"boxes": np.full((2, 3, 4), 0.5, "float32")}, "all boxes .* lie in 0..1"),
}


def assert_refused_at_once(model, message, **settings):
    steps = Steps()
    callbacks = [*settings.pop("callbacks", ()), steps]
    with pytest.raises(ValueError, match=message):
        model.fit(Batches(batch_of()), verbose=0, callbacks=callbacks, **settings)
    assert steps.num_steps == 0


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kind", KINDS)
def test_validation_data(model, kind, wrong):
    changes, message = WRONG[wrong]
    data = KINDS[kind](batch_of(**changes))
    assert_refused_at_once(model, message, validation_data=data, validation_steps=1)


@pytest.mark.parametrize("wrong", WRONG)
def test_data_of_coco_evaluation(model, wrong):
    changes, message = WRONG[wrong]
    evaluation = COCOEvaluation([batch_of(**changes)], verbose=0)
    assert_refused_at_once(model, message, callbacks=[evaluation])


@pytest.mark.once
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_batch_is_not_lost(model, kind):
    # The second has no object, so that its loss is another. Keras takes pairs of torch's loaders.
    batches = [
        (inputs_of(batch), {name: batch["bounding_boxes"][name] for name in ("boxes", "classes")})
        for batch in (batch_of(), batch_of(classes=np.full((2, 3), -1)))
    ]
    expected = model.evaluate(Batches(*batches), verbose=0, return_dict=True)
    data = KINDS[kind](*batches)
    logs = model.fit(
        Batches(batch_of()), verbose=0, validation_data=data, validation_steps=2
    ).history
    for name, value in expected.items():
        np.testing.assert_allclose(logs[f"val_{name}"], value, rtol=1e-5, err_msg=name)


@pytest.mark.once
def test_images_of_another_range_are_told(model, caplog):
    batch = {**batch_of(), "images": batch_of()["images"] / 255}
    evaluation = COCOEvaluation([batch], verbose=0)
    evaluation.set_model(model)
    evaluation.on_train_begin()
    assert "it sees black pictures" in caplog.text


@pytest.mark.once
def test_no_batch():
    model = tiny_detr(backbone=patch_backbone())
    model.compile(run_eagerly=True)
    for data in (Batches(), iter([])):
        with pytest.raises(ValueError, match="gave no batch"):
            model.fit(Batches(batch_of()), validation_data=data, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["dog", "cat", "emu"], "They differ: in their order"),
        (["cat", "dog", "fox"], r"not expected \['fox'\], missing \['emu'\]"),
        (["cat", "dog"], r"missing \['emu'\]"),
    ],
)
def test_classes_of_another_order_are_refused(model, names, message):
    data = Batches(batch_of())
    data.class_names = names
    assert_refused_at_once(model, message, validation_data=data)
    assert_refused_at_once(model, message, callbacks=[COCOEvaluation(data, verbose=0)])
    for call in (model.fit, model.evaluate, lambda data: evaluate_detector(model, data)):
        with pytest.raises(ValueError, match=message):
            call(data)
    data.class_names = ["cat", "dog", "emu"]
    evaluate_detector(model, data)
