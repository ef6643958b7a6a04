"""Train DETR and Deformable DETR on the quick start's shapes, and draw how their AP grows.

    python benchmarks/convergence.py

Both get the same images, backbone and sizes; Deformable DETR reads two levels of that backbone.
DETR trains for all epochs, Deformable DETR for a third of them; the learning rate of each falls to
zero by its own end. The claim of Zhu et al. 2021, in small: a tenth of the epochs on COCO.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import keras
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras_detr
from examples.quickstart import (
    BOX_FORMAT,
    LEARNING_RATE,
    NUM_QUERIES,
    STEPS_PER_EXECUTION,
    build_model,
    load_batches,
    small_backbone,
)
from keras_detr.evaluation import evaluate_detector


def two_level_backbone():
    """Return the quick start's backbone with the finer of its last two levels too."""
    backbone = small_backbone()
    activations = [layer.name for layer in backbone.layers if isinstance(layer, keras.layers.ReLU)]
    backbone.pyramid_level_inputs = {"P3": activations[-3], "P4": activations[-1]}
    return backbone


def build_deformable(class_names, num_steps):
    """Return a compiled Deformable DETR of the quick start's size."""
    model = keras_detr.DeformableDETR(
        two_level_backbone(),
        num_classes=len(class_names),
        bounding_box_format=BOX_FORMAT,
        num_queries=NUM_QUERIES,
        hidden_dim=128,
        num_encoder_layers=1,
        num_decoder_layers=3,
        feed_forward_dim=256,
        num_levels=2,
        dropout=0.0,
        use_box_refinement=True,
        class_names=class_names,
    )
    # As in the paper twice DETR's; the backbone, from scratch, twice that again.
    rate, backbone_rate, slow_rate = (
        keras.optimizers.schedules.CosineDecay(0.0, num_steps, warmup_target=top, warmup_steps=100)
        for top in (2 * LEARNING_RATE, 4 * LEARNING_RATE, LEARNING_RATE)
    )
    model.compile(
        keras_detr.detr_optimizer(
            model,
            rate,
            backbone_rate,
            slow_layers=["sampling_offsets", "reference_points"],
            slow_learning_rate=slow_rate,
        ),
        steps_per_execution=STEPS_PER_EXECUTION,
    )
    return model


BUILDERS = {"DETR": build_model, "Deformable DETR": build_deformable}


def train(name, batches, held_out_batches, class_names, epochs):
    """Return AP and AP50 on held-out images after each epoch, and the seconds it took."""
    keras.utils.set_random_seed(0)
    model = BUILDERS[name](class_names, len(batches) * epochs)
    curve = []
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        history = model.fit(batches, verbose=0).history
        seconds = time.perf_counter() - start
        figures = evaluate_detector(model, held_out_batches)
        point = {"epoch": epoch, "AP": figures["AP"], "AP50": figures["AP50"], "seconds": seconds}
        curve.append(point)
        print(
            f"{name:16} epoch {epoch}: AP {point['AP']:.3f}  AP50 {point['AP50']:.3f}  "
            f"loss {history['loss'][-1]:.2f}  {seconds:.0f} s",
            flush=True,
        )
    return curve


def draw(curves, path):
    """Draw AP by epoch, a line a detector."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, curve in curves.items():
        axes.plot([p["epoch"] for p in curve], [p["AP"] for p in curve], marker="o", label=name)
    axes.set(xlabel="epoch", ylabel="AP on held-out images", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("convergence"))
    parser.add_argument("--epochs", type=int, default=6, help="of DETR; Deformable DETR: a third")
    parser.add_argument("--only", choices=BUILDERS)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    data_dir = arguments.output / "data"
    batches, class_names = load_batches("train", data_dir, is_training=True)
    held_out_batches, _ = load_batches("validation", data_dir, is_training=False)
    epochs = {"DETR": arguments.epochs, "Deformable DETR": max(1, arguments.epochs // 3)}
    names = [arguments.only] if arguments.only else list(BUILDERS)
    curves = {
        name: train(name, batches, held_out_batches, class_names, epochs[name]) for name in names
    }
    (arguments.output / "convergence.json").write_text(json.dumps(curves, indent=2))
    draw(curves, arguments.output / "convergence.png")
    print(f"curves: {arguments.output / 'convergence.png'}")


if __name__ == "__main__":
    main()
