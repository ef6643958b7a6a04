"""Load a detector from wherever it is: a saved file, a folder, a preset or the Hub."""

import os
import pathlib
import tempfile
import zipfile
from typing import Any

import keras

from keras_detr.models.presets.backbone_loading import at_revision
from keras_detr.models.presets.detector_loading import find_detector_class
from keras_detr.models.presets.saved_preset import save_preset
from keras_detr.models.task.detector_contract import concrete_detectors
from keras_detr.models.task.set_prediction_detector import SetPredictionDetector
from keras_detr.models.training_run import is_training_folder
from keras_detr.ops.backends import current
from keras_detr.ops.boxes import check_box_format


def load(
    source: str | os.PathLike[str],
    *,
    bounding_box_format: str | None = None,
    masks: bool = False,
    weights: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> SetPredictionDetector:
    """Return a detector from a `.keras` file, a folder, a registered preset or the Hub.

    Args:
        source: str or path: a `.keras` file of `model.save`; the folder that `keras-detr train`
            wrote, whose best model it is; or what `from_preset` takes: a folder from
            `save_to_preset`, a registered name such as "detr_r50", or "hf://owner/name".
        bounding_box_format: str, of what `predict` returns and `fit` takes; None is what was saved,
            and "xyxy" for a registered preset.
        masks: bool, whether the model is to have masks: a `DETR` becomes a `DETRSegmenter` with a
            new mask head.
        weights: str or path of a file with official or Hub names, read instead of the weights of
            `source`.
        settings: further arguments of `from_preset`, such as `num_classes` and `class_names`.

    Returns:
        `keras_detr.SetPredictionDetector` of the class that was saved. From a `.keras` file it is
        compiled as it was saved, unless something is changed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file or the preset is damaged, the file holds another kind of model, the
            preset is unknown, or there is no detector of its kind with `masks`.

    Example:
        ```python
        import keras_detr

        backbone = keras_detr.ResNetBackbone(18)
        model = keras_detr.DETR(backbone, num_classes=2, bounding_box_format="xyxy")
        model.save("detector.keras")
        same = keras_detr.load("detector.keras")
        ```
    """
    if weights is not None:
        settings["weights"] = weights
    if bounding_box_format is not None:
        check_box_format(bounding_box_format)
    is_path = isinstance(source, (str, os.PathLike))
    if is_path:
        source = _best_of_training(source)
    if not is_path or pathlib.Path(source).suffix != ".keras":
        cls = _with_masks(_class_of(source, settings)) if masks else SetPredictionDetector
        return cls.from_preset(source, bounding_box_format=bounding_box_format, **settings)
    model = _read_keras_file(source)
    if not isinstance(model, SetPredictionDetector):
        raise ValueError(
            f"`source`: {str(source)!r} holds a `{type(model).__name__}`, and no detector of "
            "keras_detr."
        )
    cls = _with_masks(type(model)) if masks else type(model)
    is_changed = bool(settings) or cls is not type(model)
    if not is_changed and bounding_box_format in (None, model.bounding_box_format):
        return model
    with tempfile.TemporaryDirectory() as folder:
        preset = pathlib.Path(folder) / "preset"
        # Not `model.save_to_preset`, which writes in one process only, and this folder is its own.
        with current().alone():
            save_preset(model, preset)
        return cls.from_preset(preset, bounding_box_format=bounding_box_format, **settings)


def _read_keras_file(path):
    """Return the model in a `.keras` file, or raise an error that names it."""
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"`source`: there is no file {str(path)!r}.")
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"`source`: {str(path)!r} isn't what `model.save` writes, or is damaged: a .keras file "
            "is a zip file."
        )
    try:
        return keras.saving.load_model(path)
    except (ValueError, TypeError, KeyError, OSError) as error:
        # Keras shows the whole configuration before it.
        reason = str(error).rsplit("Exception encountered: ", 1)[-1]
        raise ValueError(
            f"`source`: no model can be loaded from {str(path)!r}: {reason}"
        ) from error


def _best_of_training(source):
    """Return the best model in the folder of a training, and what isn't such a folder as it is."""
    folder = pathlib.Path(source)
    if is_training_folder(folder):
        # Its own config.json is that of the training; one that was interrupted has no preset yet.
        for model, file in (("preset", "preset/config.json"), ("model.keras", "model.keras")):
            if (folder / file).is_file():
                return folder / model
    return source


def _class_of(source, settings):
    """Return the class of the detector that `from_preset` would build."""
    preset = at_revision(source, settings.get("revision"))
    return find_detector_class(concrete_detectors(SetPredictionDetector), preset)


def _with_masks(cls):
    """Return a detector's class, or that of its kind with masks."""
    found = [one for one in (cls, *concrete_detectors(cls)) if one.has_masks]
    if not found:
        raise ValueError(
            f"`masks` must be False for a {cls.__name__}, which has no mask head: DETR has one, as "
            "`DETRSegmenter`."
        )
    return found[0]
