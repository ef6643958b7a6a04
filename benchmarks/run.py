"""Measure keras_detr beside its peers, and write a table and a picture.

    python benchmarks/run.py --quick
    python benchmarks/run.py --backends jax torch --works "DETR, inference" "attention, forward"
    python benchmarks/run.py --contenders keras_detr --checkouts ../old . --works "DETR, tr"

Each contender is a process of its own, with the same sizes of images and random weights; all of a
work run in turns, so that a busy machine slows them alike. Contenders that aren't installed are
skipped, with a line. The table gives the median and the least seconds of the runs after the first,
those of the first, which compiles, the median seconds of all cores of the processor together, which
other work on the machine stretches less, and the memory beyond what the process held before its
first run: of the GPU where there is one. "limit" is the model's convolutions and matrix products
alone, in the library of the backend.

Writes results.md and results.png next to this file, or to `--output`.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import tempfile
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from contest import compare

COLUMNS = (
    "work",
    "contender",
    "median (s)",
    "min (s)",
    "first (s)",
    "processor (s)",
    "memory (GB)",
    "to fastest peer",
)
HERE = pathlib.Path(__file__).parent
PACKAGES = (
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "torchvision",
    "transformers",
    "keras-hub",
    "pycocotools",
)
ONE_IMAGE = {"batch": 1, "height": 800, "width": 1066}
MANY_IMAGES = {"batch": 8, "height": 512, "width": 512, "is_masked": True}
TRAINING = {"mode": "training", "batch": 2, "height": 512, "width": 640}


class Work(NamedTuple):
    """Say what is measured.

    Attributes:
        module: str, of `works`.
        settings: dict, arguments of its contenders.
        is_quick: bool, whether it is measured with `--quick` too.
        contenders: sequence of str, or empty for all of the module.
    """

    module: str
    settings: dict
    is_quick: bool = False
    contenders: tuple = ()


INFERENCE = ("keras_detr", "transformers", "transformers, compiled", "kmodels", "limit")
HALF = ("keras_detr, bfloat16", "transformers, bfloat16, compiled")
STEP = ("keras_detr", "keras_detr, bfloat16", "transformers", "limit")
# In the names of contenders that compute with Keras, and of those that are no peers.
OF_KERAS = ("keras_detr", "two-stage", "kmodels", "limit")
NO_PEERS = ("keras_detr", "limit", "python", "SciPy in a loop")
SLOW_TO_START = ("compiled", "bfloat16")
WORKS = {
    "DETR, inference, 1x800x1066": Work(
        "detector", {"family": "detr", "mode": "inference", **ONE_IMAGE}, True, INFERENCE + HALF
    ),
    "DETR, inference, 8x512x512 masked": Work(
        "detector", {"family": "detr", "mode": "inference", **MANY_IMAGES}, False, INFERENCE
    ),
    "DETR-DC5, inference, 1x800x1066": Work(
        "detector", {"family": "detr_dc5", "mode": "inference", **ONE_IMAGE}, False, INFERENCE
    ),
    "DETR, training step, 2x512x640": Work("detector", {"family": "detr", **TRAINING}, True, STEP),
    "DETR with masks, inference, 1x800x1066": Work(
        "detector",
        {"family": "detr_segmenter", "mode": "inference", **ONE_IMAGE},
        False,
        ("keras_detr", "transformers"),
    ),
    "DETR with masks, training step, 2x512x640": Work(
        "detector", {"family": "detr_segmenter", **TRAINING}, False, ("keras_detr", "transformers")
    ),
    "Deformable DETR, inference, 1x800x1066": Work(
        "detector",
        {"family": "deformable_detr", "mode": "inference", **ONE_IMAGE},
        False,
        INFERENCE,
    ),
    "Deformable DETR, training step, 2x512x640": Work(
        "detector", {"family": "deformable_detr", **TRAINING}, False, STEP
    ),
    "DINO beside two-stage Deformable DETR, inference, 1x800x1066": Work(
        "dino", {"mode": "inference", **ONE_IMAGE}
    ),
    "DINO beside two-stage Deformable DETR, training step, 2x512x640": Work("dino", TRAINING),
    "attention, forward, 1x800x1066": Work("attention", {"mode": "forward"}, True),
    "attention, forward and gradient, 2x512x640": Work("attention", {"mode": "gradient"}, True),
    "matching and loss, 8 images, 100 queries, 20 objects": Work(
        "loss", {"batch": 8, "queries": 100, "objects": 20}, True
    ),
    "matching, 24 problems 63x300": Work(
        "matching", {"problems": 24, "objects": 63, "queries": 300}, True
    ),
    "decoding, DETR, 8 images": Work(
        "decoding", {"family": "detr", "batch": 8, "queries": 100}, True
    ),
    "decoding, Deformable DETR, 8 images": Work(
        "decoding", {"family": "deformable_detr", "batch": 8, "queries": 300}, True
    ),
    "settings, small model, 50 steps 8x80x80": Work(
        "settings", {"size": "small", "num_steps": 50, "batch": 8, "height": 80, "width": 80}
    ),
    "settings, DETR, 4 steps 2x512x640": Work(
        "settings",
        {"size": "detr", "num_steps": 4, "batch": 2, "height": 512, "width": 640},
        False,
        (
            "keras_detr",
            "keras_detr, jit_compile",
            "keras_detr, gradients of 4 batches",
            "keras_detr, bfloat16",
        ),
    ),
    "starting": Work("starting", {}, True),
    "data pipeline, 256 images": Work("data_pipeline", {"folder": None}, True),
    "COCO evaluation, 5000 images": Work("coco_evaluation", {"num_images": 5000}),
    "COCO evaluation, 200 images": Work("coco_evaluation", {"num_images": 200}, True),
}


def write_images(folder, number=32):
    """Write JPEG files of 640x480 in which neighboring pixels are alike, as in photographs."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for index in range(number):
        noise = generator.integers(0, 256, (15, 20, 3), "uint8")
        image = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
        image.save(folder / f"{index}.jpg", quality=90)


def row(work, name, figures, fastest_peer):
    """Return a line of the table."""
    ratio = f"{figures.median / fastest_peer:.2f}" if fastest_peer else ""
    return (
        f"| {work} | {name} | {figures.median:.4g} | {min(figures.seconds):.4g} "
        f"| {figures.first:.4g} | {np.median(figures.processor_seconds):.4g} "
        f"| {figures.memory:.2f} | {ratio} |"
    )


def peers_of(figures):
    """Return the figures of contenders that are neither ours nor a limit."""
    return {name: found for name, found in figures.items() if not has_any(name, NO_PEERS)}


def has_any(name, parts):
    """Return whether one of the parts occurs in a name."""
    return any(part in name for part in parts)


def on_backends(contenders, backends):
    """Return the contenders, those that compute with Keras once for each backend."""
    return [
        name
        for contender in contenders
        for name in (
            [f"{contender} @ {backend}" for backend in backends]
            if has_any(contender, OF_KERAS)
            else [contender]
        )
    ]


def in_checkouts(contenders, checkouts):
    """Return our contenders once for each checkout of this repository."""
    return [
        f"{contender} in {checkout}"
        for contender in contenders
        for checkout in checkouts
        if contender.startswith("keras_detr")
    ]


def describe_machine():
    """Return lines that say what measured: processor or GPU, versions, backend."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    processor = platform.processor() or platform.machine()
    information = pathlib.Path("/proc/cpuinfo")
    if information.exists():
        names = [line for line in information.read_text().splitlines() if "model name" in line]
        processor = names[0].split(":")[1].strip() if names else processor
    lines = [
        f"Backend of keras_detr: {os.environ.get('KERAS_BACKEND', 'tensorflow')}.",
        f"Processor: {processor}, {os.cpu_count()} cores.",
    ]
    if importlib.util.find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            lines.append(f"GPU: {torch.cuda.get_device_name()}.")
    return [*lines, f"Versions: {', '.join(versions)}."]


def draw(results, path):
    """Draw each work's medians as bars, relative to its fastest peer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    entries = []
    for work, figures in reversed(results.items()):
        peers = peers_of(figures)
        if peers:
            fastest = min(found.median for found in peers.values())
            entries += [
                (f"{work}: {name}", found.median / fastest, "keras_detr" in name)
                for name, found in reversed(figures.items())
            ]
    if not entries:
        return
    labels, ratios, is_ours = zip(*entries, strict=True)
    figure = Figure(figsize=(11, 1.2 + 0.26 * len(entries)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.barh(labels, ratios, color=["tab:blue" if ours else "0.7" for ours in is_ours])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("seconds, relative to the fastest peer (less is better)")
    axes.margins(y=0.01)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer works and runs: five minutes")
    parser.add_argument("--works", nargs="+", default=[""], help="only those that start so")
    parser.add_argument("--contenders", nargs="+", help="these instead of each work's own")
    parser.add_argument("--backends", nargs="+", help="of Keras: as many contenders")
    parser.add_argument("--checkouts", nargs="+", help="folders to compare our contenders in")
    parser.add_argument("--rounds", type=int, default=None, help="runs of each after the first")
    parser.add_argument("--images", type=pathlib.Path, help="a folder of JPEG files to read")
    parser.add_argument("--output", type=pathlib.Path, default=HERE)
    arguments = parser.parse_args()
    rounds = arguments.rounds or (2 if arguments.quick else 7)
    lines, results = [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)], {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_images(folder)
        for title, work in WORKS.items():
            is_chosen = title.startswith(tuple(arguments.works))
            if not is_chosen or (arguments.quick and not work.is_quick):
                continue
            contenders = arguments.contenders or work.contenders
            if not contenders:
                contenders = tuple(importlib.import_module(f"works.{work.module}").CONTENDERS)
            if arguments.quick:
                contenders = [name for name in contenders if not name.endswith(SLOW_TO_START)]
            if arguments.backends:
                contenders = on_backends(contenders, arguments.backends)
            if arguments.checkouts:
                contenders = in_checkouts(contenders, arguments.checkouts)
            settings = dict(work.settings)
            if "folder" in settings:
                settings["folder"] = str(arguments.images or folder)
            print(f"{title} ...", flush=True)
            figures, missing = compare(work.module, contenders, settings, rounds)
            for name, reason in missing.items():
                print(f"  {name} is skipped: {reason}")
            peers = peers_of(figures)
            fastest = min((found.median for found in peers.values()), default=None)
            for name, found in figures.items():
                lines.append(row(title, name, found, fastest))
                print(lines[-1], flush=True)
            results[title] = figures
    arguments.output.mkdir(parents=True, exist_ok=True)
    table = "\n".join(["# Measured", "", *describe_machine(), "", *lines, ""])
    (arguments.output / "results.md").write_text(table, encoding="utf-8")
    draw(results, arguments.output / "results.png")
    print(f"-> {arguments.output / 'results.md'}, {arguments.output / 'results.png'}")


if __name__ == "__main__":
    main()
