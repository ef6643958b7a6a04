"""The paper's optimizer: AdamW with a slower backbone."""

import re
from collections.abc import Sequence
from typing import Any

import keras

from keras_detr.optimizers.fused_adamw import FusedAdamW
from keras_detr.optimizers.global_clip_multi_optimizer import GlobalClipMultiOptimizer


def detr_optimizer(
    model: Any,
    learning_rate: Any = 1e-4,
    backbone_learning_rate: Any = 1e-5,
    weight_decay: float = 1e-4,
    global_clipnorm: float | None = 0.1,
    slow_layers: Sequence[str] = (),
    slow_learning_rate: Any = None,
    *,
    use_ema: bool = False,
    ema_momentum: float = 0.99,
) -> Any:
    """Return AdamW with one learning rate for the backbone and another for the rest.

    Args:
        model: a detector with a `backbone`.
        learning_rate: float or `keras.optimizers.schedules.LearningRateSchedule`, of all variables
            outside of the backbone.
        backbone_learning_rate: float or schedule, of the backbone.
        weight_decay: float, of all trainable variables.
        global_clipnorm: float, the largest norm of all gradients together, or `None`.
        slow_layers: sequence of str, names of layers outside of the backbone with a rate of their
            own; for Deformable DETR "sampling_offsets" and "reference_points".
        slow_learning_rate: float or schedule, of `slow_layers`.
        use_ema: bool, whether to keep a moving average of the weights too, which
            `keras.callbacks.SwapEMAWeights` puts into the model for evaluation, and `fit` at its
            end.
        ema_momentum: float, the share of the average that stays at each step.

    Returns:
        `keras_detr.optimizers.GlobalClipMultiOptimizer`; its `optimizers` are the backbone's, that
        of `slow_layers` if there are any, and the default one.

    Raises:
        ValueError: variables of the backbone and of the rest share a name, so that their learning
            rates couldn't be told apart; a layer of `slow_layers` isn't there; or
            `slow_learning_rate` is missing.

    Example:
        ```python
        model.backbone.trainable = False
        optimizer = keras_detr.detr_optimizer(model, learning_rate=2e-4)
        model.compile(optimizer)
        for group in optimizer.optimizers:
            print(group.name, float(group.learning_rate))
        ```

    Source: Carion et al. 2020, section A.4; Zhu et al. 2021, section A.3; main.py of the originals.
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

    def group(rate, name):
        return FusedAdamW(
            rate,
            weight_decay=weight_decay,
            beta_2=0.999,
            epsilon=1e-8,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            name=name,
        )

    optimizers = keras.optimizers.OptimizerMap(group(learning_rate, "adamw"))
    optimizers[_pattern(backbone_paths)] = group(backbone_learning_rate, "backbone_adamw")
    if slow_layers:
        if slow_learning_rate is None:
            raise ValueError("`slow_learning_rate` is missing: the rate of `slow_layers`.")
        slow_paths = _paths_of_layers(model, slow_layers) - backbone_paths
        optimizers[_pattern(slow_paths)] = group(slow_learning_rate, "slow_adamw")
    return GlobalClipMultiOptimizer(optimizers, clip_norm=global_clipnorm, name="detr_optimizer")


def _pattern(paths):
    """Return one pattern for many variables: each entry of a map is saved as an optimizer."""
    return "|".join(re.escape(path) for path in sorted(paths))


def _paths_of_layers(model, names):
    """Return the paths of all variables below layers of these names."""
    paths = {}
    for name in names:
        paths[name] = {v.path for v in model.variables if name in v.path.split("/")[:-1]}
        if not paths[name]:
            raise ValueError(
                f"`slow_layers` must name layers of the model with variables. Received: {name!r}."
            )
    return set().union(*paths.values())
