"""What two devices of TensorFlow predict, and what they refuse; a script, run by its test."""

import keras
import numpy as np
import tensorflow as tf

from keras_detr.ops.backends import current
from keras_detr.ops.backends.tensorflow_devices import divided_rows
from tests.devices.processes import free_ports
from tests.models.detectors import DETECTORS, inputs_of, tiny_batch


def predictions(scope):
    """Return what a detector finds in seven images, in one, in data sets, and in raw images."""
    with scope:
        keras.utils.set_random_seed(0)
        model = DETECTORS["detr"].build(num_decoder_layers=1)
        # Programs would be compiled for each number of images.
        model.compile(run_eagerly=True)
    x = inputs_of(tiny_batch(batch_size=7))
    one = {name: array[:1] for name, array in x.items()}
    found = [model.predict(x, 7, verbose=0), model.predict(x, 3, verbose=0)]
    found.append(model.predict(tf.data.Dataset.from_tensor_slices(x).batch(4), verbose=0))
    found += [model.predict(one, verbose=0), model.predict_on_batch(one)]
    model.preprocessor = None
    images = [x["images"][n, : 64 - 8 * (n % 2)].astype("uint8") for n in range(3)]
    for detections in model.detect(images, confidence_threshold=0, verbose=0):
        found.append({"boxes": detections.boxes, "confidence": detections.confidence})
    return found


def error_of(function, *args, **settings):
    """Return what a function raises."""
    try:
        function(*args, **settings)
    except (NotImplementedError, ValueError) as error:
        return str(error)
    raise AssertionError(f"{args} and {settings} raise no error.")


def build_in(strategy):
    with strategy.scope():
        DETECTORS["detr"].build()


def fit_in(strategy, accumulate=None, **settings):
    with strategy.scope():
        model = DETECTORS["detr"].build()
        optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=accumulate)
        model.compile(optimizer, **settings)
    model.fit(tiny_batch(), verbose=0)


def cluster():
    """Start a parameter server and a worker in this process, and return how to reach them."""
    worker, server = (f"127.0.0.1:{port}" for port in free_ports(2))
    spec = tf.train.ClusterSpec({"worker": [worker], "ps": [server]})
    for job in spec.jobs:
        tf.distribute.Server(spec, job_name=job, task_index=0)
    return tf.distribute.cluster_resolver.SimpleClusterResolver(spec, rpc_layer="grpc")


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # Strategies of several processes also work in one.
    with tf.distribute.MultiWorkerMirroredStrategy().scope():
        assert current().process() == (0, 1)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for one, other in zip(
        predictions(tf.distribute.get_strategy().scope()), predictions(two.scope()), strict=True
    ):
        for name in one:
            np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-5)

    # Rows that a process has read are shared by its own replicas.
    pairs = tf.data.Dataset.zip(tf.data.Dataset.range(8), tf.data.Dataset.range(8))
    found = [
        [rows.numpy().tolist() for rows in two.experimental_local_results(x)]
        for x, _ in divided_rows(two, pairs.batch(4))
    ]
    assert found == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]

    assert "jit_compile=True" in error_of(fit_in, two, jit_compile=True)
    assert "gradient_accumulation_steps" in error_of(fit_in, two, accumulate=2)

    central = tf.distribute.experimental.CentralStorageStrategy(["CPU:0", "CPU:1"], "CPU:0")
    servers = tf.distribute.ParameterServerStrategy(cluster())
    for strategy in (central, servers):
        error = error_of(build_in, strategy)
        assert type(strategy).__name__.removesuffix("V2") in error
        assert "MultiWorkerMirroredStrategy" in error


if __name__ == "__main__":
    main()
