"""Build a detector from a preset: a registered name, a saved folder, or a repository of the Hub."""

from pathlib import Path

from keras_detr.batches.class_names import repaired_class_names
from keras_detr.checkpoints import read_tensors, resolve_hub_folder, to_canonical_names
from keras_detr.checkpoints.hub.fields import naming_file
from keras_detr.checkpoints.hub.folder import fetch_weights
from keras_detr.models.presets.backbone_loading import NO_REVISION
from keras_detr.models.presets.checkpoint_variables import fill_variables, read_variables
from keras_detr.models.presets.detector_settings import without_other_classes
from keras_detr.models.presets.head_fitting import without_spare_rows
from keras_detr.models.presets.saved_preset import (
    class_that_was_saved,
    described,
    load_saved_weights,
    read_saved_config,
    rebuild,
    saved_as,
    saved_class_name,
)
from keras_detr.ops.printable_text import did_you_mean

DEFAULT_BOX_FORMAT = "xyxy"


def find_detector_class(classes, preset):
    """Return which of the classes a preset belongs to, or raise an error that names all presets."""
    saved = read_saved_config(preset)
    if saved is not None:
        name = saved_class_name(saved)
        found = [cls for cls in classes if cls.__name__ == name]
        received = f"a folder with a {name}"
    elif _is_hub_folder(preset):
        config = resolve_hub_folder(preset).config
        model_type = config.get("model_type")
        found = [cls for cls in classes if model_type and cls.hub_model_type == model_type]
        architectures = config.get("architectures") or ()
        found = [cls for cls in found if cls.hub_architecture in architectures] or found
        received = f"{str(preset)!r}, whose config.json has `model_type` {model_type!r}"
    else:
        found = [cls for cls in classes if preset in cls.presets]
        received = described(preset)
    if not found and any(preset in cls.backbone_presets for cls in classes):
        raise ValueError(
            f"`preset` must name a detector, and {preset!r} is a backbone. Choose the detector "
            f"that is to stand on it: `DETR.from_preset({preset!r}, num_classes=...)`, or that of "
            "another class."
        )
    if not found:
        known = sorted(name for cls in classes for name in cls.presets)
        raise ValueError(
            f"`preset` must be one of {known}, or a folder or 'hf://owner/name' with one of "
            f"{sorted(cls.__name__ for cls in classes)}. Received: {received}."
            f"{did_you_mean(preset, known)}"
        )
    return found[0]


def load_detector(cls, preset, weights, load_weights, revision, arguments):
    """Build a detector from a preset and fill it; see `DetectorPresets.from_preset`.

    `DetectorContract` declares what the detector's class says about its checkpoints.
    """
    saved = read_saved_config(preset)
    published = {**cls.starting_presets, **cls.presets}
    is_published = preset in published or preset in cls.backbone_presets
    is_on_hub = is_published or str(preset).startswith("hf://")
    if revision is not None and (weights is not None or not is_on_hub):
        raise ValueError(f"{NO_REVISION} Received: {revision!r} for {described(preset)}.")
    if saved is not None:
        return _load_saved(cls, preset, saved, weights, load_weights, arguments)
    if preset in cls.backbone_presets:
        return _load_on_backbone(cls, preset, weights, load_weights, revision, arguments)
    sizes = {}
    if preset in published:
        settings = published[preset].settings
        if weights is not None:
            published[preset].check_official_file(weights)
        read = _tensors_of_file(published[preset].weights_at(revision))
    elif _is_hub_folder(preset):
        hub_folder = resolve_hub_folder(preset)
        with naming_file(f"{preset!s}/config.json"):
            settings = cls.checkpoint_settings(hub_folder.config)
        normalization = hub_folder.read_normalization()
        if normalization is not None:
            mean, standard_deviation = normalization
            settings["backbone"].update(mean=mean, standard_deviation=standard_deviation)
        read = hub_folder.read_tensors
        if (preprocessor_sizes := hub_folder.read_preprocessor_sizes()) is not None:
            sizes = {"preprocessor_sizes": preprocessor_sizes}
    else:
        known = [*published, *cls.backbone_presets]
        raise ValueError(
            f"`preset` must be one of {known}, a folder with a saved preset or in the Hub's "
            f"layout (config.json and model.safetensors), or 'hf://owner/name'. Received: "
            f"{described(preset)}.{did_you_mean(preset, known)}"
        )
    names = repaired_class_names(settings.get("class_names"), str(preset))
    settings = {**settings, "class_names": names}
    model = cls(**_override({**cls.checkpoint_arguments(settings), **sizes}, arguments))
    if weights is not None:
        _fill_renamed(model, read_tensors(weights), settings, arguments, weights)
    elif load_weights:
        _fill_renamed(model, read(), settings, arguments, preset)
    return model


def _is_hub_folder(preset):
    return str(preset).startswith("hf://") or Path(preset).is_dir()


def _tensors_of_file(hub_file):
    return lambda: read_tensors(fetch_weights(hub_file))


def _fill_renamed(model, tensors, settings, arguments, source):
    """Fill a detector with tensors of official or Hub names."""
    tensors = to_canonical_names(tensors, model.checkpoint_table).tensors
    _fill(model, tensors, settings, arguments, source)


def _fill(model, tensors, settings, arguments, source):
    """Fill a detector with tensors of canonical names, as far as they fit its classes.

    `settings` say which rows of their class heads are in use, if these aren't all.
    """
    class_rows, num_rows = settings.get("class_rows"), settings.get("num_class_rows")
    if num_rows is not None:
        heads = model.checkpoint_class_heads(class_rows)
        tensors = without_spare_rows(tensors, heads, num_rows, model.has_no_object)
    may_reset_classes = "num_classes" in arguments
    tensors = model.fit_checkpoint(tensors, class_rows, may_reset_classes, str(source))
    fill_variables(model.checkpoint_variables(), tensors, str(source))


def _override(preset_arguments, arguments):
    """Return the constructor's arguments with the user's in place of the preset's."""
    merged = {"bounding_box_format": DEFAULT_BOX_FORMAT, **preset_arguments, **arguments}
    return without_other_classes(merged, arguments)


def _load_on_backbone(cls, preset, weights, load_weights, revision, arguments):
    """Build a detector with a new head on a published backbone."""
    if "num_classes" not in arguments:
        raise ValueError(f"`num_classes` is missing: {preset!r} is a backbone without classes.")
    backbone = cls.backbone_class.from_preset(preset, weights, load_weights, revision)
    return cls(**_override({"backbone": backbone}, arguments))


def _load_saved(cls, preset, saved, weights, load_weights, arguments):
    """Build a detector from a folder that `save_to_preset` wrote."""
    saved_class = class_that_was_saved(cls, saved)
    model = rebuild(cls, preset, saved_as(cls, saved, saved_class), arguments)
    if weights is not None:
        _fill_renamed(model, read_tensors(weights), {}, arguments, weights)
    elif load_weights and not arguments and saved_class is cls:
        load_saved_weights(model, preset)
    elif load_weights:
        # The saved weights fit the saved configuration: load these, and carry over what still fits.
        original = _load_saved(saved_class, preset, saved, None, True, {})
        tensors = read_variables(original.checkpoint_variables())
        _fill(model, tensors, {}, arguments, preset)
    return model
