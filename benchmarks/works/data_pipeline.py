"""JPEG files to training batches of two, float32, padded, with masks of the padding.

Each file is read eight times, so that what starts a pipeline counts little. Ours and torchvision's
decode, augment as in the paper (mirror, and resize, or resize, crop and resize) and make batches at
short side 800; torchvision's transforms are given tensors of uint8, or images of PIL, and a process
of its `DataLoader` for each core where there are several. Hugging Face's processor decodes with
PIL, resizes, normalizes and pads, without any augmentation; KerasCV's closest pipeline decodes,
mirrors, jitters scale and crops to a square of 800. The limit is decoding alone.

`taskset -c 0` before the command measures one core. The processor's seconds don't count those of
`DataLoader`'s processes.
"""

import functools
import os
import pathlib
import random

import numpy as np

BOX_FORMAT = "rel_xyxy"
BATCH_SIZE = 2
TIMES = 8
BOXES = np.array([[0.1, 0.2, 0.6, 0.7], [0.3, 0.3, 0.9, 0.5]], np.float32)


def files_of(folder):
    """Return the JPEG files of a folder, as str, each several times."""
    return [str(file) for file in sorted(pathlib.Path(folder).glob("*.jpg"))] * TIMES


def files_dataset(folder):
    """Return a data set of paths."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(files_of(folder))


def decoded(path):
    import tensorflow as tf

    return tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")


def element(path):
    import tensorflow as tf

    boxes = {"boxes": tf.constant(BOXES), "classes": tf.constant([1, 2])}
    return {"images": decoded(path), "bounding_boxes": boxes}


def going_through(dataset):
    """Return a callable that draws all batches."""

    def run():
        for _ in dataset:
            pass

    return run


def decoding(folder):
    """Decode only: no pipeline of images can be faster."""
    return going_through(files_dataset(folder).map(decoded, num_parallel_calls=-1))


def ours(folder):
    """Draw batches of the paper's augmentation."""
    from keras_detr.preprocessing import DETRAugmentation, bucketed_batches

    augmentation = DETRAugmentation(bounding_box_format=BOX_FORMAT, seed=0)
    dataset = files_dataset(folder).map(
        lambda path: augmentation(element(path)), num_parallel_calls=-1
    )
    batches = bucketed_batches(dataset, batch_size=BATCH_SIZE, num_measured=0)
    return going_through(batches.prefetch(-1))


def keras_cv(folder):
    """Draw batches of KerasCV's layers."""
    import keras_cv
    import tensorflow as tf

    layers = [
        keras_cv.layers.RandomFlip("horizontal", bounding_box_format=BOX_FORMAT),
        keras_cv.layers.JitteredResize(
            (800, 800), scale_factor=(0.6, 1.25), bounding_box_format=BOX_FORMAT
        ),
    ]

    def floats(path):
        came = element(path)
        boxes = {name: tf.cast(rows, tf.float32) for name, rows in came["bounding_boxes"].items()}
        return {"images": tf.cast(came["images"], tf.float32), "bounding_boxes": boxes}

    dataset = files_dataset(folder).map(floats, num_parallel_calls=-1).ragged_batch(BATCH_SIZE)
    for layer in layers:
        dataset = dataset.map(layer, num_parallel_calls=-1)
    return going_through(dataset.prefetch(-1))


def transformers(folder):
    """Draw batches of transformers' image processor."""
    from PIL import Image
    from transformers import DetrImageProcessor

    processor, files = DetrImageProcessor(), files_of(folder)

    def run():
        for start in range(0, len(files), BATCH_SIZE):
            images = [Image.open(file).convert("RGB") for file in files[start : start + BATCH_SIZE]]
            processor(images, return_tensors="np")

    return run


def torchvision(folder, with_tensors=True):
    """Draw batches of torchvision's transforms."""
    import torch
    from PIL import Image

    try:
        from torchvision import tv_tensors
        from torchvision.transforms import v2
    except RuntimeError as error:  # Its operators are built for another torch.
        raise ImportError(f"torchvision can't be imported: {error}") from error
    functional = v2.functional

    class RandomSizeCrop(torch.nn.Module):
        def forward(self, image, boxes):
            image_size = functional.get_size(image)
            size = [random.randint(min(384, side), min(600, side)) for side in image_size]
            pairs = zip(image_size, size, strict=True)
            start = [random.randint(0, side - part) for side, part in pairs]
            return tuple(functional.crop(value, *start, *size) for value in (image, boxes))

    def resized(sides, longest_side):
        return v2.RandomShortestSize(sides, longest_side)

    whole = resized(list(range(480, 801, 32)), 1333)
    cut = v2.Compose([resized([400, 500, 600], None), RandomSizeCrop(), whole])
    augmentation = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomChoice([whole, cut])])
    files = files_of(folder)

    class Files(torch.utils.data.Dataset):
        def __len__(self):
            return len(files)

        def __getitem__(self, index):
            image = Image.open(files[index]).convert("RGB")
            width, height = image.size
            corners = torch.from_numpy(BOXES) * torch.tensor([width, height] * 2)
            boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(height, width))
            if with_tensors:
                image = functional.pil_to_tensor(image)
            image, boxes = augmentation(image, boxes)
            return (image if with_tensors else functional.pil_to_tensor(image)), boxes

    def padded(elements):
        sizes = [image.shape[1:] for image, _ in elements]
        canvas = [max(sides) for sides in zip(*sizes, strict=True)]
        images = torch.zeros(len(elements), 3, *canvas)
        mask = torch.zeros(len(elements), *canvas, dtype=torch.uint8)
        for index, (image, _) in enumerate(elements):
            images[index, :, : image.shape[1], : image.shape[2]] = image
            mask[index, : image.shape[1], : image.shape[2]] = 1
        return images, mask, [boxes for _, boxes in elements]

    num_cores = len(os.sched_getaffinity(0))
    num_workers = num_cores if num_cores > 1 else 0
    if not num_workers:
        torch.set_num_threads(1)
    return going_through(
        torch.utils.data.DataLoader(
            Files(),
            BATCH_SIZE,
            num_workers=num_workers,
            collate_fn=padded,
            persistent_workers=num_workers > 0,
        )
    )


CONTENDERS = {
    "keras_detr": ours,
    "torchvision": torchvision,
    "torchvision, PIL": functools.partial(torchvision, with_tensors=False),
    "keras_cv": keras_cv,
    "transformers": transformers,
    "limit": decoding,
}
