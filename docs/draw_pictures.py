"""Draw the pictures of the README from what the quick start left behind.

    python examples/quickstart.py && python docs/draw_pictures.py

They are drawn by `keras_detr.visualization`, then made small: 1,000 pixels wide, of 256 colours.
"""

import argparse
import sys
from pathlib import Path

import keras
import tensorflow as tf
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras_detr
from examples.quickstart import FORMAT, load_batches
from keras_detr.datasets import ShapesConfig, load_shapes
from keras_detr.preprocessing import DETRAugmentation, bucketed_batches, scaled_canvases
from keras_detr.visualization import plot_batch, plot_predictions

PICTURES = Path(__file__).parent / "pictures"
WIDTH = 1000


def make_small(path):
    """Shrink a picture in place."""
    with Image.open(path) as picture:
        height = round(picture.height * WIDTH / picture.width)
        small = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    small.quantize(palette=palette_of(small), dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def palette_of(picture):
    """Return 256 colours: white, those of the thin outlines, and those that fill the images."""
    colors = [255, 255, 255]
    for method, number in ((Image.Quantize.MAXCOVERAGE, 63), (Image.Quantize.MEDIANCUT, 192)):
        colors += picture.quantize(number, method).getpalette()[: 3 * number]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colors)
    return palette


def draw_predictions(folder):
    """Draw what the quick start's detector sees, beside the truth."""
    batches, _ = load_batches("validation", folder / "data")
    model = keras_detr.load(folder / "detector.keras")
    batch = next(batches.as_numpy_iterator())
    four = keras.tree.map_structure(lambda values: values[1:5], batch)
    path = PICTURES / "quickstart.png"
    plot_predictions(model, four, path=path)
    make_small(path)


def draw_batch(folder):
    """Draw a batch of the paper's augmentation, at a quarter of its sizes."""
    keras.utils.set_random_seed(1)
    images = load_shapes(
        "train",
        data_dir=folder / "data",
        config=ShapesConfig(num_train=5000),
        shuffle_files=False,
        **FORMAT,
    )
    class_names = images.class_names
    augmentation = DETRAugmentation(
        (120, 140, 160, 180, 200),
        longest_side=333,
        crop_short_sides=(100, 125, 150),
        crop_sizes=(96, 150),
        seed=1,
        **FORMAT,
    )
    augmented = images.map(augmentation, num_parallel_calls=tf.data.AUTOTUNE)
    batches = bucketed_batches(
        augmented.take(100), scaled_canvases(200, longest_side=333), batch_size=4
    )
    path = PICTURES / "batch.png"
    plot_batch(next(iter(batches)), class_names=class_names, path=path, **FORMAT)
    make_small(path)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quickstart", type=Path, default=Path("quickstart"))
    folder = parser.parse_args().quickstart
    PICTURES.mkdir(exist_ok=True)
    draw_predictions(folder)
    draw_batch(folder)


if __name__ == "__main__":
    main()
