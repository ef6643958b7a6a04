import csv
import math
import tracemalloc

import keras
import numpy as np
import pytest

from keras_detr.evaluation import COCOEvaluation, COCOMetrics, evaluate_detector, f1_line
from keras_detr.evaluation.summary import MEANINGS
from tests.models.detectors import (
    HEIGHT,
    NUM_CLASSES,
    WIDTH,
    inputs_of,
    patch_backbone,
    tiny_batch,
    tiny_detr,
)

pytestmark = [
    pytest.mark.every_backend,
    # Keras hands its variables to NumPy 2, whose protocol they don't speak in full yet.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
]

LOGGED = {f"val_{name}" for name in MEANINGS}


class Batches:
    """Give the same batches again and again, and count how often they were read."""

    def __init__(self, *batches):
        self.batches = batches
        self.num_readings = 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.num_readings += 1
        return iter(self.batches)


def batch_with_sizes(seed=0, batch_size=2):
    """Return a batch whose images were twice as large before."""
    batch = tiny_batch(seed=seed, batch_size=batch_size)
    return {**batch, "image_size": np.array([[2 * HEIGHT, 2 * WIDTH]] * batch_size)}


class Toy(keras.Sequential):
    """Train in a moment; detect in every image an object of class 0."""

    num_classes = NUM_CLASSES
    bounding_box_format = "xyxy"
    class_names = ("cat", "dog", "cow")

    def __init__(self, **kwargs):
        super().__init__([keras.layers.Dense(3), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
        self.compile("adam", "mse", **kwargs)

    def predict_on_batch(self, inputs):
        number = len(inputs["images"])
        confidence = super().predict_on_batch(np.ones((number, 3), "float32"))
        return {
            "boxes": np.tile([10.0, 10.0, 40.0, 40.0], (number, 1, 1)),
            "classes": np.zeros((number, 1)),
            "confidence": confidence,
        }


def fit(callbacks, epochs=1, model=None):
    """Fit for a few epochs and return what was logged."""
    model = model or Toy()
    x, y = np.ones((4, 3), "float32"), np.ones((4, 1), "float32")
    return model.fit(x, y, 1, epochs, verbose=0, callbacks=callbacks).history


def test_the_logs_of_a_detector_are_those_of_evaluate_detector():
    dataset = [batch_with_sizes(0), batch_with_sizes(1, batch_size=1)]
    settings = {"num_encoder_layers": 1, "num_decoder_layers": 1}
    model = tiny_detr(backbone=patch_backbone(), **settings)
    model.compile()
    batch = tiny_batch(batch_size=2)
    callback = COCOEvaluation(dataset, per_class=True, verbose=0)
    history = model.fit(
        inputs_of(batch), batch["bounding_boxes"], epochs=2, verbose=0, callbacks=[callback]
    ).history
    metrics = COCOMetrics("rel_xyxy", num_classes=NUM_CLASSES)
    expected = evaluate_detector(model, dataset, metrics=metrics)
    expected |= {f"AP/{name}": value for name, value in metrics.result_per_class().items()}
    assert {"val_AP/0", "val_AP/1", "val_AP/2"} | LOGGED <= set(history)
    for name, value in expected.items():
        np.testing.assert_equal(history[f"val_{name}"][-1], value)


# Keras takes one step at a time on torch.
@pytest.mark.parametrize(
    "steps_per_execution", [1] if keras.backend.backend() == "torch" else [1, 2]
)
def test_training_is_the_same_with_it_and_without(steps_per_execution):
    weights, histories = [], []
    for callbacks in ([], [COCOEvaluation(Batches(batch_with_sizes()), verbose=0)]):
        keras.utils.set_random_seed(1)
        model = Toy(steps_per_execution=steps_per_execution)
        histories.append(fit(callbacks, epochs=3, model=model))
        weights.append([keras.ops.convert_to_numpy(value) for value in model.weights])
    for without, with_it in zip(*weights, strict=True):
        np.testing.assert_array_equal(with_it, without)
    assert histories[1]["loss"] == histories[0]["loss"]


def test_every_epoch_has_figures_and_few_are_evaluated():
    dataset = Batches(batch_with_sizes())
    history = fit([COCOEvaluation(dataset, every=3, verbose=0)], epochs=5)
    # Batches are looked at once before training; then epochs 1, 3 and 5.
    assert dataset.num_readings == 1 + 3
    for name in LOGGED:
        assert len(history[name]) == 5
        np.testing.assert_equal(len(np.unique(history[name])), 1)
    assert "val_AP/cat" not in history


class Countdown(COCOEvaluation):
    """Log figures that are known, the best in the second epoch."""

    def _evaluate(self, number):
        return {"val_AP": [0.1, 0.3, 0.2, 0.2, 0.2][number - 1], "val_AP_small": float("nan")}


def test_other_callbacks_see_the_figures(tmp_path):
    callbacks = [
        Countdown(Batches(batch_with_sizes()), verbose=0),
        keras.callbacks.EarlyStopping(monitor="val_AP", mode="max", patience=2),
        keras.callbacks.ModelCheckpoint(
            str(tmp_path / "{epoch}.weights.h5"),
            monitor="val_AP",
            mode="max",
            save_best_only=True,
            save_weights_only=True,
        ),
        # A NaN stops nothing: it is no improvement.
        keras.callbacks.ModelCheckpoint(
            str(tmp_path / "small_{epoch}.weights.h5"),
            monitor="val_AP_small",
            mode="max",
            save_best_only=True,
            save_weights_only=True,
        ),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
    ]
    history = fit(callbacks, epochs=5)
    assert history["val_AP"] == [0.1, 0.3, 0.2, 0.2]
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == [
        "1.weights.h5",
        "2.weights.h5",
        "small_1.weights.h5",
    ]
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_AP"]) for row in rows] == history["val_AP"]
    assert all(math.isnan(float(row["val_AP_small"])) for row in rows)


def test_a_resumed_training_repeats_what_was_found_before():
    before = Countdown(Batches(batch_with_sizes()), every=3, verbose=0)
    before.on_epoch_end(0, {})
    after = Countdown(Batches(batch_with_sizes()), every=3, verbose=0)
    after.set_training_state(before.get_training_state())
    logs = {}
    after.on_epoch_end(1, logs)
    assert logs["val_AP"] == 0.1
    after.on_epoch_end(2, logs)
    assert logs["val_AP"] == 0.2


def test_a_callback_before_it_sees_nothing():
    early = keras.callbacks.EarlyStopping(monitor="val_AP", mode="max")
    evaluation = COCOEvaluation(Batches(batch_with_sizes()), verbose=0)
    with pytest.warns(UserWarning, match="`val_AP` which is not available"):
        fit([early, evaluation])


def test_the_tables_are_printed_on_request(capsys):
    dataset = Batches(batch_with_sizes())
    fit([COCOEvaluation(dataset, verbose=0)])
    assert capsys.readouterr().out == ""
    fit([COCOEvaluation(dataset, per_class=True)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "Epoch 1, in percent"
    assert [line.split()[0] for line in lines[2:]] == [*MEANINGS, "class", "cat", "dog", "cow"]


@pytest.mark.parametrize("per_class", [False, True])
def test_the_best_f1_is_logged_on_request(per_class, capsys):
    batch = batch_with_sizes()
    callback = COCOEvaluation([batch], f1=True, per_class=per_class)
    callback.set_model(Toy())
    logs = {}
    callback.on_epoch_end(0, logs)
    metrics = COCOMetrics("rel_xyxy", num_classes=NUM_CLASSES, class_names=("cat", "dog", "cow"))
    evaluate_detector(callback.model, [batch], metrics=metrics)
    curves = metrics.curves()
    best = curves.best()
    np.testing.assert_equal(logs["val_F1"], best["F1"])
    np.testing.assert_equal(logs["val_F1_confidence"], best["confidence_threshold"])
    by_class = {name: logs.get(f"val_F1/{name}") for name in ("cat", "dog", "cow")}
    expected = {name: found["F1"] for name, found in curves.best_per_class().items()}
    np.testing.assert_equal(by_class, expected if per_class else dict.fromkeys(expected))
    said = capsys.readouterr().out
    assert f1_line(best) in said
    assert ("F1  confidence" in said) == per_class


class Pair(keras.utils.PyDataset):
    """Give two batches, as Keras' own data sets do on every backend."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return batch_with_sizes(seed=index)


def test_keras_data_sets_are_read():
    history = fit([COCOEvaluation(Pair(), verbose=0)])
    expected = evaluate_detector(Toy(), [batch_with_sizes(0), batch_with_sizes(1)])
    for name in MEANINGS:
        np.testing.assert_equal(history[f"val_{name}"], [expected[name]])


@pytest.mark.parametrize("key", ["image_size", "images", "bounding_boxes"])
def test_a_batch_that_lacks_an_entry_is_refused_before_training(key):
    batch = batch_with_sizes()
    del batch[key]
    model = Toy()
    with pytest.raises(ValueError, match=f"must have .*'{key}'"):
        fit([COCOEvaluation([batch])], model=model)
    assert int(model.optimizer.iterations) == 0


def test_rows_out_of_step_are_refused_before_training():
    batch = batch_with_sizes()
    batch["bounding_boxes"] = {**batch["bounding_boxes"], "area": np.ones((2, 1))}
    with pytest.raises(ValueError, match="`area` must have one row a box"):
        fit([COCOEvaluation([batch])])


def test_pairs_are_refused_before_training():
    batch = batch_with_sizes()
    with pytest.raises(ValueError, match=r"must be a dict of 'images', 'image_size'.*tuple"):
        fit([COCOEvaluation([(batch["images"], batch["bounding_boxes"])])])


def test_another_model_is_refused_before_training():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse")
    callback = COCOEvaluation([batch_with_sizes()])
    with pytest.raises(TypeError, match=r"such as `DETR`. Received a Sequential .*`num_classes`"):
        model.fit(np.zeros((2, 3)), np.zeros((2, 1)), verbose=0, callbacks=[callback])


class Endless:
    """Look like a tf.data.Dataset after `repeat()`."""

    def cardinality(self):
        return np.int64(-1)


def test_wrong_arguments_are_refused():
    for every in (0, 1.5, True, "2"):
        with pytest.raises(ValueError, match="`every` must be a number of epochs"):
            COCOEvaluation([], every=every)
    with pytest.raises(ValueError, match=r"Received an iterator.*generator"):
        COCOEvaluation(batch for batch in [])
    with pytest.raises(ValueError, match="`batches` must end"):
        COCOEvaluation(Endless())


class LargeBatches:
    """Make images of 8 MB, one batch after the other."""

    def __iter__(self):
        for _ in range(20):
            yield {
                "images": np.zeros((1, 1000, 700, 3), "float32"),
                "image_size": np.array([[1000, 700]]),
                "bounding_boxes": {"boxes": np.ones((1, 3, 4)), "classes": np.zeros((1, 3))},
            }


class Oracle:
    """Find what isn't there."""

    num_classes = 1
    bounding_box_format = "xywh"
    class_names = None

    def predict_on_batch(self, inputs):
        boxes = np.full((len(inputs["images"]), 100, 4), 10.0)
        numbers = boxes[..., 0]
        return {"boxes": boxes, "classes": np.zeros_like(numbers), "confidence": numbers / 20}


def test_images_are_not_kept():
    callback = COCOEvaluation(LargeBatches(), verbose=0)
    callback.set_model(Oracle())
    tracemalloc.start()
    callback.on_epoch_end(0, {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6
