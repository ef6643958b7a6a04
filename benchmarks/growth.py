"""Measure how cost grows with the size of the problem, and fit exponents.

    python benchmarks/growth.py
    python benchmarks/growth.py --works "Deformable DETR's encoder"

Each size is a process of its own. An exponent of 1 says that twice the size costs twice as much;
the size of an image is its number of pixels. Memory is what a process takes beyond what it held
before the first run, compiling included.
"""

import argparse
import os
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from contest import compare

SIDES = (256, 384, 512, 768, 1024)
BATCHES = (1, 2, 4, 8, 16)
QUERIES = (100, 300, 900)
OBJECTS = (1, 10, 30, 100, 300)


class Growth(NamedTuple):
    """Say what grows: a module of `works`, and its settings by size."""

    module: str
    settings: dict


def inference(family, sizes, **of_size):
    """Return the growth of a detector's inference; `of_size` are functions of the size."""
    settings = {"family": family, "mode": "inference", "batch": 1, "height": 256, "width": 256}
    return Growth(
        "detector",
        {
            size: {**settings, **{k: change(size) for k, change in of_size.items()}}
            for size in sizes
        },
    )


def side(pixels):
    return round(pixels**0.5)


def same(size):
    return size


PIXELS = [side * side for side in SIDES]
GROWTHS = {
    "Deformable DETR's encoder, pixels": Growth(
        "encoder", {side * side: {"side": side} for side in SIDES}
    ),
    "DETR, pixels": inference("detr", PIXELS, height=side, width=side),
    "DETR, batch": inference("detr", BATCHES, batch=same),
    "DETR, queries": inference("detr", QUERIES, num_queries=same),
    "Deformable DETR, pixels": inference("deformable_detr", PIXELS, height=side, width=side),
    "Deformable DETR, batch": inference("deformable_detr", BATCHES, batch=same),
    "Deformable DETR, queries": inference("deformable_detr", QUERIES, num_queries=same),
    "loss and matching, objects": Growth(
        "loss", {n: {"batch": 8, "queries": 300, "objects": n} for n in OBJECTS}
    ),
    "loss and matching, queries": Growth(
        "loss", {n: {"batch": 8, "queries": n, "objects": 20} for n in QUERIES}
    ),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--works", nargs="+", default=[""], help="only those that start so")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for title, growth in GROWTHS.items():
        if not title.startswith(tuple(arguments.works)):
            continue
        found = []
        for size, settings in growth.settings.items():
            figures, _ = compare(growth.module, ["keras_detr"], settings, arguments.rounds)
            found.append((size, figures["keras_detr"].median, figures["keras_detr"].memory))
            print("{:40} {:9} {:9.4f} s {:7.3f} GB".format(title, *found[-1]), flush=True)
        sizes, seconds, memory = np.log(np.array(found)).T
        exponents = [np.polyfit(sizes, values, 1)[0] for values in (seconds, memory)]
        print("{:40} exponents {:9.2f}   {:7.2f}".format(title, *exponents), flush=True)


if __name__ == "__main__":
    main()
