"""Train a small DINO from scratch on generated images, score it, save it, draw what it sees.

All is written to the folder `quickstart`. An interrupted run continues when it is started again.
"""

import argparse

import keras
import keras_cv

import keras_detr
from keras_detr.datasets import ShapesConfig, load_shapes
from keras_detr.evaluation import COCOEvaluation
from keras_detr.optimizers import warmup_cosine
from keras_detr.preprocessing import PadToCanvas, RandomHorizontalFlip, Resize
from keras_detr.visualization import plot_predictions

IMAGE_SIZE = (80, 80)
FORMAT = {"bounding_box_format": "rel_xyxy"}  # Fractions of the image: resizing keeps them.


def load_batches(split, data_dir):
    """Return batches of images and their boxes, and the names of the classes."""
    config = ShapesConfig(num_train=5000)
    images = load_shapes(split, data_dir=data_dir, config=config, shuffle_files=False, **FORMAT)
    batches = images.map(Resize(IMAGE_SIZE, **FORMAT)).cache()
    if split == "train":
        batches = batches.shuffle(5000, seed=0).map(RandomHorizontalFlip(seed=0, **FORMAT))
    batches = batches.map(PadToCanvas(IMAGE_SIZE, max_boxes=config.max_objects, **FORMAT)).batch(8)
    return batches.prefetch(2), images.class_names


def build_model(class_names, num_steps):
    """Return a compiled DINO, small enough to learn from scratch in minutes."""
    backbone = keras_cv.models.ResNetBackbone(
        stackwise_filters=[32, 64, 128],
        stackwise_blocks=[1, 1, 1],
        stackwise_strides=[1, 2, 2],
        include_rescaling=True,
    )
    model = keras_detr.DINODETR(
        backbone,
        num_classes=len(class_names),
        class_names=class_names,
        num_queries=12,
        hidden_dim=128,
        num_encoder_layers=1,
        num_decoder_layers=3,
        feed_forward_dim=256,
        num_levels=2,
        denoising=keras_detr.ContrastiveDenoising(num_queries=12, box_noise_scale=0.4),
        preprocessor_sizes=IMAGE_SIZE,
        **FORMAT,
    )
    # A hundred steps longer than the training: the last steps keep a little of the rate.
    rate = warmup_cosine(1.5e-3, num_steps + 100, warmup_steps=100)
    model.compile(keras_detr.detr_optimizer(model, rate, rate), steps_per_execution=25)
    return model


def main():
    parser = argparse.ArgumentParser(description="Train, score and save a small DINO.")
    parser.add_argument("--output", default="quickstart")
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    try:
        run = keras_detr.TrainingRun(arguments.output, {"epochs": arguments.epochs})
    except FileExistsError as error:
        raise SystemExit(f"--output: {error}") from error
    if run.is_finished:
        return print(f"the training in {run.folder} is finished: take another --output for more")

    batches, class_names = load_batches("train", run.folder / "data")
    held_out, _ = load_batches("validation", run.folder / "data")
    model = build_model(class_names, num_steps=len(batches) * arguments.epochs)
    backup = keras.callbacks.BackupAndRestore(run.backup_dir, delete_checkpoint=False)
    model.fit(batches, epochs=arguments.epochs, callbacks=[COCOEvaluation(held_out), backup])

    model.save(run.folder / "detector.keras")
    model = keras_detr.load(run.folder / "detector.keras")
    batch = next(held_out.as_numpy_iterator())
    plot_predictions(model, batch, path=run.folder / "predictions.png")
    run.finish()
    print(f"the model, and what it sees beside the truth, are in {run.folder}")


if __name__ == "__main__":
    main()
