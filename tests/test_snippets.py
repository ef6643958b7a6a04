"""The snippets of README, guides and docstrings run, on data and presets small enough for a test.

One thing stands in for another: the names of published presets mean tiny detectors with random
weights, which were saved as presets. All else is what a reader has.
"""

import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import tensorflow as tf

import keras_detr
from keras_detr.checkpoints import COCO_CLASS_NAMES
from keras_detr.preprocessing import PadToCanvas
from tests.models.detectors import (
    tiny_deformable_detr,
    tiny_detr,
    tiny_detr_segmenter,
    tiny_dino_detr,
)
from tests.snippets import (
    REPOSITORY,
    documented_examples,
    example_of,
    public_objects,
    run,
    run_page,
    snippets_of_page,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
    # Data sets stay graphs; only the models' steps run eagerly.
    pytest.mark.filterwarnings("ignore:Even though the .tf.config.experimental_run:UserWarning"),
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="once is enough: tensorflow's"
    ),
]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((REPOSITORY / "docs").glob("*.md")))]
HEIGHT, WIDTH = 60, 80
# What `names_that_readers_have` makes of files.
NAMES_OF_DATA = {"elements", "train_batches", "valid_batches", "validation_batches", "images"}


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """Return a dict from the names of presets to folders with tiny detectors."""
    folder = tmp_path_factory.mktemp("presets")
    settings = {
        "num_classes": len(COCO_CLASS_NAMES),
        "class_names": COCO_CLASS_NAMES,
        "preprocessor_sizes": (64, 107),
        "num_queries": 20,
    }
    tiny_detr(**settings).save_to_preset(folder / "detr")
    tiny_detr_segmenter(**settings).save_to_preset(folder / "detr_segmenter")
    tiny_deformable_detr(**settings).save_to_preset(folder / "deformable_detr")
    refining = tiny_deformable_detr(use_box_refinement=True, **settings)
    refining.save_to_preset(folder / "refining")
    tiny_dino_detr(**settings).save_to_preset(folder / "dino_detr")
    return {
        "detr_r50": folder / "detr",
        "detr_r50_panoptic": folder / "detr_segmenter",
        "deformable_detr_r50": folder / "deformable_detr",
        "deformable_detr_r50_refine": folder / "refining",
        "dino_detr_r50": folder / "dino_detr",
    }


@pytest.fixture
def desk(tmp_path, monkeypatch, presets):
    """Change to a folder with the files that the pages name, and let presets be tiny."""
    for part, number in (("train", 4), ("valid", 2)):
        write_images(tmp_path / "my_data" / part, number)
    write_images(tmp_path / "holiday_pictures", 1)
    (tmp_path / "holiday_pictures" / "_annotations.coco.json").unlink()
    (tmp_path / "my_data" / "train" / "0.png").rename(tmp_path / "photo.png")
    Image.open(tmp_path / "photo.png").save(tmp_path / "photo.jpg")
    write_images(tmp_path / "my_data" / "train", 4)
    monkeypatch.chdir(tmp_path)
    original = keras_detr.SetPredictionDetector.from_preset.__func__

    def from_preset(cls, preset, *args, **kwargs):
        return original(cls, presets.get(preset, preset), *args, **kwargs)

    monkeypatch.setattr(keras_detr.SetPredictionDetector, "from_preset", classmethod(from_preset))
    # A step costs less than to trace it, and there are few of each model.
    tf.config.run_functions_eagerly(True)
    yield tmp_path
    tf.config.run_functions_eagerly(False)


def write_images(folder, number):
    """Write images of a bright rectangle with COCO-JSON annotations, as Roboflow names them."""
    folder.mkdir(parents=True, exist_ok=True)
    images, boxes = [], []
    for index in range(number):
        left, top = 10 + 5 * index, 8 + 4 * index
        pixels = np.full((HEIGHT, WIDTH, 3), 40, "uint8")
        pixels[top : top + 20, left : left + 30] = 200
        Image.fromarray(pixels).save(folder / f"{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "width": WIDTH, "height": HEIGHT})
        box = {"bbox": [left, top, 30, 20], "category_id": 1 + index % 2, "image_id": index}
        right, bottom = left + 30, top + 20
        polygons = [[left, top, right, top, right, bottom, left, bottom]]
        boxes.append({"id": index, **box, "segmentation": polygons})
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    content = {"images": images, "annotations": boxes, "categories": categories}
    (folder / "_annotations.coco.json").write_text(json.dumps(content))


def names_that_readers_have(folder):
    """Return what snippets may use without defining it: a detector's data, boxes in "xyxy"."""
    elements = keras_detr.datasets.load_coco_json(
        folder / "my_data" / "train",
        folder / "my_data" / "train" / "_annotations.coco.json",
        bounding_box_format="xyxy",
    )
    pad = PadToCanvas((64, 96), max_boxes=3, bounding_box_format="xyxy")
    batches = elements.map(pad).batch(2)
    batch = next(iter(batches))
    return {
        "keras": keras,
        "keras_detr": keras_detr,
        "np": np,
        "elements": elements,
        "train_batches": batches,
        "valid_batches": batches.take(1),
        "validation_batches": batches.take(1),
        "images": {name: batch[name].numpy() for name in ("images", "pixel_mask")},
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_from_top_to_bottom(page, desk):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    namespace = {} if page == "README.md" else names_that_readers_have(desk)
    num_run = run_page(text, namespace, page)
    assert num_run or not snippets_of_page(text)


@pytest.mark.parametrize("name", sorted(documented_examples()))
def test_the_example_of_a_docstring_runs(name, desk):
    source = documented_examples()[name].replace("epochs=10", "epochs=1")
    used = set(re.findall(r"\w+", source))
    namespace = {"keras": keras, "keras_detr": keras_detr, "np": np}
    # Most examples need neither data nor a model, which take longer than they.
    if used & NAMES_OF_DATA:
        namespace |= names_that_readers_have(desk)
    if "model" in used:
        namespace["model"] = tiny_detr()
    if "segmenter" in used:
        namespace["segmenter"] = tiny_detr_segmenter()
    run(source, namespace, name)


def test_examples_of_docstrings_are_found():
    examples = documented_examples()
    assert "compile()" in examples["keras_detr.models.DETR"]
    found = [name for name in examples if name.endswith(".detect")]
    assert found == ["keras_detr.inference.detect", "keras_detr.models.DETR.detect"]


def test_every_public_class_and_function_has_an_example():
    objects = public_objects()
    assert len(objects) > 100
    assert [name for name, value in objects.items() if example_of(value) is None] == []


def test_a_broken_snippet_fails_and_tells_its_line():
    text = "One.\n\n```python\nx = 1\n```\n\n```python\ny = x\nz = y.missing\n```\n"
    with pytest.raises(AttributeError, match="missing") as error:
        run_page(text, {}, "page.md")
    assert (str(error.traceback[-1].path), error.traceback[-1].lineno + 1) == ("page.md", 9)


def test_notes_decide_what_runs():
    notes = {
        "not run: it would fail": "raise AssertionError",
        "run with: True -> 2": "found = [True]",
        "run with: 300 -> 2": "found.append(300)",
    }
    text = "".join(f"<!-- {note} -->\n```python\n{code}\n```\n" for note, code in notes.items())
    namespace = {}
    assert run_page(text, namespace, "page.md") == 2
    assert namespace["found"] == [2, 2]
    with pytest.raises(ValueError, match="unknown comment"):
        snippets_of_page("<!-- nutrun -->\n```python\nx\n```\n")
    with pytest.raises(ValueError, match="no '300' to replace"):
        run_page("<!-- run with: 300 -> 2 -->\n```python\nx = 1\n```\n", {}, "page.md")
