"""The metadata of an exported file."""

BOUNDING_BOX_FORMAT = "bounding_box_format"


def metadata_of(model):
    """Return the format of a detector's boxes, a str, and its class names, if it has them."""
    metadata = {BOUNDING_BOX_FORMAT: model.bounding_box_format}
    if model.class_names is not None:
        metadata["class_names"] = list(model.class_names)
    return metadata
