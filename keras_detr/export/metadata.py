"""What a file says about its detections beside the program."""

CLASS_NAMES = "class_names"
BOUNDING_BOX_FORMAT = "bounding_box_format"


def metadata_of(model):
    """Return what travels inside of a detector's file, by name.

    Args:
        model: `SetPredictionDetector`.

    Returns:
        dict of "bounding_box_format", str, and, if the model has names, "class_names", list of str.
    """
    metadata = {BOUNDING_BOX_FORMAT: model.bounding_box_format}
    if model.class_names is not None:
        metadata[CLASS_NAMES] = list(model.class_names)
    return metadata
