"""GPUs belong to the backend that computes, not to TensorFlow, which then only reads data."""

import functools
import logging
import os

logger = logging.getLogger("keras_detr")

# With it TensorFlow takes memory as it needs it: somebody has chosen what it may take.
_GROWTH = "TF_FORCE_GPU_ALLOW_GROWTH"


def hide_gpus(config):
    """Hide all GPUs from TensorFlow.

    With its first operation TensorFlow would take most of their memory.

    Nothing changes if the program has already chosen which GPUs TensorFlow sees or how much memory
    it takes. If TensorFlow has started, it is too late, and a warning says so once.

    Args:
        config: the module `tensorflow.config`.
    """
    gpus = config.list_physical_devices("GPU")
    if not gpus or _is_chosen(config, gpus):
        return
    try:
        config.set_visible_devices([], "GPU")
    except RuntimeError:
        # TensorFlow has started with all GPUs.
        _warn_once()


def _is_chosen(config, gpus):
    """Return whether the program, or its environment, says what TensorFlow may use."""
    return (
        config.get_visible_devices("GPU") != gpus
        or _GROWTH in os.environ
        or any(config.experimental.get_memory_growth(gpu) is not None for gpu in gpus)
        or any(config.get_logical_device_configuration(gpu) is not None for gpu in gpus)
    )


@functools.cache
def _warn_once():
    logger.warning(
        "TensorFlow started before keras_detr could hide the GPUs from it, and may hold most of "
        "their memory, though it only reads data here. Call "
        "`tf.config.set_visible_devices([], 'GPU')` at the start of the program. This line comes "
        "once."
    )
