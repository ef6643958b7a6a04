"""Errors for targets and predictions that don't fit."""

import numpy as np
import pytest
from keras import ops

from keras_detr.losses import HungarianLoss
from keras_detr.losses.input_checks import check_targets

pytestmark = pytest.mark.every_backend

BOXES, CLASSES = np.full((2, 3, 4), 0.5, "float32"), np.zeros((2, 3), "int32")
GOOD = {"boxes": BOXES, "classes": CLASSES}

LOGITS, PREDICTED = np.zeros((2, 5, 4), "float32"), np.ones((2, 5, 4), "float32")
GOOD_PREDICTIONS = {"classification": LOGITS, "box": PREDICTED}

BAD_PREDICTIONS = {
    "not a dict": (LOGITS, r"`y_pred` must be a dict.*'classification' and 'box'.*ndarray"),
    "another key": (
        {"classification": LOGITS, "boxes": PREDICTED},
        r"\['boxes', 'classification'\]",
    ),
    "half of the auxiliary ones": (
        {**GOOD_PREDICTIONS, "aux_box": PREDICTED[:, None]},
        r"both 'aux_classification' and 'aux_box', or neither",
    ),
    "half of the encoder's": (
        {**GOOD_PREDICTIONS, "encoder_classification": LOGITS},
        r"both 'encoder_classification' and 'encoder_box', or neither",
    ),
    "an axis of layers for the encoder": (
        {
            **GOOD_PREDICTIONS,
            "encoder_classification": LOGITS[:, None],
            "encoder_box": PREDICTED[:, None],
        },
        r"`y_pred\['encoder_box'\]` \(batch, tokens, 4\). Received: \(2, 1, 5, 4\)",
    ),
    "box size": (
        {**GOOD_PREDICTIONS, "box": PREDICTED[..., :3]},
        r"`y_pred\['box'\]` \(batch, queries, 4\). Received: .* and \(2, 5, 3\)",
    ),
    "one query less": ({**GOOD_PREDICTIONS, "box": PREDICTED[:, 1:]}, r"and \(2, 4, 4\)"),
    "no axis of layers": (
        {**GOOD_PREDICTIONS, "aux_box": PREDICTED, "aux_classification": LOGITS},
        r"`y_pred\['aux_box'\]` \(batch, layers, queries, 4\)",
    ),
}

BAD = {
    "not a dict": (BOXES, r"`y_true` must be a dict.*'boxes' and 'classes'.*ndarray"),
    "no classes": ({"boxes": BOXES}, r"must be a dict.*Received: a dict of \['boxes'\]"),
    "no boxes": ({"labels": CLASSES, "classes": CLASSES}, r"a dict of \['classes', 'labels'\]"),
    "box rank": ({**GOOD, "boxes": BOXES[0]}, r"\(batch, N, 4\). Received: \(3, 4\)"),
    "box size": ({**GOOD, "boxes": BOXES[..., :3]}, r"\(batch, N, 4\). Received: \(2, 3, 3"),
    "class rank": ({**GOOD, "classes": CLASSES[..., None]}, r"`classes` must agree.*\(2, 3, 1\)"),
    "one class less": ({**GOOD, "classes": CLASSES[:, :2]}, r"agree.*\(2, 3, 4\), \(2, 2\)"),
    "one image less": (
        {"boxes": BOXES[:1], "classes": CLASSES[:1]},
        r"agree in length.*Received: \(2, \.\.\.\), \(1, 3, 4\), \(1, 3\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("as_tensors", [False, True])
def test_what_came_is_shown(name, as_tensors):
    y_true, message = BAD[name]
    if as_tensors and isinstance(y_true, dict):
        y_true = {key: ops.convert_to_tensor(value) for key, value in y_true.items()}
    with pytest.raises(ValueError, match=message):
        HungarianLoss(assignment="host")(y_true, GOOD_PREDICTIONS)


@pytest.mark.parametrize("name", BAD_PREDICTIONS)
def test_what_came_instead_of_predictions_is_shown(name):
    y_pred, message = BAD_PREDICTIONS[name]
    with pytest.raises(ValueError, match=message):
        HungarianLoss(assignment="host")(GOOD, y_pred)


def test_what_fits_passes():
    check_targets(GOOD, 2, 1)
    check_targets(GOOD, None, 1)
    check_targets({"boxes": np.zeros((2, 0, 4)), "classes": np.zeros((2, 0))}, 2, 1)
