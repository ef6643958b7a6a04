"""AdamW in one operation for each variable, or for all of them."""

import keras
from keras import ops

from keras_detr.ops.backends import current
from keras_detr.ops.backends.interface import AdamWUpdate
from keras_detr.ops.keras_internals import JointUpdates, adam_states, takes_weight_decay


@keras.saving.register_keras_serializable("keras_detr")
class FusedAdamW(JointUpdates, keras.optimizers.AdamW):
    """AdamW in one operation for each variable, or for all of them, where the backend has one.

    `keras.optimizers.AdamW` makes forty operations of it. DETR has 300 variables: on TensorFlow
    they take a fifth of a step's time, as much memory as all the weights, and half of the time
    before the first step.

    Takes the arguments of `keras.optimizers.AdamW`, and computes the same numbers. With `amsgrad`,
    which those operations don't know, it is that one.
    """

    # Of the step that is being taken: its number, which counts from 1, and the weight decay.
    _step = None
    _decay = None

    def apply(self, grads, trainable_variables=None):
        """Update the variables."""
        if self.amsgrad:
            super().apply(grads, trainable_variables)
            return
        # A number where it can be read: a GPU would have to wait for each variable's tensor.
        self._step = current().known_number(ops.convert_to_tensor(self.iterations + 1))
        # Hidden from the base class, which would apply it in its own way.
        self._decay, self.weight_decay = self.weight_decay, None
        try:
            super().apply(grads, trainable_variables)
        finally:
            self._step = None
            self.weight_decay, self._decay = self._decay, None

    def update_steps(self, gradients, variables, learning_rate, update_one_by_one):
        """Update all variables."""
        if self.amsgrad:
            update_one_by_one()
            return
        updates = map(self._update_of, variables, gradients)
        current().adamw_steps(updates, update_one_by_one, **self._settings(learning_rate))

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable.

        Args:
            gradient: tensor, the gradient to the variable.
            variable: variable of the backend.
            learning_rate: scalar.
        """
        if self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        update = self._update_of(variable, gradient)
        current().adamw_step(update, **self._settings(learning_rate))

    def _update_of(self, variable, gradient):
        momentum, velocity = adam_states(self, variable)
        is_decayed = self._decay is not None and takes_weight_decay(self, variable)
        gradient = ops.cast(gradient, variable.dtype)
        decay = self._decay if is_decayed else 0.0
        return AdamWUpdate(variable, momentum, velocity, gradient, decay)

    def _settings(self, learning_rate):
        return {
            "step": self.iterations + 1 if self._step is None else self._step,
            "learning_rate": learning_rate,
            "betas": (self.beta_1, self.beta_2),
            "epsilon": self.epsilon,
        }
