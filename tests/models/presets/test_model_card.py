"""The model card: what it says, and that nothing in it can break it."""

import re

import pytest
import yaml

from keras_detr.models.presets.model_card import (
    backbone_card,
    check_license,
    check_metrics,
    detector_card,
)
from tests.models.detectors import DETECTORS, tiny_backbone, tiny_detr

pytestmark = pytest.mark.every_backend


def parts_of(card):
    """Return the metadata, and the text of each section by its heading."""
    _, metadata, text = card.split("---\n", 2)
    sections = re.split(r"^#+ (.*)$", text, flags=re.M)
    texts = (section.strip() for section in sections[2::2])
    return yaml.safe_load(metadata), dict(zip(sections[1::2], texts, strict=True))


def rows_of(table):
    """Return a table's rows as a dict."""
    lines = table.splitlines()
    rows = [line.strip("|").split("|") for line in lines[lines.index("|---|---|") + 1 :]]
    return {name.strip(): value.strip() for name, value in rows}


@pytest.mark.parametrize("name", DETECTORS)
def test_what_it_says_of_a_detector(name):
    model = DETECTORS[name].build(class_names=["cat", "dog", "bus"], preprocessor_sizes=(480, None))
    metrics = {"AP": 0.4217, "images": 200, "measured on": "our own photos"}
    metadata, sections = parts_of(detector_card(model, "owner/my-model", "mit", metrics))
    kind = type(model).__name__
    task = "image-segmentation" if DETECTORS[name].has_masks else "object-detection"
    assert metadata == {
        "library_name": "keras_detr",
        "license": "mit",
        "pipeline_tag": task,
        "tags": ["keras", task, kind.lower()],
    }
    assert list(sections) == ["my\\-model", "Classes", "Architecture", "Results"]
    assert f"A {kind} that detects objects of 3 classes" in sections["my\\-model"]
    assert '.from_preset("hf://owner/my-model")' in sections["my\\-model"]
    assert sections["Classes"] == "0 cat, 1 dog, 2 bus"
    facts = rows_of(sections["Architecture"])
    assert facts["parameters"] == f"{model.count_params():,}"
    assert facts["queries"] == "10"
    assert facts["short side of images"] == "480 pixels"
    assert facts["long side of images"] == "any"
    assert facts["format of boxes"] == "`xyxy`"
    is_denoising = DETECTORS[name].has_denoising
    assert facts["trained with denoising queries"] == ("yes" if is_denoising else "no")
    assert ("feature maps" in facts) == (not name.startswith("detr"))
    assert facts["masks"] == ("yes" if DETECTORS[name].has_masks else "no")
    assert rows_of(sections["Results"]) == {
        "AP": "0.422",
        "images": "200",
        "measured on": "our own photos",
    }


def test_without_names_license_or_figures():
    metadata, sections = parts_of(detector_card(tiny_detr(num_classes=1), "owner/x"))
    assert "license" not in metadata
    assert list(sections) == ["x", "Classes", "Architecture"]
    assert "objects of 1 class, for" in sections["x"]
    assert sections["Classes"] == "0 class 0"


def test_names_stay_text():
    names = ["a|b", "<script>*x*</script>", "one\n## two"]
    metadata, sections = parts_of(detector_card(tiny_detr(class_names=names), "owner/x"))
    assert metadata["library_name"] == "keras_detr"
    assert list(sections) == ["x", "Classes", "Architecture"]
    assert sections["Classes"] == (r"0 a\|b, 1 \<script\>\*x\*\</script\>, 2 one\\n\#\# two")


def test_a_detector_without_a_preprocessor():
    _, sections = parts_of(detector_card(tiny_detr(preprocessor_sizes=None), "owner/x"))
    facts = rows_of(sections["Architecture"])
    assert facts["images"] == "not resized"
    assert not {"short side of images", "long side of images"} & {*facts}


def test_the_lines_that_load_it_run():
    card = detector_card(tiny_detr(), "owner/x")
    code = card.split("```python\n")[1].split("```")[0]
    compile(code, "README.md", "exec")
    assert len([line for line in code.splitlines() if line]) == 3


def test_a_backbone():
    metadata, sections = parts_of(backbone_card(tiny_backbone(), "owner/x", None, {"top-1": 76.1}))
    assert metadata["pipeline_tag"] == "image-feature-extraction"
    assert 'keras_detr.ResNetBackbone.from_preset("hf://owner/x")' in sections["x"]
    assert rows_of(sections["Architecture"])["feature maps"] == "P2, P3, P4, P5"
    assert rows_of(sections["Results"]) == {r"top\-1": "76.100"}


@pytest.mark.parametrize(
    "metrics", [0.4, [("AP", 0.4)], {"AP": None}, {"AP": float("inf")}, {1: 0.4}, {"AP": [0.4]}]
)
def test_metrics_that_are_none(metrics):
    with pytest.raises(ValueError, match="`metrics` must"):
        check_metrics(metrics)


def test_metrics_and_licenses():
    assert check_metrics(None) == {}
    metrics = {"AP": 0, "AP_small": float("nan"), "on": "x"}
    assert check_metrics(metrics) == {"AP": 0, "on": "x"}
    assert len(metrics) == 3
    assert check_license("Apache-2.0") == "apache-2.0"
    assert check_license(None) is None
    for license in ("my own", "mit\ntags: x", 3, ""):
        with pytest.raises(ValueError, match="`license` must be an identifier"):
            check_license(license)
