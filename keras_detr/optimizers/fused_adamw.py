"""AdamW with fewer and faster operations."""

import copy

import keras
from keras import ops

from keras_detr.ops import backends


def adamw(*args, **kwargs):
    """Return AdamW in the form that is fastest on this backend.

    Takes the arguments of `keras.optimizers.AdamW`, computes the same numbers, and is saved so that
    each backend loads its own form.
    """
    if backends.has_fused_adam():
        return FusedAdamW(*args, **kwargs)
    return keras.optimizers.AdamW(*args, **kwargs)


@keras.saving.register_keras_serializable("keras_detr")
class FusedAdamW(keras.optimizers.AdamW):
    """AdamW in a single operation: of TensorFlow for each variable, of torch for all of them.

    `keras.optimizers.AdamW` makes forty operations of it, for each variable. DETR has 300: they
    take a fifth of a step's time on TensorFlow and an eighth on torch, as much memory as all the
    weights, and half of the time before TensorFlow's first step.

    Takes the arguments of `keras.optimizers.AdamW`. With `amsgrad`, which the operation doesn't
    know, and on other backends it is that one.
    """

    # What holds during one step: the betas to its power, and the weight decay.
    _powers = None
    _decay = None

    def apply(self, grads, trainable_variables=None):
        """Update the variables."""
        if not self._is_fused():
            super().apply(grads, trainable_variables)
            return
        if not backends.updates_variables_together():
            self._powers = self._betas_to_the_step()
        # Hidden from the base class, which would apply it in its own way.
        self._decay, self.weight_decay = self.weight_decay, None
        try:
            super().apply(grads, trainable_variables)
        finally:
            self._powers = None
            self.weight_decay, self._decay = self._decay, None

    def _is_fused(self):
        return backends.has_fused_adam() and not self.amsgrad

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if not (self._is_fused() and backends.updates_variables_together()):
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        pairs = list(zip(grads, trainable_variables, strict=True))
        for is_decayed in (True, False):
            group = [pair for pair in pairs if self._is_decayed(pair[1]) == is_decayed]
            if group:
                self._update_together(*zip(*group, strict=True), learning_rate, is_decayed)

    def _update_together(self, gradients, variables, learning_rate, is_decayed):
        indices = [self._get_variable_index(variable) for variable in variables]
        backends.fused_adam_steps(
            variables,
            [self._momentums[index] for index in indices],
            [self._velocities[index] for index in indices],
            [ops.cast(g, v.dtype) for g, v in zip(gradients, variables, strict=True)],
            step=int(self.iterations) + 1,
            learning_rate=float(learning_rate),
            betas=(self.beta_1, self.beta_2),
            epsilon=self.epsilon,
            weight_decay=self._decay if is_decayed else 0.0,
        )

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable.

        Args:
            gradient: tensor, the gradient to the variable.
            variable: variable of the backend.
            learning_rate: scalar.
        """
        if not self._is_fused() or backends.updates_variables_together():
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        backends.fused_adam_step(
            variable,
            self._momentums[index],
            self._velocities[index],
            ops.cast(gradient, variable.dtype),
            beta_powers=self._powers or self._betas_to_the_step(),
            learning_rate=learning_rate,
            betas=(self.beta_1, self.beta_2),
            epsilon=self.epsilon,
            kept=1.0 - learning_rate * self._decay if self._is_decayed(variable) else None,
        )

    def _is_decayed(self, variable):
        return self._decay is not None and self._use_weight_decay(variable)

    def _betas_to_the_step(self):
        step = ops.cast(self.iterations + 1, "float32")
        return ops.power(self.beta_1, step), ops.power(self.beta_2, step)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Return the form of AdamW that is fastest on this backend."""
        config = copy.deepcopy(config)
        if backends.has_fused_adam():
            return super().from_config(config, custom_objects)
        return keras.optimizers.AdamW.from_config(config, custom_objects)
