"""A report on the files of a data set: what they hold, and what can't be used."""

import dataclasses
import reprlib
from collections import Counter
from typing import NamedTuple

from keras_detr.ops.printable_text import printable

_NUM_EXAMPLES = 3
_LONGEST_TEXT = 300
_LONGEST_DETAIL = 600


# By kind of problem: the entries that have it, and what is left out because of it, if anything.
PROBLEM_KINDS = {
    "malformed_image": ("image entries without a whole number as id, or a file name", "image"),
    "duplicate_image": ("image entries that repeat an earlier one", "image"),
    "ambiguous_image_id": ("images that share their id with another file", "image"),
    "missing_file": ("image files that aren't there", "image"),
    "unreadable_file": ("image files that can't be read", "image"),
    "rotated_image": ("images annotated as turned by the EXIF tag that is ignored", "image"),
    "unreadable_annotation": ("annotation files that can't be read", "image"),
    "wrong_size": ("images annotated with a size that isn't the file's", None),
    "turned_boxes": ("images annotated as stored, turned with their boxes by the EXIF tag", None),
    "exif_orientation": (
        "images turned by an EXIF tag, whose boxes may be meant either way, see `exif`",
        None,
    ),
    "repeated_file": ("images that have the file of an earlier one", None),
    "no_annotation": ("images without an annotation file, taken as empty", None),
    "group_category": ("categories without boxes that all others are kinds of", "category"),
    "repeated_category": ("categories without boxes that have the name of another", "category"),
    "malformed_annotation": ("annotations with missing or unusable entries", "box"),
    "unknown_image": ("boxes of an image that isn't listed", "box"),
    "unknown_category": ("boxes of a category that isn't listed", "box"),
    "malformed_box": ("boxes that aren't the numbers of a box", "box"),
    "no_fractions": ("boxes in other numbers than fractions of the image, such as pixels", "box"),
    "duplicate_annotation": ("boxes that repeat an earlier one and its id", "box"),
    "box_of_dropped_image": ("boxes of images that are left out", "box"),
    "non_finite_box": ("boxes with NaN or infinity", "box"),
    "no_area_box": ("boxes of no or negative width or height", "box"),
    "outside_box": ("boxes wholly outside their image", "box"),
    "no_mask": ("boxes without a mask, which 'segmentation' should hold", "box"),
    "malformed_mask": ("boxes whose mask is neither polygons nor RLE", "box"),
    "mask_of_other_size": ("boxes whose mask has another size than the image", "box"),
    "empty_mask": ("boxes whose mask has no pixel", "box"),
    "tiny_box": ("boxes of less than a pixel", None),
    "corners": (
        "data sets whose boxes look like (left, top, right, bottom), which COCO-JSON hasn't",
        None,
    ),
    "clipped_box": ("boxes clipped at the edge of their image", None),
    "wrong_area": ("impossible areas, replaced by the box's own", None),
    "repeated_annotation_id": ("different boxes that share an id", None),
    "pose": ("boxes of poses, of which 'kpt_shape' in data.yaml says nothing", None),
    "polygon": ("polygons, replaced by the box around them", None),
}


class UnusableEntry(Exception):
    """Raised when an entry of an annotation file can't be used, and caught by its reader.

    Its arguments are a key of `PROBLEM_KINDS`, and a str, what was found.
    """


class Problem(NamedTuple):
    """Hold one entry that was dropped or changed.

    Attributes:
        kind: str, a key of `PROBLEM_KINDS`.
        image_id: int, or None if it isn't known.
        annotation_id: int, or None if it isn't known or the entry is an image.
        detail: str, what was found.
    """

    kind: str
    image_id: int | None
    annotation_id: int | None
    detail: str

    def __str__(self):
        names = (("image", self.image_id), ("annotation", self.annotation_id))
        known = [f"{name} {value}" for name, value in names if value is not None]
        return ": ".join([text for text in (", ".join(known), self.detail) if text])


@dataclasses.dataclass
class DataReport:
    """Account for every image and box of a data set's files.

    `num_images_read` is `num_images` plus `num_images_dropped`, and `num_boxes_read` is `num_boxes`
    plus `num_boxes_dropped` plus `num_crowds_left_out`. An entry is dropped for one reason, the
    first that is found. `print(report)` shows a summary.

    Attributes:
        source: str, the file or folder that was read.
        num_images_read: int, image entries in the files.
        num_boxes_read: int, box entries in the files.
        num_images: int, images of the data set.
        num_boxes: int, boxes of the data set.
        num_empty_images: int, images of the data set without boxes.
        most_boxes: int, the most boxes of an image: `max_boxes` of `bucketed_batches` and
            `PadToCanvas` must be at least as large.
        num_crowds_left_out: int, usable boxes left out because the caller drops crowds.
        num_unlisted_files: int, image files of COCO-JSON's folders that no image entry names.
        num_boxes_by_class: dict from the name of a class to the number of its boxes.
        problems: list of `Problem`, one for each dropped or changed entry.

    Example:
        ```python
        from keras_detr.datasets import load_coco_json

        annotations = "my_data/train/_annotations.coco.json"
        report = load_coco_json("my_data/train", annotations).report
        print(report.num_images, report.num_boxes_by_class, report.problems)
        ```
    """

    source: str
    num_images_read: int = 0
    num_boxes_read: int = 0
    num_images: int = 0
    num_boxes: int = 0
    num_empty_images: int = 0
    most_boxes: int = 0
    num_crowds_left_out: int = 0
    num_unlisted_files: int = 0
    num_boxes_by_class: dict[str, int] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def add(self, kind, image_id=None, annotation_id=None, detail=""):
        """List a problem; see `Problem`."""
        self.problems.append(Problem(kind, image_id, annotation_id, _shortened(printable(detail))))

    def skip_image(self, image_id, num_boxes, detail):
        """Remove an image and its boxes from the counts, because it can't be read."""
        self.add("unreadable_file", image_id, detail=detail)
        for _ in range(num_boxes):
            self.add("box_of_dropped_image", image_id, detail=detail)
        self.num_images -= 1
        self.num_boxes -= num_boxes
        self.num_empty_images -= not num_boxes

    @property
    def counts(self):
        """Return the number of problems by kind, in the order of `PROBLEM_KINDS`."""
        found = Counter(problem.kind for problem in self.problems)
        return {kind: found[kind] for kind in PROBLEM_KINDS if kind in found}

    @property
    def classes_without_boxes(self):
        """Return the names of the classes that no box is of."""
        return [name for name, count in self.num_boxes_by_class.items() if not count]

    @property
    def num_images_dropped(self):
        """Return how many image entries were left out because of a problem."""
        return self._num_dropped("image")

    @property
    def num_boxes_dropped(self):
        """Return how many boxes were left out because of a problem."""
        return self._num_dropped("box")

    def _num_dropped(self, what):
        return sum(PROBLEM_KINDS[problem.kind][1] == what for problem in self.problems)

    def __str__(self):
        lines = [
            f"{printable(self.source)}: {self.num_images} of {self.num_images_read} images "
            f"({self.num_empty_images} without boxes) and {self.num_boxes} of "
            f"{self.num_boxes_read} boxes are used."
        ]
        if self.num_crowds_left_out:
            lines.append(f"  boxes that stand for crowds: {self.num_crowds_left_out}, left out")
        if self.num_unlisted_files:
            lines.append(f"  image files there that no entry names: {self.num_unlisted_files}")
        if not self.num_boxes_read:
            lines.append("  there are no boxes: correct the annotations if there should be some")
        elif self.classes_without_boxes:
            names = ", ".join(map(repr, self.classes_without_boxes[:_NUM_EXAMPLES]))
            num_classes = len(self.classes_without_boxes)
            more = ", ..." if num_classes > _NUM_EXAMPLES else ""
            lines.append(f"  classes without boxes ({num_classes}): {printable(names)}{more}")
        for kind, count in self.counts.items():
            meaning, drops = PROBLEM_KINDS[kind]
            found = [problem for problem in self.problems if problem.kind == kind]
            outcome = "left out" if drops else "kept"
            line = f"  {meaning}: {count}, {outcome} ({kind})"
            # Their images have lines of their own.
            if kind != "box_of_dropped_image":
                examples = "; ".join(str(problem) for problem in found[:_NUM_EXAMPLES])
                line += f": {examples}" + ("; ..." if count > _NUM_EXAMPLES else "")
            lines.append(line)
        return "\n".join(lines)


def _shortened(text):
    """Return a text with its middle left out if it is too long for a line; a path's end matters."""
    if len(text) <= _LONGEST_DETAIL:
        return text
    half = _LONGEST_DETAIL // 2
    return f"{text[:half]}...{text[-half:]}"


def brief(value):
    """Return a short text for any value, for a message."""
    try:
        text = reprlib.repr(value)
    except ValueError:  # An int of more digits than Python prints.
        return f"a very large {type(value).__name__}"
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
