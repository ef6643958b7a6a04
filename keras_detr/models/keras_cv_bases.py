"""The one door to KerasCV: base classes for tasks and backbones.

KerasCV can't be imported without TensorFlow. Where it is missing, both bases are `keras.Model`:
what keras_detr relies on (presets, configs, saving) is its own either way.
"""

import keras

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

    def __init_subclass__(cls, **kwargs):
        # KerasCV would replace the docstring of `from_preset`.
        super(_KerasCVBackbone, cls).__init_subclass__(**kwargs)


class Task(_KerasCVTask):
    """A `keras_cv.models.Task` where KerasCV can be imported."""

    def __init_subclass__(cls, **kwargs):
        # KerasCV would replace the docstring of `from_preset`.
        super(_KerasCVTask, cls).__init_subclass__(**kwargs)
