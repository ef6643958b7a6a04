"""Deserialize objects in processes that have imported Keras and keras_detr, and nothing of it.

    python -m tests.deserialize_each objects.json

`objects.json` holds a dict of serialized objects. Each is deserialized in a process of its own,
forked from this one, which prints the names of those that failed.
"""

import contextlib
import importlib
import json
import os
import sys
import traceback

from tests.absent_tensorflow import hide_tensorflow

if os.environ.get("KERAS_DETR_BLOCK_TENSORFLOW") == "1":
    hide_tensorflow()

import keras

import keras_detr  # noqa: F401

# What others made and the children would all import.
for package in ("scipy.optimize", "keras_cv"):
    with contextlib.suppress(ImportError):
        importlib.import_module(package)


def deserializes(name, config):
    """Return whether an object can be deserialized, in a child of this process."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    status = 1
    try:
        found = keras.saving.deserialize_keras_object(config)
        status = 0 if type(found).__name__ == name else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        # Not through the interpreter's end, which is the parent's business.
        os._exit(status)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        objects = json.load(file)
    print(json.dumps([name for name in objects if not deserializes(name, objects[name])]))
