"""Base classes for tasks and backbones: the only module that imports KerasCV.

KerasCV can't be imported without TensorFlow. Where it is missing, both bases are `keras.Model`:
what keras_detr relies on (presets, configs, saving) is its own either way.
"""

from typing import ClassVar

import keras

from keras_detr.models.saved_files import save_model, save_weights
from keras_detr.ops.installed_packages import is_installed
from keras_detr.ops.keras_internals import is_asked_by_keras


def _import_bases():
    if not is_installed("tensorflow"):
        return keras.Model, keras.Model
    try:
        from keras_cv.models import Backbone, Task
    except ImportError:
        return keras.Model, keras.Model
    return Backbone, Task


_KerasCVBackbone, _KerasCVTask = _import_bases()


class _AllPresets:
    """Give the `presets` of a class: every preset of keras_detr has weights."""

    def __get__(self, instance, cls):
        return dict(cls.presets)


class Backbone(_KerasCVBackbone):  # type: ignore[misc, valid-type]
    """A `keras_cv.models.Backbone` where KerasCV can be imported."""

    presets_with_weights = _AllPresets()
    presets_without_weights: ClassVar[dict] = {}

    save = save_model
    save_weights = save_weights

    def __init_subclass__(cls, **kwargs):
        # KerasCV would replace the docstring of `from_preset`.
        super(_KerasCVBackbone, cls).__init_subclass__(**kwargs)


class _NeverFunctional(type(_KerasCVTask)):  # type: ignore[misc]
    """Keep a class a plain `keras.Model`, whatever happens to those that it is made from.

    As soon as a program builds one of KerasCV's own tasks, which are functional models, Keras makes
    `Functional` a base of `keras_cv.models.Task`, and so of its subclasses. Keras then looks for a
    graph of layers in them: in `summary`, `clone_model`, `save`, and when they are called.
    """

    def mro(cls):
        of_model = keras.Model.__mro__
        own = [base for base in super().mro() if base not in of_model]
        return [*(base for base in own if not base.__module__.startswith("keras.")), *of_model]


class Task(_KerasCVTask, metaclass=_NeverFunctional):  # type: ignore[misc, valid-type]
    """A `keras_cv.models.Task` where KerasCV can be imported, and never a functional model."""

    presets_with_weights = _AllPresets()
    presets_without_weights: ClassVar[dict] = {}

    def __init__(self, *args, **kwargs):
        # Not KerasCV's constructor, which prepares the two methods that are replaced below.
        keras.Model.__init__(self, *args, **kwargs)

    save = save_model
    save_weights = save_weights

    @property
    def layers(self):
        """The model's layers. KerasCV's property leaves the backbone out."""
        return keras.Model.layers.fget(self)

    def __dir__(self):
        # Not KerasCV's method, which leaves out more on torch, where other names list layers too.
        names = {*keras.Model.__dir__(self)}
        if is_asked_by_keras():
            # The backbone is saved among `layers`, as always. The preprocessor has no weights, and
            # reading it imports TensorFlow.
            names -= {"backbone", "preprocessor"}
        return sorted(names)

    def __init_subclass__(cls, **kwargs):
        # KerasCV would replace the docstring of `from_preset`.
        super(_KerasCVTask, cls).__init_subclass__(**kwargs)
