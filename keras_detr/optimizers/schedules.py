"""Learning rates by step: those of the papers, and one for training from few images."""

from typing import Any

import keras


def warmup_cosine(learning_rate: Any, num_steps: int, warmup_steps: int | None = None) -> Any:
    """Return a schedule that rises from 0, and then falls to 0 along half a cosine.

    Args:
        learning_rate: float, the highest rate.
        num_steps: int, of the whole training: epochs times steps an epoch.
        warmup_steps: int, how many of them the rise takes; None is a tenth.

    Returns:
        `keras.optimizers.schedules.CosineDecay`.

    Raises:
        ValueError: a number of steps is impossible.

    Example:
        ```python
        from keras_detr.optimizers import warmup_cosine

        rate = warmup_cosine(1e-4, num_steps=50 * 250)
        ```
    """
    if num_steps < 1:
        raise ValueError(f"`num_steps` must be at least 1. Received: {num_steps!r}.")
    warmup_steps = num_steps // 10 if warmup_steps is None else warmup_steps
    if not 0 <= warmup_steps <= num_steps:
        raise ValueError(
            f"`warmup_steps` must be between 0 and `num_steps`, {num_steps}. Received: "
            f"{warmup_steps!r}."
        )
    decay_steps = max(1, num_steps - warmup_steps)
    if not warmup_steps:
        return keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps, warmup_target=learning_rate, warmup_steps=warmup_steps
    )


def step_decay(learning_rate: Any, num_steps: int, factor: float = 0.1) -> Any:
    """Return a schedule that multiplies a rate after a number of steps, as the papers do.

    Args:
        learning_rate: float, the rate of the first `num_steps`.
        num_steps: int, at least 1.
        factor: float, what the rate is multiplied by afterwards.

    Returns:
        `keras.optimizers.schedules.PiecewiseConstantDecay`.

    Raises:
        ValueError: `num_steps` is below 1.

    Example:
        ```python
        from keras_detr.optimizers import step_decay

        # DETR: 200 of 300 epochs at 1e-4, then 1e-5.
        rate = step_decay(1e-4, num_steps=200 * 7330)
        ```

    Source: Carion et al. 2020, section A.4; Zhu et al. 2021, section A.3.
    """
    if num_steps < 1:
        raise ValueError(f"`num_steps` must be at least 1. Received: {num_steps!r}.")
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [num_steps], [learning_rate, learning_rate * factor]
    )
