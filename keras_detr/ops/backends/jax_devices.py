"""How batches are divided among JAX' devices and processes, under `keras.distribution`."""

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from keras_detr.ops.backends.interface import Process


def process():
    """Return which `Process` this is; without a distribution, each works alone."""
    if keras.distribution.distribution() is None:
        return Process(0, 1)
    return Process(jax.process_index(), jax.process_count())


def gather_bytes(data):
    """See `Backend.gather_bytes`."""
    if process().count == 1:
        return [data]
    lengths = multihost_utils.process_allgather(np.array([len(data)], "int32"))[:, 0]
    padded = np.zeros(lengths.max(), "uint8")
    padded[: len(data)] = np.frombuffer(data, "uint8")
    rows = multihost_utils.process_allgather(padded)
    return [row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)]


def num_parts():
    """See `Backend.num_parts`."""
    distribution = keras.distribution.distribution()
    return None if distribution is None else _axis_size(distribution)


def num_own_parts():
    """See `Backend.num_own_parts`."""
    return len(rows_of_process(num_parts()))


def rows_of_process(num_rows):
    """See `Backend.rows_of_process`."""
    distribution = keras.distribution.distribution()
    if distribution is None or jax.process_count() == 1:
        return np.arange(num_rows)
    sharding = distribution.get_data_layout((num_rows,)).backend_layout
    slices = sharding.addressable_devices_indices_map((num_rows,)).values()
    return np.unique(np.concatenate([np.arange(num_rows)[rows] for rows in slices]))


def check_model(model, variables):
    """Raise a `NotImplementedError` where no process would have whole arrays, if there are several.

    Then none of them could save the model or predict with it, or take a step without a program.

    Args:
        model: `keras.Model`.
        variables: list of `keras.Variable`, the model's.
    """
    if process().count == 1:
        return
    if model.run_eagerly:
        raise NotImplementedError(
            "`run_eagerly=True` isn't possible with several processes of JAX, whose arrays are "
            "divided among them outside of programs. Leave it out in `compile`, or look for an "
            "error with one process."
        )
    divided = [v.path for v in variables if not v.value.is_fully_replicated]
    if divided:
        raise NotImplementedError(
            "`keras.distribution.ModelParallel` must leave the whole model on each device where "
            "there are several processes: none of them could save it, or predict. Use "
            "`DataParallel`, or one process for all devices of a host. Received a layout that "
            f"divides {len(divided)} variables, such as {divided[0]!r}."
        )


class DividedPrediction:
    """Predict in place of Keras' function, on batches that devices don't divide too.

    Each process predicts on its own devices, images of its own. A batch is filled up with its last
    image, and what that gives is cut off.

    Args:
        model: `keras.Model`, with a `predict_step`.
    """

    def __init__(self, model):
        distribution = keras.distribution.distribution()
        mesh, axis = distribution.device_mesh.backend_mesh, distribution.batch_dim_name
        self._is_alone = jax.process_count() == 1
        if not self._is_alone:
            devices = [device for device in mesh.devices.flat if device in jax.local_devices()]
            mesh = Mesh(np.array(devices), (axis,))
        self._model = model
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._divided = NamedSharding(mesh, PartitionSpec(axis))
        self._num_parts = mesh.shape[axis]
        is_compiled = model.jit_compile and not model.run_eagerly
        self._step = jax.jit(model.predict_step) if is_compiled else model.predict_step

    def __call__(self, state, iterator):
        """Return the outputs of the next batches, and the state, which prediction doesn't change.

        Args:
            state: the values of the trainable variables and of the others, two lists of arrays.
            iterator: of batches, tuples.
        """
        values = state if self._is_alone else jax.tree.map(self._on_own_devices, state)
        outputs = [self._predict(values, next(iterator))]
        for _, batch in zip(range(self._model.steps_per_execution - 1), iterator, strict=False):
            outputs.append(self._predict(values, batch))
        if len(outputs) == 1:
            return outputs[0], state
        return jax.tree.map(lambda *parts: np.concatenate(parts), *outputs), state

    def _predict(self, values, batch):
        batch = jax.tree.map(np.asarray, batch)
        number = len(jax.tree.leaves(batch)[0])
        size = -(-number // self._num_parts) * self._num_parts
        if size > number:
            rows = np.minimum(np.arange(size), number - 1)
            batch = jax.tree.map(lambda array: array[rows], batch)
        outputs, _ = self._step(values, jax.device_put(batch, self._divided))
        if size == number:
            return outputs
        return jax.tree.map(lambda output: np.asarray(output)[:number], outputs)

    def _on_own_devices(self, array):
        """Return an array that all devices hold, as those of this process do."""
        parts = [shard.data for shard in array.addressable_shards]
        return jax.make_array_from_single_device_arrays(array.shape, self._replicated, parts)


def _axis_size(distribution):
    mesh = distribution.device_mesh
    return mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]
