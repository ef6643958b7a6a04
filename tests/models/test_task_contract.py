"""What every detector promises: outputs, training, logs, predictions, saving; a row for each."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.losses import HungarianLoss
from tests.one_program import in_one_program, outputs_of

from .detectors import (
    DETECTORS,
    HEIGHT,
    NUM_CLASSES,
    NUM_LAYERS,
    NUM_QUERIES,
    WIDTH,
    inputs_of,
    matching_loss,
    tiny_batch,
)

pytestmark = pytest.mark.every_backend

PARTS = ("classification_loss", "box_loss", "giou_loss")
DENOISING_PARTS = tuple(f"denoising_{part}" for part in PARTS)
MASK_PARTS = ("mask_loss", "dice_loss")
BATCH_SIZE = 4


@keras.saving.register_keras_serializable("keras_detr_tests")
class MeanScore(keras.metrics.Mean):
    """Average what a metric of the user's is given, to see that it is given something."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        assert set(y_true) - {"masks"} == {"boxes", "classes"}
        return super().update_state(ops.mean(y_pred["box"]) + ops.mean(y_true["boxes"]) * 0)


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    """Give one row of the table."""
    return DETECTORS[request.param]


@pytest.fixture(scope="module")
def untrained(detector):
    """Give a model that no test changes."""
    keras.utils.set_random_seed(0)
    return detector.build()


@pytest.fixture(scope="module")
def trained(detector, tmp_path_factory):
    """Train a model for one step, evaluate it, save it and load it."""
    keras.utils.set_random_seed(0)
    model = detector.build()
    batch = tiny_batch(batch_size=BATCH_SIZE)
    before = {v.path: ops.convert_to_numpy(v) for v in model.variables}
    # Compiled twice: the second time replaces the first without a trace.
    model.compile(metrics=[keras.metrics.Mean("forgotten")])
    model.compile(metrics=[MeanScore("mean_score")])
    assert isinstance(model.loss, HungarianLoss)
    targets = batch["bounding_boxes"]
    history = model.fit(
        inputs_of(batch),
        targets,
        batch_size=BATCH_SIZE,
        validation_data=(inputs_of(batch), targets),
        verbose=0,
    )
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return {
        "model": model,
        "before": before,
        "logs": {name: values[-1] for name, values in history.history.items()},
        "path": path,
        "batch": batch,
    }


def layer_rows(model):
    lines = []
    model.summary(print_fn=lambda text, **_: lines.append(text), line_length=200)
    return [line for line in "\n".join(lines).splitlines() if line.startswith("│")]


def test_the_summary_lists_all_layers_before_and_after_training(untrained, trained, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    rows = layer_rows(untrained)
    text = "\n".join(rows)
    for layer in untrained.layers:
        assert f"{layer.name} ({type(layer).__name__})" in text
        assert f" {layer.count_params():,} " in text
    # The names are those of the same constructor's arguments; so are the shapes.
    assert layer_rows(trained["model"]) == rows


def to_numpy(outputs):
    return {name: ops.convert_to_numpy(value) for name, value in outputs.items()}


def test_raw_outputs(detector, untrained):
    shapes = {
        "classification": (2, NUM_QUERIES, detector.num_logits),
        "box": (2, NUM_QUERIES, 4),
        "aux_classification": (2, NUM_LAYERS - 1, NUM_QUERIES, detector.num_logits),
        "aux_box": (2, NUM_LAYERS - 1, NUM_QUERIES, 4),
    }
    if detector.has_proposals:
        shapes["encoder_classification"] = (2, NUM_QUERIES, detector.num_logits)
        shapes["encoder_box"] = (2, NUM_QUERIES, 4)
    masks = {"mask": (2, NUM_QUERIES, HEIGHT // 4, WIDTH // 4)} if detector.has_masks else {}
    shapes |= masks
    batch = inputs_of(tiny_batch(batch_size=2))
    outputs = outputs_of(untrained, batch)
    assert {name: value.shape for name, value in outputs.items()} == shapes
    last = outputs_of(untrained, batch, return_auxiliary=False)
    assert set(last) == {"classification", "box", *masks}
    for name, value in last.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, outputs[name], rtol=1e-6, atol=1e-6)
    assert outputs["box"].min() >= 0
    assert outputs["box"].max() <= 1


def test_integer_images_equal_float_images(untrained):
    images = inputs_of(tiny_batch(batch_size=2))["images"].round()
    as_floats = outputs_of(untrained, images)
    for name, value in outputs_of(untrained, images.astype("uint8")).items():
        np.testing.assert_array_equal(value, as_floats[name])


def test_logs(detector, trained):
    logs = trained["logs"]
    parts = PARTS
    if detector.has_proposals:
        parts = (*PARTS, *(f"encoder_{part}" for part in PARTS))
    if detector.has_masks:
        parts = (*parts, *MASK_PARTS)
    of_training = DENOISING_PARTS if detector.has_denoising else ()
    expected = {"loss", *parts, "class_error", "cardinality_error", "clipped_boxes"}
    expected |= {"dropped_boxes", "mean_score"}
    assert set(logs) == expected | {f"val_{name}" for name in expected} | set(of_training)
    assert all(np.isfinite(value) for value in logs.values())
    for prefix, names in (("", (*parts, *of_training)), ("val_", parts)):
        total = sum(logs[prefix + part] for part in names)
        np.testing.assert_allclose(logs[f"{prefix}loss"], total, rtol=1e-5)
    assert 0 < logs["mean_score"] < 1


def test_evaluation_equals_the_loss_itself(trained):
    model, batch = trained["model"], trained["batch"]
    inputs = inputs_of(batch)

    def loss(inputs, targets):
        return model.loss(model.encode_targets(inputs, targets), model(inputs))

    expected = float(ops.convert_to_numpy(in_one_program(loss)(inputs, batch["bounding_boxes"])))
    np.testing.assert_allclose(trained["logs"]["val_loss"], expected, rtol=1e-4)


def test_a_step_trains_what_is_trainable_and_nothing_else(detector, trained):
    model, before = trained["model"], trained["before"]
    trainable = {variable.path for variable in model.trainable_variables}
    changed = {v.path for v in model.variables if (ops.convert_to_numpy(v) != before[v.path]).any()}
    frozen = {v.path for v in model.backbone.variables} - trainable
    assert any("conv1" in path for path in frozen)
    assert any("layer1" in path for path in frozen)
    assert any("moving_mean" in path for path in frozen)
    assert not changed & frozen
    assert any("layer4" in path for path in changed)
    # Nothing that is trainable is cut off from the loss.
    assert {path for path in trainable if not path.startswith(detector.idle)} <= changed


def test_a_batch_is_computed_once_and_not_traced_again(trained, monkeypatch):
    model, batch = trained["model"], trained["batch"]
    arguments = inputs_of(batch), batch["bounding_boxes"]
    model.test_on_batch(*arguments)
    calls, call = [], type(model).call

    def counted(self, *args, **kwargs):
        calls.append(self)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(type(model), "call", counted)
    model.test_on_batch(*arguments)
    # Others have a compiled program by now.
    assert len(calls) == (1 if keras.backend.backend() == "torch" else 0)


def test_predictions(detector, trained):
    model, inputs = trained["model"], inputs_of(trained["batch"])
    detections = model.predict(inputs, batch_size=BATCH_SIZE, verbose=0)
    shape = (BATCH_SIZE, detector.num_detections)
    masks = {"mask_logits": (*shape, HEIGHT // 4, WIDTH // 4)} if detector.has_masks else {}
    assert {name: value.shape for name, value in detections.items()} == {
        "boxes": (*shape, 4),
        "classes": shape,
        "confidence": shape,
        "num_detections": (BATCH_SIZE,),
        **masks,
    }
    assert set(np.unique(detections["classes"])) <= set(range(NUM_CLASSES))
    assert (np.diff(detections["confidence"]) <= 0).all()
    decoded = to_numpy(model.decode_predictions(outputs_of(model, inputs), inputs))
    for name, value in decoded.items():
        np.testing.assert_allclose(detections[name], value, rtol=1e-4, atol=1e-3)


def test_a_saved_model_goes_on_training(trained):
    model, batch = trained["model"], trained["batch"]
    loaded = keras.saving.load_model(trained["path"])
    assert type(loaded) is type(model)
    assert loaded.loss.get_config() == model.loss.get_config()
    inputs = inputs_of(batch)
    expected = outputs_of(model, inputs)
    for name, value in outputs_of(loaded, inputs).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-5)
    own, other = model.optimizer.variables, loaded.optimizer.variables
    assert len(own) == len(other) > len(model.trainable_variables)
    for variable, restored in zip(own, other, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(variable), ops.convert_to_numpy(restored)
        )
    assert [metric.name for metric in loaded.metrics] == [m.name for m in model.metrics]
    logs = loaded.fit(inputs, batch["bounding_boxes"], batch_size=BATCH_SIZE, verbose=0).history
    # The evaluation before was of the weights that this step starts from.
    np.testing.assert_allclose(matching_loss(logs), trained["logs"]["val_loss"], rtol=1e-3)
    assert np.isfinite(logs["mean_score"]).all()


def test_a_saved_preset(untrained, tmp_path):
    untrained.save_to_preset(tmp_path / "preset")
    loaded = type(untrained).from_preset(tmp_path / "preset")
    inputs = inputs_of(tiny_batch(batch_size=2))
    expected = outputs_of(untrained, inputs)
    for name, value in outputs_of(loaded, inputs).items():
        np.testing.assert_array_equal(value, expected[name])
    assert loaded.name == untrained.name
    assert loaded.bounding_box_format == untrained.bounding_box_format


def test_the_config_survives_a_round_trip(untrained):
    rebuilt = type(untrained).from_config(untrained.get_config())
    assert rebuilt.get_config() == untrained.get_config()
    assert [v.path for v in rebuilt.variables] == [v.path for v in untrained.variables]


def test_one_class_predicts_class_zero(detector):
    model = detector.build(num_classes=1)
    images = tiny_batch(batch_size=2)["images"]
    detections = to_numpy(model.decode_predictions(outputs_of(model, images), images))
    assert (detections["classes"] == 0).all()


@pytest.mark.once
@pytest.mark.parametrize(
    "bounding_box_format",
    [
        "xyxy",
        "yxyx",
        "xywh",
        "center_xywh",
        "center_yxhw",
        "rel_xyxy",
        "rel_yxyx",
        "rel_xywh",
        "rel_center_xywh",
    ],
)
def test_all_box_formats_mean_the_same(detector, untrained, bounding_box_format):
    model = type(untrained).from_config(
        {
            **untrained.get_config(),
            "bounding_box_format": bounding_box_format,
            "prediction_decoder": None,
        }
    )
    batch = tiny_batch(batch_size=3)
    inputs, boxes = inputs_of(batch), batch["bounding_boxes"]["boxes"]
    sizes = [batch["pixel_mask"].sum(axis).max(1) for axis in (1, 2)]
    height, width = (size[:, None].astype("float32") for size in sizes)
    left, top, right, bottom = np.moveaxis(boxes, -1, 0)
    relative = bounding_box_format.startswith("rel_")
    scale_x, scale_y = (width, height) if relative else (1, 1)
    left, right, top, bottom = left / scale_x, right / scale_x, top / scale_y, bottom / scale_y
    center_x, center_y = (left + right) / 2, (top + bottom) / 2
    numbers = {
        "xyxy": (left, top, right, bottom),
        "yxyx": (top, left, bottom, right),
        "xywh": (left, top, right - left, bottom - top),
        "center_xywh": (center_x, center_y, right - left, bottom - top),
        "center_yxhw": (center_y, center_x, bottom - top, right - left),
    }[bounding_box_format.removeprefix("rel_")]
    targets = {**batch["bounding_boxes"], "boxes": np.stack(numbers, -1)}
    encoded = to_numpy(model.encode_targets(inputs, targets))["boxes"]
    expected = to_numpy(untrained.encode_targets(inputs, batch["bounding_boxes"]))["boxes"]
    is_real = targets["classes"] >= 0
    # Pixels in float32 are exact to 1e-5 of an image.
    np.testing.assert_allclose(encoded[is_real], expected[is_real], atol=1e-5)
    outputs = untrained(inputs)
    loss = [
        float(ops.convert_to_numpy(untrained.default_loss()({**targets, "boxes": b}, outputs)))
        for b in (encoded, expected)
    ]
    np.testing.assert_allclose(*loss, rtol=1e-4)

    detections = to_numpy(model.decode_predictions(outputs, inputs))
    round_trip = to_numpy(
        model.encode_targets(inputs, {**detections, "boxes": detections["boxes"]})
    )["boxes"]
    in_pixels = to_numpy(untrained.decode_predictions(outputs, inputs))
    expected = to_numpy(untrained.encode_targets(inputs, in_pixels))["boxes"]
    np.testing.assert_allclose(round_trip, expected, atol=1e-5)


@pytest.mark.once
def test_canvas_sizes_are_free(untrained):
    for size in ((HEIGHT, WIDTH), (65, 33), (33, 64)):
        images = np.zeros((1, *size, 3), "float32")
        assert tuple(untrained(images)["box"].shape) == (1, NUM_QUERIES, 4)
