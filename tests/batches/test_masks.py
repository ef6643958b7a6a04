"""The masks of a batch: dense, ragged and lists, and what is wrong with others."""

import numpy as np
import pytest

from keras_detr.batches import check_training_batch
from keras_detr.batches.masks import dense_masks

SIZE = (6, 8)


def rows(*counts):
    """Return a list with the random masks of each image."""
    generator = np.random.default_rng(0)
    return [generator.random((count, *SIZE)) < 0.5 for count in counts]


def batch(masks, counts=(2, 1), **others):
    """Return images, and boxes of which each image has some, with masks."""
    boxes = [np.tile(np.array([1.0, 1, 5, 5]), (count, 1)) for count in counts]
    classes = [np.zeros(count, "int32") for count in counts]
    images = np.full((len(counts), *SIZE, 3), 99, "uint8")
    return images, {"boxes": boxes, "classes": classes, "masks": masks, **others}


@pytest.mark.every_backend
def test_lists_are_padded_with_empty_masks():
    masks = rows(2, 0, 1)
    dense = dense_masks(masks, 3, SIZE)
    assert dense.shape == (3, 3, *SIZE)
    assert dense.dtype == bool
    for image, (padded, own) in enumerate(zip(dense, masks, strict=True)):
        np.testing.assert_array_equal(padded[: len(own)], own, err_msg=str(image))
        assert not padded[len(own) :].any()


@pytest.mark.every_backend
def test_dense_masks_are_not_copied():
    masks = np.stack(rows(2, 2))
    assert np.shares_memory(dense_masks(masks, 2, SIZE), masks)
    np.testing.assert_array_equal(dense_masks(masks.astype("uint8"), 2, SIZE), masks)


@pytest.mark.every_backend
def test_a_model_without_masks_leaves_them_aside():
    images, targets = batch(rows(2, 1))
    assert set(check_training_batch(images, targets, 1, "xyxy")) == {"boxes", "classes"}
    checked = check_training_batch(images, targets, 1, "xyxy", has_masks=True)
    np.testing.assert_array_equal(checked["masks"][0], targets["masks"][0])


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (None, r"`bounding_boxes` must have 'masks' too.*load_coco_json\(..., masks=True\)"),
        (rows(2, 2), "`masks` must have one row a box.*2 rows and 1 boxes for image 1"),
        (
            [np.ones((2, 6, 7), bool), np.ones((1, *SIZE), bool)],
            r"\(N, 6, 8\) for each image. Received: \(2, 6, 7\) for image 0 \(image_id 31\)",
        ),
        ([[[[1, 1, 4, 4]]] * 2, rows(1)[0]], r"`masks` must.*Received: .* for image 0"),
        ([np.full((2, *SIZE), "a"), rows(1)[0]], "`masks` must be bool or numbers"),
    ],
)
def test_what_is_refused(masks, message):
    images, targets = batch(masks)
    x = {"images": images, "image_id": np.array([31, 32])}
    with pytest.raises(ValueError, match=message):
        check_training_batch(x, targets, 1, "xyxy", has_masks=True)


@pytest.mark.every_backend
def test_masks_without_boxes():
    images, targets = batch(rows(2, 1))
    del targets["boxes"]
    with pytest.raises(ValueError, match=r"with 'boxes' and 'classes'.*Received"):
        check_training_batch(images, targets, 1, "xyxy", has_masks=True)


@pytest.mark.parametrize("is_ragged", [False, True])
def test_tf_data(is_ragged):
    tf = pytest.importorskip("tensorflow")
    from keras_detr.batches import checked_training_batches

    masks = rows(2, 1)
    images, targets = batch(masks)
    ragged = {name: tf.ragged.stack(list(map(tf.constant, v))) for name, v in targets.items()}
    if not is_ragged:
        ragged = {
            name: value.to_tensor(default_value=-1 if name == "classes" else 0)
            if name != "masks"
            else tf.constant(dense_masks(masks, 2, SIZE))
            for name, value in ragged.items()
        }
    element = {"images": images, "bounding_boxes": ragged}
    dataset = tf.data.Dataset.from_tensors(element)
    (_, checked), *_ = checked_training_batches(dataset, 1, "xyxy", has_masks=True)
    assert checked["masks"].dtype == tf.bool
    np.testing.assert_array_equal(checked["masks"], dense_masks(masks, 2, SIZE))
    assert set(next(iter(checked_training_batches(dataset, 1, "xyxy")))[1]) == {"boxes", "classes"}


def test_tf_data_without_masks():
    tf = pytest.importorskip("tensorflow")
    from keras_detr.batches import checked_training_batches

    images, _ = batch(None)
    boxes = {"boxes": np.zeros((2, 1, 4), "float32"), "classes": np.zeros((2, 1), "int32")}
    dataset = tf.data.Dataset.from_tensors({"images": images, "bounding_boxes": boxes})
    with pytest.raises(ValueError, match="must have 'masks' too"):
        checked_training_batches(dataset, 1, "xyxy", has_masks=True)
