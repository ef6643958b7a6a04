"""What a user waits for before anything is computed: import, building, loading weights."""

import os
import subprocess
import sys
import tempfile

from works import detector, peers


def importing():
    """Return a callable that starts Python and imports keras_detr."""
    return lambda: subprocess.run([sys.executable, "-c", "import keras_detr"], check=True)


def python():
    """Return a callable that starts Python alone."""
    return lambda: subprocess.run([sys.executable, "-c", ""], check=True)


def building():
    """Return a callable that builds detr_r50 with random weights."""
    import keras_detr

    # Importing Keras and its backend is no part of it.
    keras_detr.DETR  # noqa: B018
    return lambda: detector.build("detr")


def loading():
    """Return a callable that builds detr_r50 from its own saved folder."""
    import keras_detr

    folder = tempfile.mkdtemp()
    detector.build("detr").save_to_preset(folder)
    return lambda: keras_detr.DETR.from_preset(folder)


def loading_hub_folder():
    """Return a callable that builds detr_r50 from a folder that transformers wrote."""
    import keras_detr

    folder = tempfile.mkdtemp()
    peers.transformers_model("detr").save_pretrained(folder)
    return lambda: keras_detr.DETR.from_preset(folder)


def transformers():
    """Return a callable with which transformers loads the folder that it wrote."""
    from transformers import DetrForObjectDetection

    folder = tempfile.mkdtemp()
    peers.transformers_model("detr").save_pretrained(folder)
    return lambda: DetrForObjectDetection.from_pretrained(folder)


os.environ.setdefault("HF_HUB_OFFLINE", "1")

CONTENDERS = {
    "python": python,
    "import keras_detr": importing,
    "keras_detr, building": building,
    "keras_detr, own folder": loading,
    "keras_detr, Hub's folder": loading_hub_folder,
    "transformers, Hub's folder": transformers,
}
