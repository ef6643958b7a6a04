"""Checkpoints: download a file, verify it, read its tensors, give them canonical names.

Everything here needs NumPy only, not Keras. Arrays keep the layout of the file they come from.
"""

from .coco_categories import (
    COCO_CATEGORY_IDS,
    COCO_CLASS_NAMES,
    COCO_PANOPTIC_CATEGORY_IDS,
    COCO_PANOPTIC_CLASS_NAMES,
    NUM_COCO_PANOPTIC_ROWS,
)
from .files.tensor_files import read_tensors
from .hub.deformable_detr import deformable_detr_settings
from .hub.detector_config import deformable_detr_config, detr_config
from .hub.detr import detr_settings
from .hub.download import CorruptedFileError, HubFile, NotInRepositoryError, fetch
from .hub.folder import HubFolder, resolve_hub_folder
from .hub.written_folder import write_hub_folder
from .renaming import RenamedTensors, to_canonical_names, to_hub_names
from .shared_heads import repeat_shared_heads, resolve_shared_heads
from .tables.deformable_detr import DEFORMABLE_DETR_TABLE
from .tables.detr import DETR_SEGMENTER_TABLE, DETR_TABLE
from .tables.dino_detr import DINO_DETR_TABLE
from .tables.rename_table import RenameTable
from .tables.resnet import RESNET_TABLE

__all__ = [
    "COCO_CATEGORY_IDS",
    "COCO_CLASS_NAMES",
    "COCO_PANOPTIC_CATEGORY_IDS",
    "COCO_PANOPTIC_CLASS_NAMES",
    "NUM_COCO_PANOPTIC_ROWS",
    "DEFORMABLE_DETR_TABLE",
    "DETR_SEGMENTER_TABLE",
    "DETR_TABLE",
    "DINO_DETR_TABLE",
    "RESNET_TABLE",
    "CorruptedFileError",
    "HubFile",
    "HubFolder",
    "NotInRepositoryError",
    "RenameTable",
    "RenamedTensors",
    "deformable_detr_config",
    "deformable_detr_settings",
    "detr_config",
    "detr_settings",
    "fetch",
    "read_tensors",
    "repeat_shared_heads",
    "resolve_hub_folder",
    "resolve_shared_heads",
    "to_canonical_names",
    "to_hub_names",
    "write_hub_folder",
]
