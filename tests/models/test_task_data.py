"""Every structure that data may come in, and every way to compile: TensorFlow's own too."""

import keras
import numpy as np
import pytest

from .detectors import DETECTORS, HEIGHT, NUM_QUERIES, WIDTH, inputs_of, matching_loss, tiny_batch

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs tensorflow as the backend"
)


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    """Give one row of the table."""
    return DETECTORS[request.param]


@pytest.fixture(scope="module")
def model(detector):
    """Give a compiled model that no test trains."""
    model = detector.build(bounding_box_format="rel_xyxy")
    model.compile(optimizer="sgd", run_eagerly=True)
    return model


def loss_of(model, **settings):
    """Return the loss of the detector's paper with other settings."""
    loss = model.default_loss()
    return type(loss).from_config({**loss.get_config(), **settings})


def relative_batch():
    """Make a batch without a mask, boxes in the format "rel_xyxy"."""
    batch = tiny_batch()
    boxes = batch["bounding_boxes"]["boxes"] / np.array((96, 64, 96, 64), "float32")
    classes = batch["bounding_boxes"]["classes"]
    boxes[classes < 0] = -1
    return batch["images"], {**batch["bounding_boxes"], "boxes": boxes}


def as_dicts(images, targets):
    import tensorflow as tf

    return tf.data.Dataset.from_tensors({"images": images, "bounding_boxes": targets})


def as_tuples(images, targets):
    import tensorflow as tf

    return tf.data.Dataset.from_tensors((images, targets))


def as_masked_inputs(images, targets):
    import tensorflow as tf

    inputs = {"images": images, "pixel_mask": np.ones(images.shape[:3], "uint8")}
    return tf.data.Dataset.from_tensors((inputs, targets))


def as_ragged(images, targets):
    import tensorflow as tf

    def of_image(index):
        is_real = targets["classes"][index] >= 0
        return {name: value[index][is_real] for name, value in targets.items()}

    rows = [of_image(index) for index in range(len(images))]
    boxes = tf.RaggedTensor.from_row_lengths(
        np.concatenate([row["boxes"] for row in rows]), [len(row["boxes"]) for row in rows]
    )
    others = {
        name: boxes.with_values(np.concatenate([row[name] for row in rows]))
        for name in ("classes", "masks")
    }
    return tf.data.Dataset.from_tensors(
        {"images": images, "bounding_boxes": {"boxes": boxes, **others}, "image/id": 7}
    )


def as_generator(images, targets):
    while True:
        yield {"images": images, "bounding_boxes": targets}


def as_py_dataset(images, targets):
    class OneBatch(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return images, targets

    return OneBatch()


def as_array_dict(images, targets):
    return {"images": images, "bounding_boxes": targets}


STRUCTURES = (
    as_dicts,
    as_tuples,
    as_masked_inputs,
    as_ragged,
    as_generator,
    as_py_dataset,
    as_array_dict,
)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_gives_the_same_loss(model, structure):
    images, targets = relative_batch()
    expected = model.evaluate(images, targets, batch_size=4, verbose=0, return_dict=True)
    data = structure(images, targets)
    actual = model.evaluate(data, steps=1, verbose=0, return_dict=True)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        # A full mask counts positions in another order than none.
        np.testing.assert_allclose(actual[name], value, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_can_be_predicted(model, structure):
    images, targets = relative_batch()
    expected = model.predict(images, verbose=0)
    actual = model.predict(structure(images, targets), steps=1, verbose=0)
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("structure", [as_dicts, as_generator, as_py_dataset, as_array_dict])
def test_boxes_without_area_are_reported_once(model, structure, caplog):
    images, targets = relative_batch()
    targets["boxes"][0, 0] = (0.5, 0.5, 0.5, 0.75)
    data = structure(images, targets)
    data = data.repeat(3) if structure is as_dicts else data
    steps = None if structure is as_py_dataset else 3
    settings = {"batch_size": 2} if structure is as_array_dict else {"steps": steps}
    logs = model.evaluate(data, **settings, verbose=0, return_dict=True)
    assert logs["dropped_boxes"] >= 1
    (line,) = [line for line in caplog.messages if line.startswith("`boxes`")]
    assert "[0.5, 0.5, 0.5, 0.75] (box 0 of image 0 of its batch)" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("jit_compile", "structure", "assignment"),
    [
        (True, as_dicts, "auto"),
        (False, as_ragged, "in_graph"),
        ("auto", as_masked_inputs, "auto"),
    ],
)
def test_fit_however_it_is_compiled(detector, jit_compile, structure, assignment):
    keras.utils.set_random_seed(0)
    model = detector.build(
        bounding_box_format="rel_xyxy", num_encoder_layers=1, num_decoder_layers=1
    )
    loss = loss_of(model, assignment=assignment)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=loss, jit_compile=jit_compile)
    images, targets = relative_batch()
    logs = model.fit(structure(images, targets), steps_per_epoch=1, verbose=0).history
    expected = float(loss(model.encode_targets(images, targets), model(images)))
    np.testing.assert_allclose(matching_loss(logs), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"classes": 5}, ("`classes`", "5")),
        ({"boxes": 3.0}, ("outside its image", "rel_xyxy")),
        ({"images": np.nan}, ("`images` must be finite", "NaN")),
    ],
)
def test_bad_values_in_a_data_set_are_shown(model, changes, parts):
    images, targets = relative_batch()
    for name, value in changes.items():
        array = images if name == "images" else targets[name]
        array[0, 0] = value
    # Keras wraps what a data set raises, in one of several types.
    with pytest.raises(Exception, match=parts[0]) as raised:
        model.fit(as_dicts(images, targets), verbose=0)
    for part in parts:
        assert part in str(raised.value)


def test_wrong_structures_in_a_data_set(model):
    import tensorflow as tf

    images, targets = relative_batch()
    for bad, message in (
        ({"images": images}, "bounding_boxes"),
        ((images, {**targets, "boxes": targets["boxes"][0]}), r"\(batch, N, 4\)"),
        ((images[0], targets), r"\(batch, height, width, 3\)"),
        ((images, targets, np.ones(4)), "sample_weight"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(tf.data.Dataset.from_tensors(bad), verbose=0)


def test_more_objects_than_queries_in_a_compiled_step(detector):
    model = detector.build(num_encoder_layers=1, num_decoder_layers=1)
    model.compile(optimizer="sgd")
    boxes = np.tile(np.array((1, 1, 20, 20), "float32"), (1, NUM_QUERIES + 1, 1))
    targets = {
        "boxes": boxes,
        "classes": np.zeros(boxes.shape[:2], "int32"),
        "masks": np.ones((*boxes.shape[:2], HEIGHT, WIDTH), bool),
    }
    batch = {**inputs_of(tiny_batch(batch_size=1)), "bounding_boxes": targets}
    with pytest.raises(Exception, match=f"{NUM_QUERIES + 1} objects"):
        model.evaluate(batch, verbose=0)


@pytest.mark.parametrize("settings", [{"jit_compile": True}, {"jit_compile": False}])
def test_more_objects_than_queries_in_a_data_set(detector, settings):
    model = detector.build(num_encoder_layers=1, num_decoder_layers=1)
    model.compile(optimizer="sgd", **settings)
    boxes = np.tile(np.array((1, 1, 20, 20), "float32"), (1, NUM_QUERIES + 1, 1))
    targets = {
        "boxes": boxes,
        "classes": np.zeros(boxes.shape[:2], "int32"),
        "masks": np.ones((*boxes.shape[:2], HEIGHT, WIDTH), bool),
    }
    images = inputs_of(tiny_batch(batch_size=1))["images"]
    with pytest.raises(Exception, match=f"image 0 .*{NUM_QUERIES + 1} objects") as raised:
        model.evaluate(as_dicts(images, targets), verbose=0)
    assert len(str(raised.value)) < 1000
