"""Measure multi-scale deformable attention beside transformers', interleaved in one run.

    KERAS_BACKEND=tensorflow python benchmarks/deformable_attention.py
    KERAS_BACKEND=jax python benchmarks/deformable_attention.py
    KERAS_BACKEND=torch python benchmarks/deformable_attention.py

The encoder's attention: every cell of four maps reads four points on each, with 8 heads of 32.
Forward on one image of 800x1066 pixels, forward and gradient on two of 512x640. The most memory is
that of a process of its own, less what it holds before the first call.
"""

import argparse
import math
import pathlib
import re
import subprocess
import sys
import time

import keras
import numpy as np

FORWARD = (1, ((100, 134), (50, 67), (25, 34), (13, 17)))
GRADIENT = (2, ((64, 80), (32, 40), (16, 20), (8, 10)))
WORK = {"forward": FORWARD, "gradient": GRADIENT}
HEADS, SIZE, POINTS = 8, 32, 4


def draw(batch, shapes):
    """Return values, locations a few pixels around each cell, and weights, float32."""
    generator = np.random.default_rng(0)
    num_tokens = sum(math.prod(shape) for shape in shapes)
    centers = [
        np.stack(np.meshgrid((np.arange(w) + 0.5) / w, (np.arange(h) + 0.5) / h), -1).reshape(-1, 2)
        for h, w in shapes
    ]
    samples = (batch, num_tokens, HEADS, len(shapes), POINTS)
    sizes = np.array([(w, h) for h, w in shapes])[:, None]
    offsets = generator.normal(0, 2, (*samples, 2)) / sizes
    locations = np.concatenate(centers)[None, :, None, None, None] + offsets
    weights = generator.random(samples)
    weights /= weights.sum((-2, -1), keepdims=True)
    values = generator.normal(size=(batch, num_tokens, HEADS, SIZE))
    return [array.astype("float32") for array in (values, locations, weights)]


def ours(work):
    """Return a function that computes, and waits for the result."""
    from keras_detr.ops.deformable_attention import multi_scale_deformable_attention

    _, shapes = WORK[work]
    arrays = [keras.ops.convert_to_tensor(array) for array in draw(*WORK[work])]

    def attend(values, locations, weights):
        return multi_scale_deformable_attention(values, shapes, locations, weights)

    backend = keras.backend.backend()
    if backend == "torch":
        return torch_program(attend, arrays, work)
    if backend == "jax":
        import jax

        def gradients(*arrays):
            return jax.grad(lambda *arrays: attend(*arrays).sum(), (0, 1, 2))(*arrays)

        program = jax.jit(attend if work == "forward" else gradients)
        return lambda: jax.block_until_ready(program(*arrays))
    import tensorflow as tf

    @tf.function
    def gradients(*arrays):
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            total = tf.reduce_sum(attend(*arrays))
        return tape.gradient(total, arrays)

    program = tf.function(attend) if work == "forward" else gradients
    return lambda: tf.nest.map_structure(lambda tensor: tensor.numpy(), program(*arrays))


def transformers(work):
    """Return a function that computes with transformers' layer."""
    import torch
    from transformers.models.deformable_detr import modeling_deformable_detr

    _, shapes = WORK[work]
    layer = modeling_deformable_detr.MultiScaleDeformableAttention()
    arrays = [torch.tensor(array) for array in draw(*WORK[work])]
    sizes = torch.tensor(shapes)

    def attend(values, locations, weights):
        return layer(values, sizes, list(shapes), None, locations, weights, 64)

    return torch_program(attend, arrays, work)


def torch_program(attend, arrays, work):
    import torch

    def forward():
        with torch.no_grad():
            attend(*arrays)

    def gradients():
        inputs = [array.detach().requires_grad_() for array in arrays]
        attend(*inputs).sum().backward()

    return forward if work == "forward" else gradients


CONTENDERS = {"keras_detr": ours, "transformers": transformers}


def peak_memory(name, work):
    """Return the most memory, in GB, that a process of its own takes for two calls."""
    command = [sys.executable, __file__, "--alone", name, "--work", work]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(run.stdout.splitlines()[-1])


def measure_alone(name, work):
    program = CONTENDERS[name](work)
    before = most_memory()
    program()
    program()
    print(most_memory() - before)


def most_memory():
    """Return the most memory, in GB, that this program has had; Linux only."""
    # Not `resource.getrusage`, which counts the process that started this one.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status).group(1)) / 2**20


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--alone", choices=CONTENDERS, help="print one contender's memory")
    parser.add_argument("--work", choices=WORK, default="forward")
    arguments = parser.parse_args()
    if arguments.alone:
        measure_alone(arguments.alone, arguments.work)
        return
    print(f"backend {keras.backend.backend()}; seconds, the first call apart")
    print("work      contender     median    min  first  ratio  memory (GB)")
    for work in WORK:
        programs = {name: build(work) for name, build in CONTENDERS.items()}
        times = {name: [] for name in programs}
        for _ in range(arguments.rounds):
            for name, program in programs.items():
                start = time.perf_counter()
                program()
                times[name].append(time.perf_counter() - start)
        medians = {name: np.median(found[1:]) for name, found in times.items()}
        for name, found in times.items():
            print(
                f"{work:9} {name:12} {medians[name]:7.3f} {min(found[1:]):6.3f} {found[0]:6.2f} "
                f"{medians[name] / medians['transformers']:6.2f} {peak_memory(name, work):8.2f}"
            )


if __name__ == "__main__":
    main()
