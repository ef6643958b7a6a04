"""The metadata of an exported file."""

CLASS_NAMES = "class_names"
BOUNDING_BOX_FORMAT = "bounding_box_format"


def metadata_of(model):
    """Return the metadata of a detector.

    Args:
        model: `SetPredictionDetector`.

    Returns:
        dict of "bounding_box_format", str, and, if the model has them, "class_names", list of str.
    """
    metadata = {BOUNDING_BOX_FORMAT: model.bounding_box_format}
    if model.class_names is not None:
        metadata[CLASS_NAMES] = list(model.class_names)
    return metadata
