"""Fine-tune a detector with torch in several processes, one for each GPU.

    torchrun --nproc-per-node 2 examples/train_ddp.py my_data --model deformable_detr_r50

Every process trains on its own rows of each batch, and all evaluate together. Started again after
an interruption, it goes on after the last complete epoch. Copy it and change it.
"""

import argparse
import os
import pathlib

os.environ["KERAS_BACKEND"] = "torch"

import keras
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

import keras_detr

FORMAT = {"bounding_box_format": "rel_xyxy"}  # Fractions of the image: resizing keeps them.


def train(model, batches_of, valid, steps, epochs, path):
    """Train until `epochs`, from the one on that the optimizer has reached."""
    replica = DistributedDataParallel(model)  # Every process gets the weights of the first.
    variables = model.trainable_variables
    for epoch in range(int(model.optimizer.iterations) // steps, epochs):
        model.reset_metrics()
        for batch in batches_of(epoch):
            inputs, bounding_boxes = model.training_pair(batch)
            loss = model.compute_loss(inputs, bounding_boxes, replica(inputs, training=True))
            model.zero_grad()
            loss.backward()  # Averages the gradients of all processes.
            with torch.no_grad():
                model.optimizer.apply([variable.value.grad for variable in variables], variables)
        loss = float(model.get_metrics_result()["loss"])  # The mean over all processes.
        figures = keras_detr.evaluation.evaluate_detector(model, valid)
        if distributed.get_rank() == 0:
            print(f"epoch {epoch + 1}: loss {loss:.6f}, AP {figures['AP']:.6f}", flush=True)
            model.save(path.with_name("unfinished.keras"))
            path.with_name("unfinished.keras").replace(path)
        distributed.barrier()


def main():
    parser = argparse.ArgumentParser(description="Fine-tune a detector in several processes.")
    parser.add_argument("data", help="the folder of images and annotations")
    parser.add_argument("--model", default="detr_r50", help="or folder, hf://owner/name or .keras")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=4, help="images of each process")
    parser.add_argument("--output", default="trained", help="a folder that all processes see")
    arguments = parser.parse_args()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group()  # NCCL for tensors on GPUs, gloo for others.
    index, count = distributed.get_rank(), distributed.get_world_size()
    keras.utils.set_random_seed(42)  # The same in all, which read parts of the same batches.
    data = keras_detr.datasets.load_folder(arguments.data, **FORMAT)
    batches = {"batch_size": count * arguments.batch_size, "seed": 42, "process": (index, count)}
    own = keras_detr.preprocessing.training_batches(data.train, **batches, **FORMAT)
    valid = keras_detr.preprocessing.evaluation_batches(data.valid, **FORMAT)
    steps = max(1, data.train.report.num_images // (count * arguments.batch_size))
    path = pathlib.Path(arguments.output) / "model.keras"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        names = {"num_classes": len(data.class_names), "class_names": data.class_names}
        model = keras_detr.load(arguments.model, **names, **FORMAT)
        model.compile()  # The optimizer and the loss of the paper.
    else:
        model = keras_detr.load(path)
    train(model, lambda epoch: own.take(steps), valid, steps, arguments.epochs, path)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
