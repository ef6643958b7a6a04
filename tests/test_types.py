"""Type checkers see the public names, and what their arguments are."""

import ast
import importlib
import inspect
import pathlib

import pytest

import keras_detr
from tests.snippets import public_objects

PACKAGE = pathlib.Path(keras_detr.__file__).parent
# Methods that users call, of whatever class has them.
METHODS = """
    callbacks compile components decode_predictions decoder_attention deformable_detr detect detr
    dino_detr evaluate export export_to_transformers finish fit from_preset plot predict
    predict_on_batch reset_state result result_per_class save_to_preset scaled_to test_on_batch
    to_dict to_pandas to_supervision total train_on_batch update_state upload_preset write
"""
STUBS = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.pyi"))


def imports_of_stub(path):
    """Return a dict from the names that a stub imports to pairs of module and name."""
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {name.asname: (node.module, name.name) for node in imports for name in node.names}


def test_the_package_says_that_it_has_types():
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("path", STUBS)
def test_a_stub_has_the_names_of_its_package(path):
    pytest.importorskip("tensorflow", reason="tensorflow isn't installed")
    package = importlib.import_module(".".join(["keras_detr", *path.split("/")[:-1]]))
    names = imports_of_stub(path)
    assert sorted(names) == sorted(package.__all__)
    for name, (module, original) in names.items():
        home = importlib.import_module(module)
        if not hasattr(home, original):
            home = {original: importlib.import_module(f"{module}.{original}")}[original]
            assert getattr(package, name) is home
        else:
            assert getattr(package, name) is getattr(home, original)


def test_every_package_that_loads_names_on_first_use_has_a_stub():
    lazy = [
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("__init__.py")
        if "attach(" in path.read_text(encoding="utf-8")
    ]
    # Modules of the command line aren't imported by anyone.
    expected = {path.with_suffix(".pyi").as_posix() for path in lazy} - {"cli/__init__.pyi"}
    assert set(STUBS) == expected


def arguments_without_types(value):
    """List the arguments of a function, or of a class' own constructor, that have no type."""
    function = value
    if inspect.isclass(value):
        function = vars(value).get("__init__")
        if not inspect.isfunction(function):
            return []
    parameters = inspect.signature(function).parameters
    return [
        name
        for name, parameter in parameters.items()
        if name != "self" and parameter.annotation is inspect.Parameter.empty
    ]


def test_every_argument_of_a_public_class_or_function_has_a_type():
    pytest.importorskip("tensorflow", reason="tensorflow isn't installed")
    found = {name: arguments_without_types(value) for name, value in public_objects().items()}
    assert {name: arguments for name, arguments in found.items() if arguments} == {}


def test_every_argument_of_a_method_that_users_call_has_a_type():
    pytest.importorskip("tensorflow", reason="tensorflow isn't installed")
    names, seen, without = METHODS.split(), set(), {}
    for path, value in public_objects().items():
        for name in names if inspect.isclass(value) else ():
            method = inspect.unwrap(getattr(value, name, None) or len)
            if getattr(method, "__module__", "").startswith("keras_detr."):
                seen.add(name)
                arguments = [a for a in arguments_without_types(method) if a != "cls"]
                without |= {f"{path}.{name}": arguments} if arguments else {}
    assert seen == set(names)
    assert without == {}


def test_an_argument_without_a_type_is_noticed():
    assert arguments_without_types(lambda boxes, seed=0: None) == ["boxes", "seed"]
