"""Presets: what is known of published weights, and how they are fitted to another task."""

import dataclasses
import hashlib
import json
import logging
import re

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from keras_detr.checkpoints import CorruptedFileError
from keras_detr.models import DETR, DETRSegmenter, ResNetBackbone, SetPredictionDetector
from keras_detr.models.presets.checkpoint_variables import read_variables
from tests.checkpoints.checkpoint_names import RESNET50, torchvision_resnet
from tests.models.detectors import inputs_of, tiny_batch, tiny_detr
from tests.models.torch_oracles import random_tensors
from tests.one_program import outputs_of

PRESETS = {**DETR.presets, **DETRSegmenter.presets, **ResNetBackbone.presets}
REPOSITORIES = {
    "detr_r50": "facebook/detr-resnet-50",
    "detr_r50_dc5": "facebook/detr-resnet-50-dc5",
    "detr_r101": "facebook/detr-resnet-101",
    "detr_r101_dc5": "facebook/detr-resnet-101-dc5",
    "detr_r50_panoptic": "facebook/detr-resnet-50-panoptic",
    "detr_r50_dc5_panoptic": "facebook/detr-resnet-50-dc5-panoptic",
    "detr_r101_panoptic": "facebook/detr-resnet-101-panoptic",
    "resnet50_imagenet": "timm/resnet50.tv_in1k",
    "resnet101_imagenet": "timm/resnet101.tv_in1k",
}
# Tensors that train in the official models, after torch's own count; their frozen norms add four
# vectors each, and the class head has 11 rows less here.
OFFICIAL_PARAMETERS = {50: 41_524_768, 101: 60_464_672}
# All tensors of the original's models with masks, frozen norms too; 117 rows more than here.
PANOPTIC_TENSORS = {50: 43_005_528, 101: 62_049_880}
NORM_CHANNELS = {50: 26_560, 101: 52_672}
HIDDEN_DIM = 256
TINY_SETTINGS = {
    "backbone": {
        "depth": 18,
        "stackwise_num_blocks": (1, 1, 1, 1),
        "stackwise_num_filters": (8, 16, 16, 32),
        "stem_num_filters": 8,
        "name": "resnet",
    },
    "num_classes": 3,
    "class_names": ("cat", "dog", "person"),
    "class_rows": (1, 2, 4),
    "num_queries": 10,
    "hidden_dim": 32,
    "num_heads": 4,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
    "feed_forward_dim": 48,
}
NUM_ROWS = 6
HEAD = ("class_embed.weight", "class_embed.bias")


@pytest.fixture
def tiny_preset(monkeypatch, tmp_path):
    """Register a preset "detr_tiny", and give a file with its weights under official names."""
    preset = DETR.presets["detr_r50"]
    settings = {**preset.settings, **TINY_SETTINGS}
    monkeypatch.setitem(DETR.presets, "detr_tiny", dataclasses.replace(preset, settings=settings))
    variables = DETR.from_preset("detr_tiny", load_weights=False).checkpoint_variables()
    shapes = {name: entry.torch_shape for name, entry in variables.items()}
    for name in HEAD:
        shapes[name] = (NUM_ROWS, *shapes[name][1:])
    file = tmp_path / "tiny.safetensors"
    save_file(random_tensors(shapes), file)
    return file


def tensors_of(model):
    return read_variables(model.checkpoint_variables())


def assert_equal_but_for(actual, expected, *names):
    assert actual.keys() == expected.keys()
    for name in expected.keys() - set(names):
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_is_missing_from_a_preset(name):
    preset = PRESETS[name]
    assert preset.weights.repo_id == REPOSITORIES[name]
    assert preset.weights.filename == "model.safetensors"
    assert re.fullmatch(r"https://\S+-[0-9a-f]{8}\.pth", preset.official_url)
    assert preset.license in ("Apache-2.0", "BSD-3-Clause")
    assert preset.description
    figures = {k: v for k, v in preset.published.items() if k not in ("protocol", "source")}
    assert figures
    assert all(0 < value < 100 for value in figures.values())
    assert preset.published["protocol"]
    assert preset.published["source"]


def test_the_published_figures():
    assert {name: preset.published["AP"] for name, preset in DETR.presets.items()} == {
        "detr_r50": 42.0,
        "detr_r50_dc5": 43.3,
        "detr_r101": 43.5,
        "detr_r101_dc5": 44.9,
    }
    names = ("AP", "AP_masks", "PQ")
    presets = DETRSegmenter.presets.items()
    assert {name: tuple(preset.published[n] for n in names) for name, preset in presets} == {
        "detr_r50_panoptic": (38.8, 31.1, 43.4),
        "detr_r50_dc5_panoptic": (40.2, 31.9, 44.6),
        "detr_r101_panoptic": (40.1, 33.0, 45.1),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_built(name):
    cls = next(cls for cls in (DETR, DETRSegmenter, ResNetBackbone) if name in cls.presets)
    model = cls.from_preset(name, load_weights=False)
    assert model.count_params() == PRESETS[name].num_parameters
    if cls is ResNetBackbone:
        return
    depth = 101 if "101" in name else 50
    if cls is DETR:
        expected = OFFICIAL_PARAMETERS[depth] + 4 * NORM_CHANNELS[depth]
        num_rows, num_classes = 92, 80
    else:
        expected = PANOPTIC_TENSORS[depth]
        num_rows, num_classes = 251, 133
    fewer_rows = num_rows - (num_classes + 1)
    assert model.count_params() == expected - fewer_rows * (HIDDEN_DIM + 1)
    assert model.num_classes == len(model.class_names) == num_classes
    stride = 16 if "dc5" in name else 32
    shape = model.backbone.compute_output_shape((1, 64, 64, 3))
    assert shape == (1, 64 // stride, 64 // stride, 2048)


@pytest.mark.every_backend
def test_the_kept_rows(tiny_preset):
    model = DETR.from_preset("detr_tiny", weights=tiny_preset)
    source = load_file(tiny_preset)
    for name in HEAD:
        source[name] = source[name][[1, 2, 4, 5]]
    assert_equal_but_for(tensors_of(model), source)
    assert model.class_names == ("cat", "dog", "person")
    assert model.bounding_box_format == "xyxy"


@pytest.mark.every_backend
def test_another_number_of_classes(tiny_preset, caplog):
    expected = tensors_of(DETR.from_preset("detr_tiny", weights=tiny_preset))
    with caplog.at_level(logging.INFO, "keras_detr"):
        model = DETR.from_preset(
            "detr_tiny", weights=tiny_preset, num_classes=7, bounding_box_format="rel_xywh"
        )
    (record,) = caplog.records
    assert "class head starts anew" in record.getMessage()
    assert "has 3 classes, the model has 7" in record.getMessage()
    assert_equal_but_for(tensors_of(model), expected, *HEAD)
    assert tensors_of(model)["class_embed.weight"].shape == (8, 32)
    assert tensors_of(model)["class_embed.weight"].std() > 0.01
    assert model.class_names is None
    assert model.bounding_box_format == "rel_xywh"
    assert model.prediction_decoder.bounding_box_format == "rel_xywh"


@pytest.mark.once
@pytest.mark.every_backend
@pytest.mark.parametrize("num_queries", [4, 15])
def test_another_number_of_queries(tiny_preset, num_queries):
    expected = tensors_of(DETR.from_preset("detr_tiny", weights=tiny_preset))
    model = DETR.from_preset("detr_tiny", weights=tiny_preset, num_queries=num_queries)
    actual = tensors_of(model)
    assert_equal_but_for(actual, expected, "query_embed.weight")
    queries = actual["query_embed.weight"]
    assert len(queries) == num_queries
    kept = min(num_queries, 10)
    np.testing.assert_array_equal(queries[:kept], expected["query_embed.weight"][:kept])
    if num_queries > 10:
        assert 0.5 < queries[10:].std() < 2
    inputs = inputs_of(tiny_batch(batch_size=2))
    detections = model.decode_predictions(model(inputs), inputs)
    assert tuple(detections["classes"].shape) == (2, num_queries)


@pytest.mark.every_backend
def test_overrides_of_a_saved_preset(tiny_preset, tmp_path):
    saved = DETR.from_preset("detr_tiny", weights=tiny_preset)
    saved.save_to_preset(tmp_path / "preset")
    expected = tensors_of(saved)
    other = DETR.from_preset(tmp_path / "preset", num_classes=5, num_queries=6)
    assert_equal_but_for(tensors_of(other), expected, *HEAD, "query_embed.weight")
    assert other.prediction_decoder.max_detections == 6
    assert other.class_names is None
    same = DETR.from_preset(tmp_path / "preset", bounding_box_format="yxyx")
    assert_equal_but_for(tensors_of(same), expected)
    assert same.class_names == ("cat", "dog", "person")
    anew = DETR.from_preset(tmp_path / "preset", load_weights=False)
    assert (tensors_of(anew)["input_proj.weight"] != expected["input_proj.weight"]).all()
    with pytest.raises(ValueError, match="not a ResNetBackbone"):
        ResNetBackbone.from_preset(tmp_path / "preset")


@pytest.mark.every_backend
def test_an_unknown_preset():
    cases = ((DETR, "detr_r50"), (SetPredictionDetector, "detr_r50"), (ResNetBackbone, None))
    for cls, meant in cases:
        with pytest.raises(ValueError, match="`preset` must be one of") as raised:
            cls.from_preset("detr_r51")
        assert all(name in str(raised.value) for name in cls.presets)
        suggestion = f" Did you mean {meant!r}?" if meant else ""
        end = f"'detr_r51', and there is no folder there.{suggestion}"
        assert str(raised.value).endswith(end)


@pytest.mark.every_backend
def test_names_of_other_classes_need_their_number(tmp_path):
    tiny_detr(num_classes=4).save_to_preset(tmp_path / "preset")
    for preset, number in (("detr_r50", 80), (tmp_path / "preset", 4)):
        message = f"has 2 names for the preset's {number} classes. Pass `num_classes=2` too"
        with pytest.raises(ValueError, match=message):
            DETR.from_preset(preset, load_weights=False, class_names=["cat", "dog"])


def broken_files(file):
    """Yield what can be wrong with a file, as (content or tensors, part of the message)."""
    tensors = load_file(file)
    content = file.read_bytes()
    lacking = {k: v for k, v in tensors.items() if k != "input_proj.bias"}
    of_resnet = {k.removeprefix("backbone."): v for k, v in tensors.items() if "backbone" in k}
    surplus = {**tensors, "transformer.encoder.layers.1.linear1.bias": np.ones(48, "float32")}
    wide = {**tensors, "input_proj.weight": np.ones((64, 32, 1, 1), "float32")}
    small = {**tensors, **{name: tensors[name][:3] for name in HEAD}}
    large = {**tensors, **{name: np.tile(tensors[name].T, 2).T for name in HEAD}}
    yield lacking, r"not in the checkpoint \(input_proj\.bias\)"
    yield of_resnet, "of another architecture than the model"
    yield surplus, r"not in the model \(transformer\.encoder\.layers\.1\.linear1\.bias\)"
    yield wide, r"input_proj\.weight: \(64, 32, 1, 1\) instead of \(32, 32, 1, 1\)"
    yield small, "has 2 classes, but the model has 3. Pass `num_classes=2`"
    yield large, "has 11 classes, but the model has 3. Pass `num_classes=11`"
    whole = {**tensors, "input_proj.bias": np.ones(32, "int8")}
    yield whole, r"not of real numbers \(input_proj\.bias: int8\)"
    yield content[: len(content) // 2], "broken"
    yield content[:4], "broken"
    yield b"", "broken"


@pytest.mark.every_backend
@pytest.mark.parametrize("index", range(10))
def test_broken_checkpoints_change_nothing(tiny_preset, tmp_path, monkeypatch, index):
    content, message = list(broken_files(tiny_preset))[index]
    file = tmp_path / "broken.safetensors"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        save_file(content, file)
    built = []
    build = DETR.__init__

    def remember(self, *args, **kwargs):
        build(self, *args, **kwargs)
        built.append((self, tensors_of(self)))

    monkeypatch.setattr(DETR, "__init__", remember)
    with pytest.raises(ValueError, match=message) as raised:
        DETR.from_preset("detr_tiny", weights=file)
    assert "broken.safetensors" in str(raised.value)
    for model, before in built:
        assert_equal_but_for(tensors_of(model), before)


@pytest.mark.every_backend
def test_a_fine_tuned_file_keeps_its_own_classes(tiny_preset, tmp_path):
    tensors = load_file(tiny_preset)
    tensors.update({name: tensors[name][:3] for name in HEAD})
    save_file(tensors, tmp_path / "two_classes.safetensors")
    model = DETR.from_preset(
        "detr_tiny", weights=tmp_path / "two_classes.safetensors", num_classes=2
    )
    assert_equal_but_for(tensors_of(model), tensors)


@pytest.mark.every_backend
def test_a_missing_checkpoint(tiny_preset):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint file .*none\.safetensors"):
        DETR.from_preset("detr_tiny", weights=tiny_preset.with_name("none.safetensors"))


def test_the_official_file_is_compared_with_the_hash_in_its_name(tiny_preset, monkeypatch):
    content = tiny_preset.read_bytes()
    name = f"tiny-{hashlib.sha256(content).hexdigest()[:8]}.safetensors"
    preset = dataclasses.replace(
        DETR.presets["detr_tiny"], official_url=f"https://example.org/folder/{name}"
    )
    monkeypatch.setitem(DETR.presets, "detr_tiny", preset)
    official = tiny_preset.with_name(name)
    official.write_bytes(content)
    assert_equal_but_for(
        tensors_of(DETR.from_preset("detr_tiny", weights=official)),
        tensors_of(DETR.from_preset("detr_tiny", weights=tiny_preset)),
    )
    # A flipped bit of a weight, which changes no shape and no dtype.
    damaged = content[:-1] + bytes([content[-1] ^ 1])
    official.write_bytes(damaged)
    with pytest.raises(CorruptedFileError, match=rf"{name}.*starts with .*example\.org.*rename"):
        DETR.from_preset("detr_tiny", weights=official)
    tiny_preset.write_bytes(damaged)
    DETR.from_preset("detr_tiny", weights=tiny_preset)


def test_the_official_file_of_a_backbone(tmp_path):
    path = tmp_path / "resnet50-0676ba61.pth"
    path.write_bytes(b"half of it")
    with pytest.raises(CorruptedFileError, match="should have a SHA-256 that starts with 0676ba61"):
        ResNetBackbone.from_preset("resnet50_imagenet", weights=path)
    with pytest.raises(CorruptedFileError, match="should have a SHA-256 that starts with 0676ba61"):
        DETR.from_preset("resnet50_imagenet", weights=path, num_classes=2)


@pytest.fixture
def fine_tuned(tiny_preset, tmp_path):
    """Give a folder in the Hub's layout, of five classes "a" to "e"."""
    folder = tmp_path / "fine_tuned"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(tiny_preset.read_bytes())
    config = {
        "model_type": "detr",
        "backbone_config": {
            "model_type": "resnet",
            "layer_type": "basic",
            "depths": [1, 1, 1, 1],
            "hidden_sizes": [8, 16, 16, 32],
            "embedding_size": 8,
        },
        "use_timm_backbone": False,
        "id2label": {str(row): label for row, label in enumerate("abcde")},
        "d_model": 32,
        "num_queries": 10,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.every_backend
def test_a_preset_of_the_hub_that_was_fine_tuned(fine_tuned, tiny_preset):
    model = DETR.from_preset(fine_tuned)
    assert model.class_names == tuple("abcde")
    assert_equal_but_for(tensors_of(model), load_file(tiny_preset))
    other = DETR.from_preset(fine_tuned, num_classes=2, class_names=("x", "y"))
    assert_equal_but_for(tensors_of(other), load_file(tiny_preset), *HEAD)
    assert other.class_names == ("x", "y")


def test_names_of_the_hub_that_are_no_names(fine_tuned, caplog):
    path = fine_tuned / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"id2label": dict(enumerate(["a", "a", None, "", "e"]))}))
    model = DETR.from_preset(fine_tuned)
    assert model.class_names == ("a", "a (class 1)", "class 2", "class 3", "e")
    assert caplog.text.count("Class names of") == 1
    assert DETR.from_preset(fine_tuned, class_names=list("vwxyz"))
    with pytest.raises(ValueError, match="`class_names` must be a list"):
        DETR.from_preset(fine_tuned, class_names="vwxyz")


def test_sizes_of_raw_images_travel_with_the_model(fine_tuned, tmp_path, caplog):
    def sizes(source, **arguments):
        return DETR.from_preset(source, load_weights=False, **arguments).preprocessor_sizes

    file = fine_tuned / "preprocessor_config.json"
    file.write_text(json.dumps({"size": {"shortest_edge": 480, "longest_edge": 640}}))
    assert sizes(fine_tuned) == (480, 640)
    assert sizes(fine_tuned, preprocessor_sizes=(64, None)) == (64, None)
    DETR.from_preset(fine_tuned).save_to_preset(tmp_path / "saved")
    assert sizes(tmp_path / "saved") == (480, 640)
    assert sizes(tmp_path / "saved", num_classes=2) == (480, 640)
    assert sizes(tmp_path / "saved", preprocessor_sizes=(64, 96)) == (64, 96)
    assert caplog.records == []
    file.write_text(json.dumps({"size": {"height": 640, "width": 640}}))
    assert sizes(fine_tuned) == (800, 1333)
    (record,) = caplog.records
    assert "'shortest_edge'" in record.getMessage()


def test_a_backbone_from_a_file_of_torchvision(tmp_path):
    names = torchvision_resnet(*RESNET50, counters=True)
    shapes = {
        name: entry.torch_shape for name, entry in ResNetBackbone(50).checkpoint_variables().items()
    }
    assert set(names) - set(shapes) == {n for n in names if n.endswith("num_batches_tracked")}
    tensors = random_tensors(shapes)
    classifier = {
        "fc.weight": np.ones((1000, 2048), "float32"),
        "fc.bias": np.ones(1000, "float32"),
    }
    counters = {name: np.zeros((), "int64") for name in set(names) - set(shapes)}
    save_file({**tensors, **classifier, **counters}, tmp_path / "resnet50.safetensors")
    weights = tmp_path / "resnet50.safetensors"
    backbone = ResNetBackbone.from_preset("resnet50_imagenet", weights=weights)
    assert_equal_but_for(tensors_of(backbone), tensors)
    detector = DETR.from_preset(
        "resnet50_imagenet", weights=weights, num_classes=2, hidden_dim=32, num_encoder_layers=1
    )
    assert_equal_but_for(tensors_of(detector.backbone), tensors)
    assert detector.num_classes == 2
    with pytest.raises(ValueError, match="`num_classes` is missing"):
        DETR.from_preset("resnet50_imagenet", weights=weights)


@pytest.mark.every_backend
def test_prediction_after_loading_is_that_of_the_file(tiny_preset, tmp_path):
    model = DETR.from_preset("detr_tiny", weights=tiny_preset)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    inputs = inputs_of(tiny_batch(batch_size=2))
    expected = outputs_of(model, inputs)
    for name, value in outputs_of(again, inputs).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.once
def test_presets_read_like_those_of_keras_hub():
    keras_hub = pytest.importorskip("keras_hub", reason="keras_hub isn't installed")
    of_peer = next(iter(keras_hub.models.RetinaNetObjectDetector.presets.values()))
    for name, preset in PRESETS.items():
        assert set(preset["metadata"]) == set(of_peer["metadata"])
        assert {type(preset["metadata"][key]) for key in preset["metadata"]} == {str, int}
        assert preset["metadata"]["params"] == preset.num_parameters
        assert preset["hf_handle"] == f"hf://{REPOSITORIES[name]}"
        assert len(preset) == len({**preset}) == 2
    with pytest.raises(KeyError):
        preset["license"]
