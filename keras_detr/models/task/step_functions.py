"""The functions that Keras calls with each batch, and how they are compiled."""

import contextlib

from keras_detr.models.detection_data import split_batch
from keras_detr.ops.backends import compiled_for_shapes, compiles_exported_programs


class DetectorStepFunctions:
    """Compile steps where the backend can: `jit_compile` on torch compiles `predict` only."""

    def make_train_function(self, force=False):
        """Create the function that `fit` calls with each batch."""
        with _steps_uncompiled_on_torch(self):
            return super().make_train_function(force)

    def make_test_function(self, force=False):
        """Create the function that `evaluate` calls with each batch."""
        with _steps_uncompiled_on_torch(self):
            return super().make_test_function(force)

    def make_predict_function(self, force=False):
        """Create the function that `predict` calls with each batch."""
        if not (self.jit_compile and compiles_exported_programs()):
            return super().make_predict_function(force)
        if self.predict_function is None or force:
            program = compiled_for_shapes(self, lambda inputs: self.predict_step((inputs,)))
            self.predict_function = lambda batches: program(split_batch(batches[0])[0])
        return self.predict_function


@contextlib.contextmanager
def _steps_uncompiled_on_torch(model):
    """Keep torch from compiling steps created in this context: it fails at Keras' layers."""
    if not compiles_exported_programs():
        yield
        return
    jit_compile, model.jit_compile = model.jit_compile, False
    try:
        yield
    finally:
        model.jit_compile = jit_compile
