"""Panoptic quality, as panopticapi computes it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_detr.batches.class_names import check_class_names
from keras_detr.ops.numpy_arrays import to_numpy

_VOID = 0


class PanopticQuality:
    """Compare panoptic maps image by image.

    A found segment matches a true one of its class if their IoU is above 0.5, which is so for at
    most one. Of each class, SQ is the mean IoU of the matches, RQ is the F1 of finding segments,
    and PQ is their product: the sum of the IoUs / (matches + found without match / 2 + true
    without match / 2). The figures of all classes are means over those that occur.

    Pixels of id 0 in the true map are void: nobody knows what is there, and they count neither for
    nor against a found segment. A true segment that stands for a crowd needn't be found, and found
    segments of which more than half lies in void or in a crowd of their class aren't wrong.

    Only counts are kept, so the number of images doesn't matter.

    Args:
        num_classes: int, things and stuff together.
        is_thing: sequence of bool, for each class whether it is a thing, or stuff.
        class_names: list of str, for results by class; None numbers the classes.

    Raises:
        ValueError: there aren't `num_classes` entries in `is_thing`, or different names.

    Example:
        ```python
        from keras_detr.evaluation import PanopticQuality

        quality = PanopticQuality(2, is_thing=[True, False], class_names=["cat", "sky"])
        true_map = np.array([[1, 1, 2, 2, 2]])
        found_map = np.array([[7, 7, 7, 9, 9]])
        true_segments = [{"id": 1, "class": 0}, {"id": 2, "class": 1}]
        found_segments = [{"id": 7, "class": 0}, {"id": 9, "class": 1}]
        quality.update_state(true_map, true_segments, found_map, found_segments)
        print(quality.result()["PQ"])  # 2/3
        print(quality.result_per_class()["sky"])
        ```

    Source: Kirillov et al. 2019, "Panoptic Segmentation", section 4; cocodataset/panopticapi,
    evaluation.py.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        is_thing: Sequence[bool],
        class_names: Sequence[str] | None = None,
    ) -> None:
        kinds = np.asarray(is_thing)
        if kinds.shape != (num_classes,) or kinds.dtype != bool:
            raise ValueError(
                f"`is_thing` must be a list with True or False for each of {num_classes} classes. "
                f"Received: {kinds.dtype} of the shape {kinds.shape}."
            )
        self.num_classes = num_classes
        self.is_thing = tuple(kinds.tolist())
        self.class_names = check_class_names(class_names, num_classes)
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all images."""
        self._num_images = 0
        self._sum_of_iou: np.ndarray = np.zeros(self.num_classes)
        self._matched: np.ndarray = np.zeros(self.num_classes, np.int64)
        self._true: np.ndarray = np.zeros(self.num_classes, np.int64)
        self._found: np.ndarray = np.zeros(self.num_classes, np.int64)

    def update_state(
        self,
        true_map: Any,
        true_segments: Sequence[Mapping[str, Any]],
        found_map: Any,
        found_segments: Sequence[Mapping[str, Any]],
    ) -> None:
        """Add an image.

        Args:
            true_map: int (height, width), the id of each pixel's true segment; 0 is void. COCO's
                pictures hold ids as colors: red + 256 * green + 65536 * blue.
            true_segments: list of dict, one for each id in the map: "id" (int), "class" (int, from
                0 on), and optionally "is_crowd" (bool). Other keys are ignored.
            found_map: int (height, width), likewise; 0 is nothing.
            found_segments: list of dict of "id" and "class", as
                `keras_detr.inference.panoptic_segments` returns them.

        Raises:
            ValueError: maps aren't of integers or differ in their size, a segment lacks a key, an
                id is 0 or is there twice, a map has an id without a segment, a segment has no
                pixel, or a class is out of range.
        """
        truth = self._segments("true", true_map, true_segments)
        found = self._segments("found", found_map, found_segments)
        if truth.places.shape != found.places.shape:
            raise ValueError(
                "`true_map` and `found_map` must have the same (height, width). Received: "
                f"{truth.places.shape} and {found.places.shape}."
            )
        shared = _overlaps(truth, found)
        areas, true_areas = shared.sum(axis=0), shared.sum(axis=1)
        in_void, shared = shared[0, 1:], shared[1:, 1:]
        areas, true_areas = areas[1:], true_areas[1:]
        is_same = truth.classes[:, None] == found.classes
        iou = shared / (true_areas[:, None] + areas - shared - in_void)
        is_match = is_same & ~truth.is_crowd[:, None] & (iou > 0.5)
        in_crowd = np.sum(shared * (is_same & truth.is_crowd[:, None]), axis=0)
        is_ignored = ~is_match.any(axis=0) & (in_void + in_crowd > areas / 2)
        of_match, _ = np.nonzero(is_match)
        np.add.at(self._sum_of_iou, truth.classes[of_match], iou[is_match])
        np.add.at(self._matched, truth.classes[of_match], 1)
        np.add.at(self._true, truth.classes[~truth.is_crowd], 1)
        np.add.at(self._found, found.classes[~is_ignored], 1)
        self._num_images += 1

    def result(self) -> dict[str, float]:
        """Return the quality of all classes, of things, and of stuff.

        Returns:
            dict of float: "PQ", "SQ", "RQ", "PQ_things", "SQ_things", "RQ_things", "PQ_stuff",
            "SQ_stuff", "RQ_stuff", each in [0, 1], or NaN if no such class occurs.

        Raises:
            ValueError: there were no images.
        """
        by_class = self._by_class()
        is_thing = np.array(self.is_thing)
        kinds = {"": np.full(len(is_thing), True), "_things": is_thing, "_stuff": ~is_thing}
        return {
            f"{name}{suffix}": _mean(values[is_kind])
            for suffix, is_kind in kinds.items()
            for name, values in by_class.items()
        }

    def result_per_class(self) -> dict[str, dict[str, Any]]:
        """Return the quality of each class, and what it was computed from.

        Returns:
            dict by class name of dicts: "PQ", "SQ" and "RQ" (float in [0, 1], NaN for a class that
            doesn't occur), "num_matched" (int, segments that were found), "num_wrong" (int, found
            segments without a match) and "num_missed" (int, true segments without one).

        Raises:
            ValueError: there were no images.
        """
        columns = {
            **self._by_class(),
            "num_matched": self._matched,
            "num_wrong": self._found - self._matched,
            "num_missed": self._true - self._matched,
        }
        names = self.class_names or tuple(str(label) for label in range(self.num_classes))
        return {
            name: {column: values[label].item() for column, values in columns.items()}
            for label, name in enumerate(names)
        }

    def _by_class(self):
        if not self._num_images:
            raise ValueError("There is nothing to score: `update_state` was called with no image.")
        occurs = self._true + self._found > 0
        whole = np.where(occurs, (self._true + self._found) / 2, np.nan)
        # Of a class that occurs, but is never matched, SQ is 0.
        matched = np.where(occurs, np.maximum(self._matched, 1), np.nan)
        return {
            "PQ": self._sum_of_iou / whole,
            "SQ": self._sum_of_iou / matched,
            "RQ": self._matched / whole,
        }

    def _segments(self, side, segment_map, segments):
        """Return the `_Segments` of a map; `side` is "true" or "found"."""
        segment_map = to_numpy(segment_map)
        if segment_map.ndim != 2 or segment_map.dtype.kind not in "iu":
            raise ValueError(
                f"`{side}_map` must be integers (height, width). Received: {segment_map.dtype} of "
                f"the shape {segment_map.shape}."
            )
        _check_keys(side, segments)
        numbers = [int(segment["id"]) for segment in segments]
        classes = np.array([int(segment["class"]) for segment in segments], np.int64)
        _check_ids(side, numbers)
        if classes.size and not 0 <= classes.min() <= classes.max() < self.num_classes:
            wrong = classes[(classes < 0) | (classes >= self.num_classes)][0]
            raise ValueError(
                f"`{side}_segments`: classes must be in 0..{self.num_classes - 1}, as "
                f"`num_classes` says. Received: {wrong}."
            )
        places = _places(side, segment_map, numbers)
        is_crowd = np.array([bool(segment.get("is_crowd", False)) for segment in segments], bool)
        return _Segments(places, classes, is_crowd)


class _Segments(NamedTuple):
    """Hold a map in which segments are numbered from 1 on, their classes, and which are crowds."""

    places: np.ndarray
    classes: np.ndarray
    is_crowd: np.ndarray


def _overlaps(truth, found):
    """Return int64 (true segments + 1, found segments + 1), pixels shared; row 0 is void."""
    shape = len(truth.classes) + 1, len(found.classes) + 1
    pairs = truth.places * shape[1] + found.places
    return np.bincount(pairs.ravel(), minlength=shape[0] * shape[1]).reshape(shape)


def _check_keys(side, segments):
    for segment in segments:
        if not {"id", "class"} <= set(segment):
            raise ValueError(
                f"`{side}_segments` must be dicts of 'id', 'class' and optionally 'is_crowd'. "
                f"Received one of the keys: {sorted(segment)}."
            )


def _check_ids(side, numbers):
    if _VOID in numbers:
        raise ValueError(
            f"`{side}_segments` must have ids above 0, which is for pixels of no segment. "
            "Received: 0."
        )
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise ValueError(
            f"`{side}_segments` must each have an id of their own. Received twice: {twice}."
        )


def _places(side, segment_map, numbers):
    """Return the place of each pixel's segment in the list, from 1 on; 0 is void."""
    numbers = np.array([_VOID, *numbers], np.int64)
    order = np.argsort(numbers)
    ranks = np.searchsorted(numbers, segment_map, sorter=order)
    places = order[np.minimum(ranks, len(numbers) - 1)]
    is_unknown = numbers[places] != segment_map
    if is_unknown.any():
        raise ValueError(
            f"`{side}_map` must have the ids of `{side}_segments`, and 0. Received also: "
            f"{_some(np.unique(segment_map[is_unknown]))}."
        )
    without = np.bincount(places.ravel(), minlength=len(numbers))[1:] == 0
    if without.any():
        raise ValueError(
            f"`{side}_segments` must have pixels in `{side}_map`. Received ids without a pixel: "
            f"{_some(numbers[1:][without])}. Leave them out."
        )
    return places


def _some(numbers):
    shown = numbers[:5].tolist()
    return ", ".join(map(str, shown)) + (", ..." if len(numbers) > len(shown) else "")


def _mean(values):
    occurring = values[~np.isnan(values)]
    return float(occurring.mean()) if len(occurring) else float("nan")
