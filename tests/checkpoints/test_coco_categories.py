"""The categories of COCO against the file that defines those of its panoptic task."""

import hashlib

from keras_detr.checkpoints import (
    COCO_CATEGORY_IDS,
    COCO_CLASS_NAMES,
    COCO_PANOPTIC_CATEGORY_IDS,
    COCO_PANOPTIC_CLASS_NAMES,
)
from keras_detr.models import DETRSegmenter

# Of "id name isthing", a line for each category of panoptic_coco_categories.json in its order, as
# cocodataset/panopticapi has it at commit 7bb4655.
SHA256 = "ecda39a7b09a49b0c0149f03bdf97ba93c2ad00048dd58ae55e54f2783a10a9e"


def test_panoptic_categories_are_those_of_the_official_file():
    for preset in DETRSegmenter.presets.values():
        settings = preset.settings
        assert settings["class_rows"] == COCO_PANOPTIC_CATEGORY_IDS
        assert settings["class_names"] == COCO_PANOPTIC_CLASS_NAMES
        rows = zip(
            settings["class_rows"], settings["class_names"], settings["is_thing"], strict=True
        )
        lines = "\n".join(f"{category} {name} {int(is_thing)}" for category, name, is_thing in rows)
        assert hashlib.sha256(lines.encode()).hexdigest() == SHA256


def test_things_are_the_categories_of_detection():
    assert len(COCO_CATEGORY_IDS) == len(COCO_CLASS_NAMES) == 80
    assert COCO_PANOPTIC_CATEGORY_IDS[:80] == COCO_CATEGORY_IDS
    assert COCO_PANOPTIC_CLASS_NAMES[:80] == COCO_CLASS_NAMES
