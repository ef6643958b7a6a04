"""Detection data sets as tf.data, whose elements all have one structure.

Names load on first use.
"""

from keras_detr.lazy_names import attach

_HOMES = {
    "DataReport": "data_report",
    "FolderData": "folder",
    "Shapes": "generated_shapes",
    "ShapesConfig": "shapes_config",
    "load_coco": "coco",
    "load_coco_json": "coco_json",
    "load_folder": "folder",
    "load_shapes": "generated_shapes",
    "load_voc": "voc",
    "load_yolo": "yolo",
}

__getattr__, __dir__, __all__ = attach(__name__, _HOMES)
