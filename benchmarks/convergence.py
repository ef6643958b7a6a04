"""Train small detectors for the same number of steps, and draw how their AP grows.

    python benchmarks/convergence.py
    python benchmarks/convergence.py --coco_mini FOLDER

On the quick start's shapes, scored on held-out images; and on some tens of photographs in COCO's
layout (train2017, val2017, annotations), which a model from scratch can only learn by heart: there
the training images are scored. All have the quick start's backbone, sizes and optimizer.

The figures of each run are a file in `--output`. A run whose file is there isn't repeated, so
several processes may share the seeds, and the last one draws all.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import keras
import keras_cv
import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras_detr
from examples import quickstart
from keras_detr.datasets import load_coco_json
from keras_detr.evaluation import COCOEvaluation
from keras_detr.losses import SoftmaxClassification
from keras_detr.optimizers import warmup_cosine
from keras_detr.preprocessing import PadToCanvas, RandomHorizontalFlip, Resize

NUM_STEPS = {"shapes": 1250, "photos": 600}
NUM_EVALUATIONS = 5
PHOTO_SIZE = (128, 128)


def load_shapes(folder):
    """Return training batches, batches to score, the class names and the most boxes of an image."""
    train, class_names = quickstart.load_batches("train", folder)
    return train.repeat(), quickstart.load_batches("validation", folder)[0], class_names, 3


def load_photos(folder):
    """Do as `load_shapes`; the images that are scored are those of the training."""
    photos = load_coco_json(
        folder / "train2017",
        folder / "annotations" / "instances_train2017.json",
        shuffle_files=False,
        **quickstart.FORMAT,
    )
    most_boxes = photos.report.most_boxes
    pad = PadToCanvas(PHOTO_SIZE, max_boxes=most_boxes, **quickstart.FORMAT)
    resized = photos.map(Resize(PHOTO_SIZE, **quickstart.FORMAT)).cache()
    shuffled = resized.repeat().shuffle(100, seed=0)
    flipped = shuffled.map(RandomHorizontalFlip(seed=0, **quickstart.FORMAT))
    train, scored = (images.map(pad).batch(8).prefetch(2) for images in (flipped, resized))
    return train, scored, photos.class_names, most_boxes


DATA = {"shapes": load_shapes, "photos": load_photos}
NUM_QUERIES = {"shapes": 12, "photos": 30}
# Of denoising queries: each has a positive and a negative query for each object.
NUM_GROUPS = 4


def detr(backbone, denoising, **settings):
    """Return a DETR and its loss; norms before attention and more weight on classes help it."""
    model = keras_detr.DETR(backbone, normalize_before=True, **settings)
    return model, keras_detr.HungarianLoss(SoftmaxClassification(0.3), class_weight=3.0)


def deformable_detr(backbone, denoising, **settings):
    """Return a Deformable DETR with box refinement, and its loss."""
    model = keras_detr.DeformableDETR(backbone, num_levels=2, use_box_refinement=True, **settings)
    return model, model.default_loss()


def denoised_deformable_detr(backbone, denoising, **settings):
    """Return the same with denoising queries, and its loss."""
    model = keras_detr.DeformableDETR(
        backbone, num_levels=2, use_box_refinement=True, denoising=denoising, **settings
    )
    return model, model.default_loss()


def dino(backbone, denoising, **settings):
    """Return a DINO and its loss."""
    model = keras_detr.DINODETR(backbone, num_levels=2, denoising=denoising, **settings)
    return model, model.default_loss()


# How each is built, and the highest learning rate.
DETECTORS = {
    "DETR": (detr, 5e-4),
    "Deformable DETR": (deformable_detr, 1e-3),
    "Deformable DETR, denoising": (denoised_deformable_detr, 1e-3),
    "DINO": (dino, 1e-3),
}


def build(name, data, class_names, most_boxes):
    """Return a small compiled detector."""
    builder, rate = DETECTORS[name]
    backbone = keras_cv.models.ResNetBackbone(
        stackwise_filters=[32, 64, 128],
        stackwise_blocks=[1, 1, 1],
        stackwise_strides=[1, 2, 2],
        include_rescaling=True,
    )
    model, loss = builder(
        backbone,
        keras_detr.ContrastiveDenoising(NUM_GROUPS * most_boxes, box_noise_scale=0.4),
        num_classes=len(class_names),
        num_queries=NUM_QUERIES[data],
        hidden_dim=128,
        num_encoder_layers=1,
        num_decoder_layers=3,
        feed_forward_dim=256,
        dropout=0.0,
        **quickstart.FORMAT,
    )
    schedule = warmup_cosine(rate, NUM_STEPS[data], warmup_steps=100)
    optimizer = keras_detr.detr_optimizer(model, schedule, schedule)
    model.compile(optimizer, loss, steps_per_execution=25, jit_compile=False)
    return model


def run(name, data, folder, seed):
    """Train, and return AP and AP50 by step."""
    keras.utils.set_random_seed(seed)
    train, scored, class_names, most_boxes = DATA[data](folder)
    model = build(name, data, class_names, most_boxes)
    num_steps = NUM_STEPS[data] // NUM_EVALUATIONS
    start = time.perf_counter()
    logs = model.fit(
        train,
        steps_per_epoch=num_steps,
        epochs=NUM_EVALUATIONS,
        callbacks=[COCOEvaluation(scored, verbose=0)],
        verbose=0,
    ).history
    seconds = time.perf_counter() - start
    curve = [
        {"step": (index + 1) * num_steps, "AP": ap, "AP50": ap50}
        for index, (ap, ap50) in enumerate(zip(logs["val_AP"], logs["val_AP50"], strict=True))
    ]
    print(
        f"{data}, {name}, seed {seed}: AP {logs['val_AP'][-1]:.3f}  "
        f"AP50 {logs['val_AP50'][-1]:.3f}  {seconds:.0f} s",
        flush=True,
    )
    return curve


def table(curves):
    """Return a table in Markdown: mean and standard deviation over the seeds, at the end."""
    lines = ["| | AP | AP50 | AP halfway |", "|---|---:|---:|---:|"]
    for name, runs in curves.items():
        middle = len(runs[0]) // 2
        cells = [
            f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
            for values in (
                [points[-1]["AP"] for points in runs],
                [points[-1]["AP50"] for points in runs],
                [points[middle]["AP"] for points in runs],
            )
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(curves_of_data, path):
    """Draw AP by step: a panel for each data set, a line a detector, a band from seed to seed."""
    figure, axes_of_data = plt.subplots(
        1,
        len(curves_of_data),
        figsize=(5 * len(curves_of_data), 4),
        layout="constrained",
        squeeze=False,
    )
    titles = {"shapes": "Shapes, held-out images", "photos": "51 photographs, learned by heart"}
    for axes, (data, curves) in zip(axes_of_data[0], curves_of_data.items(), strict=True):
        for name, runs in curves.items():
            steps = [0, *(point["step"] for point in runs[0])]
            values = np.array([[0.0, *(point["AP"] for point in points)] for points in runs])
            (line,) = axes.plot(steps, values.mean(0), marker="o", markersize=3, label=name)
            axes.fill_between(
                steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.2, linewidth=0
            )
        axes.set(title=titles[data], xlabel="steps of 8 images", ylabel="AP", ylim=(0, None))
        axes.grid(alpha=0.3)
    axes_of_data[0][-1].legend()
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("convergence"))
    parser.add_argument("--coco_mini", type=Path, help="a folder of photographs in COCO's layout")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", choices=DETECTORS, nargs="+", default=list(DETECTORS))
    arguments = parser.parse_args()
    folders = {"shapes": arguments.output / "data"}
    if arguments.coco_mini:
        folders["photos"] = arguments.coco_mini
    curves = {data: {name: [] for name in arguments.only} for data in folders}
    for seed in arguments.seeds:
        for data, folder in folders.items():
            for name in arguments.only:
                path = arguments.output / f"{data}-{name}-{seed}.json".replace(" ", "_")
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(json.dumps(run(name, data, folder, seed)))
                    keras.utils.clear_session()
                curves[data][name].append(json.loads(path.read_text()))
    for data, of_detectors in curves.items():
        if len(arguments.seeds) > 1:
            print(f"\n{data}\n\n{table(of_detectors)}")
    draw(curves, arguments.output / "convergence.png")
    print(f"\ncurves: {arguments.output / 'convergence.png'}")


if __name__ == "__main__":
    main()
