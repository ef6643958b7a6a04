"""What tests of several examples share."""

import pytest


@pytest.fixture(scope="package")
def coco_mini_dir(tmp_path_factory):
    """Return a folder of TFDS with the real sample of COCO; only for tests marked `realdata`."""
    tfds = pytest.importorskip("tensorflow_datasets")
    from tests.datasets.coco_mini import prepare_coco_mini

    tfds.disable_progress_bar()
    folder = tmp_path_factory.mktemp("tfds")
    prepare_coco_mini(folder)
    return folder
