"""The private names of Keras that keras_detr can't do without, each behind a function.

No other module of keras_detr uses a private name of Keras. `tests/ops/test_keras_internals.py`
names those that a newer version of Keras lacks.
"""

import contextlib
import inspect

import keras


def flatten_layers(layer, include_self=True, recursive=True):
    """Return the layers inside a layer, parents first.

    With `include_self` the layer itself comes first; without `recursive` only direct children are
    returned. Keras has a public list of them for models only: `keras.Model.layers`.
    """
    return layer._flatten_layers(include_self=include_self, recursive=recursive)


def is_validation_of_fit(arguments):
    """Return whether `evaluate` is called by `fit`, with validation data that are checked already.

    Keras has no public sign of it. `arguments` are the keyword arguments of `evaluate`, a dict.
    """
    return arguments.get("_use_cached_eval_dataset", False)


def is_asked_by_keras():
    """Return whether Keras called `dir` of the object whose `__dir__` calls this.

    Keras saves every layer that an attribute named by `dir` holds, under that name. It has no
    public way to leave an attribute out.
    """
    frame = inspect.currentframe().f_back
    while frame.f_code.co_name == "__dir__":
        frame = frame.f_back
    return frame.f_globals.get("__name__", "").startswith("keras.")


def stored_value(variable):
    """Return what a variable holds, or `None` if its memory was given away or not created yet.

    `variable.value` raises an error then.
    """
    return getattr(variable, "_value", None)


def adam_states(optimizer, variable):
    """Return the momentum and the velocity that a built `keras.optimizers.Adam` has of a variable.

    The public `optimizer.variables` doesn't say which is whose.
    """
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


def takes_weight_decay(optimizer, variable):
    """Return whether weight decay applies to a variable.

    `optimizer.exclude_from_weight_decay` writes what only this reads.
    """
    return optimizer._use_weight_decay(variable)


class JointUpdates:
    """Let an optimizer update all variables in one call; stands before Keras' class.

    Keras has a public method for one variable only: `update_step`.
    """

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        update = super()._backend_update_step
        arguments = (grads, trainable_variables, learning_rate)
        self.update_steps(*arguments, update_one_by_one=lambda: update(*arguments))

    def update_steps(self, gradients, variables, learning_rate, update_one_by_one):
        """Update all variables; `update_one_by_one()` calls `update_step` for each."""
        update_one_by_one()


def default_optimizer(multi_optimizer):
    """Return what a `MultiOptimizer` steps the other variables with; `None` if a callable chooses.

    Its public `optimizers` are in no order that tells which one it is.
    """
    return getattr(multi_optimizer._optimizer_map, "default_optimizer", None)


@contextlib.contextmanager
def learning_rate_read_once(optimizer):
    """Evaluate an optimizer's schedule once, for as long as this context lasts.

    Keras' weight decay evaluates it for every variable. Assigning the public `learning_rate`
    evaluates the schedule again on TensorFlow.
    """
    schedule = optimizer._learning_rate
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        yield
        return
    rate = optimizer.learning_rate
    optimizer._learning_rate = lambda: rate
    try:
        yield
    finally:
        optimizer._learning_rate = schedule


class BuiltOnce:
    """Don't build a model again when it trains, which stands before Keras' class.

    Keras would build its list of metrics, of which a detector has none, from a batch. Under
    TensorFlow's strategies for several processes it fails at that (keras#20585).
    """

    def _maybe_symbolic_build(self, *args, **kwargs):
        if not self.built:
            super()._maybe_symbolic_build(*args, **kwargs)


@contextlib.contextmanager
def with_strategy(model, strategy):
    """Let Keras' trainer for TensorFlow take another strategy than that of the model.

    It has no public way to predict on one process' own batches.
    """
    own, model._distribute_strategy = model._distribute_strategy, strategy
    try:
        yield
    finally:
        model._distribute_strategy = own


def changed_batches(x, y=None, *, change_arrays, change_tensors, divide_tensors=None, **settings):
    """Return a data set for Keras' trainers: the batches of another, each changed.

    No public data set can stand for arrays that are shuffled, loaders and `tf.data` alike, and
    keeps Keras from dividing its batches among processes.

    Args:
        x, y: what trainers take.
        change_arrays: callable from a tuple (x, y), of arrays in nested dicts, to another, for JAX.
        change_tensors: the same for TensorFlow, of its tensors.
        divide_tensors: callable from a `tf.data.Dataset` of changed batches to what TensorFlow's
            trainer takes; `None` lets it divide the batches of all processes.
        **settings: "batch_size", "shuffle" and "steps_per_epoch" of a trainer.
    """
    # Its home is private, so it can't be imported by name where a newer Keras has moved it.
    from keras.src.trainers.data_adapters import get_data_adapter
    from keras.src.trainers.data_adapters.data_adapter import DataAdapter

    class ChangedBatches(DataAdapter):
        def __init__(self, batches):
            self._batches = batches

        def get_jax_iterator(self):
            for batch in self._batches.get_jax_iterator():
                yield change_arrays(batch)

        def get_tf_dataset(self):
            from keras.src.utils.module_utils import tensorflow as tf

            dataset = self._batches.get_tf_dataset()
            policies = tf.data.experimental.AutoShardPolicy
            options = tf.data.Options()
            if dataset.options().experimental_distribute.auto_shard_policy == policies.AUTO:
                # Of files each process would read some, and make other batches of them.
                options.experimental_distribute.auto_shard_policy = policies.DATA
            # Without a Python branch on a tensor there is nothing to rewrite, which takes seconds.
            change = tf.autograph.experimental.do_not_convert(lambda *batch: change_tensors(batch))
            changed = dataset.map(change).with_options(options)
            return changed if divide_tensors is None else divide_tensors(changed)

        def __getattribute__(self, name):
            is_own = name.startswith("_") or name in ("get_jax_iterator", "get_tf_dataset")
            return super().__getattribute__(name) if is_own else getattr(self._batches, name)

    distribution = keras.distribution.distribution()
    # Or Keras divides the batches too, or refuses them.
    keras.distribution.set_distribution(None)
    try:
        return ChangedBatches(get_data_adapter(x, y, **settings))
    finally:
        keras.distribution.set_distribution(distribution)
