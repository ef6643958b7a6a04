"""Detections against a loop over images, queries and classes."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import expit, softmax

from keras_detr.layers import SetPredictionDecoder
from keras_detr.ops.boxes import BOX_FORMATS
from tests.layers.layer_checks import check_config, saves, to_numpy

pytestmark = pytest.mark.every_backend

SIZES = [(40, 80), (30, 60), (50, 20)]


def predictions(seed=1, num_queries=7, num_logits=5):
    rng = np.random.default_rng(seed)
    return {
        "classification": rng.normal(0, 2, (3, num_queries, num_logits)).astype("float32"),
        "box": expit(rng.normal(0, 1, (3, num_queries, 4))).astype("float32"),
    }


def detect(logits, boxes, activation):
    """Return one image's candidates (confidence, class, box), the most confident first."""
    if activation == "softmax":
        scores = softmax(logits.astype("float64"), axis=-1)[:, :-1]
        found = [(row.max(), row.argmax(), box) for row, box in zip(scores, boxes, strict=True)]
    else:
        scores = expit(logits.astype("float64"))
        found = [(scores[q, c], c, boxes[q]) for q, c in np.ndindex(scores.shape)]
    return sorted(found, key=lambda candidate: -candidate[0])


def as_arrays(detections):
    return {name: ops.convert_to_numpy(value) for name, value in detections.items()}


def to_pixels(box, height, width):
    x, y, w, h = box * [width, height, width, height]
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def test_the_first_of_equal_classes_is_taken():
    logits = np.zeros((1, 3, 5), "float32")
    logits[0, 1, [1, 3]] = 2.0
    logits[0, 2, 3] = np.nan
    decoder = SetPredictionDecoder("rel_xyxy", activation="softmax")
    result = as_arrays(decoder({"classification": logits, "box": np.ones((1, 3, 4))}))
    kept = np.isfinite(result["confidence"][0])
    assert sorted(result["classes"][0, kept]) == [0, 1]
    assert 0 <= result["classes"].min() <= result["classes"].max() < 4


@pytest.mark.parametrize("max_detections", [1, 4, 7, 100])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_most_confident_come_first(activation, max_detections):
    y_pred = predictions()
    decoder = SetPredictionDecoder("xyxy", activation=activation, max_detections=max_detections)
    height, width = (np.array(side) for side in zip(*SIZES, strict=True))
    result = as_arrays(decoder(y_pred, image_size=(height, width)))
    count = min(max_detections, 7 if activation == "softmax" else 7 * 5)
    assert {name: value.shape for name, value in result.items()} == {
        "boxes": (3, count, 4),
        "classes": (3, count),
        "confidence": (3, count),
        "num_detections": (3,),
    }
    assert {name: str(value.dtype) for name, value in result.items()} == {
        "boxes": "float32",
        "classes": "int32",
        "confidence": "float32",
        "num_detections": "int32",
    }
    np.testing.assert_array_equal(result["num_detections"], count)
    for i, size in enumerate(SIZES):
        expected = detect(y_pred["classification"][i], y_pred["box"][i], activation)[:count]
        confidence, classes, boxes = zip(*expected, strict=True)
        np.testing.assert_allclose(result["confidence"][i], confidence, rtol=1e-5)
        np.testing.assert_array_equal(result["classes"][i], classes)
        boxes = [to_pixels(box.astype("float64"), *size) for box in boxes]
        np.testing.assert_allclose(result["boxes"][i], boxes, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_below_the_threshold_is_padding(activation, threshold):
    y_pred = predictions(2)
    settings = {"activation": activation, "max_detections": 6}
    everything = as_arrays(SetPredictionDecoder("rel_xyxy", **settings)(y_pred))
    decoder = SetPredictionDecoder("rel_xyxy", confidence_threshold=threshold, **settings)
    result = as_arrays(decoder(y_pred))
    is_kept = everything["confidence"] >= threshold
    np.testing.assert_array_equal(result["num_detections"], is_kept.sum(1))
    assert 0.0 < threshold < 1.0 or is_kept.all() == (threshold == 0.0)
    for name in ("boxes", "classes", "confidence"):
        np.testing.assert_array_equal(result[name][is_kept], everything[name][is_kept])
        assert (result[name][~is_kept] == -1).all()


def test_no_object_is_never_an_answer():
    y_pred = predictions(3)
    y_pred["classification"][..., -1] = 20.0
    result = as_arrays(SetPredictionDecoder("rel_xyxy")(y_pred))
    assert result["classes"].max() < 4
    assert result["confidence"].max() < 1e-3


@pytest.mark.parametrize("name", sorted(BOX_FORMATS))
def test_every_format(name):
    y_pred = predictions(4)
    image_size = None if name.startswith("rel_") else (30, 60)
    result = as_arrays(SetPredictionDecoder(name, max_detections=1)(y_pred, image_size=image_size))
    for i in range(3):
        (_, _, (x, y, w, h)), *_ = detect(y_pred["classification"][i], y_pred["box"][i], "softmax")
        corner = [x - w / 2, y - h / 2]
        expected = {
            "rel_xyxy": [*corner, x + w / 2, y + h / 2],
            "rel_yxyx": [*corner[::-1], y + h / 2, x + w / 2],
            "rel_xywh": [*corner, w, h],
            "rel_center_xywh": [x, y, w, h],
            "xyxy": [60 * corner[0], 30 * corner[1], 60 * (x + w / 2), 30 * (y + h / 2)],
            "yxyx": [30 * corner[1], 60 * corner[0], 30 * (y + h / 2), 60 * (x + w / 2)],
            "xywh": [60 * corner[0], 30 * corner[1], 60 * w, 30 * h],
            "center_xywh": [60 * x, 30 * y, 60 * w, 30 * h],
            "center_yxhw": [30 * y, 60 * x, 30 * h, 60 * w],
        }[name]
        np.testing.assert_allclose(result["boxes"][i, 0], expected, rtol=1e-5, atol=1e-5)


def test_pixels_need_a_size():
    with pytest.raises(ValueError, match="`image_size` is needed"):
        SetPredictionDecoder("xyxy")(predictions())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bounding_box_format": None}, "`bounding_box_format` is missing"),
        ({"bounding_box_format": "coco"}, "`bounding_box_format` must be one of"),
        ({"activation": "relu"}, r"`activation` must be one of .*'relu'"),
        ({"max_detections": -1}, "`max_detections` must be a whole number .*-1"),
        ({"max_detections": 0}, "`max_detections` must be a whole number"),
        ({"max_detections": 1.5}, "`max_detections` must be a whole number"),
        ({"confidence_threshold": np.nan}, r"`confidence_threshold` must be .* in \[0, 1\].*nan"),
        ({"confidence_threshold": 50}, r"`confidence_threshold` must be .*50"),
        ({"confidence_threshold": "a"}, r"`confidence_threshold` must be .*'a'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SetPredictionDecoder(**{"bounding_box_format": "xyxy", **arguments})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_predictions_are_decoded_in_float32(dtype):
    halves = {
        name: ops.cast(ops.convert_to_tensor(value), dtype) for name, value in predictions().items()
    }
    result = SetPredictionDecoder("rel_xyxy")(halves)
    expected = SetPredictionDecoder("rel_xyxy")(
        {name: ops.cast(value, "float32") for name, value in halves.items()}
    )
    for name in ("boxes", "confidence"):
        assert keras.backend.standardize_dtype(result[name].dtype) == "float32"
        np.testing.assert_array_equal(to_numpy(result[name]), to_numpy(expected[name]))


@saves
def test_round_trips(tmp_path):
    settings = {"activation": "sigmoid", "max_detections": 3, "confidence_threshold": 0.25}
    decoder = check_config(SetPredictionDecoder("rel_yxyx", **settings))
    assert decoder.bounding_box_format == "rel_yxyx"
    assert {name: getattr(decoder, name) for name in settings} == settings
    shapes = {"classification": (7, 5), "box": (7, 4)}
    inputs = {name: keras.Input(shape, name=name) for name, shape in shapes.items()}
    model = keras.Model(inputs, decoder(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    before, after = as_arrays(model(predictions())), as_arrays(loaded(predictions()))
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name])
