"""What is no batch, at every way into a detector: a sentence that says what came, never a crash."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.models.task import raw_images

from .detectors import Batches, inputs_of, tiny_batch, tiny_detr

pytestmark = pytest.mark.every_backend

BATCH = tiny_batch(batch_size=2)
IMAGES, MASK, TARGETS = BATCH["images"], BATCH["pixel_mask"], BATCH["bounding_boxes"]
LISTS = {
    name: [row[classes >= 0] for row, classes in zip(rows, TARGETS["classes"], strict=True)]
    for name, rows in TARGETS.items()
}
NONE_LEFT = {name: rows[:0] for name, rows in TARGETS.items()}


@pytest.fixture(scope="module")
def model():
    """Give a compiled model; the door is the same for all detectors."""
    model = tiny_detr(num_encoder_layers=1, num_decoder_layers=1)
    model.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


def masked(pixel_mask):
    return {"images": IMAGES, "pixel_mask": pixel_mask}


SHAPE = r"`images` must have the shape \(batch, height, width, 3\)"
NO_ARRAY = r"`images` must be an array.*Received: "
NO_NUMBERS = "`images` must be an array of numbers.*"
NO_BATCH_OF_TWO = "A batch must be a dict.*"
BAD_IMAGES = {
    "a grey image": (IMAGES[0, :, :, 0], SHAPE),
    "a grey image with an axis": (IMAGES[0, :, :, :1], SHAPE),
    "grey images": (IMAGES[..., 0], SHAPE),
    "grey images with an axis": (IMAGES[..., :1], rf"{SHAPE}.*np\.repeat"),
    "transparent images": (np.repeat(IMAGES[..., :1], 4, -1), rf"{SHAPE}.*\[\.\.\., :3\]"),
    "one image": (IMAGES[0], rf"{SHAPE}.*images\[None\]"),
    "channels first": (np.moveaxis(IMAGES, -1, 1), rf"{SHAPE}.*np\.moveaxis"),
    "no image": (IMAGES[:0], rf"{SHAPE}, of at least one image.*\(0, 64, 96, 3\)"),
    "no pixel": (IMAGES[:, :0], SHAPE),
    "nothing": (None, f"{NO_ARRAY}None"),
    "a path": ("photo.jpg", f"{NO_ARRAY}'photo.jpg'.*model.detect"),
    "a number": (3, f"{NO_ARRAY}3"),
    "a set": ({1, 2}, f"{NO_ARRAY}set"),
    "paths": (["a.jpg", "b.jpg"], rf"{NO_BATCH_OF_TWO}a list of 2 \(str\)"),
    "nested lists": (IMAGES[:, :2, :2].tolist(), rf"{NO_BATCH_OF_TWO}a list of 2 \(list\)"),
    "several batches": ([IMAGES, IMAGES], rf"{NO_BATCH_OF_TWO}\(ndarray\).*np.stack"),
    "booleans": (IMAGES > 9, f"{NO_NUMBERS}dtype bool"),
    "complex numbers": (IMAGES.astype("complex64"), f"{NO_NUMBERS}dtype complex64"),
    "strings": (np.full(IMAGES.shape, "a"), f"{NO_NUMBERS}dtype <U1"),
    "objects": (IMAGES.astype(object), f"{NO_NUMBERS}dtype object"),
    "no key": ({"image": IMAGES}, "key 'images'.*'image'"),
    "a list in a dict": ({"images": [IMAGES[0]]}, rf"{NO_ARRAY}a list of 1 \(ndarray\)"),
    "a lower mask": (masked(MASK[:, :60]), r"`pixel_mask` must have the shape.*\(2, 60, 96\)"),
    "a mask of fewer images": (masked(MASK[:1]), r"`pixel_mask`.*\(1, 64, 96\)"),
    "a mask of one image": (masked(MASK[0]), r"`pixel_mask`.*Received: \(64, 96\)"),
    "a mask with channels": (masked(MASK[..., None]), r"`pixel_mask`.*\(2, 64, 96, 1\)"),
    "a mask of strings": (masked(np.full(MASK.shape, "a")), "`pixel_mask`.*numbers"),
    "a mask that is none": (masked("mask"), "`pixel_mask`.*Received: 'mask'"),
}


@pytest.mark.parametrize("images", BAD_IMAGES)
def test_bad_images(model, images):
    images, message = BAD_IMAGES[images]
    for call in (
        lambda: model.fit(images, TARGETS, verbose=0),
        lambda: model.fit(BATCH, validation_data=(images, TARGETS), verbose=0),
        lambda: model.evaluate(images, TARGETS, verbose=0),
        lambda: model.train_on_batch(images, TARGETS),
        lambda: model.test_on_batch(images, TARGETS),
        lambda: model.predict_on_batch(images),
        lambda: model.decoder_attention(images),
        lambda: model.predict(images, verbose=0),
    ):
        # Boxes beside a list of images are refused with another sentence, of the list itself.
        with pytest.raises(ValueError, match=f"(?s){message}|`images` must be an array"):
            call()


BAD_TARGETS = {
    "nothing": (None, "Targets are missing"),
    "an array": (TARGETS["boxes"], r"Received: .*ndarray|a tuple of 2 \(ndarray\)"),
    "no classes": ({"boxes": TARGETS["boxes"]}, "`bounding_boxes` must be a dict.*'boxes'"),
    "labels": ({"boxes": [], "labels": []}, "`bounding_boxes`.*Rename 'labels' to 'classes'"),
    "boxes that are nothing": ({**TARGETS, "boxes": None}, "`boxes` must be an array"),
    "classes that are nothing": ({**TARGETS, "classes": None}, "`classes` must be an array"),
    "names": ({**LISTS, "classes": [["cat"], []]}, "`classes` must be an array of numbers"),
    "boxes of strings": ({**TARGETS, "boxes": np.full((2, 3, 4), "a")}, "`boxes`.*numbers"),
    "complex boxes": ({**TARGETS, "boxes": TARGETS["boxes"] * 1j}, "`boxes`.*complex"),
    "boolean classes": ({**TARGETS, "classes": TARGETS["classes"] > 0}, "`classes`.*bool"),
    "boxes of several lengths": (
        {**LISTS, "boxes": [[[1, 2, 3], [1, 2, 3, 4]], []]},
        "`boxes` must be an array of numbers, or a list",
    ),
    "fewer images": ({name: rows[:1] for name, rows in TARGETS.items()}, "agree in length"),
    "no images": (NONE_LEFT, "agree in length"),
    "another number of areas": (
        {**TARGETS, "area": np.ones((2, 2))},
        "`area` must have one row a box.*2 rows and 3 boxes for image 0",
    ),
    "lists of other lengths": (
        {**LISTS, "is_crowd": [[True] * 9, []]},
        "`is_crowd` must have one row a box.*9 rows",
    ),
    "lists of fewer images": ({name: rows[:1] for name, rows in LISTS.items()}, "agree in length"),
}


@pytest.mark.parametrize("targets", BAD_TARGETS)
def test_bad_targets(model, targets):
    targets, message = BAD_TARGETS[targets]
    for call in (
        lambda: model.fit(IMAGES, targets, verbose=0),
        lambda: model.fit({"images": IMAGES, "bounding_boxes": targets}, verbose=0),
        lambda: model.fit(Batches((IMAGES, targets)), verbose=0),
        lambda: model.evaluate(IMAGES, targets, verbose=0),
        lambda: model.train_on_batch(IMAGES, targets),
        lambda: model.test_on_batch(IMAGES, targets),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (None, NO_ARRAY),
        ("a", NO_ARRAY),
        ((), NO_BATCH_OF_TWO),
        ((IMAGES, TARGETS, np.ones(2)), "`sample_weight`"),
        ((IMAGES, TARGETS, None, None), f"{NO_BATCH_OF_TWO}a tuple of 4"),
        ((IMAGES[:0], NONE_LEFT), SHAPE),
        ((IMAGES[..., 0], TARGETS), SHAPE),
        ([IMAGES[0], IMAGES[1]], f"{NO_BATCH_OF_TWO}a list of 2"),
    ],
)
def test_bad_batches_of_data_sets(model, batch, message):
    good = (IMAGES, TARGETS)
    for data in (Batches(batch), iter([batch]), iter([good, batch])):
        with pytest.raises(ValueError, match=f"{message}|Targets are missing"):
            model.evaluate(data, verbose=0)
    for data in (Batches(batch), iter([batch])):
        with pytest.raises(ValueError, match=message):
            model.predict(data, verbose=0)


def test_data_sets_without_a_batch(model):
    used = iter([(IMAGES, TARGETS)])
    next(used)
    for data in (Batches(), Batches(), iter([]), used):
        for call in (model.fit, model.evaluate, model.predict):
            with pytest.raises(ValueError, match="`x` gave no batch"):
                call(data, verbose=0)


def test_targets_beside_a_data_set(model):
    with pytest.raises(ValueError, match=r"`y` must be left out.*Batches"):
        model.fit(Batches((IMAGES, TARGETS)), TARGETS, verbose=0)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "2", True])
def test_bad_batch_sizes(model, batch_size):
    message = "`batch_size` must be an int of at least 1"
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=message):
            call(IMAGES, TARGETS, batch_size=batch_size, verbose=0)
    for images in (IMAGES, [IMAGES[0].astype("uint8")]):
        with pytest.raises(ValueError, match=message):
            model.predict(images, batch_size=batch_size, verbose=0)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "at least one image"),
        ([IMAGES[0], IMAGES[1, :, :, 0]], r"\(64, 96\) for image 1.*model\.detect"),
        ((IMAGES[0, :, :, :1],), r"\(64, 96, 1\) for image 0"),
        ([IMAGES[0, :0]], r"\(0, 96, 3\) for image 0"),
        ([np.full((6, 9, 3), "a")], r"`x\[0\]` must be an array of numbers"),
    ],
)
def test_bad_lists_of_images(model, images, message):
    with pytest.raises(ValueError, match=message):
        model.predict(images)


def of_every_library(array):
    """Yield an array as each library that is installed has it, and as the backend's tensor."""
    yield ops.convert_to_tensor(array)
    for module, make in (
        ("torch", lambda torch: torch.tensor(array)),
        ("torch", lambda torch: torch.tensor(array, requires_grad=array.dtype.kind == "f")),
        ("tensorflow", lambda tensorflow: tensorflow.constant(array)),
        ("jax.numpy", lambda numpy: numpy.asarray(array)),
    ):
        try:
            library = __import__(module, fromlist=["*"])
        except ImportError:
            continue
        yield make(library)


def test_arrays_of_every_library(model):
    expected = model.predict(inputs_of(BATCH), verbose=0)
    loss = model.evaluate(BATCH, verbose=0)
    rows = {name: [list(of_every_library(row)) for row in rows] for name, rows in LISTS.items()}
    pairs = zip(of_every_library(IMAGES), of_every_library(MASK), strict=True)
    for number, (images, mask) in enumerate(pairs):
        inputs = {"images": images, "pixel_mask": mask}
        targets = {name: [row[number] for row in rows[name]] for name in rows}
        for call in (model.predict, model.predict_on_batch):
            actual = call(inputs)
            for name, value in expected.items():
                np.testing.assert_allclose(actual[name], value, atol=1e-4)
        np.testing.assert_allclose(model.evaluate(inputs, targets, verbose=0), loss, rtol=1e-4)
        model.decoder_attention(inputs)
        model.train_on_batch(inputs, targets)


def test_batches_with_targets_as_lists_can_be_fitted_and_predicted(model):
    for batch in ((inputs_of(BATCH), LISTS), {**BATCH, "bounding_boxes": LISTS}):
        model.fit(Batches(batch), verbose=0)
        expected = model.predict(inputs_of(BATCH), verbose=0)
        for data in (Batches(batch), iter([batch]), batch):
            actual = model.predict(data, steps=1, verbose=0)
            for name, value in expected.items():
                np.testing.assert_allclose(actual[name], value, atol=1e-5)


def test_a_pair_is_a_batch(model):
    loss = model.evaluate(BATCH, verbose=0)
    pair = inputs_of(BATCH), LISTS
    np.testing.assert_allclose(model.evaluate(pair, verbose=0), loss, rtol=1e-5)
    np.testing.assert_allclose(model.test_on_batch(pair), loss, rtol=1e-5)
    model.fit(pair, validation_data=pair, verbose=0)
    model.train_on_batch(pair)


def test_raw_images_are_checked_before_tensorflow_is_needed(model, monkeypatch):
    monkeypatch.setattr(raw_images, "is_installed", lambda package: False)
    with pytest.raises(ValueError, match="for image 0"):
        model.predict([IMAGES[0, :, :, 0]])


def test_a_bad_batch_costs_no_weights():
    model = tiny_detr(num_encoder_layers=1, num_decoder_layers=1)
    model.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    before = model.get_weights()
    good, bad = (IMAGES, TARGETS), (IMAGES[..., 0], TARGETS)
    # JAX takes the values out of a model while it is trained.
    for batches in ((bad,), (good, good, good, bad)):
        for call in (model.evaluate, model.predict, model.fit):
            # TensorFlow wraps what a data set raises in an error of its own.
            with pytest.raises(Exception, match=SHAPE):
                call(Batches(*batches), verbose=0)
            for value, expected in zip(model.get_weights(), before, strict=True):
                np.testing.assert_array_equal(value, expected)
    model.fit(*good, verbose=0)


def many_objects(count):
    boxes = np.tile(np.array((1, 1, 20, 20), "float32"), (len(IMAGES), count, 1))
    return {"boxes": boxes, "classes": np.zeros(boxes.shape[:2], "int32")}


def test_batches_of_torchs_loader(model):
    torch = pytest.importorskip("torch", reason="needs torch")

    def loader(*batches):
        batches = keras.tree.map_structure(torch.tensor, list(batches))
        return torch.utils.data.DataLoader(batches, batch_size=None)

    model.fit(loader((IMAGES, TARGETS), (IMAGES, TARGETS)), verbose=0)
    for data, message in (
        (loader(), "`x` gave no batch"),
        (loader((IMAGES[..., 0], TARGETS)), SHAPE),
        (loader((IMAGES,)), "Targets are missing"),
        (loader((IMAGES, {**TARGETS, "boxes": TARGETS["boxes"] + 999})), "outside its image"),
        (loader((IMAGES, many_objects(11))), "image 0 .* 11 objects, .* 10 queries"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(data, verbose=0)
