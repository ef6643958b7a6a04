"""The rules about which modules may import which, checked on the syntax tree.

The packages in keras_detr have levels. A package imports only packages of lower levels. Each rule
is a row of a table below.
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

LEVELS = {
    "ops": 0,
    "checkpoints": 0,
    "batches": 1,
    "export": 2,
    "layers": 2,
    "losses": 2,
    "optimizers": 2,
    "preprocessing": 2,
    "visualization": 2,
    "inference": 3,
    "models": 4,
    "datasets": 4,
    "evaluation": 4,
    "cli": 5,
}

# Folders of keras_detr/models: the detectors, which don't import each other, and what they share.
DETECTORS = ("detr", "deformable_detr", "dino_detr")
SHARED_BY_DETECTORS = ("backbones", "necks", "presets", "task")

# Where a third-party package may be imported: folders or files of keras_detr.
HOMES = {
    # SavedModel and LiteRT are formats of TensorFlow.
    "tensorflow": (
        "ops/backends/tensorflow.py",
        "ops/backends/tensorflow_devices.py",
        "batches/tf_data.py",
        "preprocessing/",
        "datasets/",
        "export/",
    ),
    "tf2onnx": ("export/",),
    "tensorflow_datasets": ("datasets/",),
    "keras_cv": ("models/keras_cv_bases.py",),
    "tensorboard": ("visualization/prediction_pictures.py",),
    "supervision": ("inference/detections.py",),
    "pandas": ("inference/detections.py",),
    "torch": ("ops/backends/torch.py", "checkpoints/"),
    "jax": ("ops/backends/jax.py", "ops/backends/jax_devices.py"),
}

# Packages that a package of keras_detr must not import, though others may.
FORBIDDEN = {"checkpoints": ("keras",), "": ("tests", "examples", "benchmarks", "transformers")}

# What every __init__.py may import.
USED_BY_INIT = "lazy_names"

# What the files directly in keras_detr may import, as they are imported with it.
LIGHT = {
    "__init__.py": ("keras_detr.lazy_names", "keras_detr.saved_classes"),
    "lazy_names.py": ("importlib",),
    "saved_classes.py": ("importlib", "sys"),
}

PRIVATE = ("keras.src", "keras_cv.src", "keras_hub.src")
# The one file that may, of Keras.
KERAS_INTERNALS = "keras_detr/ops/keras_internals.py"

# The one file that asks which backend runs.
BACKENDS = "ops/backends/__init__.py"
BACKEND_QUESTIONS = ("keras.backend.backend", "keras.config.backend", "KERAS_BACKEND")


# Calls that give a module by the name that is their first argument.
IMPORTING_CALLS = ("import_module", "__import__", "sys.modules.get", "sys.modules.pop")


class Import(NamedTuple):
    """Hold one import: its full name, its line, and the function that contains it, if any."""

    name: str
    line: int
    function: str | None


def imports_of(source, path):
    """List all imports of a file; `from a import b` counts as `a.b`.

    Args:
        source: str, the text of the file.
        path: str, relative to the repository, to resolve relative imports.
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
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "sys.modules":
            names = constant_names(node.slice)
        elif any(is_call_of(node, name) for name in IMPORTING_CALLS):
            names = constant_names(node.args[0])
        else:
            names = []
        found.extend(Import(name, node.lineno, function) for name in names)
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(source), None)
    return found


def constant_names(node):
    """Return the string that a node is, as a list, which is empty for what isn't a constant."""
    return [node.value] if isinstance(node, ast.Constant) else []


def is_call_of(node, name):
    """Return whether a node calls a function of this name, with or without a module before it."""
    if not isinstance(node, ast.Call) or not node.args:
        return False
    called = ast.unparse(node.func)
    return called == name or called.endswith(f".{name}")


def is_within(name, package):
    """Return whether a dotted name is the package or is inside it."""
    return name == package or name.startswith(f"{package}.")


def violations(source, path):
    """List the violations of the rules in a file of the repository, as sentences.

    Args:
        source: str, the text of the file.
        path: str, relative to the repository.
    """
    imports = imports_of(source, path)
    found = [
        f"line {line}: {name} is private"
        for name, line, _ in imports
        if any(is_within(name, package) for package in PRIVATE)
        and not (path == KERAS_INTERNALS and is_within(name, "keras.src"))
    ]
    if not path.startswith("keras_detr/"):
        return found
    here = path.removeprefix("keras_detr/")
    if "/" not in here:
        # keras_detr/__init__.py names every package, but doesn't import them.
        at_once = [i for i in imports if i.function is None]
        foreign = [i for i in at_once if not any(is_within(i.name, name) for name in LIGHT[here])]
        return found + [f"line {i.line}: {i.name} is imported with keras_detr" for i in foreign]
    for name, line, function in imports:
        if is_within(name, "keras_detr"):
            violation = violation_of_levels(here, name.split(".")[1:])
        else:
            violation = violation_of_third_party_rules(here, name, function)
        if violation:
            found.append(f"line {line}: {violation}")
    if here != BACKENDS:
        found.extend(backend_questions(source))
    return found


def violation_of_levels(here, target):
    """Return why a package may not import a module of keras_detr, or None."""
    package = here.split("/")[0]
    if target[:1] == [USED_BY_INIT] and here.endswith("__init__.py"):
        return None
    if not target or target[0] not in LEVELS:
        return "a package imports a name from the package that defines it, not from keras_detr"
    if package != target[0] and LEVELS[package] <= LEVELS[target[0]]:
        return f"{package} may not import {target[0]}, which has level {LEVELS[target[0]]}"
    detectors = [detector_of(here.split("/")), detector_of(target)]
    if all(detectors) and detectors[0] != detectors[1]:
        return f"detector {detectors[0]} may not import detector {detectors[1]}"
    return None


def detector_of(parts):
    """Return the detector that a path in keras_detr belongs to, or None."""
    return parts[1] if len(parts) > 1 and parts[0] == "models" and parts[1] in DETECTORS else None


def violation_of_third_party_rules(here, name, function):
    """Return why a file may not import a third-party package, or None."""
    package = name.split(".")[0]
    importer = here.split("/")[0]
    if package in FORBIDDEN[""] or package in FORBIDDEN.get(importer, ()):
        return f"{importer} may not import {package}"
    if package in HOMES and not here.startswith(HOMES[package]):
        return f"{package} is imported only in {', '.join(HOMES[package])}"
    if package == "torch" and function is None and here != "ops/backends/torch.py":
        return "torch is imported only inside a function"
    return None


def backend_questions(source):
    """List the lines of a file that ask which backend runs."""

    def names(node):
        if isinstance(node, ast.ImportFrom):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            # `from keras import backend` hides how it is used later.
            return [f"{name}.backend" for name in full] + full
        if isinstance(node, ast.Attribute):
            return [ast.unparse(node)]
        return [node.value] if isinstance(node, ast.Constant) else []

    return [
        f"line {node.lineno}: only {BACKENDS} asks for the backend"
        for node in ast.walk(ast.parse(source))
        if any(name in BACKEND_QUESTIONS for name in names(node))
    ]


def python_files(*folders):
    """Return the paths of all Python files in folders of the repository, relative to it."""
    files = (file for folder in folders for file in (REPOSITORY / folder).rglob("*.py"))
    return sorted(file.relative_to(REPOSITORY).as_posix() for file in files)


@pytest.mark.parametrize("path", python_files("keras_detr", "examples", "benchmarks", "tests"))
def test_file_keeps_the_rules(path):
    assert violations((REPOSITORY / path).read_text(), path) == []


def test_every_package_has_a_level():
    packages = {path.split("/")[1] for path in python_files("keras_detr") if path.count("/") > 1}
    assert packages == set(LEVELS)


def test_every_folder_of_models_is_a_detector_or_shared():
    paths = python_files("keras_detr/models")
    folders = {path.split("/")[2] for path in paths if path.count("/") > 2}
    assert folders <= {*DETECTORS, *SHARED_BY_DETECTORS}


def test_torch_is_imported_in_one_function_and_by_its_backend():
    functions = {
        (path, found.function)
        for path in python_files("keras_detr")
        if path != "keras_detr/ops/backends/torch.py"
        for found in imports_of((REPOSITORY / path).read_text(), path)
        if is_within(found.name, "torch")
    }
    assert len(functions) == 1


# Each row violates one rule: a file, and a source that must be rejected there.
VIOLATORS = [
    ("ops/boxes.py", "from keras_detr.layers import FeedForward"),
    ("ops/boxes.py", "from keras_detr import checkpoints"),
    ("layers/detr/encoder.py", "from keras_detr.losses import HungarianLoss"),
    ("layers/detr/encoder.py", "def call():\n    import keras_detr.preprocessing"),
    ("layers/detr/encoder.py", "import torch.nn.functional"),
    ("checkpoints/hub/download.py", "from keras_detr.ops.boxes import BOX_FORMATS"),
    ("checkpoints/hub/download.py", "from ...ops import boxes"),
    ("checkpoints/hub/download.py", "import keras"),
    ("checkpoints/hub/download.py", "def load():\n    from keras import ops"),
    ("checkpoints/files/torch_files.py", "import torch"),
    ("checkpoints/files/torch_files.py", "class Reader:\n    import torch"),
    ("losses/hungarian_loss.py", "from keras_detr.models import DETR"),
    ("losses/hungarian_loss.py", "from keras_detr.layers import FeedForward"),
    ("losses/hungarian_loss.py", "import importlib\nimportlib.import_module('keras_detr.models')"),
    ("losses/hungarian_loss.py", "import tensorflow as tf"),
    ("losses/hungarian_loss.py", "import jax.numpy as jnp"),
    ("losses/hungarian_loss.py", "import keras\nkeras.backend.backend()"),
    ("losses/hungarian_loss.py", "import sys\nsys.modules['torch'].no_grad()"),
    ("losses/hungarian_loss.py", "import sys\nsys.modules.get('tensorflow')"),
    ("ops/backends/interface.py", "import keras\nkeras.backend.backend()"),
    ("ops/backends/tensorflow.py", "import jax"),
    ("losses/hungarian_loss.py", "from keras.config import backend"),
    ("losses/hungarian_loss.py", "from keras import backend"),
    ("losses/hungarian_loss.py", "import os\nos.environ['KERAS_BACKEND']"),
    ("optimizers/detr_optimizer.py", "from keras_detr.models import DETR"),
    ("batches/training_batch.py", "import tensorflow as tf"),
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
    ("models/task/data_adapter.py", "async def f():\n    if True:\n        import tensorflow"),
    ("datasets/coco.py", "from keras_detr.models import DETR"),
    ("evaluation/coco.py", "import tensorflow_datasets"),
    ("inference/detection.py", "from keras_detr.models import DETR"),
    ("inference/detection.py", "def detect():\n    from keras_detr.models.task import raw_images"),
    ("visualization/comparison.py", "from keras_detr.datasets import load_coco"),
    ("visualization/comparison.py", "from keras_detr.inference import detect"),
    ("visualization/comparison.py", "from keras_detr.preprocessing import resized_size"),
    ("visualization/comparison.py", "from tensorboard.compat import proto"),
    ("inference/detection.py", "import supervision"),
    ("datasets/coco.py", "from keras_detr.lazy_names import attach"),
    ("__init__.py", "import keras"),
    ("__init__.py", "from keras_detr.models import DETR"),
    ("lazy_names.py", "import keras"),
    ("saved_classes.py", "import keras"),
    ("saved_classes.py", "from keras_detr.models import DETR"),
]


@pytest.mark.parametrize(("path", "source"), VIOLATORS)
def test_violator_is_rejected(path, source):
    assert len(violations(source, f"keras_detr/{path}")) == 1


@pytest.mark.parametrize("folder", ["examples", "benchmarks", "tests/models"])
def test_private_names_are_rejected_everywhere(folder):
    assert violations("import keras.src.backend", f"{folder}/file.py")


# Each row is similar to a violator, but keeps the rules.
KEEPERS = [
    ("ops/backends/__init__.py", "import keras\nkeras.backend.backend()"),
    ("ops/backends/torch.py", "import torch"),
    ("checkpoints/files/torch_files.py", "def read():\n    import torch"),
    ("checkpoints/hub/download.py", "from ..files.tensor_files import read_tensors"),
    ("checkpoints/tables/detr.py", "from ..renaming import rename"),
    ("models/keras_cv_bases.py", "def bases():\n    from keras_cv.models import Task"),
    ("models/detr/detr.py", "from keras_detr.models.necks.single_scale_neck import Neck"),
    ("models/detr/detr.py", "from keras_detr.models.detr.detr_presets import DETR_PRESETS"),
    ("models/__init__.py", "from keras_detr.models.detr.detr import DETR"),
    ("models/detr/detr.py", "from keras_detr import losses, ops"),
    ("models/task/prediction.py", "from keras_detr.inference.detection import detect"),
    ("inference/detection.py", "from keras_detr.visualization import plot_detections"),
    ("datasets/coco.py", "import tensorflow as tf, tensorflow_datasets as tfds"),
    ("visualization/comparison.py", "from keras_detr.ops.boxes import convert_box_format"),
    ("export/litert_file.py", "def write():\n    import tensorflow"),
    ("datasets/__init__.py", "from keras_detr.lazy_names import attach"),
    ("__init__.py", "from keras_detr.lazy_names import attach"),
    ("__init__.py", "from keras_detr.saved_classes import register_saved_classes"),
    ("lazy_names.py", "import importlib"),
    ("saved_classes.py", "import sys"),
    ("saved_classes.py", "def register():\n    import keras"),
]


@pytest.mark.parametrize(("path", "source"), KEEPERS)
def test_keeper_is_accepted(path, source):
    assert violations(source, f"keras_detr/{path}") == []


def test_importing_keras_detr_is_light():
    """Nothing else is imported, not even Keras, and there is no delay."""
    code = (
        "import importlib, sys, time\n"
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


@pytest.mark.parametrize("package", sorted(LEVELS))
def test_names_of_a_package_resolve(package):
    module = importlib.import_module(f"keras_detr.{package}")
    for name in getattr(module, "__all__", ()):
        assert getattr(module, name) is not None


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'keras_detr' has no attribute 'YOLO'"):
        _ = keras_detr.YOLO
    with pytest.raises(AttributeError, match=r"'keras_detr\.datasets' has no attribute 'coco_90'"):
        _ = keras_detr.datasets.coco_90
