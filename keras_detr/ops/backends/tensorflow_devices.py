"""How `tf.distribute` strategies share the work of a model among devices and processes."""

import contextlib
import inspect
import weakref

import numpy as np
import tensorflow as tf

from keras_detr.ops.backends.interface import Process

_Workers = tf.distribute.MultiWorkerMirroredStrategy
_REFUSED = {
    "ParameterServerStrategy": tf.distribute.ParameterServerStrategy,
    "CentralStorageStrategy": tf.distribute.experimental.CentralStorageStrategy,
}


class Workers:
    """Remember the strategy in which models are built, where it is one of several processes.

    TensorFlow names it only inside of its scope, and what processes do together is mostly outside.
    """

    def __init__(self):
        self._strategy = None
        self._gather = None

    def join(self):
        """Remember the strategy in whose scope this is, and refuse those that can't train."""
        strategy = tf.distribute.get_strategy()
        for name, kind in _REFUSED.items():
            if isinstance(strategy, kind):
                raise NotImplementedError(
                    f"A detector can't be built in the scope of `tf.distribute.{name}`, with which "
                    "Keras 3 doesn't train. Use `MirroredStrategy` for the GPUs of one host, and "
                    "`MultiWorkerMirroredStrategy` for several hosts; or JAX, where "
                    "`keras.distribution.DataParallel` does both."
                )
        self._find()

    def process(self):
        """Return this `Process`."""
        strategy = self._find()
        resolver = None if strategy is None else strategy.cluster_resolver
        jobs = tf.train.ClusterSpec({}) if resolver is None else resolver.cluster_spec()
        # A cluster may have a chief, which comes before its workers.
        tasks = [(job, task) for job in sorted(jobs.jobs) for task in range(jobs.num_tasks(job))]
        if not tasks:
            return Process(0, 1)
        return Process(tasks.index((resolver.task_type, resolver.task_id)), len(tasks))

    def gather_bytes(self, data):
        """See `Backend.gather_bytes`."""
        if self.process().count == 1:
            return [data]
        # There is no collective operation on bytes, and none on nothing at all.
        words = np.frombuffer(data + bytes(4 - len(data) % 4), "int32")
        sizes = self._gather(np.array([len(data), len(words)], "int32")).numpy().reshape(-1, 2)
        parts = np.split(self._gather(words).numpy(), np.cumsum(sizes[:-1, 1]))
        found = [part.tobytes()[:size] for part, size in zip(parts, sizes[:, 0], strict=True)]
        # All replicas of a process have passed the same.
        return found[:: len(found) // self.process().count]

    def _find(self):
        known = None if self._strategy is None else self._strategy()
        strategy = tf.distribute.get_strategy()
        if not isinstance(strategy, _Workers) or strategy is known:
            return known
        self._strategy = weakref.ref(strategy)
        self._gather = _gathering_program(self._strategy)
        return strategy


def check_steps(model, is_training):
    """Raise a ValueError if `compile` got what TensorFlow's replicas can't do in a step."""
    use = "or train on one device, or on JAX's devices with `keras.distribution.DataParallel`"
    if model.jit_compile:
        raise ValueError(
            "`jit_compile=True` isn't possible with `tf.distribute`, whose replicas can't work "
            f"together in a program of XLA. Leave it out in `compile`, {use}."
        )
    optimizers = [model.optimizer, *getattr(model.optimizer, "optimizers", ())]
    if is_training and any(
        getattr(optimizer, "gradient_accumulation_steps", None) for optimizer in optimizers
    ):
        raise ValueError(
            "`gradient_accumulation_steps` isn't possible with `tf.distribute`, whose replicas "
            f"can't combine gradients in some steps only. Leave it out of the optimizer, {use}."
        )


class StepByStep:
    """Take the steps of an execution one by one, each in a program.

    Within a program's loop TensorFlow's replicas can't combine what they compute.

    Args:
        model: `keras.Model`.
        execute: callable of an iterator of batches to logs, Keras' function for the model.
    """

    def __init__(self, model, execute):
        self._model = model
        self._execute = execute

    def __call__(self, iterator):
        """Take `model.steps_per_execution` steps, or fewer where batches end, and return logs."""
        if inspect.isgenerator(iterator):
            # Of `train_on_batch`: there Keras has a loop of Python.
            return self._execute(iterator)
        number = self._model.steps_per_execution
        self._model.steps_per_execution = 1
        try:
            logs = self._execute(iterator)
            with contextlib.suppress(StopIteration, tf.errors.OutOfRangeError):
                for _ in range(number - 1):
                    logs = self._execute(iterator)
            return logs
        finally:
            self._model.steps_per_execution = number


class DividedPrediction:
    """Predict in place of Keras' function, on batches that devices don't divide too.

    Each process predicts on its own devices, images of its own. A batch is filled up with its last
    image, and what that gives is cut off.

    Args:
        model: `keras.Model`, built in the scope of a strategy.
    """

    def __init__(self, model):
        self._strategy = model.distribute_strategy
        self._num_parts = num_own_parts(self._strategy)

        def predict(batch):
            return model.predict_step(batch)

        if model.jit_compile and not model.run_eagerly:
            predict = tf.function(predict, reduce_retracing=True, jit_compile=True)

        def run(batch):
            return self._strategy.run(predict, args=(batch,))

        is_compiled = not model.run_eagerly
        self._run = tf.function(run, reduce_retracing=True) if is_compiled else run

    def __call__(self, batches):
        """Return the outputs for batches, a list of tuples."""
        outputs = [self._predict(batch) for batch in batches]
        return tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *outputs)

    def _predict(self, batch):
        number = len(tf.nest.flatten(batch)[0])
        size = -(-number // self._num_parts)
        rows = np.minimum(np.arange(size * self._num_parts), number - 1)

        def part(context):
            index = context.replica_id_in_sync_group % self._num_parts
            own = rows[index * size : (index + 1) * size]
            return tf.nest.map_structure(lambda array: tf.gather(array, own), batch)

        values = self._strategy.experimental_distribute_values_from_function(part)
        outputs = self._run(values)

        def whole(output):
            parts = self._strategy.experimental_local_results(output)
            return tf.concat(parts, axis=0)[:number]

        return {name: whole(output) for name, output in outputs.items()}


def num_parts(strategy):
    """Return into how many parts a strategy divides batches, `None` for one."""
    number = strategy.num_replicas_in_sync
    return None if number == 1 else number


def num_own_parts(strategy):
    """Return how many replicas this process has."""
    return len(strategy.extended.worker_devices)


def divided_rows(strategy, dataset):
    """See `Backend.divided_rows`: each replica takes the next of what a process reads."""
    number = num_own_parts(strategy)
    if number > 1:

        @tf.autograph.experimental.do_not_convert
        def parts(*batch):
            return tf.nest.map_structure(lambda rows: tf.stack(tf.split(rows, number)), batch)

        dataset = dataset.map(parts).unbatch()
    return strategy.distribute_datasets_from_function(lambda _: dataset)


def default_strategy():
    """Return the strategy of no scope, also where there is one."""
    # Scopes are those of a graph.
    with tf.Graph().as_default():
        return tf.distribute.get_strategy()


def logs_of_replica(logs):
    """See `Backend.logs_of_replica`: of workers, Keras takes the mean over a first axis."""
    if isinstance(tf.distribute.get_strategy(), _Workers):
        return {name: value[None] for name, value in logs.items()}
    return logs


def _gathering_program(reference):
    """Return a program that puts the int32 vectors of all replicas one after the other.

    TensorFlow's own function of a strategy would be traced at each call.

    Args:
        reference: weak reference of a strategy.
    """

    def of_replica(vector):
        # The copy is on the replica's device.
        return tf.distribute.get_replica_context().all_gather(tf.identity(vector), axis=0)

    @tf.function(input_signature=[tf.TensorSpec([None], "int32")], autograph=False)
    def gather(vector):
        strategy = reference()
        return strategy.experimental_local_results(strategy.run(of_replica, (vector,)))[0]

    return gather
