# ruff: noqa: E402
"""Train and evaluate tiny detectors in one of several processes of torch: scripts of tests.

Their environment is that of `processes.start`. TensorFlow is hidden, which takes as long to import
as all else.
"""

import datetime
import os
import pathlib
import signal
import sys

from tests.absent_tensorflow import hide_tensorflow

hide_tensorflow()

import keras
import numpy as np
import torch
from torch import distributed

from keras_detr.evaluation import COCOMetrics, evaluate_detector
from keras_detr.ops import processes
from keras_detr.ops.backends import current
from keras_detr.optimizers import detr_optimizer
from tests.examples.examples import load_example
from tests.models.detectors import HEIGHT, WIDTH, Batches, smooth_detector, tiny_batch

NAMES = ("detr", "dino_detr", "detr_segmenter")
STEPS, EPOCHS = 2, 2


def join_group():
    """Make the group of all processes, and return index and count."""
    index, count = int(os.environ["PROCESS_INDEX"]), int(os.environ["PROCESS_COUNT"])
    distributed.init_process_group(
        "gloo",
        init_method=f"tcp://{os.environ['ADDRESSES'].split(',')[0]}",
        rank=index,
        world_size=count,
        timeout=datetime.timedelta(seconds=60),
    )
    return index, count


def detector(name, seed=0):
    """Build a detector whose gradients are smooth, with the paper's optimizer."""
    model = smooth_detector(name, seed)
    optimizer = detr_optimizer(model, 1e-3, backbone_learning_rate=1e-3)
    for one in optimizer.optimizers:
        # A gradient that is zero but for rounding would be divided by its own size.
        one.epsilon = 1e-4
    model.compile(optimizer)
    return model


def batches_of(epoch, index, count):
    """Return the batches of an epoch, or of them this process' part.

    In the first batch all objects are in the first half of the images. The part without objects is
    padded to no box at all, as its process would do that sees no other.
    """
    batches = [tiny_batch(seed) for seed in range(STEPS * epoch, STEPS * (epoch + 1))]
    batches[0]["bounding_boxes"]["classes"][2:] = -1
    size = 4 // count
    rows = slice(size * index, size * (index + 1))
    batches = [keras.tree.map_structure(lambda array: array[rows], batch) for batch in batches]
    if index:
        boxes = batches[0]["bounding_boxes"]
        batches[0]["bounding_boxes"] = {name: value[:, :0] for name, value in boxes.items()}
    return batches


def valid_batches(name):
    """Return batches to evaluate, one more than two processes can share equally.

    The true boxes are those that a new detector finds, so that one of a few steps finds some.
    """
    model = detector(name)
    batches = []
    for seed in range(3):
        batch = tiny_batch(seed, batch_size=2)
        found = model.predict_on_batch(batch)
        boxes = {key: found[key][:, :3] for key in ("boxes", "classes")}
        boxes["masks"] = batch["bounding_boxes"]["masks"]
        sizes = np.array([[2 * HEIGHT, 2 * WIDTH]] * 2)
        batches.append({**batch, "bounding_boxes": boxes, "image_size": sizes})
    return Batches(*batches)


def compare():
    """Write what each detector computes to FOLDER/COUNT-INDEX.npz, and models beside it."""
    index, count = join_group()
    if count == 2:
        check_backend(index)
    found = {}
    for name in NAMES:
        # Other weights in each process, which are to get those of the first.
        model = detector(name, seed=index)
        steps = gradients_of(model.optimizer)
        valid = valid_batches(name)
        path = pathlib.Path(sys.argv[1]) / f"{count}-{name}.keras"
        train(model, lambda epoch: batches_of(epoch, index, count), valid, path)
        for place, gradient in enumerate(steps[0]):
            found[f"{name} gradient {place}"] = gradient
        start = detector(name).trainable_variables
        for place, (variable, old) in enumerate(zip(model.trainable_variables, start, strict=True)):
            found[f"{name} weight {place}"] = variable.value.detach().numpy()
            found[f"{name} move {place}"] = (variable.value - old.value).detach().numpy()
        metrics = COCOMetrics("rel_xyxy", num_classes=model.num_classes)
        figures = evaluate_detector(model, valid, metrics=metrics)
        found[f"{name} figures"] = np.array(list(figures.values()))
        found[f"{name} curves"] = np.array(list(metrics.curves().best().values()))
    np.savez(pathlib.Path(sys.argv[1]) / f"{count}-{index}.npz", **found)
    distributed.destroy_process_group()


def train(model, batches, valid, path):
    """Train as the example does."""
    load_example("train_ddp").train(model, batches, valid, STEPS, EPOCHS, path)


def gradients_of(optimizer):
    """Return a list that gets the gradients of each step that an optimizer takes."""
    steps, apply = [], optimizer.apply

    def keep_and_apply(grads, variables):
        steps.append([gradient.numpy().copy() for gradient in grads])
        apply(grads, variables)

    optimizer.apply = keep_and_apply
    return steps


def check_backend(index):
    """Check what the backend says of two processes, and that Keras' own training is refused."""
    backend = current()
    assert backend.process() == (index, 2)
    assert backend.num_replicas() == 2
    assert processes.is_first_process() == (index == 0)
    # Of different lengths, one of them none.
    assert backend.gather_bytes(b"\x00x" * index) == [b"", b"\x00x"]
    assert processes.gather({"index": np.array([index])}) == [{"index": 0}, {"index": 1}]
    value = torch.tensor([1.0, 10.0 * index], requires_grad=True)
    assert backend.sum_over_replicas(value).tolist() == [2.0, 10.0]
    assert value.tolist() == [1.0, 10.0 * index]
    with backend.alone():
        assert backend.process() == (0, 1)
        assert backend.gather_bytes(b"x") == [b"x"]
        assert backend.sum_over_replicas(value) is value
    # As they are: `DistributedDataParallel` averages gradients, and has done so.
    assert backend.loss_of_replica(value) is value
    assert backend.gradient_of_batch(value) is value
    model = detector("detr")
    batch = tiny_batch()
    for method in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        try:
            method(batch)
        except NotImplementedError as error:
            assert f"process {index} of 2" in str(error)
            assert "examples/train_ddp.py" in str(error)
            assert "KERAS_BACKEND=jax" in str(error)
        else:
            raise AssertionError(method)
    # Each predicts on its own.
    assert len(model.predict(batch, verbose=0)["boxes"]) == 4


def train_on():
    """Train as the example does; the process that is DOOMED kills itself in the second epoch."""
    index, count = join_group()
    path = pathlib.Path(sys.argv[1])

    def batches(epoch):
        for number, batch in enumerate(batches_of(epoch, index, count)):
            if epoch == number == 1 and os.environ.get("DOOMED") == str(index):
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    model = keras.saving.load_model(path) if path.exists() else detector("detr")
    train(model, batches, valid_batches("detr"), path)
    distributed.destroy_process_group()
