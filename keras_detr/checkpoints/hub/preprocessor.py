"""Translate a detector's preprocessor_config.json: the sizes and colors of images.

Source: transformers models/detr/image_processing_detr.py, versions 4 and 5, whose defaults replace
missing keys.
"""

import sys
from typing import Any

_SIZES = (800, 1333)
_MEAN = (0.485, 0.456, 0.406)
_STANDARD_DEVIATION = (0.229, 0.224, 0.225)
_RESCALE_FACTOR = 1 / 255
# Beyond these a file is damaged, or meant to take all memory.
LARGEST_SIDE = 2**16
_SMALLEST_DIVISOR = 1e-5


def preprocessor_sizes(config: dict[str, Any]) -> tuple[int, int]:
    """Return the short side that images are resized to, and the long side's limit, in pixels.

    Raises:
        ValueError: images are resized in another way. The message names the field.
    """
    if config.get("do_resize", True) is not True:
        raise ValueError(f"`do_resize` must be true. Received: {config['do_resize']!r}.")
    size = config.get("size")
    if size is None:
        return _SIZES
    sides: tuple[Any, Any]
    if isinstance(size, dict):
        sides = size.get("shortest_edge"), size.get("longest_edge")
    else:
        # Before transformers 4.27.
        sides = size, config.get("max_size", _SIZES[1])
    is_whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if not is_whole or not 1 <= sides[0] <= sides[1] <= LARGEST_SIDE:
        raise ValueError(
            "`size` must hold 'shortest_edge' and 'longest_edge', or be an int beside `max_size`, "
            f"of at most {LARGEST_SIDE} pixels. Received: size={size!r:.80}, "
            f"max_size={config.get('max_size')!r:.80}."
        )
    return sides


def preprocessor_normalization(
    config: dict[str, Any],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of red, green and blue, of values in 0..255.

    Raises:
        ValueError: a field has an invalid value, or colors aren't rescaled, so that the range that
            the model was trained on isn't known. The message names the field.
    """
    if config.get("do_rescale", True) is not True:
        raise ValueError(
            "`do_rescale` in preprocessor_config.json must be true, as images here have values of "
            f"0..255. Received: {config['do_rescale']!r}. If the model was trained on values of "
            "0..1, set it to true in a local copy of the folder; if on others, set "
            "`rescale_factor` too."
        )
    factor = _numbers(config, "rescale_factor", _RESCALE_FACTOR, 1)[0]
    mean, deviation = (0.0,) * 3, (1.0,) * 3
    if config.get("do_normalize", True):
        mean = _numbers(config, "image_mean", _MEAN, 3)
        deviation = _numbers(config, "image_std", _STANDARD_DEVIATION, 3)
    for field, values in (("rescale_factor", (factor,)), ("image_std", deviation)):
        if min(values) < _SMALLEST_DIVISOR:
            raise ValueError(
                f"`{field}` in preprocessor_config.json must be at least {_SMALLEST_DIVISOR}: "
                f"colors are divided by it. Received: {values}."
            )
    # Rounded, so that ImageNet's equal `ResNetBackbone`'s defaults.
    return (
        tuple(round(value / factor, 6) for value in mean),
        tuple(round(value / factor, 6) for value in deviation),
    )


def _numbers(config, field, default, count):
    """Return a field as a tuple of floats; one number stands for all."""
    value = config.get(field)
    value = default if value is None else value
    values = list(value) if isinstance(value, (list, tuple)) else [value] * count
    if len(values) != count or not all(_is_number(each) for each in values):
        raise ValueError(
            f"`{field}` in preprocessor_config.json must hold "
            f"{'a number' if count == 1 else f'{count} numbers'}. Received: {value!r:.80}."
        )
    return tuple(float(each) for each in values)


def _is_number(value):
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
    )
