"""Two devices compute what one does."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

# A process has its devices once and for all, hence one of its own.
SCRIPT = """
import json
import keras
import numpy as np
import tensorflow as tf
from tests.models.detectors import inputs_of, smooth_detector, tiny_batch

devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategies = [tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])]
results = []
for strategy in strategies:
    with strategy.scope():
        model = smooth_detector("%s", num_decoder_layers=1)
        start = [variable.numpy() for variable in model.trainable_variables]
        # What one device does needs no program: it would be compiled for a single step.
        is_eager = strategy.num_replicas_in_sync == 1
        model.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=is_eager)
    batch = tiny_batch()
    elements = {**inputs_of(batch), "bounding_boxes": batch["bounding_boxes"]}
    data = tf.data.Dataset.from_tensors(elements)
    data = data.unbatch().batch(4)
    logs = model.fit(data, verbose=0).history
    moved = [
        (variable.numpy() - value) / -0.1
        for variable, value in zip(model.trainable_variables, start)
    ]
    results.append([strategy.num_replicas_in_sync, logs, moved])
(_, single, gradients), (num_replicas, mirrored, other_gradients) = results
print(json.dumps({
    "num_replicas": num_replicas,
    "single": {name: values[-1] for name, values in single.items()},
    "mirrored": {name: values[-1] for name, values in mirrored.items()},
    "largest": float(max(np.abs(g).max() for g in gradients)),
    "difference": float(max(np.abs(a - b).max() for a, b in zip(gradients, other_gradients))),
    "of_gradients": len(gradients),
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs tensorflow as the backend"
)
# DINO has all that Deformable DETR has.
@pytest.mark.parametrize("detector", ["detr", "dino_detr"])
def test_two_devices_take_the_step_of_one(detector):
    root = pathlib.Path(__file__).parents[2]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    path = [str(root), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT % detector],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["num_replicas"] == 2
    assert result["of_gradients"] > 50
    # The batch has five objects on one device's images and one on the other's: local normalizers
    # would be far off.
    np.testing.assert_allclose(result["mirrored"]["loss"], result["single"]["loss"], rtol=1e-5)
    assert result["difference"] < 1e-5 * max(1.0, result["largest"])
