"""What can't be exported: the error says why, and nothing is written or lost."""

import importlib.util
import re

import keras
import pytest
from keras import ops

from keras_detr.export.formats import Format
from keras_detr.ops.backends import can_trace_for_tensorflow
from tests.models.detectors import tiny_deformable_detr, tiny_detr

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="exporting needs the backend tensorflow"
)


@keras.saving.register_keras_serializable("tests")
class InverseErrorFunction(keras.layers.Layer):
    """Compute what neither ONNX nor LiteRT has an operation for."""

    def call(self, inputs):
        return inputs + ops.erfinv(ops.tanh(inputs))


def backbone_of_rare_operations():
    images = keras.Input((None, None, 3), name="images")
    features = keras.layers.Conv2D(32, 32, strides=32, name="patches")(images)
    features = InverseErrorFunction(name="rare")(features)
    backbone = keras.Model(images, features, name="rare_backbone")
    backbone.pyramid_level_inputs = {"P5": "rare"}
    return backbone


@pytest.fixture(scope="module")
def detector():
    return tiny_detr()


@pytest.mark.every_backend
def test_other_backends_are_sent_to_tensorflow(detector, tmp_path, monkeypatch):
    if can_trace_for_tensorflow():
        monkeypatch.setattr("keras_detr.export.formats.can_trace_for_tensorflow", lambda: False)
    for name, format in (("folder", "tf_saved_model"), ("a.onnx", "onnx"), ("a.tflite", "litert")):
        with pytest.raises(NotImplementedError, match="KERAS_BACKEND=tensorflow"):
            detector.export(tmp_path / name, format=format)
    assert list(tmp_path.iterdir()) == []


@needs_tensorflow
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("a.onnx", {"format": "ONNX"}, r"`format` must be one of .*'tf_saved_model', 'onnx'"),
        ("a.onnx", {"format": "onnx", "input_dtype": "int32"}, "`input_dtype` must be one of"),
        ("a", {"format": "onnx"}, r"`filepath` must be a file's name ending in '\.onnx'"),
        ("a.onnx", {"format": "litert"}, r"`filepath` must be a file's name ending in '\.tflite'"),
        ("a.onnx", {}, "`filepath` must be a folder's name for 'tf_saved_model'"),
        ("taken/file", {}, "`filepath` must name a new place"),
        ("taken", {}, "`filepath` must name a new place"),
        ("folder.onnx", {"format": "onnx"}, "`filepath` must name a new place"),
    ],
)
def test_arguments(detector, tmp_path, name, arguments, message):
    for folder in ("taken", "folder.onnx"):
        (tmp_path / folder).mkdir()
    (tmp_path / "taken" / "file").write_text("of somebody's")
    with pytest.raises(ValueError, match=message):
        detector.export(tmp_path / name, **arguments)
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["file", "folder.onnx", "taken"]
    assert (tmp_path / "taken" / "file").read_text() == "of somebody's"


@needs_tensorflow
@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_half_precision(tmp_path, format):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny_deformable_detr()
    finally:
        keras.config.set_dtype_policy(before)
    suffix = {"onnx": ".onnx", "litert": ".tflite"}[format]
    with pytest.raises(ValueError, match=r"float32 only, and the model computes in \['bfloat16'\]"):
        model.export(tmp_path / f"a{suffix}", format=format)


@needs_tensorflow
def test_a_missing_package(detector, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else find_spec(name)
    )
    with pytest.raises(ImportError, match=re.escape('`pip install "keras_detr[export]"`')):
        detector.export(tmp_path / "a.onnx", format="onnx")


@needs_tensorflow
def test_an_interrupted_export_leaves_the_earlier_one(detector, tmp_path, monkeypatch):
    def write_half(model, path, input_dtype):
        path.write_text("half of an ex")
        raise KeyboardInterrupt

    formats = {"onnx": Format(write_half, ".onnx")}
    monkeypatch.setattr("keras_detr.export.formats.FORMATS", formats)
    path = tmp_path / "a.onnx"
    path.write_text("an earlier export")
    with pytest.raises(KeyboardInterrupt):
        detector.export(path, format="onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "an earlier export"


@needs_tensorflow
@pytest.mark.slow
@pytest.mark.parametrize(("format", "suffix"), [("onnx", ".onnx"), ("litert", ".tflite")])
def test_operations_that_a_format_lacks(tmp_path, format, suffix):
    if format == "onnx":
        pytest.importorskip("onnx", reason="onnx isn't installed")
        pytest.importorskip("tf2onnx", reason="tf2onnx isn't installed")
    model = tiny_detr(backbone=backbone_of_rare_operations(), num_decoder_layers=1)
    path = tmp_path / f"a{suffix}"
    path.write_text("an earlier export")
    with pytest.raises(ValueError, match=rf"(?s)`format` '{format}' can't hold .*Erfinv"):
        model.export(path, format=format)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "an earlier export"
