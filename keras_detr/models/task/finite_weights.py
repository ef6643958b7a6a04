"""Stop a training whose weights have become NaN, before they are saved."""

import keras
from keras import ops


def check_finite_weights(model, when):
    """Raise a FloatingPointError if a trained variable holds NaN or infinity.

    No later step can repair it. The message says `when` it was found.
    """
    variables = model.trainable_variables
    if not variables:
        return
    # One transfer from the device for all of them.
    is_finite = ops.convert_to_numpy(ops.stack([ops.all(ops.isfinite(v)) for v in variables]))
    broken = [v.path for v, is_sound in zip(variables, is_finite, strict=True) if not is_sound]
    if broken:
        raise FloatingPointError(
            f"The training diverged: {when} {len(broken)} of {len(variables)} trained variables "
            f"hold NaN or infinity, the first of them {broken[0]!r}. Nothing of it was saved; "
            "models and backups of before are as they were. Start again with a lower learning "
            "rate or clipped gradients, and without the backup, which would bring its rate back."
        )


class FiniteWeights(keras.callbacks.Callback):
    """Check the weights at the end of each epoch; it stands before callbacks that save them."""

    def on_epoch_end(self, epoch, logs=None):
        """Raise where the weights aren't finite."""
        check_finite_weights(self.model, f"after epoch {epoch + 1}")


class FiniteWeightsOfSteps(FiniteWeights):
    """Check the weights after each step too, where a callback saves them within an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        """Raise where the weights aren't finite."""
        check_finite_weights(self.model, f"after step {batch + 1} of an epoch")
