"""What several commands have in common in how they use the library."""

import pathlib

# Fractions of the image don't change when it is resized or padded.
FORMAT = {"bounding_box_format": "rel_xyxy"}
PAPER_SIZES = (800, 1333)


def output_folder(path):
    """Return the folder that results go to, or raise an error if it can't be one."""
    folder = pathlib.Path(path)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"--output must name a folder: {str(path)!r} is a file.")
    return folder


def sizes_of(model, short_side=None):
    """Return the short side and the limit of the long one, or None, that images are resized to.

    They are the model's, the paper's for one without a preprocessor, or scaled to `short_side`.
    """
    side, longest_side = model.preprocessor_sizes or PAPER_SIZES
    if short_side is None:
        return side, longest_side
    return short_side, longest_side and round(short_side * longest_side / side)
