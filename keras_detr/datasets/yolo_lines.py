"""The lines of YOLO's label files: boxes, polygons and poses."""

import math

from keras_detr.datasets.data_report import UnusableEntry, brief
from keras_detr.datasets.record_tables import BoxRow

_NUM_BOX_VALUES = 5
# What a pose says of a keypoint: not labelled, hidden, or visible.
_VISIBILITIES = frozenset((0, 1, 2))
# Numbers are fractions of the image. Boxes may reach over its edge, but none is as large as this.
_LARGEST_SIDE = 2


def values_of_line(line):
    """Return the numbers of a line, or raise `UnusableEntry`."""
    try:
        return [float(text) for text in line.split()]
    except ValueError:
        raise UnusableEntry("malformed_annotation", brief(line)) from None


def num_values_of_poses(lines):
    """Return how many numbers of a line are keypoints, found out from lines; 0 if they are none.

    Each keypoint is x, y and a visibility. A polygon, whose numbers are in 0..1, has no 2.
    """
    for line in lines:
        texts = line.split()
        try:
            visibilities = {float(text) for text in texts[_NUM_BOX_VALUES + 2 :: 3]}
        except ValueError:
            continue
        num_values = len(texts) - _NUM_BOX_VALUES
        if num_values % 3 == 0 and 2 in visibilities and visibilities <= _VISIBILITIES:
            return num_values
    return 0


def box_of_values(values, image_row, num_classes, num_keypoint_values):
    """Return the `BoxRow` of a line's numbers, and what they are: "box", "pose" or "polygon".

    Raises:
        UnusableEntry: they are none of these, or of no class.
    """
    label, *places = values
    if not label.is_integer() or not 0 <= label < num_classes:
        raise UnusableEntry("unknown_category", f"class {label:g} of {num_classes}")
    kind = "box"
    if num_keypoint_values and len(values) == _NUM_BOX_VALUES + num_keypoint_values:
        kind, places = "pose", places[:4]
    if len(places) == 4:
        center_x, center_y, width, height = places
        corners = (
            center_x - width / 2,
            center_y - height / 2,
            center_x + width / 2,
            center_y + height / 2,
        )
    elif len(places) >= 6 and len(places) % 2 == 0:
        kind = "polygon"
        xs, ys = places[0::2], places[1::2]
        corners = (min(xs), min(ys), max(xs), max(ys))
    else:
        raise UnusableEntry("malformed_box", brief(values))
    if _LARGEST_SIDE < max(corners[2] - corners[0], corners[3] - corners[1]) < math.inf:
        raise UnusableEntry("no_fractions", brief(values))
    return BoxRow(image_row, int(label), corners), kind
