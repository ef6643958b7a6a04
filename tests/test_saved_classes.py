"""What is saved can be loaded by a process that has only imported keras_detr."""

import importlib
import importlib.util
import json
import os
import pathlib
import pkgutil
import subprocess
import sys

import keras
import pytest

import keras_detr
from keras_detr import losses, models, optimizers
from keras_detr.layers.primitives.initializers import HostNormal, HostUniform
from keras_detr.layers.primitives.token_dense import TokenDense
from keras_detr.optimizers.fused_adamw import FusedAdamW
from keras_detr.saved_classes import HOMES, DeferredClass
from tests.models.detectors import DETECTORS, tiny_backbone

pytestmark = pytest.mark.every_backend

REPOSITORY = pathlib.Path(__file__).parents[1]
HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None

# What a class needs to be made, where it needs something.
ARGUMENTS = {
    "Dropout": (0.1,),
    "FeedForward": (16,),
    "FrozenNormConv2D": (4, 3),
    "MultiHeadAttention": (2, 4),
    "MultilayerPerceptron": (8, 4),
    "SetPredictionDecoder": ("xyxy",),
    "TokenDense": (4,),
}


def preprocessing_layers():
    """Return one object of each layer for tf.data, which need TensorFlow whatever runs."""
    from keras_detr import preprocessing

    flip = preprocessing.RandomHorizontalFlip(bounding_box_format="xyxy")
    arguments = {
        "PadToCanvas": {"canvas_size": (64, 64), "max_boxes": 3},
        "RandomChoice": {"pipelines": [[flip], []]},
        "RandomResizeShortestSide": {"short_sides": (32, 64)},
        "Resize": {"size": (32, 64)},
    }
    names = [name for name, module in HOMES.items() if module.startswith("preprocessing.")]
    return [
        getattr(preprocessing, name)(bounding_box_format="xyxy", **arguments.get(name, {}))
        for name in names
    ]


@pytest.fixture(scope="module")
def saveable_objects():
    """Give one object of every class that a file can hold, by its class' name."""
    objects = [
        getattr(importlib.import_module(f"keras_detr.{module}"), name)(*ARGUMENTS.get(name, ()))
        for name, module in HOMES.items()
        if module.startswith("layers.") and not name.startswith("Host")
    ]
    objects += [HostNormal(), HostUniform(), FusedAdamW()]
    objects += [getattr(losses, name)() for name in losses.__all__]
    adam = keras.optimizers.OptimizerMap(keras.optimizers.AdamW())
    objects += [optimizers.GlobalClipMultiOptimizer(adam)]
    objects += [models.MultiScaleNeck(), models.SingleScaleNeck(), tiny_backbone()]
    objects += [DETECTORS[name].build() for name in DETECTORS]
    if HAS_TENSORFLOW:
        objects += preprocessing_layers()
    return {type(entry).__name__: entry for entry in objects}


def test_every_registered_class_is_in_the_table(saveable_objects):
    for name in ("layers", "losses", "models", "optimizers"):
        package = importlib.import_module(f"keras_detr.{name}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    registered = {
        name.removeprefix("keras_detr>"): found.__module__.removeprefix("keras_detr.")
        for name, found in keras.saving.get_custom_objects().items()
        if name.startswith("keras_detr>") and not isinstance(found, DeferredClass)
    }
    expected = {name: home for name, home in HOMES.items() if name in saveable_objects}
    assert registered == expected
    if HAS_TENSORFLOW:
        assert set(saveable_objects) == set(HOMES)


@pytest.mark.slow
def test_each_class_is_found_in_a_process_of_its_own(saveable_objects, tmp_path):
    saved = {
        name: keras.saving.serialize_keras_object(entry) for name, entry in saveable_objects.items()
    }
    path = tmp_path / "objects.json"
    path.write_text(json.dumps(saved))
    run = subprocess.run(
        [sys.executable, "-m", "tests.deserialize_each", path],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == [], run.stderr


def test_what_stands_for_a_class_acts_as_the_class():
    deferred = DeferredClass("keras_detr.layers.primitives.token_dense", "TokenDense")
    assert "not imported yet" in repr(deferred)
    assert deferred.__doc__ == DeferredClass.__doc__
    layer = deferred(3)
    assert type(layer) is TokenDense
    assert deferred.from_config(layer.get_config()).units == 3


def test_a_class_that_was_imported_first_keeps_its_place():
    keras_detr.saved_classes.register_saved_classes()
    assert keras.saving.get_registered_object("keras_detr>TokenDense") is TokenDense


@pytest.fixture
def light_process(tmp_path):
    """Give a function that runs code in a process with a package that stands for Keras."""
    keras_folder = tmp_path / "keras"
    keras_folder.mkdir()
    (keras_folder / "__init__.py").write_text(
        "import os\n"
        "if os.environ.pop('BROKEN', None):\n"
        "    raise ImportError('no backend')\n"
        "objects = {}\n"
        "class saving:\n"
        "    get_custom_objects = staticmethod(lambda: objects)\n"
    )

    def run(code, **environment):
        path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    return run


def test_classes_are_registered_when_keras_is_imported(light_process):
    code = """if True:
        import sys
        finders = list(sys.meta_path)
        import keras_detr
        assert "keras" not in sys.modules
        try:
            import keras
        except ImportError as error:
            print(error)
        import keras
        print(keras.objects["keras_detr>DETR"])
        assert sys.meta_path == finders
        assert "exec_module" not in vars(keras.__loader__)
    """
    expected = "<keras_detr.models.detr.detr.DETR, not imported yet>\n"
    assert light_process(code) == expected
    assert light_process(code, BROKEN="1") == f"no backend\n{expected}"
    keras_first = "import keras, keras_detr; print(keras.objects['keras_detr>DETR'])"
    assert light_process(keras_first) == expected
