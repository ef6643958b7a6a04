"""One vocabulary: arguments of the same meaning have one name, and one place, in all functions."""

import importlib
import inspect

import keras
import pytest

import keras_detr

# Settings with a default that are given by keyword only, whatever the function.
BY_KEYWORD = (
    "confidence_threshold",
    "exif",
    "input_dtype",
    "longest_side",
    "max_detections",
    "max_images",
    "metrics",
    "preprocessor_sizes",
    "verbose",
)

# What these mean has another name here.
OTHER_NAMES = {
    "box_format": "bounding_box_format",
    "is_turned": "exif",
    "labels": "classes",
    "score_threshold": "confidence_threshold",
    "threshold": "confidence_threshold",
}


def own_functions(value):
    """Yield what callers call of a public object, without what has the signature of Keras."""
    if inspect.isfunction(value):
        yield value
    if not inspect.isclass(value):
        return
    for cls in value.__mro__:
        if not cls.__module__.startswith("keras_detr."):
            continue
        for name, member in vars(cls).items():
            member = getattr(member, "__func__", member)
            is_of_keras = hasattr(keras.Model, name) and name != "__init__"
            is_public = name == "__init__" or not name.startswith("_")
            if inspect.isfunction(member) and is_public and not is_of_keras:
                yield member


def public_functions():
    """Return a dict from names to the public functions, constructors and methods."""
    found = {}
    for module_name in keras_detr._MODULES:
        module = importlib.import_module(f"keras_detr.{module_name}")
        for name in getattr(module, "__all__", ()):
            for function in own_functions(getattr(module, name)):
                found[f"{module_name}: {function.__qualname__}"] = function
    return found


FUNCTIONS = public_functions()


def violations(function):
    """List the arguments of a function that have another name, or can stand in another place."""
    parameters = list(inspect.signature(function).parameters.values())
    found = []
    for place, parameter in enumerate(parameters):
        name = parameter.name
        is_by_keyword = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        if name in OTHER_NAMES:
            found.append(f"`{name}` is named `{OTHER_NAMES[name]}`")
        is_setting = parameter.default is not inspect.Parameter.empty
        if name in BY_KEYWORD and is_setting and not is_by_keyword:
            found.append(f"`{name}` is given by keyword")
        before = parameters[place - 1].name if place else None
        # A function that takes boxes takes their format, and then the names of their classes.
        if name == "class_names" and not is_by_keyword and before != "bounding_box_format":
            found.append("`class_names` is given by keyword, or right after the format")
        # What is written or read is the first argument; where else to write to is a keyword.
        is_first = before in (None, "self")
        if name == "path" and not is_by_keyword and not is_first:
            found.append("`path` is the first argument, or given by keyword")
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_those_of_the_vocabulary(name):
    assert violations(FUNCTIONS[name]) == []


def test_functions_of_all_kinds_are_looked_at():
    for name in (
        "inference: detect",
        "inference: Detections.plot",
        "models: DetectorPrediction.detect",
        "models: SetPredictionDetector.__init__",
        "layers: SetPredictionDecoder.__init__",
        "evaluation: COCOEvaluation.__init__",
        "visualization: plot_comparison",
    ):
        assert name in FUNCTIONS
    assert len(FUNCTIONS) > 150


@pytest.mark.parametrize(
    "function",
    [
        lambda model, images, confidence_threshold=0.5: None,
        lambda images, *, threshold=0.5: None,
        lambda batch, class_names=None: None,
        lambda batch, bounding_box_format, path=None: None,
    ],
)
def test_another_vocabulary_is_noticed(function):
    assert len(violations(function)) == 1


def test_pictures_of_boxes_take_the_same_arguments():
    names = ("bounding_box_format", "class_names")
    for name in ("plot_batch", "plot_comparison", "plot_detections"):
        parameters = inspect.signature(getattr(keras_detr.visualization, name)).parameters
        by_place = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert tuple(by_place[-2:]) == names
