"""Compare an exported file with the model that it was made of."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from keras_detr.export.formats import FORMATS
from keras_detr.ops.boxes import BOX_FORMATS
from keras_detr.ops.installed_packages import is_installed
from keras_detr.ops.printable_text import counted

# The largest difference allowed, of confidences and of boxes as a share of the long side.
TOLERANCE = 1e-3
_SCRIPT = pathlib.Path(__file__).with_name("run_exported.py")
_RUNTIMES = {"tf_saved_model": "tensorflow", "onnx": "onnxruntime", "litert": "ai_edge_litert"}
_NOISE_SIZE = (480, 640)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportComparison:
    """Hold how an exported file differs from its model on a batch of images.

    Attributes:
        images_shape: tuple, (batch, height, width, 3).
        box_difference: float, the largest of a coordinate, as a share of the image's long side.
        confidence_difference: float, the largest.
        seconds: float, the least time of a call of the exported file.
        model_seconds: float, that of the model's `predict`.

    Example:
        ```python
        from keras_detr.export import ExportComparison

        comparison = ExportComparison(
            images_shape=(1, 480, 640, 3),
            box_difference=2e-6,
            confidence_difference=1e-6,
            seconds=0.21,
            model_seconds=0.25,
        )
        print(comparison, comparison.is_same)
        ```
    """

    images_shape: tuple[int, ...]
    box_difference: float
    confidence_difference: float
    seconds: float
    model_seconds: float

    @property
    def is_same(self) -> bool:
        """bool, whether both find the same, within a thousandth."""
        return max(self.box_difference, self.confidence_difference) <= TOLERANCE

    def __str__(self) -> str:
        count, height, width, _ = self.images_shape
        return (
            f"{counted(count, 'image')}, {height} pixels high and {width} wide: boxes differ by "
            f"{self.box_difference:.1e} of the long side at most, confidence by "
            f"{self.confidence_difference:.1e}; {self.seconds:.2f} s, Keras "
            f"{self.model_seconds:.2f} s"
        )


def compare_export(
    model: Any,
    filepath: str | os.PathLike[str],
    format: str = "tf_saved_model",
    *,
    image: Any = None,
    num_calls: int = 3,
) -> list[ExportComparison]:
    """Run an exported file in a new process, and compare its detections with the model's.

    The new process has neither keras_detr nor Keras. It detects objects in one image, and in a
    batch of three of half that size.

    Args:
        model: the detector that was exported, with `input_dtype="uint8"`.
        filepath: str or path of what `model.export` wrote.
        format: str, "tf_saved_model", "onnx" or "litert".
        image: uint8 (height, width, 3), RGB, or a `PIL.Image.Image` of such pixels; or `None` for
            noise of 480x640.
        num_calls: int, how many calls are timed.

    Returns:
        list of two `ExportComparison`, for one image and for three.

    Raises:
        FileNotFoundError: there is nothing at `filepath`.
        ImportError: the package that runs this format isn't installed.
        ValueError: `format` is unknown, or the file can't be run; the message holds the error.

    Example:
        <!-- not run: exporting takes too long for an example -->
        ```python
        from keras_detr.export import compare_export

        model.export("detector.onnx", format="onnx")
        for comparison in compare_export(model, "detector.onnx", "onnx"):
            print(comparison, comparison.is_same)
        ```
    """
    path = pathlib.Path(filepath).resolve()
    _check(path, format)
    batches = _batches(None if image is None else np.asarray(image))
    found = _run_in_new_process(path, format, batches, num_calls)
    comparisons = []
    for name, images in batches.items():
        wanted, seconds = _timed_prediction(model, images, num_calls)
        is_relative = BOX_FORMATS[model.bounding_box_format].is_relative
        scale = 1.0 if is_relative else max(images.shape[1:3])
        boxes, confidence = _differences(found[name], wanted, scale)
        comparisons.append(
            ExportComparison(
                images_shape=images.shape,
                box_difference=boxes,
                confidence_difference=confidence,
                seconds=float(found[name]["seconds"]),
                model_seconds=seconds,
            )
        )
    return comparisons


def _check(path, format):
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {list(FORMATS)}. Received: {format!r}.")
    if not path.exists():
        raise FileNotFoundError(f"`filepath`: there is no {str(path)!r}.")
    package = _RUNTIMES[format]
    if not is_installed(package):
        raise ImportError(
            f"`format` {format!r} is run by {package}, which isn't installed: "
            '`pip install "keras_detr[export]"`.'
        )


def _batches(image):
    """Return batches of two sizes by name."""
    if image is None:
        image = np.random.default_rng(0).integers(0, 256, (*_NOISE_SIZE, 3), "uint8")
    half = image[::2, ::2]
    return {"one": image[None], "three": np.stack([half, half[::-1], half[:, ::-1]])}


def _run_in_new_process(path, format, batches, num_calls):
    """Return what the file finds, and its seconds, in a dict for each batch."""
    with tempfile.TemporaryDirectory() as folder:
        images, found = (pathlib.Path(folder) / f"{name}.npz" for name in ("images", "found"))
        np.savez(images, **batches)
        # -P: the script's own folder, with modules of keras_detr, is none to import from.
        command = [sys.executable, "-P", _SCRIPT, format, path, images, num_calls, found]
        process = subprocess.run(
            [*map(str, command)], cwd=folder, capture_output=True, text=True, check=False
        )
        if process.returncode:
            raise ValueError(
                f"`filepath`: {str(path)!r} can't be run as {format!r}:\n{process.stderr.strip()}"
            )
        with np.load(found) as results:
            split = [(*key.split("/"), value) for key, value in results.items()]
    return {name: {key: value for batch, key, value in split if batch == name} for name in batches}


def _timed_prediction(model, images, num_calls):
    """Return a model's detections, and the least seconds after the first call."""
    seconds = []
    for _ in range(num_calls + 1):
        start = time.perf_counter()
        found = model.predict(list(images), batch_size=1, verbose=0)
        seconds.append(time.perf_counter() - start)
    return found, min(seconds[1:])


def _differences(found, wanted, scale):
    """Return the largest differences of boxes and confidences.

    Detections of equal confidence may be in another order, so each box is compared with the nearest
    one of its class.
    """
    largest = 0.0
    for boxes, classes, others, other_classes in zip(
        found["boxes"], found["classes"], wanted["boxes"], wanted["classes"], strict=True
    ):
        distances = np.abs(boxes[:, None] - others).max(axis=-1) / scale
        distances[classes[:, None] != other_classes] = np.inf
        largest = max(largest, distances.min(axis=1).max())
    return float(largest), float(np.abs(found["confidence"] - wanted["confidence"]).max())
