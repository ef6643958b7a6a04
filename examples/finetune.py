"""Fine-tune a detector on a folder of images with COCO-JSON annotations.

    python examples/finetune.py my_data
    python examples/finetune.py my_data --preset deformable_detr_r50 --classes cat dog

`my_data` holds `train/_annotations.coco.json` beside the images and optionally `valid/`, as
Roboflow exports it, or `annotations/instances_train*.json` and `train*/`, as COCO does. Without a
validation part every fifth image is held out. The script describes the data and writes to
`--output`: a picture of a training batch (look at it while the model trains), the model with the
best validation AP (a .keras file, and a preset for the other examples), its curves, and its
predictions beside the ground truth.

An interrupted training continues after its last finished epoch if it is started again with the same
`--output`; an output with other data or settings isn't changed.

The defaults suit small data sets: published weights, a frozen backbone below 1,000 images, learning
rates that warm up and then decay, and early stopping after ten epochs without a better AP.
"""

import argparse
import collections
import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

import keras_detr
from keras_detr.datasets import load_coco_json
from keras_detr.evaluation import COCOEvaluation
from keras_detr.preprocessing import (
    DETRAugmentation,
    DETRPreprocessor,
    bucketed_batches,
    scaled_canvases,
)
from keras_detr.visualization import plot_batch, plot_comparison, plot_history

BOX_FORMAT = "rel_xyxy"
FEW_IMAGES = 1000
HOLD_OUT_EVERY = 5


class Part(NamedTuple):
    """Hold one part of the data: a folder of images, and the content of its annotation file."""

    images_dir: Path
    annotations: dict


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder of images and annotations")
    parser.add_argument("--classes", nargs="+", help="only these categories; default: all")
    parser.add_argument("--preset", default="detr_r50", help="or a folder, or hf://owner/name")
    parser.add_argument("--num-queries", type=int, default=None, help="default: the preset's")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--short-side", type=int, default=None, help="default: as the model says")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--train-backbone", action="store_true", help="even with few images")
    parser.add_argument("--patience", type=int, default=10, help="epochs without a better AP")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", type=Path, default=Path("finetuned"))
    return parser.parse_args()


def find_parts(folder):
    """Return the training part, and the validation part or `None`."""
    parts = []
    for names in (("train",), ("valid", "val")):
        found = [path for name in names for path in folder.glob(f"{name}/_annotations.coco.json")]
        found += [path for name in names for path in folder.glob(f"annotations/*_{name}*.json")]
        # Opening a named pipe would wait.
        found = [path for path in found if path.is_file()]
        if not found:
            parts.append(None)
            continue
        path = found[0]
        images_dir = path.parent
        if images_dir.name == "annotations":
            images_dir = folder / path.stem.split("_")[-1]
        parts.append(Part(images_dir, read_json(path)))
    if parts[0] is None:
        sys.exit(
            f"{folder}: there is neither train/_annotations.coco.json nor "
            "annotations/instances_train*.json"
        )
    return parts


def read_json(path):
    """Return the content of an annotation file, or exit with an error message."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        sys.exit(f"{path} isn't JSON: {error}")
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in lists):
        sys.exit(f"{path} must hold COCO-JSON: a dict with the lists {', '.join(lists)}")
    return content


def with_classes(part, names):
    """Return a part with only these categories; images without them are kept."""
    known = {category["name"] for category in part.annotations["categories"]}
    missing = sorted(set(names) - known)
    if missing:
        sys.exit(f"no category is named {', '.join(missing)}; there are {', '.join(sorted(known))}")
    categories = [entry for entry in part.annotations["categories"] if entry["name"] in names]
    ids = {category["id"] for category in categories}
    boxes = [box for box in part.annotations["annotations"] if box["category_id"] in ids]
    return part._replace(
        annotations={**part.annotations, "categories": categories, "annotations": boxes}
    )


def held_out(part):
    """Split a part into two: every fifth image goes to the second one."""
    images = part.annotations["images"]
    validation = images[::HOLD_OUT_EVERY]
    training = [image for i, image in enumerate(images) if i % HOLD_OUT_EVERY]
    parts = []
    for chosen in (training, validation):
        ids = {image["id"] for image in chosen}
        boxes = [box for box in part.annotations["annotations"] if box["image_id"] in ids]
        content = {**part.annotations, "images": chosen, "annotations": boxes}
        parts.append(part._replace(annotations=content))
    return parts


def load(part, is_training, class_names=None):
    """Return the data set of a part, or exit with an error message."""
    try:
        return load_coco_json(
            part.images_dir,
            part.annotations,
            bounding_box_format=BOX_FORMAT,
            class_names=class_names,
            crowds="drop" if is_training else "keep",
            shuffle_files=is_training,
        )
    except (OSError, ValueError) as error:
        sys.exit(f"{part.images_dir}: {error}")


def describe(title, dataset, part):
    """Print a summary of a part, and return the number of boxes of each class."""
    report = dataset.report
    counts = collections.Counter(box["category_id"] for box in part.annotations["annotations"])
    by_name = {
        name: counts[category]
        for name, category in zip(dataset.class_names, dataset.category_ids, strict=True)
    }
    print(
        f"{title}: {report.num_images} images, {report.num_empty_images} of them empty; "
        f"{report.num_boxes} boxes; dropped {report.num_images_dropped} images and "
        f"{report.num_boxes_dropped} boxes"
    )
    print("  " + ", ".join(f"{name} {count}" for name, count in by_name.items()))
    return by_name


def check_trainable(training, validation, counts):
    """Exit if the data can't train a detector."""
    if not training.report.num_boxes:
        sys.exit("the training images have no boxes, so there is nothing to learn")
    if not validation.report.num_boxes:
        sys.exit("the validation images have no boxes, so nothing can be scored")
    few = [name for name, count in counts.items() if count < 10]
    if few:
        print(f"  few or no boxes of {', '.join(few)}: don't expect them to be found")


def check_queries(model, dataset):
    """Exit if an image has more objects than the model can find."""
    most = dataset.report.most_boxes
    if most > model.num_queries:
        sys.exit(
            f"an image has {most} objects, and the model finds at most {model.num_queries}: pass "
            f"--num-queries {most}"
        )


def open_run(arguments, *parts):
    """Return the output folder, or exit if it holds another training.

    The annotations identify the data, so it may be moved.
    """
    settings = {name: value for name, value in vars(arguments).items() if name != "output"}
    annotations = json.dumps([part.annotations for part in parts], sort_keys=True)
    settings["data"] = f"annotations {hashlib.sha256(annotations.encode()).hexdigest()[:16]}"
    try:
        return keras_detr.TrainingRun(arguments.output, settings)
    except FileExistsError as error:
        sys.exit(f"--output: {error}")


def in_batches(dataset, layer, sizes, batch_size, is_training):
    """Return padded batches of all images."""
    most_boxes = max(1, dataset.report.most_boxes)
    if is_training:
        dataset = dataset.repeat()
    resized = dataset.map(layer, num_parallel_calls=tf.data.AUTOTUNE)
    short_side, longest_side = sizes
    canvases = scaled_canvases(short_side, longest_side=longest_side)
    batches = bucketed_batches(resized, canvases, batch_size, max_boxes=most_boxes)
    return batches.prefetch(tf.data.AUTOTUNE)


def augmentation(sizes, seed):
    """Return the paper's augmentation, scaled to these sides."""
    short_side, longest_side = sizes
    scale = short_side / 800
    return DETRAugmentation(
        [round(side * scale) for side in range(480, 801, 32)],
        longest_side=longest_side,
        crop_short_sides=[round(side * scale) for side in (400, 500, 600)],
        crop_sizes=[round(side * scale) for side in (384, 600)],
        bounding_box_format=BOX_FORMAT,
        seed=seed,
    )


def schedule(num_steps):
    """Return a function from learning rates to schedules with a warmup of a tenth of the steps."""
    warmup = max(1, num_steps // 10)

    def of_rate(rate):
        return keras.optimizers.schedules.CosineDecay(
            rate / 10, max(1, num_steps - warmup), warmup_target=rate, warmup_steps=warmup
        )

    return of_rate


def main():
    arguments = parse_arguments()
    keras.utils.set_random_seed(arguments.seed)
    training_part, validation_part = find_parts(arguments.data)
    if validation_part is None:
        print(f"no validation part: every {HOLD_OUT_EVERY}th image is held out")
        training_part, validation_part = held_out(training_part)
    if arguments.classes:
        training_part = with_classes(training_part, arguments.classes)
        validation_part = with_classes(validation_part, arguments.classes)
    training = load(training_part, True)
    # A label of both parts is one class, whatever its id and place in their files.
    validation = load(validation_part, False, training.class_names)
    counts = describe("training", training, training_part)
    describe("validation", validation, validation_part)
    check_trainable(training, validation, counts)
    run = open_run(arguments, training_part, validation_part)
    if run.is_finished:
        print(f"the training in {arguments.output} is finished: choose another --output for more")
        return

    model = keras_detr.ObjectDetector.from_preset(
        arguments.preset,
        num_classes=len(training.class_names),
        num_queries=arguments.num_queries,
        class_names=training.class_names,
        bounding_box_format=BOX_FORMAT,
    )
    check_queries(model, training)
    short_side, longest_side = model.preprocessor_sizes or (800, 1333)
    if arguments.short_side:
        longest_side = round(arguments.short_side * longest_side / short_side)
        short_side = arguments.short_side
    sizes = short_side, longest_side
    # Later detections resize images as in training.
    resize = DETRPreprocessor(short_side, longest_side=longest_side, bounding_box_format=BOX_FORMAT)
    model.preprocessor = resize
    num_images = training.report.num_images
    if num_images < FEW_IMAGES and not arguments.train_backbone:
        model.backbone.trainable = False
        print(f"fewer than {FEW_IMAGES} images: the backbone stays as it is (--train-backbone)")
    steps = -(-num_images // arguments.batch_size)
    num_steps = steps * arguments.epochs
    print(
        f"{arguments.epochs} epochs of {steps} steps. Expect AP near 0 for the first few hundred "
        f"steps, {'more than there are here' if num_steps < 300 else 'and then a steady rise'}."
    )

    batches = in_batches(
        training, augmentation(sizes, arguments.seed), sizes, arguments.batch_size, True
    )
    validation_batches = in_batches(validation, resize, sizes, arguments.batch_size, False)
    picture = arguments.output / "batch.png"
    plot_batch(next(iter(batches)), BOX_FORMAT, training.class_names, path=picture)
    print(f"what it is trained on -> {picture}", flush=True)

    faster = arguments.learning_rate / 1e-4
    rates = schedule(num_steps)
    model.compile(model.default_optimizer(lambda rate: rates(rate * faster)))
    saved = arguments.output / "model.keras"
    history = model.fit(
        batches,
        epochs=arguments.epochs,
        steps_per_epoch=steps,
        callbacks=[
            # First, so that the callbacks after it see val_AP.
            COCOEvaluation(validation_batches),
            keras.callbacks.ModelCheckpoint(
                saved, monitor="val_AP", mode="max", save_best_only=True
            ),
            keras.callbacks.EarlyStopping("val_AP", mode="max", patience=arguments.patience),
            keras.callbacks.TerminateOnNaN(raise_error=True),
            # The backup is kept until all files below are written.
            keras.callbacks.BackupAndRestore(
                run.backup_dir, double_checkpoint=True, delete_checkpoint=False
            ),
        ],
    )
    plot_history(history, path=arguments.output / "history.png")
    best = keras.saving.load_model(saved)
    batch = next(iter(validation_batches))
    inputs = {"images": batch["images"], "pixel_mask": batch["pixel_mask"]}
    plot_comparison(
        batch["images"],
        {name: batch["bounding_boxes"][name] for name in ("boxes", "classes")},
        best.predict(inputs, verbose=0),
        BOX_FORMAT,
        training.class_names,
        pixel_mask=batch["pixel_mask"],
        path=arguments.output / "predictions.png",
    )
    best.save_to_preset(arguments.output / "preset")
    run.finish()
    print(
        f"best AP {max(history.history['val_AP']):.3f} -> {saved}, and as a preset beside it, with "
        "its curves and predictions. Try it:\n"
        f"  python examples/predict.py photo.jpg --preset {arguments.output / 'preset'}"
    )


if __name__ == "__main__":
    main()
