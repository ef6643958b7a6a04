"""Run an exported file in a process of its own, which has neither keras_detr nor Keras.

    python run_exported.py FORMAT PATH IMAGES.npz REPEATS FOUND.npz

It is run as a script by `keras_detr.export.compare_export`, and shows how each format is read.
"""

import os
import sys
import time

import numpy as np


def open_saved_model(path):
    """Return a function from images to a dict of arrays."""
    import tensorflow as tf

    program = tf.saved_model.load(path)
    # The program lives as long as what it was loaded from.
    return lambda images, owner=program: owner.serve(images)


def open_onnx(path):
    """Return a function from images to a dict of arrays."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(None, {"images": images}), strict=True))


def open_litert(path):
    """Return a function from images to a dict of arrays."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=os.cpu_count())
    program = interpreter.get_signature_runner()
    return lambda images, owner=interpreter: program(images=images)


OPENERS = {"tf_saved_model": open_saved_model, "onnx": open_onnx, "litert": open_litert}


def main(format, path, images_path, repeats, found_path):
    """Detect objects in all batches of a file, and write them with the least seconds of a call."""
    run = OPENERS[format](path)
    found = {}
    with np.load(images_path) as batches:
        for batch, images in batches.items():
            seconds = []
            # The first call prepares the program, and isn't timed.
            for _ in range(int(repeats) + 1):
                start = time.perf_counter()
                detections = {name: np.array(value) for name, value in run(images).items()}
                seconds.append(time.perf_counter() - start)
            found.update({f"{batch}/{name}": value for name, value in detections.items()})
            found[f"{batch}/seconds"] = min(seconds[1:])
    np.savez(found_path, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
