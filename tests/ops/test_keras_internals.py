"""The private names of Keras that keras_detr uses: those that a newer Keras lacks fail here."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import re

import keras
import numpy as np
import pytest

from keras_detr.ops.keras_internals import (
    JointUpdates,
    adam_states,
    changed_batches,
    flatten_layers,
    is_asked_by_keras,
    is_validation_of_fit,
    learning_rate_read_once,
    stored_value,
    takes_weight_decay,
)

PACKAGE = pathlib.Path(__file__).parents[2] / "keras_detr"
HOME = "ops/keras_internals.py"


def adamw():
    """Return an optimizer that is built for two variables, and these."""
    variables = [keras.Variable(np.zeros(size, "float32"), name=f"v{size}") for size in (2, 3)]
    optimizer = keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.5, 10))
    optimizer.build(variables)
    return optimizer, variables


# Each private name that is used, with a callable for an object that has it.
USED = {
    "_flatten_layers": keras.layers.Layer,
    "_value": lambda: keras.Variable(0.0),
    "_get_variable_index": lambda: adamw()[0],
    "_momentums": lambda: adamw()[0],
    "_velocities": lambda: adamw()[0],
    "_use_weight_decay": lambda: adamw()[0],
    "_learning_rate": lambda: adamw()[0],
    "_backend_update_step": lambda: adamw()[0],
    "_distribute_strategy": keras.Model,
    "_maybe_symbolic_build": keras.Model,
    "_optimizer_map": lambda: keras.optimizers.MultiOptimizer(lambda variable: adamw()[0]),
}

PRIVATE_NAME = r"_(?!_)\w+"
# Functions and methods that take a name as a string.
LOOKUPS = {"delattr", "get", "getattr", "hasattr", "pop", "setattr"}
# Public in spite of their names.
OF_NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}


@pytest.mark.parametrize("name", USED)
def test_keras_has_the_private_name(name):
    entry = USED[name]()
    assert hasattr(entry, name), f"Keras {keras.__version__} has no `{name}`; see {HOME}."


def test_layers_are_listed_parents_first():
    inner = keras.Sequential([keras.layers.Dense(1, name="leaf")], name="inner")
    outer = keras.Sequential([inner, keras.layers.ReLU(name="relu")], name="outer")
    assert [layer.name for layer in flatten_layers(outer)] == ["outer", "inner", "leaf", "relu"]
    direct = flatten_layers(outer, include_self=False, recursive=False)
    assert [layer.name for layer in direct] == ["inner", "relu"]


def test_validation_of_fit_is_known():
    calls = []

    class Recorded(keras.Sequential):
        def evaluate(self, *args, **kwargs):
            calls.append(is_validation_of_fit(kwargs))
            return super().evaluate(*args, **kwargs)

    model = Recorded([keras.layers.Dense(1)])
    model.compile(loss="mse")
    arrays = np.zeros((2, 3), "float32"), np.zeros((2, 1), "float32")
    model.fit(*arrays, validation_data=arrays, verbose=0)
    model.evaluate(*arrays, verbose=0)
    assert calls == [True, False]


@pytest.mark.every_backend
def test_keras_is_known_when_it_asks_for_names(tmp_path):
    answers = []

    class Recorded(keras.Sequential):
        def __dir__(self):
            answers.append(is_asked_by_keras())
            return super().__dir__()

    class Derived(Recorded):
        def __dir__(self):
            return [name for name in super().__dir__() if name]

    for cls in (Recorded, Derived):
        # Without variables: Keras warns when it saves TensorFlow's.
        model = cls([keras.layers.ReLU()])
        model.build((1, 2))
        del answers[:]
        dir(model)
        model.save_weights(tmp_path / "model.weights.h5")
        model.load_weights(tmp_path / "model.weights.h5")
        assert answers == [False, True, True]


def test_state_of_an_optimizer_belongs_to_its_variables():
    optimizer, variables = adamw()
    for variable in variables[::-1]:
        momentum, velocity = adam_states(optimizer, variable)
        assert momentum.shape == velocity.shape == variable.shape
        assert "momentum" in momentum.path
        assert "velocity" in velocity.path
    optimizer.exclude_from_weight_decay([variables[0]])
    assert [takes_weight_decay(optimizer, variable) for variable in variables] == [False, True]


@pytest.mark.every_backend
def test_an_optimizer_updates_its_variables_in_one_call():
    calls = []

    class Recorded(JointUpdates, keras.optimizers.SGD):
        def update_steps(self, gradients, variables, learning_rate, update_one_by_one):
            calls.append((len(gradients), len(variables)))
            super().update_steps(gradients, variables, learning_rate, update_one_by_one)

    optimizer = Recorded(0.5)
    variables = [keras.Variable([1.0]), keras.Variable([2.0, 3.0])]
    optimizer.apply([keras.ops.ones(v.shape) for v in variables], variables)
    assert calls == [(2, 2)]
    assert np.concatenate([np.asarray(v.numpy()) for v in variables]).tolist() == [0.5, 1.5, 2.5]


def test_a_schedule_is_read_once():
    optimizer, _ = adamw()
    with learning_rate_read_once(optimizer):
        optimizer.iterations.assign(10)
        assert float(optimizer.learning_rate) == 0.5
    assert float(optimizer.learning_rate) == 0.0
    constant = keras.optimizers.AdamW(0.25)
    with learning_rate_read_once(constant):
        assert float(constant.learning_rate) == 0.25


def test_the_value_of_a_variable():
    variable = keras.Variable([1.0, 2.0])
    assert tuple(stored_value(variable).shape) == (2,)
    with keras.StatelessScope():
        assert stored_value(keras.Variable(np.zeros, shape=(2,))) is None


def private_names(tree):
    """Yield (line, name) of each private attribute that is accessed, or looked up by its name."""
    for node in ast.walk(tree):
        names = [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in LOOKUPS:
            names = [entry.value for entry in node.args if isinstance(entry, ast.Constant)]
        for name in names:
            if re.fullmatch(PRIVATE_NAME, str(name)):
                yield node.lineno, name


def names_defined_in(tree):
    """Return what a file defines: functions, classes, variables, and attributes of `self`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.update({node.attr} if ast.unparse(node.value) in ("self", "cls") else ())
    return names


def foreign_private_names(source, defined):
    """List private names in a source that keras_detr doesn't define: they are of Keras or others.

    Args:
        source: str.
        defined: set of str, what keras_detr defines.
    """
    found = private_names(ast.parse(source))
    return [(line, name) for line, name in found if name not in defined | OF_NAMED_TUPLES]


@pytest.fixture(scope="module")
def defined():
    """Give what all files of keras_detr define."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")]
    return set().union(*map(names_defined_in, trees))


def test_private_names_of_keras_stand_in_one_module(defined):
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if place != HOME:
            names = foreign_private_names(path.read_text(encoding="utf-8"), defined)
            found.update({f"{place}:{line}": name for line, name in names})
    assert found == {}, f"A function of {HOME} must stand for each of these."


@pytest.mark.parametrize(
    "source",
    [
        "layers = model._flatten_layers()",
        "class Task(keras.Model):\n    def f(self):\n        return self._loss_tracker",
        "class Task(keras.Model):\n    def f(self):\n        super()._symbolic_build()",
        "optimizer._learning_rate = 1",
        "getattr(variable, '_value', None)",
        "kwargs.get('_use_cached_eval_dataset')",
    ],
)
def test_private_name_of_keras_is_noticed(source):
    assert len(foreign_private_names(source, names_defined_in(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "class Task(keras.Model):\n    def f(self):\n        self._own = self._own + 1",
        "class Task(keras.Model):\n    def _f(self):\n        return self._f()",
        "point._replace(x=1).__class__",
    ],
)
def test_own_private_name_is_accepted(source):
    assert foreign_private_names(source, names_defined_in(ast.parse(source))) == []


def test_no_private_method_of_keras_is_overridden():
    found = set()
    for folder in ("layers", "losses", "models", "optimizers"):
        package = importlib.import_module(f"keras_detr.{folder}")
        for entry in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(entry.name)
            for _, cls in inspect.getmembers(module, inspect.isclass):
                found.update(overridden_names(cls))
    assert found == set()


def overridden_names(cls):
    """Return the private methods of Keras that a class of keras_detr overrides."""
    if not cls.__module__.startswith("keras_detr."):
        return set()
    of_keras = [base for base in cls.__mro__ if base.__module__.startswith("keras.")]
    return {
        name
        for name in vars(cls)
        if re.fullmatch(PRIVATE_NAME, name) and any(name in vars(base) for base in of_keras)
    }


def test_batches_of_arrays_are_changed_for_each_backend():
    def with_double(batch):
        x, y = batch[:2]
        return x, {"y": y["y"], "double": 2 * x["x"]}

    x, y = {"x": np.arange(5.0)}, {"y": np.arange(5)}
    settings = {"change_arrays": with_double, "change_tensors": with_double}
    batches = changed_batches(x, y, **settings, batch_size=2, shuffle=False)
    assert batches.num_batches == 3
    for read in (batches.get_jax_iterator, batches.get_tf_dataset):
        found = [np.asarray(targets["double"]).tolist() for _, targets in read()]
        assert found == [[0.0, 2.0], [4.0, 6.0], [8.0]]
