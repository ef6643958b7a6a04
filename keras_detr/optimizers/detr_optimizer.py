"""The paper's optimizer: AdamW with a slower backbone."""

import re

import keras

from keras_detr.optimizers.global_clip_multi_optimizer import GlobalClipMultiOptimizer


def detr_optimizer(
    model,
    learning_rate=1e-4,
    backbone_learning_rate=1e-5,
    weight_decay=1e-4,
    global_clipnorm=0.1,
):
    """Return AdamW with one learning rate for the backbone and another for the rest.

    Args:
        model: a detector with a `backbone`.
        learning_rate: float or `keras.optimizers.schedules.LearningRateSchedule`, of all variables
            outside of the backbone.
        backbone_learning_rate: float or schedule, of the backbone.
        weight_decay: float, of all trainable variables.
        global_clipnorm: float, the largest norm of all gradients together, or `None`.

    Returns:
        `keras_detr.optimizers.GlobalClipMultiOptimizer`; its `optimizers` are the backbone's and
        the default one.

    Raises:
        ValueError: variables of the backbone and of the rest share a name, so that their learning
            rates couldn't be told apart.

    Source: Carion et al. 2020, section A.4; main.py of the original.
    """
    backbone_paths = {variable.path for variable in model.backbone.variables}
    own = {id(variable) for variable in model.backbone.variables}
    shared = backbone_paths & {v.path for v in model.variables if id(v) not in own}
    if shared:
        raise ValueError(
            "`model` has variables of the same path inside and outside of its backbone, so they "
            f"can't get learning rates of their own: {sorted(shared)[:5]}. Give the backbone's "
            "layers other names."
        )

    def adamw(rate, name):
        return keras.optimizers.AdamW(
            rate, weight_decay=weight_decay, beta_2=0.999, epsilon=1e-8, name=name
        )

    # One pattern for the whole backbone, because each entry of a map is saved as an optimizer.
    pattern = "|".join(re.escape(path) for path in sorted(backbone_paths))
    optimizers = keras.optimizers.OptimizerMap(adamw(learning_rate, "adamw"))
    optimizers[pattern] = adamw(backbone_learning_rate, "backbone_adamw")
    return GlobalClipMultiOptimizer(optimizers, clip_norm=global_clipnorm, name="detr_optimizer")
