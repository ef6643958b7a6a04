"""Where the shared sample of real images lies. It isn't part of the repository."""

import os
import pathlib


def shared_data_folder():
    """Return the folder of real data, or `None` where it isn't at hand.

    It is `data` in the folder named by the environment variable KERAS_DETR_SHARED, else in
    `../shared` beside the repository.
    """
    beside = pathlib.Path(__file__).parents[2] / "shared"
    folder = pathlib.Path(os.environ.get("KERAS_DETR_SHARED") or beside) / "data"
    return folder if folder.is_dir() else None
