"""Callbacks that read a figure come after the one that logs it."""

import keras
import pytest

from keras_detr.evaluation import COCOEvaluation
from keras_detr.models.task.backup.callback_order import check_order

STOPPING = {"monitor": "val_AP50", "mode": "max"}


class Figures(keras.callbacks.Callback):
    """A callback of the user's own."""


def test_a_figure_that_is_logged_before():
    stopping = keras.callbacks.EarlyStopping(**STOPPING)
    check_order([COCOEvaluation([]), stopping])
    check_order([Figures(), stopping])
    check_order([keras.callbacks.EarlyStopping("val_loss"), keras.callbacks.History()])


def test_a_figure_that_is_logged_later_or_never():
    stopping = keras.callbacks.EarlyStopping(**STOPPING)
    with pytest.raises(ValueError, match=r"'val_AP50', which `COCOEvaluation` logs later"):
        check_order([stopping, COCOEvaluation([])])
    with pytest.raises(ValueError, match=r"`EarlyStopping` reads 'val_AP50', which nothing logs"):
        check_order([stopping])
