"""Export a detector for runtimes without Keras, and compare its detections with Keras' own.

    python examples/export.py detr_r50 --format onnx
    python examples/export.py my_model.keras --format litert --image photo.jpg

The file includes resizing and decoding, and takes raw images of any size in batches of any size. A
new process without keras_detr then runs it (keras_detr/export/run_exported.py is short, and shows
how), and its detections and times are compared with those of Keras. Copy it and change it;
`keras-detr export --check` does the same, without changes.
"""

import argparse
import os
import pathlib
import time

os.environ["KERAS_BACKEND"] = "tensorflow"  # It writes the files.

import keras_detr
from keras_detr.export import compare_export
from keras_detr.inference import read_image

SUFFIXES = {"tf_saved_model": "_saved_model", "onnx": ".onnx", "litert": ".tflite"}


def parse_arguments():
    parser = argparse.ArgumentParser(description="Export a detector, and check the file.")
    parser.add_argument("model", help="a preset, folder, hf://owner/name or .keras file")
    parser.add_argument("--format", choices=SUFFIXES, default="tf_saved_model")
    parser.add_argument("--output", help="default: named after the model")
    parser.add_argument("--image", help="to compare on; default: noise")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    image = None if arguments.image is None else read_image(arguments.image)
    model = keras_detr.load(arguments.model)
    name = pathlib.Path(arguments.model).stem + SUFFIXES[arguments.format]
    path = pathlib.Path(arguments.output or name)
    start = time.perf_counter()
    model.export(path, format=arguments.format, verbose=False)
    seconds = time.perf_counter() - start
    size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
    print(f"{path}: {size / 1e6:.1f} MB, written in {seconds:.0f} s", flush=True)

    comparisons = compare_export(model, path, arguments.format, image=image)
    print(*comparisons, sep="\n")
    if not all(comparison.is_same for comparison in comparisons):
        raise SystemExit("The exported file differs from the model.")


if __name__ == "__main__":
    main()
