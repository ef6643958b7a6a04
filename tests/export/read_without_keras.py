"""Read exported files as a process that has neither keras_detr nor Keras.

    python tests/export/read_without_keras.py tasks.json

The tasks are dicts of "format", "path", "images" (.npz with one batch an entry) and "found", where
to write what was found: "<batch>/<output>" an entry, names of classes, and the boxes' format.
"""

import importlib.machinery
import json
import sys
import zipfile

import numpy as np


class Absent:
    """Hide packages from every import."""

    packages = ("keras_detr", "keras", "keras_cv")

    def find_spec(self, name, path=None, target=None):
        """Take over what is hidden; TensorFlow asks where Keras is, without importing it."""
        if name.split(".")[0] in self.packages:
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        """Refuse to import."""
        raise ModuleNotFoundError(f"{spec.name} is hidden", name=spec.name)

    def exec_module(self, module):
        """Do nothing: no module is ever made."""


def open_saved_model(path):
    """Return the program, the names of classes, the boxes' format, and what must stay alive."""
    import tensorflow as tf

    program = tf.saved_model.load(path)
    names = [name.decode() for name in program.class_names()["class_names"].numpy()]
    box_format = program.bounding_box_format()["bounding_box_format"].numpy().decode()
    return program.serve, names, box_format, program


def open_onnx(path):
    """Return the program, the names of classes, the boxes' format, and what must stay alive."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    metadata = session.get_modelmeta().custom_metadata_map

    def run(images):
        return dict(zip(outputs, session.run(None, {"images": images}), strict=True))

    names, box_format = (
        json.loads(metadata[key]) for key in ("class_names", "bounding_box_format")
    )
    return run, names, box_format, session


def open_litert(path):
    """Return the program, the names of classes, the boxes' format, and what must stay alive."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path)
    archive = zipfile.ZipFile(path)
    names = json.loads(archive.read("class_names.json"))
    box_format = json.loads(archive.read("bounding_box_format.json"))
    program = interpreter.get_signature_runner()
    return lambda images: program(images=images), names, box_format, interpreter


OPENERS = {"tf_saved_model": open_saved_model, "onnx": open_onnx, "litert": open_litert}


def main():
    sys.meta_path.insert(0, Absent())
    with open(sys.argv[1], encoding="utf-8") as file:
        tasks = json.load(file)
    for task in tasks:
        run, names, box_format, _owner = OPENERS[task["format"]](task["path"])
        found = {"class_names": np.array(names), "bounding_box_format": np.array(box_format)}
        with np.load(task["images"]) as batches:
            for batch in batches:
                for name, value in run(batches[batch]).items():
                    found[f"{batch}/{name}"] = np.array(value)
        np.savez(task["found"], **found)
    assert not {"keras_detr", "keras"} & {*sys.modules}


if __name__ == "__main__":
    main()
