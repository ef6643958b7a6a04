"""Fine-tune a detector on a folder of images with COCO-JSON, YOLO or Pascal VOC annotations.

    python examples/finetune.py my_data --model deformable_detr_r50 --classes cat dog

Writes to `--output`: a picture of a training batch (look at it while the model trains), the model
with the best validation AP, log.csv, curves, and predictions beside the truth. Started again after
an interruption, it goes on. Copy it and change it; `keras-detr train` does more, without changes.
"""

import argparse

import keras

import keras_detr
from keras_detr.datasets import load_folder
from keras_detr.evaluation import COCOEvaluation
from keras_detr.optimizers import warmup_cosine
from keras_detr.preprocessing import evaluation_batches, training_batches
from keras_detr.visualization import plot_batch, plot_history, plot_predictions

FORMAT = {"bounding_box_format": "rel_xyxy"}  # Fractions of the image: resizing keeps them.


def parse_arguments():
    parser = argparse.ArgumentParser(description="Fine-tune a detector on a folder of images.")
    parser.add_argument("data", help="the folder of images and annotations")
    parser.add_argument("--classes", nargs="+", help="only these; default: all")
    parser.add_argument("--masks", action="store_true", help="train masks too, of COCO-JSON")
    parser.add_argument("--model", default="detr_r50", help="or folder, hf://owner/name or .keras")
    parser.add_argument("--weights", help="a file with official or Hub names, for a preset")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--short-side", type=int, default=800, help="of the images, in pixels")
    parser.add_argument("--output", default="finetuned")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    keras.utils.set_random_seed(42)
    data = load_folder(arguments.data, classes=arguments.classes, masks=arguments.masks, **FORMAT)
    print(data)
    # Another training with the same output is refused before anything is written.
    settings = {**vars(arguments), "data": data.fingerprint, "output": None}
    run = keras_detr.TrainingRun(arguments.output, settings)
    if run.is_finished:
        return print(f"the training in {run.folder} is finished: take another --output for more")
    sizes = arguments.short_side, round(arguments.short_side * 1333 / 800)
    model = keras_detr.load(
        arguments.model,
        weights=arguments.weights,
        num_classes=len(data.class_names),
        class_names=data.class_names,
        masks=arguments.masks,
        preprocessor_sizes=sizes,  # Later predictions resize images in the same way.
        **FORMAT,
    )
    num_images = data.train.report.num_images
    # Few images would spoil the features that the backbone has learned from many.
    model.backbone.trainable = num_images >= 1000
    train = training_batches(data.train, sizes, arguments.batch_size, seed=42, **FORMAT)
    valid = evaluation_batches(data.valid, sizes, arguments.batch_size, **FORMAT)
    picture = run.folder / "batch.png"
    plot_batch(next(iter(train)), **FORMAT, class_names=data.class_names, path=picture)

    steps = -(-num_images // arguments.batch_size)
    num_steps = steps * arguments.epochs
    # The optimizer of the paper, its rates warmed up and then falling to 0.
    model.compile(model.default_optimizer(lambda rate: warmup_cosine(rate, num_steps)))
    callbacks = [COCOEvaluation(valid), *run.callbacks(patience=10)]
    history = model.fit(train, epochs=arguments.epochs, steps_per_epoch=steps, callbacks=callbacks)
    plot_history(history, path=run.folder / "history.png")
    best = keras_detr.load(run.best_path)
    plot_predictions(best, next(iter(valid)), path=run.folder / "predictions.png")
    run.finish()
    print(f"best AP {max(history.history['val_AP']):.3f} -> {run.best_path}")


if __name__ == "__main__":
    main()
