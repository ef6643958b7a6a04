"""The tiny models whose files, written by an earlier version, must load for ever.

    KERAS_BACKEND=tensorflow python -m tests.models.earlier_files write tests/models/saved_files

Each folder there holds one model after one step of training as a `.keras` file and as a preset, the
inputs and outputs of that moment, and the paths of the model's variables. Written once; only a new
model is ever added.
"""

import json
import pathlib
import sys

import keras
import numpy as np
from keras import ops

from keras_detr.models import MultiScaleNeck
from tests.models.detectors import tiny_backbone, tiny_batch, tiny_deformable_detr, tiny_detr

FOLDER = pathlib.Path(__file__).parent / "saved_files"
BATCH = tiny_batch(batch_size=2)
INPUTS = {"images": BATCH["images"], "pixel_mask": BATCH["pixel_mask"]}


def _settings():
    """Return arguments of models that take few bytes."""
    filters = {"stackwise_num_filters": (4, 4, 4, 8), "stem_num_filters": 4}
    return {
        "backbone": tiny_backbone(**filters),
        "hidden_dim": 16,
        "num_heads": 2,
        "feed_forward_dim": 16,
        "num_queries": 4,
        "dropout": 0.1,
        "class_names": ("cat", "dog", "fox"),
    }


def _deformable_settings():
    neck = MultiScaleNeck(16, 3, num_groups=4, name="neck")
    return {**_settings(), "num_levels": 3, "neck": neck}


MODELS = {
    "detr": lambda: tiny_detr(**_settings()),
    "deformable_detr": lambda: tiny_deformable_detr(**_deformable_settings()),
    "deformable_detr_two_stage": lambda: tiny_deformable_detr(
        **_deformable_settings(), use_box_refinement=True, use_two_stage=True
    ),
}


def raw_outputs(model):
    """Return the raw outputs of a model for the one batch, as NumPy arrays."""
    outputs = model(INPUTS, training=False)
    return {name: ops.convert_to_numpy(value) for name, value in outputs.items()}


def variable_paths(model):
    """Return the paths of a model's variables, but for the random states, which Keras counts."""
    return [v.path for v in model.variables if not v.path.endswith("seed_generator_state")]


def write(folder):
    """Write the files of each model that has no folder yet."""
    for name, build in MODELS.items():
        place = folder / name
        if place.exists():
            continue
        keras.utils.set_random_seed(0)
        model = build()
        model.compile()
        model.train_on_batch(INPUTS, BATCH["bounding_boxes"])
        place.mkdir(parents=True)
        model.save(place / "model.keras")
        model.save_to_preset(place / "preset")
        np.savez_compressed(place / "outputs.npz", **raw_outputs(model))
        (place / "variables.json").write_text(json.dumps(variable_paths(model), indent=0))


if __name__ == "__main__":
    _, action, folder = sys.argv
    if action != "write":
        raise SystemExit(__doc__)
    write(pathlib.Path(folder))
