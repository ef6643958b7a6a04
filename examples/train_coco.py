"""Train DETR, Deformable DETR or DINO on COCO with the paper's recipe.

    python examples/train_coco.py --data-dir ~/tensorflow_datasets
    python examples/train_coco.py --data-dir ~/tensorflow_datasets --model deformable
    python examples/train_coco.py --data-dir ~/tensorflow_datasets --model dino

COCO is read through TFDS ("coco/2017"), which downloads and prepares it if `--data-dir` doesn't
hold it yet. Images are mirrored, resized and cropped as in the paper, and padded to a few sizes.
DETR trains for 300 epochs with AdamW at 1e-4, the backbone at a tenth of that, and gradients
clipped to a norm of 0.1; learning rates are divided by ten after two thirds of the epochs.
Deformable DETR trains for 50 epochs at 2e-4, with a tenth also for the layers that place its
sampling points; learning rates are divided by ten after four fifths of the epochs. DINO trains for
12 epochs at DETR's rates, which are divided by ten before the last of them.

An interrupted training continues after its last finished epoch if it is started again with the same
`--output` and settings; an output with other settings isn't changed.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

import keras_detr
from keras_detr.datasets import load_coco
from keras_detr.evaluation import COCOEvaluation
from keras_detr.optimizers import step_decay
from keras_detr.preprocessing import (
    DETRAugmentation,
    ResizeShortestSide,
    bucketed_batches,
    scaled_canvases,
)

# Fractions of the image don't change when it is resized or padded.
BOX_FORMAT = "rel_xyxy"


class Recipe(NamedTuple):
    """Hold the settings that differ between the papers."""

    detector: type
    preset: str
    learning_rate: float
    epochs: int
    share_before_decay: float


# What images' boxes are padded to. The fewer, the more groups of denoising queries there are.
MOST_BOXES = 100
NUMBERS_OF_BOXES = (20, 50, MOST_BOXES)

RECIPES = {
    "detr": Recipe(keras_detr.DETR, "detr_r50", 1e-4, 300, 2 / 3),
    "deformable": Recipe(keras_detr.DeformableDETR, "deformable_detr_r50", 2e-4, 50, 4 / 5),
    "dino": Recipe(keras_detr.DINODETR, "dino_detr_r50", 1e-4, 12, 11 / 12),
}


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=RECIPES, default="detr")
    parser.add_argument("--preset", default=None, help="which architecture of it is trained")
    parser.add_argument(
        "--start",
        default="resnet50_imagenet",
        help='where training starts: "scratch", "preset" (its COCO weights), a file of official '
        "weights, or the preset of a backbone (default: %(default)s, as in the paper)",
    )
    parser.add_argument("--data-dir", default=None, help="the folder of TFDS' data sets")
    parser.add_argument("--train-split", default="train")
    parser.add_argument("--validation-split", default="validation")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--short-side", type=int, default=800)
    parser.add_argument("--longest-side", type=int, default=1333)
    parser.add_argument("--epochs", type=int, default=None, help="the paper's, without")
    parser.add_argument("--evaluate-every", type=int, default=5, help="epochs between two COCO APs")
    parser.add_argument(
        "--learning-rate", type=float, default=None, help="outside of the backbone; the paper's"
    )
    parser.add_argument("--steps-per-epoch", type=int, default=None, help="fewer, for a trial")
    parser.add_argument("--mixed-precision", action="store_true", help="compute in bfloat16")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", type=Path, default=Path("detr_coco"))
    return parser.parse_args()


def open_run(arguments):
    """Return the output folder, or exit if it holds another training."""
    places = ("data_dir", "output")
    settings = {name: value for name, value in vars(arguments).items() if name not in places}
    try:
        return keras_detr.TrainingRun(arguments.output, settings)
    except FileExistsError as error:
        sys.exit(f"--output: {error}")


def load_batches(arguments, split, is_training):
    """Return batches of COCO's images, padded to a few sizes, and the number of images."""
    dataset = load_coco(
        split,
        data_dir=arguments.data_dir,
        bounding_box_format=BOX_FORMAT,
        crowds="drop" if is_training else "keep",
        # Files are shuffled before they are decoded: decoded photos would fill the memory.
        shuffle_files=is_training,
    )
    num_images = int(dataset.cardinality())
    if is_training:
        dataset = dataset.repeat()
        layer = DETRAugmentation.scaled_to(
            (arguments.short_side, arguments.longest_side),
            bounding_box_format=BOX_FORMAT,
            seed=arguments.seed,
        )
    else:
        layer = ResizeShortestSide(
            arguments.short_side,
            longest_side=arguments.longest_side,
            bounding_box_format=BOX_FORMAT,
        )
    dataset = dataset.map(layer, num_parallel_calls=tf.data.AUTOTUNE)
    canvases = scaled_canvases(arguments.short_side, longest_side=arguments.longest_side)
    has_denoising = is_training and arguments.model == "dino"
    max_boxes = NUMBERS_OF_BOXES if has_denoising else MOST_BOXES
    batches = bucketed_batches(dataset, canvases, arguments.batch_size, max_boxes=max_boxes)
    return batches.prefetch(tf.data.AUTOTUNE), num_images


def build_model(detector, preset, start):
    """Return the preset's architecture with the weights that training starts from."""
    settings = {"bounding_box_format": BOX_FORMAT}
    if start == "preset":
        return detector.from_preset(preset, **settings)
    if Path(start).is_file():
        return detector.from_preset(preset, weights=start, **settings)
    model = detector.from_preset(preset, load_weights=False, **settings)
    if start != "scratch":
        backbone = keras_detr.ResNetBackbone.from_preset(start)
        model.backbone.set_weights(backbone.get_weights())
    return model


def main():
    arguments = parse_arguments()
    run = open_run(arguments)
    if run.is_finished:
        print(f"the training in {arguments.output} is finished: choose another --output for more")
        return
    keras.utils.set_random_seed(arguments.seed)
    if arguments.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    batches, num_images = load_batches(arguments, arguments.train_split, is_training=True)
    validation, num_validation = load_batches(
        arguments, arguments.validation_split, is_training=False
    )
    steps_per_epoch = arguments.steps_per_epoch or -(-num_images // arguments.batch_size)
    print(f"{num_images} training and {num_validation} validation images", flush=True)

    recipe = RECIPES[arguments.model]
    model = build_model(recipe.detector, arguments.preset or recipe.preset, arguments.start)
    epochs = arguments.epochs or recipe.epochs
    faster = (arguments.learning_rate or recipe.learning_rate) / recipe.learning_rate
    boundary = max(1, steps_per_epoch * int(epochs * recipe.share_before_decay))
    model.compile(model.default_optimizer(lambda rate: step_decay(rate * faster, boundary)))
    model.fit(
        batches,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        validation_data=validation,
        callbacks=[
            # First, so that the callbacks after it see val_AP.
            COCOEvaluation(validation, every=arguments.evaluate_every),
            keras.callbacks.CSVLogger(arguments.output / "log.csv", append=True),
            keras.callbacks.TerminateOnNaN(raise_error=True),
            # The backup is kept until the model is saved.
            keras.callbacks.BackupAndRestore(
                run.backup_dir, double_checkpoint=True, delete_checkpoint=False
            ),
        ],
    )
    model.save(arguments.output / "model.keras")
    run.finish()
    print(f"saved {arguments.output / 'model.keras'}", flush=True)


if __name__ == "__main__":
    main()
