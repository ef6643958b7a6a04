"""Load a detector from wherever it is: a saved file, a folder, a preset or the Hub."""

import os
import pathlib
import tempfile
import zipfile
from typing import Any

import keras

from keras_detr.checkpoints.hub.handles import hub_hint
from keras_detr.models.presets.backbone_loading import at_revision
from keras_detr.models.presets.detector_loading import find_detector_class
from keras_detr.models.presets.saved_preset import read_saved_config, save_preset
from keras_detr.models.task.detector_contract import concrete_detectors
from keras_detr.models.task.set_prediction_detector import SetPredictionDetector
from keras_detr.models.training_run import is_training_folder
from keras_detr.ops.backends import current
from keras_detr.ops.boxes import check_box_format
from keras_detr.ops.printable_text import did_you_mean


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
        FileNotFoundError: there is no such file, or a training has no model yet.
        ValueError: there is no such folder or preset, it or the file is damaged, the file holds
            another kind of model, or there is no detector of its kind with `masks`.

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
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            "`source` must be the path of a file or folder, the name of a preset, or "
            f"'hf://owner/name'. Received: {source!r:.200}."
        )
    source = _best_of_training(source)
    _check_is_there(source)
    if pathlib.Path(source).suffix != ".keras":
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
        if read_saved_config(folder) is None:
            raise FileNotFoundError(
                f"`source`: the training in {str(folder)!r} has no model yet, because it was "
                "interrupted before the end of an epoch. Started again, or with `keras-detr train "
                f"--resume {folder}`, it goes on."
            )
    return source


def _check_is_there(source):
    """Raise an error that says what was perhaps meant if there is nothing of a name."""
    path = pathlib.Path(source)
    presets = SetPredictionDetector.presets
    backbones = {name for cls in _classes() for name in cls.backbone_presets}
    if path.exists() or str(source).startswith("hf://") or {str(source)} & {*presets, *backbones}:
        return
    beside = [str(each) for each in path.parent.glob("*")]
    hint = did_you_mean(source, [*beside, *presets]) or hub_hint(source).removeprefix(".")
    error = FileNotFoundError if path.suffix == ".keras" else ValueError
    raise error(
        f"`source`: there is no file or folder {str(source)!r}, and no preset of that name.{hint} "
        f"The presets are {', '.join(sorted(presets))}."
    )


def _classes():
    return concrete_detectors(SetPredictionDetector)


def _class_of(source, settings):
    """Return the class of the detector that `from_preset` would build."""
    preset = at_revision(source, settings.get("revision"))
    return find_detector_class(_classes(), preset)


def _with_masks(cls):
    """Return a detector's class, or that of its kind with masks."""
    found = [one for one in (cls, *concrete_detectors(cls)) if one.has_masks]
    if not found:
        raise ValueError(
            f"`masks` must be False for a {cls.__name__}, which has no mask head: DETR has one, as "
            "`DETRSegmenter`."
        )
    return found[0]
