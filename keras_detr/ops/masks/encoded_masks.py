"""Masks as COCO writes them in JSON: their run lengths, compressed to a text."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as coco_masks

from keras_detr.ops.masks.mask_sampling import checked_size


def encode_masks(masks: Iterable[Any]) -> list[dict[str, Any]]:
    """Encode masks as COCO's compressed run lengths, which take a thousandth of the memory.

    pycocotools, COCO's server and most tools read them. `decode_masks` is the inverse.

    Args:
        masks: bool (objects, height, width), or an iterable of masks (height, width), of which only
            one is in memory at a time.

    Returns:
        list of dict, one an object: "size" (list of height and width) and "counts" (str). It can be
        written as JSON.

    Raises:
        ValueError: a mask has another shape, or other values than 0 and 1.

    Example:
        ```python
        from keras_detr.inference import decode_masks, encode_masks

        masks = np.zeros((1, 30, 40), bool)
        masks[0, 10:20, 10:30] = True
        encoded = encode_masks(masks)
        print(encoded[0]["size"])  # [30, 40]
        print((decode_masks(encoded, image_size=(30, 40)) == masks).all())  # True
        ```
    """
    return [_encoded(np.asarray(mask), place) for place, mask in enumerate(masks)]


def decode_masks(encoded: Sequence[Any], *, image_size: Any) -> np.ndarray:
    """Decode masks that `encode_masks`, pycocotools or COCO's files encoded.

    Args:
        encoded: sequence of dict, one an object, of "size" (height and width) and "counts", str or
            bytes.
        image_size: pair of int (height, width), which all masks must have.

    Returns:
        bool (objects, height, width).

    Raises:
        ValueError: a mask has another size, or can't be decoded; the message says which.

    Example:
        ```python
        from keras_detr.inference import decode_masks

        masks = decode_masks([{"size": [2, 3], "counts": "132"}], image_size=(2, 3))
        print(masks[0].astype(int))
        ```
    """
    size = checked_size("image_size", image_size)
    masks = np.empty((len(encoded), *size), bool)
    for place, code in enumerate(encoded):
        masks[place] = _decoded(code, size, place)
    return masks


def _encoded(mask, place):
    if mask.ndim != 2 or 0 in mask.shape:
        raise ValueError(
            f"`masks` must be (objects, height, width). Received the shape {mask.shape} of the "
            f"mask at position {place}."
        )
    if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
        raise ValueError(
            f"`masks` must be bool, or 0 and 1. Received {mask.dtype} with other values, at "
            f"position {place}."
        )
    code = coco_masks.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}


def _decoded(code, size, place):
    if not isinstance(code, dict) or set(code) < {"size", "counts"}:
        raise ValueError(
            "`encoded` must be dicts of 'size' and 'counts'. Received, at position "
            f"{place}: {code!r:.80}."
        )
    if tuple(code["size"]) != size:
        raise ValueError(
            f"`encoded` must have masks of `image_size`, {size}. Received: the size "
            f"{tuple(code['size'])}, at position {place}."
        )
    if not isinstance(code["counts"], (str, bytes)):
        raise ValueError(
            "`encoded` must have compressed counts, a str. Received, at position "
            f"{place}: {type(code['counts']).__name__}."
        )
    try:
        return coco_masks.decode(code)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"`encoded` must have counts that cover `image_size`, {size}. Received others at "
            f"position {place}: {error}"
        ) from error
