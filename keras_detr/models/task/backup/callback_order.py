"""Callbacks see what earlier ones in their list have done, so their order matters."""

import logging

import keras

logger = logging.getLogger("keras_detr")

# What the names of the figures that `COCOEvaluation` logs begin with.
_COCO_FIGURES = ("val_AP", "val_AR", "val_F1", "val_mask_A")


def check_order(callbacks):
    """Check that each callback comes after those whose work it reads.

    Args:
        callbacks: list of `keras.callbacks.Callback`.

    Raises:
        ValueError: a callback monitors a figure of COCO that a later one logs, or none.
    """
    _report_early_readers(callbacks)
    logs = [getattr(callback, "logs_coco_figures", False) for callback in callbacks]
    for index, callback in enumerate(callbacks):
        monitor = str(getattr(callback, "monitor", ""))
        if any(logs[:index]) or not monitor.startswith(_COCO_FIGURES):
            continue
        reader = f"`callbacks`: `{type(callback).__name__}` reads {monitor!r}, which"
        if any(logs):
            name = type(callbacks[logs.index(True)]).__name__
            raise ValueError(f"{reader} `{name}` logs later. Put `{name}` before it.")
        # A callback of the user's own might log it.
        if not any(_is_own(other) for other in callbacks):
            raise ValueError(f"{reader} nothing logs. Put `COCOEvaluation` before it.")


def _is_own(callback):
    """Return whether a callback is neither Keras' nor this library's."""
    package = type(callback).__module__.partition(".")[0]
    return package not in ("keras", "keras_detr")


def _report_early_readers(callbacks):
    """Log which callbacks come before the one that puts averages in the place of weights."""
    swaps = [isinstance(callback, keras.callbacks.SwapEMAWeights) for callback in callbacks]
    if True not in swaps or not callbacks[swaps.index(True)].swap_on_epoch:
        return
    before = [
        type(callback).__name__
        for callback in callbacks[: swaps.index(True)]
        if isinstance(callback, keras.callbacks.ModelCheckpoint)
        or getattr(callback, "reads_weights", False)
    ]
    if before:
        logger.warning(
            "`callbacks`: %s before `SwapEMAWeights`, so what is scored or saved are the weights "
            "of the last step and not their averages. Put `SwapEMAWeights` first.",
            " and ".join(before) + (" comes" if len(before) == 1 else " come"),
        )
