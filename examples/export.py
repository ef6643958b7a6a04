"""Export a detector for runtimes without Keras, and compare its detections with Keras' own.

    python examples/export.py --model detr_r50 --format onnx --output detr_r50.onnx
    python examples/export.py --model my_model.keras --format litert --image photo.jpg

`--model` is a preset, a folder from `save_to_preset`, hf://owner/name, or a .keras file; `--format`
is tf_saved_model, onnx or litert. The file includes resizing and decoding, and takes raw images of
any size in batches of any size. A new process without keras_detr then reads the file as you would
(`READERS` below shows the code), and its detections and times are compared with those of Keras.
"""

import argparse
import os

# The formats are written by TensorFlow.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from keras_detr.inference import read_image

# This import registers all detectors, before a .keras file is read.
from keras_detr.models import ObjectDetector

SUFFIXES = {"tf_saved_model": "", "onnx": ".onnx", "litert": ".tflite"}

# Code that opens a file at `path` and defines `detect`, from images to a dict of arrays.
READERS = {
    "tf_saved_model": """
import tensorflow as tf
program = tf.saved_model.load(path)
detect = program.serve
""",
    "onnx": """
import onnxruntime
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
detect = lambda images: dict(zip(names, session.run(None, {"images": images})))
""",
    "litert": """
import os
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(path, num_threads=os.cpu_count())
program = interpreter.get_signature_runner()
detect = lambda images: program(images=images)
""",
}

# Runs a file on all batches, and writes detections and seconds, without the first call.
NEW_PROCESS = """
import sys, time
import numpy as np
path, batches, found = sys.argv[1:]
{reader}
results = {{}}
with np.load(batches) as batches:
    for batch, images in batches.items():
        seconds = []
        for _ in range({repeats} + 1):
            start = time.perf_counter()
            detections = {{name: np.array(value) for name, value in detect(images).items()}}
            seconds.append(time.perf_counter() - start)
        results.update({{f"{{batch}}/{{name}}": value for name, value in detections.items()}})
        results[f"{{batch}}/seconds"] = min(seconds[1:])
np.savez(found, **results)
assert "keras_detr" not in sys.modules
"""

# The largest difference allowed, of confidences and of boxes as a share of the long side.
TOLERANCE = 1e-3


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", default="detr_r50", help="a preset, a saved folder, hf://owner/name, or a .keras"
    )
    parser.add_argument("--weights", default=None, help="a file with official or Hub names")
    parser.add_argument("--format", default="tf_saved_model", choices=sorted(SUFFIXES))
    parser.add_argument("--output", type=Path, default=None, help="default: named after the model")
    parser.add_argument("--image", type=Path, default=None, help="to check with; default: noise")
    parser.add_argument("--repeats", type=int, default=3, help="calls that are timed")
    arguments = parser.parse_args()
    if arguments.output is None:
        name = Path(arguments.model).stem + SUFFIXES[arguments.format]
        arguments.output = Path(name if SUFFIXES[arguments.format] else f"{name}_saved_model")
    return arguments


def load(model, weights):
    """Return the detector."""
    if not model.endswith(".keras"):
        return ObjectDetector.from_preset(model, weights=weights)
    if weights is not None:
        sys.exit("--weights goes with presets: a .keras file has its own")
    return keras.saving.load_model(model, compile=False)


def batches_to_check(path):
    """Return batches of two sizes: one image, and three of half its size."""
    if path is None:
        image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), "uint8")
    else:
        image = read_image(path)
    half = image[::2, ::2]
    return {"one": image[None], "three": np.stack([half, half[::-1], half[:, ::-1]])}


def timed(function, repeats):
    """Return a function's result, and its least seconds after the first call."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds[1:])


def detect_in_new_process(path, format, batches, repeats):
    """Return the detections and seconds of a new process, by batch."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "batches.npz", **batches)
        found = Path(folder) / "found.npz"
        program = NEW_PROCESS.format(reader=READERS[format], repeats=repeats)
        command = [sys.executable, "-c", program, path.resolve(), f"{folder}/batches.npz", found]
        run = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"The exported file can't be run:\n{run.stderr}")
        results = dict(np.load(found))
    split = [(*key.split("/"), value) for key, value in results.items()]
    return {batch: {name: value for b, name, value in split if b == batch} for batch in batches}


def differences(found, wanted, scale):
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
    return largest, np.abs(found["confidence"] - wanted["confidence"]).max()


def size_of(path):
    """Return the bytes of a file or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def main():
    arguments = parse_arguments()
    try:
        model = load(arguments.model, arguments.weights)
        start = time.perf_counter()
        model.export(arguments.output, format=arguments.format, verbose=False)
    except (ValueError, FileNotFoundError, ImportError) as error:
        sys.exit(str(error))
    seconds = time.perf_counter() - start
    size = size_of(arguments.output) / 1e6
    print(f"{arguments.output}: {size:.1f} MB, written in {seconds:.0f} s", flush=True)

    batches = batches_to_check(arguments.image)
    found = detect_in_new_process(
        arguments.output, arguments.format, batches, repeats=arguments.repeats
    )
    is_same = True
    for batch, images in batches.items():
        wanted, own_seconds = timed(
            lambda images=images: model.predict(list(images), batch_size=1), arguments.repeats
        )
        is_relative = model.bounding_box_format.startswith("rel_")
        scale = 1.0 if is_relative else max(images.shape[1:3])
        boxes, confidence = differences(found[batch], wanted, scale)
        is_same = is_same and max(boxes, confidence) <= TOLERANCE
        count, height, width, _ = images.shape
        print(
            f"{count} of {height}x{width}: boxes differ by {boxes:.1e} of the long side at most, "
            f"confidence by {confidence:.1e}; {float(found[batch]['seconds']):.2f} s, "
            f"Keras {own_seconds:.2f} s",
            flush=True,
        )
    if not is_same:
        sys.exit(f"The exported file differs from the model by more than {TOLERANCE}.")


if __name__ == "__main__":
    main()
