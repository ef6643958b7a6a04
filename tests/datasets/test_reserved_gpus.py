"""Whatever reads data asks the backend first to keep TensorFlow off its GPUs."""

# ruff: noqa: E402
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from PIL import Image

from keras_detr.batches import checked_prediction_batches
from keras_detr.datasets import ShapesConfig, load_coco, load_coco_json, load_shapes
from keras_detr.ops.backends import current
from keras_detr.preprocessing import RandomHorizontalFlip, bucketed_batches


class FirstQuestionError(Exception):
    """Raised in the place of the first operation of TensorFlow."""


@pytest.fixture
def asked(monkeypatch):
    def reserve_gpus(self, config):
        assert config is tf.config
        raise FirstQuestionError

    monkeypatch.setattr(type(current()), "reserve_gpus", reserve_gpus)


def read_files(folder):
    Image.new("RGB", (8, 8)).save(folder / "0.png")
    content = {
        "images": [{"id": 0, "file_name": "0.png", "width": 8, "height": 8}],
        "annotations": [{"id": 0, "image_id": 0, "category_id": 1, "bbox": [1, 1, 4, 4]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    load_coco_json(folder, content, bounding_box_format="xyxy")


READERS = {
    "files": read_files,
    "generated images": lambda folder: load_shapes(
        "train", data_dir=folder, config=ShapesConfig(name="none", num_train=1)
    ),
    "COCO": lambda folder: load_coco("train", data_dir=folder, is_downloaded=False),
    "a layer": lambda folder: RandomHorizontalFlip(bounding_box_format="xyxy"),
    "batches": lambda folder: bucketed_batches(elements()),
    "checks": lambda folder: checked_prediction_batches(elements().batch(1)),
}


def elements():
    return tf.data.Dataset.from_tensor_slices({"images": np.zeros((1, 8, 8, 3), "uint8")})


@pytest.mark.parametrize("name", READERS)
def test_gpus_are_reserved_before_data_are_read(name, asked, tmp_path):
    with pytest.raises(FirstQuestionError):
        READERS[name](tmp_path)
