"""What can't be exported: the error says why, and nothing is written or lost."""

import importlib.util
import os
import re
import shutil

import keras
import pytest
from keras import ops

from keras_detr.export.formats import Format
from keras_detr.ops.backends.interface import Backend
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


# What makes a file an export for who looks at it only.
EARLIER = b"... bounding_box_format ... of an earlier export"


def write_folder(model, folder, input_dtype):
    """Write what looks like a SavedModel."""
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_bytes(EARLIER + input_dtype.encode())
    for name in ("fingerprint.pb", "variables/variables.index"):
        (folder / name).write_text("")
    (folder / "variables" / "variables.data-00000-of-00001").write_text("")


@pytest.fixture
def quick_export(detector, tmp_path, monkeypatch):
    """Return a function that exports to one folder, by a writer that takes no time."""
    formats = {"tf_saved_model": Format(write_folder, "")}
    monkeypatch.setattr("keras_detr.export.formats.FORMATS", formats)
    return lambda input_dtype="uint8": detector.export(
        tmp_path / "folder", input_dtype=input_dtype, verbose=False
    )


def content_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.every_backend
def test_other_backends_are_sent_to_tensorflow(detector, tmp_path, monkeypatch):
    if keras.backend.backend() == "tensorflow":
        monkeypatch.setattr("keras_detr.export.formats.current", Backend)
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
def test_an_export_replaces_an_earlier_one(quick_export, tmp_path):
    quick_export("uint8")
    quick_export("float32")
    assert (tmp_path / "folder" / "saved_model.pb").read_bytes() == EARLIER + b"float32"
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


@needs_tensorflow
@pytest.mark.parametrize(
    "name", ["notes.txt", "assets/labels.txt", "variables/variables.txt", "assets.extra", "1/a"]
)
def test_what_a_user_put_into_an_export_is_not_lost(quick_export, tmp_path, name):
    quick_export()
    (tmp_path / "folder" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "folder" / name).write_text("mine")
    before = content_of(tmp_path)
    with pytest.raises(ValueError, match=rf"no export has written: .*'{name}'\. Export to another"):
        quick_export("float32")
    assert content_of(tmp_path) == before


@needs_tensorflow
def test_the_saved_model_of_another_tool_is_not_lost(quick_export, tmp_path):
    quick_export()
    (tmp_path / "folder" / "saved_model.pb").write_text("a program without boxes")
    before = content_of(tmp_path)
    with pytest.raises(ValueError, match=r"'saved_model\.pb'.*, \.\.\.\. Export to another"):
        quick_export()
    assert content_of(tmp_path) == before


@needs_tensorflow
@pytest.mark.parametrize("failing", [1, 2])
def test_a_failing_move_brings_the_earlier_export_back(
    quick_export, tmp_path, monkeypatch, failing
):
    quick_export()
    before = content_of(tmp_path)
    replace, moves = os.replace, []

    def fail_once(*paths):
        moves.append(paths)
        if len(moves) == failing:
            raise PermissionError(13, "Permission denied")
        replace(*paths)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(PermissionError, match=r"denied\. It isn't written; what was .*folder'"):
        quick_export("float32")
    assert content_of(tmp_path) == before


@needs_tensorflow
def test_a_full_disk(detector, tmp_path, monkeypatch):
    import tensorflow as tf

    class Archive:
        def add_endpoint(self, *_, **__):
            pass

        def write_out(self, *_, **__):
            raise tf.errors.ResourceExhaustedError(None, None, "variables; No space left on device")

    monkeypatch.setattr(keras.export, "ExportArchive", Archive)
    with pytest.raises(OSError, match=r"No space left on device\. It isn't written; .*detector'"):
        detector.export(tmp_path / "detector")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"device: 0\.\d MB are needed, and 0\.0 MB are free"):
        detector.export(tmp_path / "detector")
    assert list(tmp_path.iterdir()) == []


@needs_tensorflow
@pytest.mark.parametrize(("format", "suffix"), [("onnx", ".onnx"), ("litert", ".tflite")])
def test_a_file_of_another_tool_is_not_replaced(detector, tmp_path, monkeypatch, format, suffix):
    path = tmp_path / f"a{suffix}"

    def write(model, path, input_dtype):
        path.write_bytes(EARLIER)

    monkeypatch.setattr("keras_detr.export.formats.FORMATS", {format: Format(write, suffix)})
    path.write_text("a classifier")
    with pytest.raises(ValueError, match=rf"no export has written: 'a{suffix}'"):
        detector.export(path, format=format)
    assert path.read_text() == "a classifier"
    # Nothing is lost with an empty file, which tools make to have its name.
    for content in (b"", EARLIER):
        path.write_bytes(content)
        detector.export(path, format=format, verbose=False)
        assert path.read_bytes() == EARLIER


@needs_tensorflow
def test_an_interrupted_export_leaves_the_earlier_one(detector, tmp_path, monkeypatch):
    def write_half(model, path, input_dtype):
        path.write_text("half of an ex")
        raise KeyboardInterrupt

    formats = {"onnx": Format(write_half, ".onnx")}
    monkeypatch.setattr("keras_detr.export.formats.FORMATS", formats)
    path = tmp_path / "a.onnx"
    path.write_bytes(EARLIER)
    with pytest.raises(KeyboardInterrupt):
        detector.export(path, format="onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == EARLIER


@needs_tensorflow
@pytest.mark.slow
@pytest.mark.parametrize(("format", "suffix"), [("onnx", ".onnx"), ("litert", ".tflite")])
def test_operations_that_a_format_lacks(tmp_path, format, suffix):
    if format == "onnx":
        pytest.importorskip("onnx", reason="onnx isn't installed")
        pytest.importorskip("tf2onnx", reason="tf2onnx isn't installed")
    model = tiny_detr(backbone=backbone_of_rare_operations(), num_decoder_layers=1)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(EARLIER)
    with pytest.raises(ValueError, match=rf"(?s)`format` '{format}' can't hold .*Erfinv"):
        model.export(path, format=format)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == EARLIER
