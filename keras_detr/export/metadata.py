"""The metadata of an exported file."""

from keras_detr.batches.class_names import check_class_names

BOUNDING_BOX_FORMAT = "bounding_box_format"


def metadata_of(model):
    """Return the format of a detector's boxes, a str, and its class names, if it has them."""
    metadata = {BOUNDING_BOX_FORMAT: model.bounding_box_format}
    if model.class_names is not None:
        metadata["class_names"] = list(check_class_names(model.class_names, model.num_classes))
    return metadata
