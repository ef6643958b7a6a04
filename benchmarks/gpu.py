"""Measure training and inference on one GPU, on JAX and torch, beside transformers.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --works "DETR, fit" --seconds 200

Needs JAX and torch for the GPU, and transformers. A work is begun as long as `--seconds` aren't
over, the most telling ones first. Training takes steps of `fit`, whose batches come from the host.
"float32" is TF32 in all matrix products and convolutions. Contenders are processes of their own: a
first run, which compiles, is taken by all of a work at once, those after it are taken in turns.

Prints the table, and writes it to `--output`: milliseconds a step, images a second, the share of
the GPU's peak (as a product of two matrices of 8192x8192 reaches it) that the model's convolutions
and matrix products make up, the most memory, the seconds of the first run, and the time as a share
of transformers', compiled where that is measured. Set
JAX_COMPILATION_CACHE_DIR to let JAX keep its programs for the next time.
"""

import argparse
import itertools
import os
import pathlib
import sys
import time
from typing import NamedTuple

# The model is built once in this process, for its number of operations.
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from contest import compare
from run import describe_machine
from works.limits import num_operations

HEADER = (
    "| work | contender | step (ms) | images/s | of peak | memory (GB) | first (s) "
    "| to transformers |"
)
PRECISIONS = {"float32": "", "bfloat16": ", bfloat16"}
FAMILIES = {"DETR": "detr", "Deformable DETR": "deformable_detr", "DINO": "dino"}
PEER = "transformers{}, compiled"
INFERENCE = (
    "keras_detr{} @ jax",
    "keras_detr{}, compiled @ torch",
    "keras_detr{} @ torch",
    "transformers{}",
    PEER,
)
FIT = ("keras_detr{} @ jax", "keras_detr{} @ torch", "transformers{}", PEER)
# torch.compile takes many minutes for Deformable DETR; transformers has no DINO.
NOT_MEASURED = {"detr": (), "deformable_detr": (PEER,), "dino": ("transformers{}", PEER)}


class Work(NamedTuple):
    """Say what is measured.

    Attributes:
        module: str, of `works`.
        settings: dict, arguments of its contenders.
        contenders: list of str.
        num_images: int, how many are computed in a step.
        precision: str, a key of `PRECISIONS`.
        operations: tuple, arguments of `num_operations`; or `None`.
    """

    module: str
    settings: dict
    contenders: list
    num_images: int
    precision: str
    operations: tuple | None


def contenders_of(family, names, precision):
    """Return those of `names` that are measured for a family, in a precision."""
    return [
        name.format(PRECISIONS[precision]) for name in names if name not in NOT_MEASURED[family]
    ]


def all_works(height, width, num_steps):
    """Return the works by name, those first that say most."""
    works = {}
    # Large batches in bfloat16 are what a GPU is for; small ones show what the host takes.
    pairs = [(2, "float32"), (8, "bfloat16"), (8, "float32"), (2, "bfloat16")]
    for (batch, precision), (name, family) in itertools.product(pairs, FAMILIES.items()):
        size = {"batch": batch, "height": height, "width": width}
        works[f"{name}, fit, {batch}x{height}x{width}, {precision}"] = Work(
            "fit",
            {"family": family, **size, "num_steps": num_steps},
            contenders_of(family, FIT, precision),
            batch,
            precision,
            None if family == "dino" else (family, "training", batch, height, width),
        )
    works["deformable attention, gradients, 2x512x640"] = Work(
        "attention",
        {"mode": "gradient"},
        ["keras_detr @ jax", "keras_detr @ torch", "transformers"],
        2,
        "float32",
        None,
    )
    pairs = [(1, "bfloat16"), (8, "bfloat16"), (1, "float32"), (8, "float32")]
    for (batch, precision), (name, family) in itertools.product(pairs, FAMILIES.items()):
        size = {"batch": batch, "height": height, "width": width}
        works[f"{name}, inference, {batch}x{height}x{width}, {precision}"] = Work(
            "detector",
            {"family": family, "mode": "inference", **size},
            contenders_of(family, INFERENCE, precision),
            batch,
            precision,
            None if family == "dino" else (family, "inference", batch, height, width),
        )
    return works


def peaks():
    """Return the operations a second of a large matrix product, by precision; empty without GPU."""
    import torch

    if not torch.cuda.is_available():
        return {}
    found = {}
    for precision in PRECISIONS:
        matrix = torch.randn((8192, 8192), device="cuda", dtype=getattr(torch, precision))
        for _ in range(3):
            matrix @ matrix
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(10):
            matrix @ matrix
        torch.cuda.synchronize()
        found[precision] = 10 * 2 * 8192**3 / (time.perf_counter() - start)
    torch.cuda.empty_cache()
    return found


def rows(name, work, figures, peak):
    """Return the lines of the table for a work."""
    steps = work.settings.get("num_steps", 1)
    peer = figures.get(PEER.format(PRECISIONS[work.precision])) or figures.get("transformers")
    for contender, found in figures.items():
        seconds = found.median / steps
        share = ""
        if peak and work.operations:
            share = f"{num_operations(*work.operations) / seconds / peak:.2f}"
        ratio = f"{found.median / peer.median:.2f}" if peer else ""
        yield (
            f"| {name} | {contender} | {1000 * seconds:.1f} | {work.num_images / seconds:.1f} "
            f"| {share} | {found.memory:.2f} | {found.first:.0f} | {ratio} |"
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--works", nargs="+", default=[""], help="only those that start so")
    parser.add_argument("--contenders", nargs="+", default=[""], help="only those that start so")
    parser.add_argument("--size", nargs=2, type=int, default=(800, 1066), help="height and width")
    parser.add_argument("--steps", type=int, default=10, help="of `fit` in each run")
    parser.add_argument("--rounds", type=int, default=4, help="runs of each after the first")
    parser.add_argument("--seconds", type=int, default=360, help="after which no work is begun")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("gpu.md"))
    arguments = parser.parse_args()
    start = time.perf_counter()
    peak = peaks()
    lines = [*describe_machine()]
    lines += [f"Peak, {name}: {value / 1e12:.0f} TFLOP/s." for name, value in peak.items()]
    lines += ["", HEADER, "|" + " --- |" * (HEADER.count("|") - 1)]
    print("\n".join(lines), flush=True)
    for name, work in all_works(*arguments.size, arguments.steps).items():
        if not name.startswith(tuple(arguments.works)):
            continue
        if time.perf_counter() - start > arguments.seconds:
            print(f"{name}: left out, as {arguments.seconds} s are over")
            continue
        contenders = [
            contender
            for contender in work.contenders
            if contender.startswith(tuple(arguments.contenders))
        ]
        figures, missing = compare(
            work.module, contenders, work.settings, arguments.rounds, is_first_run_together=True
        )
        for contender, reason in missing.items():
            print(f"  {contender} is skipped: {reason}")
        for line in rows(name, work, figures, peak.get(work.precision)):
            lines.append(line)
            print(line, flush=True)
        arguments.output.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
