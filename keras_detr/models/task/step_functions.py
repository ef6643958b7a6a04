"""The functions that Keras calls with each batch, and how they are compiled."""

from keras_detr.models.task.data_adapter import split_batch
from keras_detr.ops.backends import current


class DetectorStepFunctions:
    """Compile steps where the backend can: `jit_compile` on torch compiles `predict` only."""

    def make_train_function(self, force=False):
        """Create the function that `fit` calls with each batch."""
        with current().compilable_steps(self):
            return super().make_train_function(force)

    def make_test_function(self, force=False):
        """Create the function that `evaluate` calls with each batch."""
        with current().compilable_steps(self):
            return super().make_test_function(force)

    def make_predict_function(self, force=False):
        """Create the function that `predict` calls with each batch."""
        if self.predict_function is not None and not force:
            return self.predict_function
        program = None
        if self.jit_compile:
            program = current().prediction_program(self, lambda x: self.predict_step((x,)))
        if program is None:
            return super().make_predict_function(force)
        self.predict_function = lambda batches: program(split_batch(batches[0])[0])
        return self.predict_function
