"""Train DETR, Deformable DETR or DINO on COCO 2017 with the paper's recipe.

    python examples/train_coco.py --model deformable_detr_r50 --data-dir ~/tensorflow_datasets

COCO is read through TFDS ("coco/2017"), which downloads and prepares it if `--data-dir` doesn't
hold it yet. The architecture is that of the preset `--model`; all weights are new but those of the
backbone. Images are mirrored, resized and cropped as in the paper, and padded to a few sizes. The
optimizer is the paper's, and its rates are divided by ten towards the end (`EPOCHS`). Started again
after an interruption, it goes on. Copy it and change it.
"""

import argparse

import keras

import keras_detr
from keras_detr.datasets import load_coco
from keras_detr.evaluation import COCOEvaluation
from keras_detr.optimizers import step_decay
from keras_detr.preprocessing import evaluation_batches, training_batches

FORMAT = {"bounding_box_format": "rel_xyxy"}  # Fractions of the image: resizing keeps them.
# Of each paper's training, and those before the learning rates are divided by ten.
EPOCHS = {"DETR": (300, 200), "DeformableDETR": (50, 40), "DINODETR": (12, 11)}
# What images' boxes are padded to. The fewer, the more groups of denoising queries there are.
NUMBERS_OF_BOXES = (20, 50, 100)


def parse_arguments():
    parser = argparse.ArgumentParser(description="Train a detector on COCO 2017.")
    parser.add_argument("--model", default="detr_r50", help="the preset of an architecture")
    parser.add_argument("--backbone", default="resnet50_imagenet", help="its preset")
    parser.add_argument("--data-dir", help="the folder of TFDS' data sets")
    parser.add_argument("--epochs", type=int, help="default: the paper's")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--short-side", type=int, default=800, help="of the images, in pixels")
    parser.add_argument("--mixed-precision", action="store_true", help="compute in bfloat16")
    parser.add_argument("--output", default="trained_on_coco")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    settings = {**vars(arguments), "data_dir": None, "output": None}
    try:
        run = keras_detr.TrainingRun(arguments.output, settings)
    except FileExistsError as error:
        raise SystemExit(f"--output: {error}") from error
    if run.is_finished:
        return print(f"the training in {run.folder} is finished: take another --output for more")
    keras.utils.set_random_seed(42)
    if arguments.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")

    model = keras_detr.load(arguments.model, load_weights=False, **FORMAT)
    backbone = keras_detr.ResNetBackbone.from_preset(arguments.backbone)
    model.backbone.set_weights(backbone.get_weights())
    data = load_coco("train", data_dir=arguments.data_dir, **FORMAT)
    valid = load_coco("validation", data_dir=arguments.data_dir, **FORMAT)
    steps = -(-len(data) // arguments.batch_size)
    sizes = arguments.short_side, round(arguments.short_side * 1333 / 800)
    settings = {"batch_size": arguments.batch_size, **FORMAT}
    train = training_batches(data, sizes, max_boxes=NUMBERS_OF_BOXES, seed=42, **settings)
    valid = evaluation_batches(valid, sizes, max_boxes=max(NUMBERS_OF_BOXES), **settings)

    epochs, epochs_before_decay = EPOCHS[type(model).__name__]
    if arguments.epochs is not None:
        epochs_before_decay = max(1, arguments.epochs * epochs_before_decay // epochs)
        epochs = arguments.epochs
    boundary = steps * epochs_before_decay
    model.compile(model.default_optimizer(lambda rate: step_decay(rate, boundary)))
    callbacks = [COCOEvaluation(valid, every=5), *run.callbacks()]
    model.fit(train, epochs=epochs, steps_per_epoch=steps, callbacks=callbacks)
    run.finish()
    print(f"the model of the best validation AP -> {run.best_path}")


if __name__ == "__main__":
    main()
