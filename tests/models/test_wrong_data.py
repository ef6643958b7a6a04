"""What is wrong with data is said at every way in, on every backend, compiled or not.

    KERAS_BACKEND=jax python -m tests.models.test_wrong_data

prints, for each kind of data and each way in, the sentence that comes.
"""

import logging
import re

import keras
import numpy as np
import pytest

from keras_detr.evaluation import COCOEvaluation, evaluate_detector
from keras_detr.losses import HungarianLoss
from keras_detr.ops.installed_packages import is_installed
from tests.models.detectors import (
    HEIGHT,
    NUM_CLASSES,
    NUM_QUERIES,
    WIDTH,
    Batches,
    inputs_of,
    patch_backbone,
    tiny_batch,
    tiny_detr,
)

pytestmark = pytest.mark.every_backend


def build(**overrides):
    """Return a detector that no step changes."""
    settings = {"num_encoder_layers": 1, "num_decoder_layers": 1, **overrides}
    model = tiny_detr(backbone=patch_backbone(), **settings)
    model.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


def batch_of(images=None, mask=None, **targets):
    batch = tiny_batch(batch_size=2)
    batch["image_size"] = np.array([[HEIGHT, WIDTH]] * 2)
    batch["images"] = batch["images"] if images is None else images
    batch["pixel_mask"] = batch["pixel_mask"] if mask is None else mask
    # The detector has none, and changed targets have other rows.
    del batch["bounding_boxes"]["masks"]
    batch["bounding_boxes"] |= targets
    return batch


def changed(array, value):
    """Return a copy of an array with another first object, or first pixel."""
    array = array.copy()
    array[0, 0] = value
    return array


IMAGES, BOXES, CLASSES = (
    batch_of()["images"],
    batch_of()["bounding_boxes"]["boxes"],
    batch_of()["bounding_boxes"]["classes"],
)
CROWD = {
    "boxes": np.tile(np.array((1, 1, 20, 20), "float32"), (2, NUM_QUERIES + 1, 1)),
    "classes": np.zeros((2, NUM_QUERIES + 1), "int32"),
}
# The batch and the sentence.
REFUSED_IMAGES = {
    "NaN in an image": (batch_of(changed(IMAGES, np.nan)), "`images` must be finite. Image 0"),
    "grey images": (batch_of(IMAGES[..., :1]), "`images` must have the shape"),
    "a mask of another size": (
        batch_of(mask=np.ones((2, 9, 9), "uint8")),
        "`pixel_mask` must have the shape",
    ),
}
REFUSED_TARGETS = {
    "relative boxes": (
        batch_of(boxes=BOXES / np.float32((WIDTH, HEIGHT) * 2)),
        "all boxes of a batch lie in 0..1",
    ),
    "boxes in pixels": (batch_of(), "lies outside its image"),
    "boxes outside": (batch_of(boxes=changed(BOXES, (500, 1, 600, 9))), "lies outside its"),
    "NaN in a box": (batch_of(boxes=changed(BOXES, np.nan)), "`boxes` must be finite"),
    "a class too many": (batch_of(classes=changed(CLASSES, NUM_CLASSES)), "`classes`"),
    "half a class": (batch_of(classes=changed(CLASSES * 1.0, 0.5)), "Received: 0.5"),
    "more objects than queries": (
        batch_of(**CROWD),
        "has 11 objects, but the model has",
    ),
    "fewer boxes than classes": (batch_of(boxes=BOXES[:, :2]), "agree in length"),
    "an area too many": (batch_of(area=np.ones((2, 4), "float32")), "`area` must have one row"),
    "another format carried": (
        {**batch_of(), "bounding_box_format": np.array(["yxyx"] * 2)},
        "`bounding_box_format`: the model takes boxes as `xyxy`",
    ),
}
TOLD = {
    "images in 0..1": (batch_of(IMAGES / np.float32(255)), "it sees black pictures"),
    "images of 16 bits": (batch_of(IMAGES * np.float32(257)), "it sees white pictures"),
}
# Single batches are told once for a model.
TOLD_ONCE = {"train_on_batch", "test_on_batch", "predict_on_batch"}
TOLD_ONCE |= {"COCOEvaluation", "evaluate_detector"}
KINDS = {**REFUSED_IMAGES, **REFUSED_TARGETS, **TOLD}
# The model's, where it isn't xyxy.
FORMATS = {"boxes in pixels": "rel_xyxy"}


def pair_of(batch):
    names = ("images", "pixel_mask", "bounding_box_format")
    return {name: batch[name] for name in names if name in batch}, batch["bounding_boxes"]


def of_tensorflow(batch):
    import tensorflow as tf

    return tf.data.Dataset.from_tensors(batch)


def of_torch(batch):
    from torch.utils.data import DataLoader

    return DataLoader([pair_of(batch)], batch_size=None)


def check_with_coco_evaluation(model, batch):
    evaluation = COCOEvaluation([batch], verbose=0)
    evaluation.set_model(model)
    evaluation.on_train_begin()
    evaluation.on_epoch_end(0, {})


DATA = {
    "arrays": lambda batch: batch,
    "pair": pair_of,
    "data set": Batches,
    "generator": lambda batch: (batch for _ in range(2)),
}
DATA |= {"tf.data": of_tensorflow} if is_installed("tensorflow") else {}
DATA |= {"torch's loader": of_torch} if is_installed("torch") else {}
TRAINING = {
    "train_on_batch": lambda model, batch: model.train_on_batch(*pair_of(batch)),
    "test_on_batch": lambda model, batch: model.test_on_batch(*pair_of(batch)),
    "COCOEvaluation": check_with_coco_evaluation,
    "evaluate_detector": lambda model, batch: evaluate_detector(model, [batch]),
    "fit(validation_data)": lambda model, batch: model.fit(
        {**batch_of(), "bounding_boxes": {"boxes": BOXES * 0, "classes": CLASSES * 0 - 1}},
        validation_data=batch,
        verbose=0,
    ),
}
PREDICTION = {
    "predict_on_batch": lambda model, batch: model.predict_on_batch(inputs_of(batch)),
}
for kind, make in DATA.items():
    TRAINING |= {
        f"fit, {kind}": lambda model, batch, make=make: model.fit(
            make(batch), steps_per_epoch=1, verbose=0
        ),
        f"evaluate, {kind}": lambda model, batch, make=make: model.evaluate(
            make(batch), steps=1, verbose=0
        ),
    }
    PREDICTION[f"predict, {kind}"] = lambda model, batch, make=make: model.predict(
        make(batch), steps=1, verbose=0
    )
DOORS = {**TRAINING, **PREDICTION}
# A model may be measured on images with more objects than it has queries.
RIGHT = {
    ("more objects than queries", "COCOEvaluation"),
    ("more objects than queries", "evaluate_detector"),
}
CELLS = [(kind, door) for kind in REFUSED_TARGETS for door in TRAINING]
CELLS += [(kind, door) for kind in {**REFUSED_IMAGES, **TOLD} for door in DOORS]
CELLS = {f"{kind} | {door}": (kind, door) for kind, door in CELLS if (kind, door) not in RIGHT}


@pytest.fixture(scope="module")
def models():
    return {name: build(bounding_box_format=name) for name in ("xyxy", "rel_xyxy")}


@pytest.mark.parametrize("cell", [cell for cell in CELLS if CELLS[cell][0] not in TOLD])
def test_refused(models, cell):
    kind, door = CELLS[cell]
    batch, sentence = KINDS[kind]
    with pytest.raises(Exception, match=re.escape(sentence)) as raised:
        DOORS[door](models[FORMATS.get(kind, "xyxy")], batch)
    # What a data set of TensorFlow raises while it is read comes in an error of its own.
    assert isinstance(raised.value, ValueError) or "tf.data" in door


@pytest.mark.parametrize("cell", [cell for cell in CELLS if CELLS[cell][0] in TOLD])
def test_told(models, cell, caplog):
    kind, door = CELLS[cell]
    batch, sentence = KINDS[kind]
    DOORS[door](build() if door in TOLD_ONCE else models["xyxy"], batch)
    # COCOEvaluation says it before the first step, the model at the first evaluation.
    assert caplog.text.count(sentence) == (2 if door == "COCOEvaluation" else 1)


@pytest.mark.once
@pytest.mark.parametrize("settings", [{"jit_compile": True}, {"jit_compile": False}])
@pytest.mark.parametrize("door", ["fit, arrays", "fit, data set", "predict, generator"])
def test_refused_when_compiled(door, settings):
    model = build()
    model.compile(optimizer=keras.optimizers.SGD(0.0), **settings)
    for kind in REFUSED_IMAGES if door in PREDICTION else {**REFUSED_IMAGES, **REFUSED_TARGETS}:
        batch, sentence = KINDS[kind]
        if kind not in FORMATS:
            with pytest.raises(ValueError, match=re.escape(sentence)):
                DOORS[door](model, batch)


@pytest.mark.parametrize("assignment", ["host", "in_graph"])
def test_more_objects_than_queries_in_a_loop_of_ones_own(assignment):
    boxes = np.full((2, NUM_QUERIES + 1, 4), 0.5, "float32")
    outputs = {
        "classification": np.zeros((2, NUM_QUERIES, NUM_CLASSES + 1), "float32"),
        "box": np.full((2, NUM_QUERIES, 4), 0.5, "float32"),
    }
    with pytest.raises(ValueError, match="11 objects"):
        HungarianLoss(assignment=assignment)({**CROWD, "boxes": boxes}, outputs)


def main():
    """Print the table of the backend that runs."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("keras_detr").addHandler(handler)
    for kind, door in CELLS.values():
        lines.clear()
        try:
            DOORS[door](build(bounding_box_format=FORMATS.get(kind, "xyxy")), KINDS[kind][0])
        except Exception as error:
            lines.append(f"{type(error).__name__}: {error}")
        print(f"{keras.backend.backend()} | {kind} | {door} | {' / '.join(lines)}")


if __name__ == "__main__":
    main()
