"""Configuration and saving: what a `.keras` file or a preset holds of a detector."""

import copy
from typing import Any

import keras

from keras_detr.batches.class_names import repaired_class_names
from keras_detr.models.task.frozen_layers import apply_frozen_paths, frozen_paths
from keras_detr.models.task.random_state import load_random_state, save_random_state
from keras_detr.models.task.trained_variables import build_optimizer
from keras_detr.ops.processes import by_first_process


class DetectorSaving:
    """Describe a detector for a file, and build and compile it again from there.

    Of several processes that train together, the first one writes.
    """

    @by_first_process
    def save(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
        """Write the model to a `.keras` file; see `keras.Model.save`."""
        super().save(filepath, overwrite=overwrite, **kwargs)

    @by_first_process
    def save_weights(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
        """Write weights and the optimizer's state; see `keras.Model.save_weights`."""
        super().save_weights(filepath, overwrite=overwrite, **kwargs)

    def get_config(self):
        """Return the constructor's arguments, and which layers are frozen."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            # A plain functional model doesn't save what was attached to it.
            "pyramid_level_inputs": getattr(self.backbone, "pyramid_level_inputs", None),
            "num_classes": self.num_classes,
            "bounding_box_format": self.bounding_box_format,
            "neck": keras.saving.serialize_keras_object(self.neck),
            "prediction_decoder": keras.saving.serialize_keras_object(self.prediction_decoder),
            "class_names": self.class_names,
            "preprocessor_sizes": self.preprocessor_sizes,
            "frozen": frozen_paths(self),
        }

    @classmethod
    def from_config(cls, config):
        """Build from `get_config`, with the same layers frozen."""
        config = dict(config)
        frozen = config.pop("frozen", ())
        levels = config.pop("pyramid_level_inputs", None)
        for name in ("backbone", "neck", "prediction_decoder"):
            if not isinstance(config.get(name, {}), (dict, keras.Layer, type(None))):
                raise ValueError(
                    f"`{name}` must be the configuration of a layer. Received: "
                    f"{config[name]!r:.80}."
                )
        for name, value in config.items():
            if isinstance(value, dict) and "class_name" in value:
                # Keras changes what it is given; that of functional models, too.
                config[name] = keras.saving.deserialize_keras_object(copy.deepcopy(value))
        if levels and not getattr(config["backbone"], "pyramid_level_inputs", None):
            config["backbone"].pyramid_level_inputs = levels
        if "class_names" in config:
            source = f"the saved model {config.get('name')!r:.80}"
            config["class_names"] = repaired_class_names(config["class_names"], source)
        model = cls(**config)
        apply_frozen_paths(model, frozen)
        return model

    def save_own_variables(self, store):
        """Save the detector's own variables, and the state of its dropout."""
        super().save_own_variables(store)
        save_random_state(self, store)

    def load_own_variables(self, store):
        """Load what `save_own_variables` saved; files without a state of dropout load too."""
        super().load_own_variables(load_random_state(self, store))

    def get_compile_config(self):
        """Return the configuration of `compile`, with the defaults resolved."""
        config = super().get_compile_config()
        if config:
            config["loss"] = keras.saving.serialize_keras_object(self.loss)
            if self._loss_trackers.metrics:
                metrics = self._loss_trackers.metrics
                config["metrics"] = keras.saving.serialize_keras_object(metrics)
        return config

    def compile_from_config(self, config):
        """Compile as the saved model was."""
        config = keras.saving.deserialize_keras_object(copy.deepcopy(config))
        for name in ("loss_weights", "weighted_metrics"):
            config.pop(name, None)
        self.compile(**config)
        if self.built:
            build_optimizer(self)
