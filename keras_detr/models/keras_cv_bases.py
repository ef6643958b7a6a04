"""The one door to KerasCV: base classes for tasks and backbones.

KerasCV can't be imported without TensorFlow. Where it is missing, both bases are `keras.Model`:
what keras_detr relies on (presets, configs, saving) is its own either way.
"""

import keras

from keras_detr.models.saved_files import save_model, save_weights
from keras_detr.ops.backends import is_tensorflow_installed


def _import_bases():
    if not is_tensorflow_installed():
        return keras.Model, keras.Model
    try:
        from keras_cv.models import Backbone, Task
    except ImportError:
        return keras.Model, keras.Model
    return Backbone, Task


_KerasCVBackbone, _KerasCVTask = _import_bases()


class Backbone(_KerasCVBackbone):
    """A `keras_cv.models.Backbone` where KerasCV can be imported."""

    save = save_model
    save_weights = save_weights

    def __init_subclass__(cls, **kwargs):
        # KerasCV would replace the docstring of `from_preset`.
        super(_KerasCVBackbone, cls).__init_subclass__(**kwargs)


class Task(_KerasCVTask):
    """A `keras_cv.models.Task` where KerasCV can be imported.

    As soon as a program builds one of KerasCV's own tasks, which are functional models, Keras makes
    `Functional` the base of `keras_cv.models.Task`, and so of this class. What a functional model
    does its own way is therefore taken from `keras.Model` here.
    """

    def __init__(self, *args, **kwargs):
        keras.Model.__init__(self, *args, **kwargs)
        # What KerasCV's constructor leaves behind.
        self._backbone = None
        self._functional_layer_ids = set()

    save = save_model
    save_weights = save_weights
    build = keras.Model.build
    compute_output_shape = keras.Model.compute_output_shape
    compute_output_spec = keras.Model.compute_output_spec
    add_loss = keras.Model.add_loss
    input_spec = keras.Model.input_spec
    _assert_input_compatibility = keras.Model._assert_input_compatibility
    _lock_state = keras.Model._lock_state
    _obj_type = keras.Model._obj_type

    def __init_subclass__(cls, **kwargs):
        # KerasCV would replace the docstring of `from_preset`.
        super(_KerasCVTask, cls).__init_subclass__(**kwargs)
