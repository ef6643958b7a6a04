"""Presets: build a detector from published or saved weights, and save it as a preset."""

import contextlib
import os
from typing import Any

import keras

from keras_detr.batches.class_names import check_class_names
from keras_detr.checkpoints.counts import check_counts
from keras_detr.models.presets.backbone_loading import at_revision
from keras_detr.models.presets.detector_loading import find_detector_class, load_detector
from keras_detr.models.presets.detector_settings import in_precision, without_other_classes
from keras_detr.models.presets.saved_preset import save_preset
from keras_detr.models.task.detector_contract import concrete_detectors
from keras_detr.ops.processes import by_first_process


class DetectorPresets:
    """Load presets of the detector's family, and save the detector as one."""

    @classmethod
    def from_preset(
        cls,
        preset: str | os.PathLike[str],
        weights: str | os.PathLike[str] | None = None,
        load_weights: bool = True,
        num_classes: int | None = None,
        num_queries: int | None = None,
        bounding_box_format: str | None = None,
        revision: str | None = None,
        **overrides: Any,
    ) -> Any:
        """Build the model of a preset, with its weights.

        `keras_detr.ObjectDetector.from_preset` chooses the class that the preset belongs to;
        `keras_detr.ObjectDetector.presets` is a dict of all registered ones by name.

        Args:
            preset: str or path: a registered name (see `presets`; a name of `backbone_presets`
                gives a new detector on a published backbone), a folder from `save_to_preset`, a
                folder in the Hub's layout (config.json and model.safetensors), or "hf://owner/name":
                a repository of the Hub with such a folder of either kind, as `upload_preset` makes,
                or any fine-tuned detector of the family.
            weights: str or path of a file with official or Hub names, .safetensors or .pth (which
                needs torch), instead of the preset's own.
            load_weights: bool, whether to fetch and load the preset's weights.
            num_classes: int or `None`. Another number than the preset's starts with a new class
                head, and says so in the log; all else stays as it is.
            num_queries: int or `None`. Fewer queries keep the first ones, more add new ones.
            bounding_box_format: str or `None`, by default that of a saved preset, else "xyxy".
            revision: str or `None`, the branch, tag or commit of the Hub's repository that the
                weights are to come from; by default its newest. The log says which it was, at the
                level "info".
            **overrides: other arguments of the constructor. `dtype`, the name of a policy, counts
                for all layers, the backbone's too.

        Returns:
            The model, of this class; of the abstract class' method, of the preset's.

        Raises:
            ValueError: the preset is unknown, a checkpoint is damaged or of another architecture.
            FileNotFoundError: a file is missing, and can't be fetched (offline); the message says
                what to fetch and where to put it.

        Example:
        ```python
        detector = keras_detr.ObjectDetector.from_preset("dino_detr_r50", num_classes=3)
        print(type(detector).__name__)  # DINODETR
        ```
        """
        chosen = {
            "num_classes": num_classes,
            "num_queries": num_queries,
            "bounding_box_format": bounding_box_format,
        }
        arguments = {name: value for name, value in chosen.items() if value is not None}
        arguments.update(overrides)
        # A saved preset's own names are repaired where they are wrong; these are an error.
        if (names := check_class_names(arguments.get("class_names"))) is not None:
            arguments["class_names"] = names
        preset = at_revision(preset, revision)
        if DetectorPresets in cls.__bases__:
            # The abstract task itself, whose subclasses are the detectors.
            cls = find_detector_class(concrete_detectors(cls), preset)
        with _default_dtype(arguments.get("dtype")):
            return load_detector(cls, preset, weights, load_weights, revision, arguments)

    @by_first_process
    def save_to_preset(self, folder: str | os.PathLike[str]) -> None:
        """Write configuration and weights to a folder, for `from_preset`.

        Args:
            folder: str or path; created where it doesn't exist.
        """
        save_preset(self, folder)

    @classmethod
    def override_config(cls, config, arguments):
        """Return a saved configuration with other arguments, and a decoder that agrees with them.

        Args:
            config: dict, from `get_config`, in the form that files hold.
            arguments: dict of the constructor's arguments.
        """
        if "num_queries" in arguments:
            check_counts(num_queries=arguments["num_queries"])
        saved_queries = config.get("num_queries")
        if "dtype" in arguments:
            config = in_precision(config, keras.dtype_policies.get(arguments["dtype"]).name)
        config = {**config, **arguments}
        if "backbone" in arguments:
            config["pyramid_level_inputs"] = None
        decoder = config.get("prediction_decoder")
        if isinstance(decoder, dict):
            settings = {**decoder["config"], "bounding_box_format": config["bounding_box_format"]}
            if "num_queries" in arguments and settings["max_detections"] == saved_queries:
                settings["max_detections"] = arguments["num_queries"]
            config["prediction_decoder"] = {**decoder, "config": settings}
        return without_other_classes(config, arguments)


@contextlib.contextmanager
def _default_dtype(policy):
    """Return a context in which layers have a dtype policy by default, or the usual one for None.

    A backbone of a published preset, or of a class that saves no policy, is built without one.
    """
    before = keras.config.dtype_policy()
    if policy is not None:
        keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
