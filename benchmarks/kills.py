"""Kill processes while they save, at random moments, and count what is left.

    python benchmarks/kills.py
    python benchmarks/kills.py --kills 10 --writers model weights preset

For each kill a process saves two models over each other until it is killed as by a power cut. What
is there then holds the model before, or the one that was being saved; if it doesn't load, or is of
both, it is broken. The last column counts what lies beside it after one more save, which removes
what killed ones have left. The writers "saved_model", "onnx" and "litert" need the TensorFlow
backend.
"""

import argparse
import functools
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_detr.models import DETR, ResNetBackbone

# What each of the two models is made of: its weights and the name of its class.
MARKS = (0.01, 0.02)
IMAGE = np.zeros((1, 64, 64, 3), "uint8")


@functools.cache
def build(mark):
    backbone = ResNetBackbone(18, stackwise_num_filters=(16, 32, 64, 128), name="resnet")
    model = DETR(
        backbone,
        num_classes=1,
        bounding_box_format="xyxy",
        num_encoder_layers=1,
        num_decoder_layers=1,
        class_names=[str(mark)],
        preprocessor_sizes=(64, 64),
    )
    model(IMAGE)
    for variable in model.weights:
        if "float" in variable.dtype:
            variable.assign(np.full(variable.shape, mark, "float32"))
    return model


def marks_of_model(model, are_names_saved=True):
    """Return the marks that a model's weights and names bear: one, if it is whole."""
    marks = set(model.class_names) if are_names_saved else set()
    for variable in model.weights:
        if "float" in variable.dtype:
            values = np.unique(keras.ops.convert_to_numpy(variable))
            marks |= {str(round(float(value), 4)) for value in values}
    return marks


def marks_of_weights(path):
    model = build(0.0)
    model.load_weights(path)
    return marks_of_model(model, are_names_saved=False)


def marks_of_saved_model(path):
    import tensorflow as tf

    program = tf.saved_model.load(str(path))
    program.serve(IMAGE)
    return {name.decode() for name in program.class_names()["class_names"].numpy()}


def marks_of_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    session.run(None, {"images": IMAGE})
    return set(json.loads(session.get_modelmeta().custom_metadata_map["class_names"]))


def marks_of_litert(path):
    from ai_edge_litert.interpreter import Interpreter

    Interpreter(str(path)).get_signature_runner()(images=IMAGE)
    with zipfile.ZipFile(path) as archive:
        return set(json.loads(archive.read("class_names.json")))


def export(format):
    return lambda model, path: model.export(path, format=format, verbose=False)


# Of each writer: the name it writes to, how it writes, and what it has written.
WRITERS = {
    "model": (
        "model.keras",
        lambda model, path: model.save(path),
        lambda path: marks_of_model(keras.saving.load_model(path, compile=False)),
    ),
    "weights": (
        "model.weights.h5",
        lambda model, path: model.save_weights(path),
        marks_of_weights,
    ),
    "preset": (
        "preset",
        lambda model, path: model.save_to_preset(path),
        lambda path: marks_of_model(DETR.from_preset(path)),
    ),
    "saved_model": ("exported", export("tf_saved_model"), marks_of_saved_model),
    "onnx": ("exported.onnx", export("onnx"), marks_of_onnx),
    "litert": ("exported.tflite", export("litert"), marks_of_litert),
}


def save_until_killed(writer, path, speaker):
    """Save the two models in turns, and say before each which one it is."""
    while True:
        for mark in MARKS:
            model = build(mark)
            speaker.send(str(mark))
            WRITERS[writer][1](model, path)


def kill_one(writer, path, seconds):
    """Kill a process that saves at a random moment.

    Args:
        writer: str, one of `WRITERS`.
        path: path that it writes to.
        seconds: float, how long a save takes about.

    Returns:
        str, the mark of the model that was being saved.
    """
    # A copy of a process that has imported all and run nothing: such a one is there at once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "keras_detr.export"])
    listener, speaker = context.Pipe(duplex=False)
    process = context.Process(target=save_until_killed, args=(writer, path, speaker))
    process.start()
    # The first save of a process takes longer than others.
    for _ in range(2):
        mark = listener.recv()
    time.sleep(random.uniform(0, 2 * seconds))
    process.kill()
    process.join()
    while listener.poll():
        mark = listener.recv()
    return mark


def count(writer, kills):
    """Return how often the old model, the new one, or none was left, and what lies beside it."""
    name, save, marks_of = WRITERS[writer]
    counts = {"old": 0, "new": 0, "broken": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        model = build(MARKS[0])
        save(model, path)
        start = time.perf_counter()
        save(model, path)
        seconds = time.perf_counter() - start
        for _ in range(kills):
            new = kill_one(writer, path, seconds)
            try:
                marks = marks_of(path)
            except Exception as error:
                marks = set()
                print(f"{writer}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
            is_whole = len(marks) == 1
            counts["broken" if not is_whole else "new" if marks == {new} else "old"] += 1
            if not is_whole:
                remove(path)
                save(model, path)
        save(model, path)
        left = len(os.listdir(folder)) - 1
        if writer == "preset":
            left += len(os.listdir(path)) - 2
    return [*counts.values(), left]


def remove(path):
    if path.is_file():
        path.unlink()
    elif path.is_dir():
        path.rename(path.with_name("broken"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--writers", nargs="+", choices=WRITERS, default=["model", "weights"])
    arguments = parser.parse_args()
    print(f"{'writer':12} {'old':>6} {'new':>6} {'broken':>6} {'left':>6}")
    for writer in arguments.writers:
        row = " ".join(f"{number:6}" for number in count(writer, arguments.kills))
        print(f"{writer:12} {row}", flush=True)


if __name__ == "__main__":
    main()
