"""Several optimizers that clip their gradients together."""

import contextlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_detr.ops.backends import current
from keras_detr.ops.keras_internals import (
    default_optimizer,
    learning_rate_read_once,
    stored_value,
)


@keras.saving.register_keras_serializable("keras_detr")
class GlobalClipMultiOptimizer(keras.optimizers.MultiOptimizer):
    """Clip the norm of all gradients at once, then let each variable's own optimizer step.

    Keras' `MultiOptimizer` would leave each of its optimizers to clip the gradients that it sees,
    which are not all. Where replicas train together, the norm is that of the whole batch's
    gradients.

    Args:
        optimizer_map: `keras.optimizers.OptimizerMap`, or a callable from variables to optimizers.
        clip_norm: float, the largest norm of all gradients together, or `None`.
        **kwargs: of `keras.optimizers.MultiOptimizer`.

    Example:
        ```python
        from keras_detr.optimizers import GlobalClipMultiOptimizer

        rates = keras.optimizers.OptimizerMap(default_optimizer=keras.optimizers.AdamW(1e-4))
        rates["backbone"] = keras.optimizers.AdamW(1e-5)
        model.compile(GlobalClipMultiOptimizer(rates, clip_norm=0.1))
        ```

    Source: Carion et al. 2020, section A.4; engine.py of the original.
    """

    def __init__(self, optimizer_map: Any, clip_norm: float | None = None, **kwargs: Any) -> None:
        super().__init__(optimizer_map, **kwargs)
        if clip_norm is not None and clip_norm <= 0:
            raise ValueError(f"`clip_norm` must be positive or `None`. Received: {clip_norm}.")
        self.clip_norm = clip_norm

    def build(self, var_list):
        """Create the variables of all optimizers."""
        super().build(var_list)
        for optimizer in self.optimizers:
            if not optimizer.built:
                # Its layers are frozen. `SwapEMAWeights` asks it for averages all the same.
                optimizer.build([])

    @property
    def learning_rate(self):
        """The rate of the default optimizer, for callbacks that log one; see `optimizers`."""
        default = default_optimizer(self)
        if default is None:
            raise AttributeError("There is no default optimizer: read the rates of `optimizers`.")
        return default.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        raise AttributeError(
            "`learning_rate` can't be set, as there are several: set those of `optimizers`, or "
            "pass schedules."
        )

    def apply(self, grads, trainable_variables=None):
        """Clip, then step."""
        if self.clip_norm is not None:
            grads = _clip_by_global_norm(list(grads), self.clip_norm)
        with contextlib.ExitStack() as stack:
            for optimizer in self.optimizers:
                stack.enter_context(learning_rate_read_once(optimizer))
            super().apply(grads, trainable_variables)

    def finalize_variable_values(self, var_list):
        """Put the averages of `use_ema` into the variables, at the end of a training.

        Where an error ended it, JAX' trainer has the averages, and that error is what counts.
        """
        if all(stored_value(variable) is not None for variable in self.variables):
            super().finalize_variable_values(var_list)

    def load_own_variables(self, store):
        """Load the state of all optimizers; there is none of one that hadn't taken a step."""
        keys = store.keys()
        is_new = len(keys) < len(self.variables) and "0" in keys and not np.any(store["0"])
        if not is_new:
            super().load_own_variables(store)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "clip_norm": self.clip_norm}

    def __dir__(self):
        # Keras' saving code walks these names. The state of all optimizers is among `variables`:
        # it is saved once, and under names that don't depend on the optimizers' classes.
        return sorted({*super().__dir__()} - {"optimizers", "_inner_optimizers", "_optimizer_map"})


def _clip_by_global_norm(grads, clip_norm):
    totals = [
        ops.cast(current().gradient_of_batch(ops.convert_to_tensor(grad)), "float32")
        for grad in grads
        if grad is not None
    ]
    norm = current().global_norm(totals) if totals else 0.0
    # The original divides by norm + 1e-6 and never scales up.
    scale = ops.minimum(clip_norm / (norm + 1e-6), 1.0)
    return [None if grad is None else grad * ops.cast(scale, grad.dtype) for grad in grads]
