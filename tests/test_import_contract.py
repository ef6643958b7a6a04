"""The rules of who may import whom, proved from the syntax tree.

Rooms are the folders of keras_detr, and they stand on floors. Imports go down only; rooms of one
floor are strangers. A rule is one row of a table below.
"""

import ast
import importlib
import pathlib
import subprocess
import sys
from typing import NamedTuple

import pytest

import keras_detr

REPOSITORY = pathlib.Path(__file__).parents[1]

FLOORS = {
    "ops": 0,
    "checkpoints": 0,
    "batches": 1,
    "export": 1,
    "layers": 1,
    "losses": 1,
    "optimizers": 1,
    "preprocessing": 1,
    "models": 2,
    "datasets": 2,
    "evaluation": 2,
    "inference": 2,
    "visualization": 2,
}

# Folders of keras_detr/models: the detectors, which are strangers, and what they share.
DETECTORS = ("detr", "deformable_detr")
SHARED_BY_DETECTORS = ("backbones", "necks")

# Where a package of others may be imported, as folders or files of keras_detr.
HOMES = {
    # SavedModel and LiteRT are formats of TensorFlow.
    "tensorflow": (
        "ops/backends.py",
        "batches/tf_data.py",
        "preprocessing/",
        "datasets/",
        "export/",
    ),
    "tf2onnx": ("export/",),
    "tensorflow_datasets": ("datasets/",),
    "keras_cv": ("models/keras_cv_bases.py",),
    "tensorboard": ("visualization/prediction_pictures.py",),
    "torch": ("checkpoints/",),
    "jax": ("ops/backends.py",),
}

# Packages that a room does without, though others may have them.
FORBIDDEN = {"checkpoints": ("keras",), "": ("tests", "examples", "benchmarks", "transformers")}

# What every __init__.py may use, that of keras_detr itself too.
DOORSTEP = "lazy_names"

# What may be imported by the files of keras_detr itself, which are imported with it.
LIGHT = {
    "__init__.py": ("keras_detr.lazy_names", "keras_detr.saved_classes"),
    "lazy_names.py": ("importlib",),
    "saved_classes.py": ("importlib", "keras"),
}

PRIVATE = ("keras.src", "keras_cv.src", "keras_hub.src")

BACKEND_QUESTIONS = ("keras.backend.backend", "keras.config.backend", "KERAS_BACKEND")


class Import(NamedTuple):
    """Hold one import: the full name of what came, and the function it stands in, if any."""

    name: str
    line: int
    function: str | None


def imports_of(source, path):
    """List the imports of a file, wherever they stand; `from a import b` counts as `a.b`.

    Args:
        source: str, the text of the file.
        path: str, relative to the repository, which relative imports need.
    """
    package = path.split("/")[:-1]
    found = []

    def visit(node, function):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = node.name
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif is_call_of(node, "import_module") or is_call_of(node, "__import__"):
            names = [node.args[0].value] if isinstance(node.args[0], ast.Constant) else []
        else:
            names = []
        found.extend(Import(name, node.lineno, function) for name in names)
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(source), None)
    return found


def is_call_of(node, name):
    """Return whether a node calls a function of this name, with or without a module before it."""
    return (
        isinstance(node, ast.Call)
        and bool(node.args)
        and ast.unparse(node.func).rsplit(".", 1)[-1] == name
    )


def is_within(name, package):
    """Return whether a dotted name is the package or stands in it."""
    return name == package or name.startswith(f"{package}.")


def offences(source, path):
    """List what a file of the repository does against the rules, as sentences.

    Args:
        source: str, the text of the file.
        path: str, relative to the repository.
    """
    imports = imports_of(source, path)
    found = [
        f"line {line}: {name} is private"
        for name, line, _ in imports
        if any(is_within(name, package) for package in PRIVATE)
    ]
    if not path.startswith("keras_detr/"):
        return found
    here = path.removeprefix("keras_detr/")
    if "/" not in here:
        # keras_detr/__init__.py is the roof: it knows every room, and imports none by itself.
        foreign = [i for i in imports if not any(is_within(i.name, name) for name in LIGHT[here])]
        return found + [f"line {i.line}: {i.name} is imported with keras_detr" for i in foreign]
    for name, line, function in imports:
        if is_within(name, "keras_detr"):
            complaint = complaint_about_room(here, name.split(".")[1:])
        else:
            complaint = complaint_about_package(here, name, function)
        if complaint:
            found.append(f"line {line}: {complaint}")
    if here != "ops/backends.py":
        found.extend(backend_questions(source))
    return found


def complaint_about_room(here, target):
    """Say what is wrong with an import from a room to a module of keras_detr, or return None."""
    room = here.split("/")[0]
    if target[:1] == [DOORSTEP] and here.endswith("__init__.py"):
        return None
    if not target or target[0] not in FLOORS:
        return "a room takes a name from the room it lives in, not from the roof"
    if room != target[0] and FLOORS[room] <= FLOORS[target[0]]:
        return f"{room} may not import {target[0]}, on floor {FLOORS[target[0]]}"
    detectors = [detector_of(here.split("/")), detector_of(target)]
    if all(detectors) and detectors[0] != detectors[1]:
        return f"detector {detectors[0]} may not import detector {detectors[1]}"
    return None


def detector_of(parts):
    """Return the detector that a path in keras_detr belongs to, or None."""
    return parts[1] if len(parts) > 1 and parts[0] == "models" and parts[1] in DETECTORS else None


def complaint_about_package(here, name, function):
    """Say what is wrong with an import of a package of others, or return None."""
    package = name.split(".")[0]
    room = here.split("/")[0]
    if package in FORBIDDEN[""] or package in FORBIDDEN.get(room, ()):
        return f"{room} may not import {package}"
    if package in HOMES and not here.startswith(HOMES[package]):
        return f"{package} is imported only in {', '.join(HOMES[package])}"
    if package == "torch" and function is None:
        return "torch is imported only inside of a function"
    return None


def backend_questions(source):
    """List where a file asks which backend runs."""

    def names(node):
        if isinstance(node, ast.ImportFrom):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            # `from keras import backend` hides what is asked of it later.
            return [f"{name}.backend" for name in full] + full
        if isinstance(node, ast.Attribute):
            return [ast.unparse(node)]
        return [node.value] if isinstance(node, ast.Constant) else []

    return [
        f"line {node.lineno}: only ops/backends.py asks for the backend"
        for node in ast.walk(ast.parse(source))
        if any(name in BACKEND_QUESTIONS for name in names(node))
    ]


def python_files(*folders):
    """Return the paths of all Python files in folders of the repository, relative to it."""
    files = (file for folder in folders for file in (REPOSITORY / folder).rglob("*.py"))
    return sorted(file.relative_to(REPOSITORY).as_posix() for file in files)


@pytest.mark.parametrize("path", python_files("keras_detr", "examples", "benchmarks", "tests"))
def test_file_keeps_the_rules(path):
    assert offences((REPOSITORY / path).read_text(), path) == []


def test_every_room_stands_on_a_floor():
    rooms = {path.split("/")[1] for path in python_files("keras_detr") if path.count("/") > 1}
    assert rooms == set(FLOORS)


def test_every_folder_of_models_is_a_detector_or_shared():
    paths = python_files("keras_detr/models")
    folders = {path.split("/")[2] for path in paths if path.count("/") > 2}
    assert folders <= {*DETECTORS, *SHARED_BY_DETECTORS}


def test_torch_is_imported_inside_of_one_function():
    functions = {
        (path, found.function)
        for path in python_files("keras_detr")
        for found in imports_of((REPOSITORY / path).read_text(), path)
        if is_within(found.name, "torch")
    }
    assert len(functions) == 1


# Each row breaks one rule: a file, and a source which must be rejected there.
OFFENDERS = [
    ("ops/boxes.py", "from keras_detr.layers import FeedForward"),
    ("ops/boxes.py", "from keras_detr import checkpoints"),
    ("checkpoints/hub.py", "from keras_detr.ops.boxes import BOX_FORMATS"),
    ("checkpoints/hub.py", "from ..ops import boxes"),
    ("checkpoints/hub.py", "import keras"),
    ("checkpoints/hub.py", "def load():\n    from keras import ops"),
    ("checkpoints/reading.py", "import torch"),
    ("checkpoints/reading.py", "class Reader:\n    import torch"),
    ("layers/detr_encoder.py", "from keras_detr.losses import HungarianLoss"),
    ("layers/detr_encoder.py", "def call():\n    import keras_detr.preprocessing"),
    ("layers/detr_encoder.py", "import torch.nn.functional"),
    ("losses/hungarian_loss.py", "from keras_detr.models import DETR"),
    ("losses/hungarian_loss.py", "from keras_detr.layers import FeedForward"),
    ("losses/hungarian_loss.py", "import importlib\nimportlib.import_module('keras_detr.models')"),
    ("losses/hungarian_loss.py", "import tensorflow as tf"),
    ("losses/hungarian_loss.py", "import jax.numpy as jnp"),
    ("losses/hungarian_loss.py", "import keras\nkeras.backend.backend()"),
    ("losses/hungarian_loss.py", "from keras.config import backend"),
    ("losses/hungarian_loss.py", "from keras import backend"),
    ("losses/hungarian_loss.py", "import os\nos.environ['KERAS_BACKEND']"),
    ("optimizers/detr_optimizer.py", "from keras_detr.models import DETR"),
    ("batches/rules.py", "import tensorflow as tf"),
    ("batches/tf_data.py", "from keras_detr.preprocessing import PadToCanvas"),
    ("preprocessing/pad_to_canvas.py", "import tensorflow_datasets as tfds"),
    ("export/resizing.py", "from keras_detr.preprocessing import resized_size"),
    ("models/detr/detr.py", "from tf2onnx import convert"),
    ("models/detr/detr.py", "from keras_detr.datasets import load_coco"),
    ("models/detr/detr.py", "from keras_detr.evaluation import COCOMetrics"),
    ("models/detr/detr.py", "from tests.shared_data import shared_data_folder"),
    ("models/detr/detr.py", "from keras_cv.models import Task"),
    ("models/detr/detr.py", "from keras.src.models import Model"),
    ("models/detr/detr.py", "from keras import src"),
    ("models/detr/detr.py", "from keras_detr import HungarianLoss"),
    ("models/detr/detr.py", "from keras_detr.models.deformable_detr.presets import PRESETS"),
    ("models/deformable_detr/model.py", "from ..detr.detr import DETR"),
    ("models/deformable_detr/model.py", "from keras_detr.models import detr"),
    ("models/keras_cv_bases.py", "from keras_cv.src.models.task import Task"),
    ("models/detection_data.py", "async def f():\n    if True:\n        import tensorflow"),
    ("datasets/coco.py", "from keras_detr.models import DETR"),
    ("evaluation/coco.py", "import tensorflow_datasets"),
    ("visualization/comparison.py", "from keras_detr.datasets import load_coco"),
    ("visualization/comparison.py", "from tensorboard.compat import proto"),
    ("datasets/coco.py", "from keras_detr.lazy_names import attach"),
    ("__init__.py", "import keras"),
    ("__init__.py", "from keras_detr.models import DETR"),
    ("lazy_names.py", "import keras"),
    ("saved_classes.py", "import numpy"),
    ("saved_classes.py", "from keras_detr.models import DETR"),
]


@pytest.mark.parametrize(("path", "source"), OFFENDERS)
def test_offender_is_rejected(path, source):
    assert len(offences(source, f"keras_detr/{path}")) == 1


@pytest.mark.parametrize("folder", ["examples", "benchmarks", "tests/models"])
def test_private_names_are_rejected_everywhere(folder):
    assert offences("import keras.src.backend", f"{folder}/file.py")


# Each row comes close to an offender, and keeps the rules.
KEEPERS = [
    ("ops/backends.py", "import keras\nkeras.backend.backend()\nimport tensorflow, jax"),
    ("checkpoints/reading.py", "def read():\n    import torch"),
    ("checkpoints/hub.py", "from .reading import read_tensors"),
    ("checkpoints/tables/detr.py", "from ..renaming import rename"),
    ("models/keras_cv_bases.py", "def bases():\n    from keras_cv.models import Task"),
    ("models/detr/detr.py", "from keras_detr.models.necks.single_scale_neck import Neck"),
    ("models/detr/detr.py", "from keras_detr.models.detr.detr_presets import DETR_PRESETS"),
    ("models/__init__.py", "from keras_detr.models.detr.detr import DETR"),
    ("models/detr/detr.py", "from keras_detr import losses, ops"),
    ("datasets/coco.py", "import tensorflow as tf, tensorflow_datasets as tfds"),
    ("visualization/comparison.py", "from keras_detr.ops.boxes import convert_box_format"),
    ("export/litert_file.py", "def write():\n    import tensorflow"),
    ("datasets/__init__.py", "from keras_detr.lazy_names import attach"),
    ("__init__.py", "from keras_detr.lazy_names import attach"),
    ("__init__.py", "from keras_detr.saved_classes import register_saved_classes"),
    ("lazy_names.py", "import importlib"),
    ("saved_classes.py", "import keras"),
]


@pytest.mark.parametrize(("path", "source"), KEEPERS)
def test_keeper_is_accepted(path, source):
    assert offences(source, f"keras_detr/{path}") == []


def test_importing_keras_detr_is_light():
    """Beside Keras and its backend, a fresh process neither waits for nor needs anything."""
    code = (
        "import sys, time\n"
        "import keras\n"
        "before = {*sys.modules}\n"
        "start = time.perf_counter()\n"
        "import keras_detr\n"
        "seconds = time.perf_counter() - start\n"
        "added = {name.split('.')[0] for name in {*sys.modules} - before}\n"
        "assert added == {'keras_detr'}, added\n"
        "assert seconds < 0.5, seconds\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


@pytest.mark.parametrize("name", keras_detr.__all__)
def test_public_name_resolves(name):
    assert getattr(keras_detr, name) is not None
    assert name in dir(keras_detr)


@pytest.mark.parametrize("room", sorted(FLOORS))
def test_names_of_a_room_resolve(room):
    module = importlib.import_module(f"keras_detr.{room}")
    for name in getattr(module, "__all__", ()):
        assert getattr(module, name) is not None


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'keras_detr' has no attribute 'YOLO'"):
        _ = keras_detr.YOLO
    with pytest.raises(AttributeError, match=r"'keras_detr\.datasets' has no attribute 'coco_90'"):
        _ = keras_detr.datasets.coco_90
