# ruff: noqa: E402
"""Paint boxes as pixels, transform image and boxes, and compare: they must still agree."""

import functools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")


from keras_detr import preprocessing
from keras_detr.ops.boxes import BOX_FORMATS, convert_box_format

CANVAS = 130
MAX_BOXES = 3


def paper(**kwargs):
    return preprocessing.DETRAugmentation(
        (40, 60, 80),
        longest_side=120,
        crop_short_sides=(30, 50),
        crop_sizes=(20, 40),
        **kwargs,
    )


def choice(*, seed, **kwargs):
    crop = preprocessing.RandomSizeCrop(15, 40, seed=seed, **kwargs)
    flip = preprocessing.RandomHorizontalFlip(1.0, **kwargs)
    return preprocessing.RandomChoice([[crop, flip], []], seed=seed, **kwargs)


def unseeded(layer, *arguments, **settings):
    return lambda *, seed, **kwargs: layer(*arguments, **settings, **kwargs)


LAYERS = {
    "RandomHorizontalFlip": preprocessing.RandomHorizontalFlip,
    "Resize": unseeded(preprocessing.Resize, (70, 45)),
    "ResizeShortestSide": unseeded(preprocessing.ResizeShortestSide, 50, longest_side=90),
    "RandomResizeShortestSide": functools.partial(
        preprocessing.RandomResizeShortestSide, (25, 40, 70), longest_side=100
    ),
    "RandomSizeCrop": functools.partial(preprocessing.RandomSizeCrop, 15, 40),
    "RandomChoice": choice,
    "DETRAugmentation": paper,
    "DETRPreprocessor": unseeded(preprocessing.DETRPreprocessor, 50, longest_side=90),
    "PadToCanvas": unseeded(preprocessing.PadToCanvas, (CANVAS, CANVAS), max_boxes=MAX_BOXES),
}


ROWS = {
    "boxes": ((None, 4), tf.float32),
    "classes": ((None,), tf.int32),
    "masks": ((None, None, None), tf.bool),
    "number": ((None,), tf.int32),
}
PADDING = {"boxes": -1, "classes": -1, "masks": False, "number": 0}


def together(elements, form):
    """Return elements as a dense or a ragged batch."""
    if form == "ragged":
        images = ragged([element["images"] for element in elements], 2)
        rows = {
            name: ragged([element["bounding_boxes"][name] for element in elements], rank)
            for name, rank in {"boxes": 1, "classes": 1, "masks": 3, "number": 1}.items()
        }
        return {"images": images, "bounding_boxes": rows}
    number = max(len(element["bounding_boxes"]["number"]) for element in elements)

    def padded(name, rows):
        missing = [(0, number - len(rows))] + [(0, 0)] * (rows.ndim - 1)
        return np.pad(rows, missing, constant_values=PADDING[name])

    rows = {
        name: np.stack([padded(name, element["bounding_boxes"][name]) for element in elements])
        for name in ROWS
    }
    images = np.stack([element["images"] for element in elements])
    return tf.nest.map_structure(tf.constant, {"images": images, "bounding_boxes": rows})


def ragged(arrays, ragged_rank):
    rows = [tf.RaggedTensor.from_tensor(array[None], ragged_rank=ragged_rank) for array in arrays]
    return tf.concat(rows, axis=0)


def spec(shape, dtype, form):
    if form == "ragged":
        last_free = max(axis for axis, length in enumerate(shape) if length is None)
        return tf.RaggedTensorSpec((2, *shape), dtype, ragged_rank=last_free + 1)
    return tf.TensorSpec((2, *shape), dtype)


def of_elements(layer, form):
    """Return the layer as a function of a list of elements; batches run traced, as in tf.data."""
    if form == "unbatched":
        return lambda elements: [layer(elements[0])]
    signature = {
        "images": spec((None, None, 3), tf.uint8, form),
        "bounding_boxes": {name: spec(*row, form) for name, row in ROWS.items()},
    }
    function = tf.function(layer, input_signature=[signature], autograph=False)

    def transform(elements):
        result = function(together(elements, form))
        return [
            tf.nest.map_structure(lambda value, index=index: to_numpy(value[index]), result)
            for index in range(len(elements))
        ]

    return transform


def to_numpy(value):
    return (value.to_tensor() if isinstance(value, tf.RaggedTensor) else value).numpy()


@st.composite
def painted(draw, height, width):
    """Draw boxes of whole pixels, each painted into a channel of its own and as a mask."""
    number = draw(st.integers(0, MAX_BOXES))
    image = np.zeros((height, width, 3), np.uint8)
    masks = np.zeros((number, height, width), bool)
    boxes = np.zeros((number, 4), np.float32)
    for index in range(number):
        top = draw(st.integers(0, height - 6))
        left = draw(st.integers(0, width - 6))
        bottom = draw(st.integers(top + 6, height))
        right = draw(st.integers(left + 6, width))
        image[top:bottom, left:right, index] = 255
        masks[index, top:bottom, left:right] = True
        boxes[index] = left, top, right, bottom
    return image, masks, boxes


def element_in(painting, bounding_box_format):
    image, masks, boxes = painting
    size = np.array(image.shape[:2], np.float32)
    number = np.arange(len(boxes), dtype=np.int32)
    boxes = convert_box_format(boxes, "xyxy", bounding_box_format, size, np.stack)
    rows = {"boxes": boxes, "classes": number + 5, "masks": masks, "number": number}
    return {"images": image, "bounding_boxes": rows}


def extent(pixels):
    """Return the (left, top, right, bottom) of what is painted, to a fraction of a pixel."""
    sides = []
    for axis in (0, 1):
        profile = pixels.max(axis=axis)
        inside = np.flatnonzero(profile > 0.5)
        first, last = inside[0], inside[-1]
        before = profile[first - 1] if first else 0.0
        after = profile[last + 1] if last + 1 < len(profile) else 0.0
        sides.append((first - before, last + 1 + after))
    (left, right), (top, bottom) = sides
    return np.array([left, top, right, bottom])


def check(given, result, bounding_box_format):
    mask = result.get("pixel_mask")
    height, width = result["images"].shape[:2]
    if mask is not None:
        height, width = int(mask[:, 0].sum()), int(mask[0].sum())
    rows = result["bounding_boxes"]
    is_real = rows["classes"] >= 0
    if not is_real.all():
        assert np.all(rows["boxes"][~is_real] == -1)
    size = np.array([height, width], np.float32)
    boxes = convert_box_format(
        rows["boxes"][is_real].reshape(-1, 4), bounding_box_format, "xyxy", size, np.stack
    )
    numbers = rows["number"][is_real]
    np.testing.assert_array_equal(rows["classes"][is_real], numbers + 5)
    assert len(set(numbers.tolist())) == len(numbers)
    pixels = np.asarray(result["images"], np.float32) / 255
    for number in range(len(given["bounding_boxes"]["number"])):
        painted = pixels[..., number]
        if number not in numbers:
            # Nothing is left but what resizing smears over one pixel at the edge.
            assert (painted.max(axis=0) > 0.5).sum() <= 3 or (painted.max(axis=1) > 0.5).sum() <= 3
            continue
        row = numbers.tolist().index(number)
        box = boxes[row]
        if np.min(box[2:] - box[:2]) > 3:
            assert np.abs(extent(painted) - box).max() < 1.3, (extent(painted), box)
            assert_mask_is_what_is_painted(rows["masks"][is_real][row], painted)
    assert rows["masks"].dtype == bool
    assert not rows["masks"][~is_real].any()
    # A ragged batch keeps no size for no rows.
    assert not len(rows["masks"]) or rows["masks"].shape[1:] == pixels.shape[:2]


def assert_mask_is_what_is_painted(mask, painted):
    """Compare pixels: only those that resizing smears, at the edge, may be either."""
    assert mask[painted > 0.9].all()
    assert not mask[painted < 0.1].any()
    height, width = np.ptp(np.nonzero(mask), axis=1) + 1
    assert mask.sum() == height * width
    # An edge may move by a pixel, and be magnified after that.
    assert np.sum(mask != (painted > 0.5)) <= 2 * 2 * (height + width)


# A batch passes through the same conversions image by image: one relative format, one in pixels.
FORMS = [(box_format, "unbatched") for box_format in sorted(BOX_FORMATS)] + [
    (box_format, form) for box_format in ("rel_yxyx", "xywh") for form in ("dense", "ragged")
]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("bounding_box_format", "form"), FORMS)
def test_boxes_stay_on_what_they_were_drawn_around(name, bounding_box_format, form):
    transform = of_elements(LAYERS[name](bounding_box_format=bounding_box_format, seed=7), form)
    sides = st.integers(30, 120)

    @hypothesis.settings(max_examples=5, phases=[hypothesis.Phase.generate])
    @hypothesis.given(data=st.data())
    def check_one(data):
        sizes = [(data.draw(sides), data.draw(sides)) for _ in range(1 + (form != "unbatched"))]
        sizes = sizes[:1] * 2 if form == "dense" else sizes
        elements = [element_in(data.draw(painted(*size)), bounding_box_format) for size in sizes]
        results = transform(elements)
        assert len(results) == len(elements)
        for given, result in zip(elements, results, strict=True):
            check(given, result, bounding_box_format)

    check_one()
