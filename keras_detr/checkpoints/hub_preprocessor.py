"""Translate the preprocessor_config.json beside a DETR on the Hub into sizes of images.

Source: transformers models/detr/image_processing_detr.py, whose defaults stand in for absent keys;
written by versions 4 and 5.
"""

from typing import Any

_SIZES = (800, 1333)


def preprocessor_sizes(config: dict[str, Any]) -> tuple[int, int]:
    """Return the sides that images are resized to before a model of the Hub sees them.

    Args:
        config: dict, the parsed preprocessor_config.json.

    Returns:
        (short side, the long side's limit), pixels.

    Raises:
        ValueError: images are prepared otherwise than by their short side and the long side's
            limit. The message names the field.
    """
    if config.get("do_resize", True) is not True:
        raise ValueError(f"`do_resize` must be true. Received: {config['do_resize']!r}.")
    size = config.get("size")
    if size is None:
        return _SIZES
    if isinstance(size, dict):
        sides = tuple(size.get(key) for key in ("shortest_edge", "longest_edge"))
    else:
        # What was written before transformers 4.27.
        sides = size, config.get("max_size", _SIZES[1])
    is_whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if not is_whole or not 1 <= sides[0] <= sides[1]:
        raise ValueError(
            "`size` must hold 'shortest_edge' and 'longest_edge', or be an int beside `max_size`. "
            f"Received: size={size!r:.80}, max_size={config.get('max_size')!r:.80}."
        )
    return sides
