"""Several devices of one process, and several processes, of JAX and of TensorFlow.

Only one of the two may be installed.
"""

import contextlib
import json
import os

import keras

COUNT, INDEX = (int(os.environ[name]) for name in ("PROCESS_COUNT", "PROCESS_INDEX"))
# TensorFlow's replicas wait for each other in threads, of which it has one for each core.
NUM_DEVICES = 4 if keras.backend.backend() == "jax" else 2


def several_devices():
    """Return the context in which a model is built for several devices of this process."""
    if keras.backend.backend() == "jax":
        assert keras.distribution.get_device_count() == NUM_DEVICES
        return keras.distribution.DataParallel().scope()
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(NUM_DEVICES)])
    assert strategy.num_replicas_in_sync == NUM_DEVICES
    return strategy.scope()


def make_several_devices():
    """Divide TensorFlow's CPU; JAX gets a flag for it."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        devices = [tf.config.LogicalDeviceConfiguration()] * NUM_DEVICES
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, devices)


def all_processes(has_chief=False):
    """Let the processes meet, and return the context in which a model is built for all.

    `has_chief` lets the first process of TensorFlow be the chief of the others.
    """
    if COUNT == 1:
        return contextlib.nullcontext()
    addresses = os.environ["ADDRESSES"].split(",")
    if keras.backend.backend() == "jax":
        import jax

        # As keras.distribution.initialize does, but for the time until a lost process is noticed.
        jax.distributed.initialize(addresses[0], COUNT, INDEX, heartbeat_timeout_seconds=10)
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        return contextlib.nullcontext()
    jobs = {"worker": addresses}
    job, index = "worker", INDEX
    if has_chief:
        jobs = {"chief": addresses[:1], "worker": addresses[1:]}
        job, index = ("worker", INDEX - 1) if INDEX else ("chief", 0)
    os.environ["TF_CONFIG"] = json.dumps({"cluster": jobs, "task": {"type": job, "index": index}})
    import tensorflow as tf

    return tf.distribute.MultiWorkerMirroredStrategy().scope()
