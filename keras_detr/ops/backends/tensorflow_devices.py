"""How `tf.distribute` strategies share the work of a model among devices and processes."""

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
        if isinstance(strategy, _Workers):
            self._strategy = weakref.ref(strategy)

    def process(self):
        """Return this `Process`."""
        strategy = self._find()
        if strategy is None:
            return Process(0, 1)
        index = strategy.cluster_resolver.task_id
        count = strategy.num_replicas_in_sync // _num_local(strategy)
        return Process(index, count)

    def gather_bytes(self, data):
        """See `Backend.gather_bytes`."""
        strategy = self._find()
        if strategy is None:
            return [data]
        lengths = _gathered(strategy, np.array([len(data)], "int32"))
        # There is no collective operation on bytes.
        padded = data + bytes(-len(data) % 4)
        numbers = _gathered(strategy, np.frombuffer(padded, "int32"))
        ends = np.cumsum(-(-lengths // 4))
        parts = np.split(numbers, ends[:-1])
        return [part.tobytes()[:length] for part, length in zip(parts, lengths, strict=True)]

    def _find(self):
        strategy = tf.distribute.get_strategy()
        if isinstance(strategy, _Workers):
            return strategy
        return None if self._strategy is None else self._strategy()


class DividedPrediction:
    """Predict in place of Keras' function, on batches that devices don't divide too.

    Each process predicts on its own devices, images of its own. A batch is filled up with its last
    image, and what that gives is cut off.

    Args:
        model: `keras.Model`, built in the scope of a strategy.
    """

    def __init__(self, model):
        self._strategy = model.distribute_strategy
        self._num_parts = _num_local(self._strategy)

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


def _num_local(strategy):
    """Return how many replicas this process has."""
    return len(strategy.extended.worker_devices)


def _gathered(strategy, array):
    """Return the int32 arrays of all processes, one after the other."""

    def of_replica(context):
        is_first = context.replica_id_in_sync_group % _num_local(strategy) == 0
        return tf.constant(array if is_first else array[:0])

    values = strategy.experimental_distribute_values_from_function(of_replica)
    return strategy.gather(values, axis=0).numpy()
