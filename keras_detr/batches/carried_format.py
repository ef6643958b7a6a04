"""The format of its boxes that a data set carries along, and the one that its reader takes."""

import numpy as np

# The entry of an element or a batch: one str, or one for each image.
FORMAT_ENTRY = "bounding_box_format"


def check_carried_format(carried, bounding_box_format, reader="the model"):
    """Raise a ValueError if a batch carries another format than its reader takes.

    Args:
        carried: str or bytes, an array or a list of these; `None` where a batch carries none, as
            those that keras_detr didn't make.
        bounding_box_format: str, the reader's.
        reader: str, who takes the boxes, for the error.
    """
    if carried is None:
        return
    for name in np.ravel(np.asarray(carried)).tolist():
        name = name.decode(errors="replace") if isinstance(name, bytes) else name
        if name != bounding_box_format:
            raise ValueError(f"{format_mismatch(bounding_box_format, reader)} `{name}`.")


def format_mismatch(bounding_box_format, reader):
    """Return what a message says before the format that data carry; arguments as above."""
    return (
        f"`{FORMAT_ENTRY}`: {reader} takes boxes as `{bounding_box_format}`, and the entry of the "
        f"data with this name says another format. Load the data with `{bounding_box_format}`, or "
        f"give {reader} the format of the data; if boxes were converted in between, change the "
        "entry or take it out. Received the entry:"
    )
