"""Match detections with true objects at one IoU threshold."""

import numpy as np

RIGHT, WRONG, IGNORED = 1, 0, -1

# Of a class in an image, as in COCO's metrics.
_MOST_DETECTIONS = 100


def overlaps(boxes, true_boxes, is_crowd):
    """Return the IoU of boxes with true ones; with a crowd the share of the box inside it.

    Args:
        boxes: float64 (K, 4), x, y, width, height.
        true_boxes: float64 (N, 4), the same.
        is_crowd: bool (N,).

    Returns:
        float64 (K, N). Boxes without area overlap with nothing.
    """
    ends, true_ends = boxes[:, :2] + boxes[:, 2:], true_boxes[:, :2] + true_boxes[:, 2:]
    starts = np.maximum(boxes[:, None, :2], true_boxes[:, :2])
    ends = np.minimum(ends[:, None], true_ends)
    shared = np.maximum(ends - starts, 0.0).prod(axis=-1)
    areas, true_areas = boxes[:, 2:].prod(axis=-1)[:, None], true_boxes[:, 2:].prod(axis=-1)
    whole = np.where(is_crowd, areas, areas + true_areas - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)


def match_as_coco(true_boxes, detections, iou_threshold):
    """Say which detections are right, as COCO's protocol does at one IoU threshold.

    The detections of a class in an image, the most confident first, each take the free object of
    their class that they overlap most. What takes none, but lies in a crowd of its class, is
    ignored, and so is what comes after the hundredth of a class in an image.

    Args:
        true_boxes: float64 (N, 8), as `evaluate_by_class` takes them.
        detections: float64 (K, 7), likewise.
        iou_threshold: float, the least IoU of a match.

    Returns:
        int8 (K,): `RIGHT`, `WRONG` or `IGNORED`.

    Source: cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py, evaluateImg.
    """
    # By image and class; within them the most confident first, and ties in the order they came in.
    order = np.lexsort((-detections[:, 6], detections[:, 1], detections[:, 0]))
    detections = detections[order]
    # Objects before crowds.
    true_boxes = true_boxes[np.lexsort((true_boxes[:, 7], true_boxes[:, 1], true_boxes[:, 0]))]
    groups, starts, ends = _groups(detections)
    outcomes = np.full(len(detections), WRONG, np.int8)
    for group, first, last in zip(*_groups(true_boxes), strict=True):
        place = np.searchsorted(groups, group)
        if place == len(groups) or groups[place] != group:
            continue
        rows = slice(starts[place], min(ends[place], starts[place] + _MOST_DETECTIONS))
        is_crowd = true_boxes[first:last, 7] > 0
        iou = overlaps(detections[rows, 2:6], true_boxes[first:last, 2:6], is_crowd)
        outcomes[rows] = _match_group(iou, is_crowd, iou_threshold)
    # COCO's sizes begin at 0 and end at 1e5 squared; of boxes turned inside out they are less.
    areas = detections[:, 4] * detections[:, 5]
    outcomes[(outcomes == WRONG) & ((areas < 0) | (areas > 1e10))] = IGNORED
    rank = np.arange(len(detections)) - np.repeat(starts, ends - starts)
    outcomes[rank >= _MOST_DETECTIONS] = IGNORED
    found = np.empty_like(outcomes)
    found[order] = outcomes
    return found


def _groups(rows):
    """Return a number for each image and class of sorted rows, and where its rows begin and end."""
    keys = rows[:, 0].astype(np.int64) << 32 | rows[:, 1].astype(np.int64)
    groups, starts, counts = np.unique(keys, return_index=True, return_counts=True)
    return groups, starts, starts + counts


def _match_group(iou, is_crowd, iou_threshold):
    """Return the outcomes of the detections of one class in one image.

    Args:
        iou: float64 (detections, true boxes), the most confident first.
        is_crowd: bool (true boxes,), crowds last.
    """
    num_objects = int(np.count_nonzero(~is_crowd))
    free = np.ones(num_objects, bool)
    outcomes = []
    for row in iou:
        candidates = np.where(free, row[:num_objects], -1.0)
        if num_objects and candidates.max() >= iou_threshold:
            # Of equal ones the last, as in the original.
            free[num_objects - 1 - int(np.argmax(candidates[::-1]))] = False
            outcomes.append(RIGHT)
        elif np.any(row[num_objects:] >= iou_threshold):
            outcomes.append(IGNORED)
        else:
            outcomes.append(WRONG)
    return outcomes
