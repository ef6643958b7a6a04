"""Measure Deformable DETR R50 beside transformers', and how its encoder grows with the image.

    python benchmarks/deformable_detr.py
    python benchmarks/deformable_detr.py --growth

Inference on one image of 800x1066 pixels, and a training step without its loss (forward, gradient
of a sum, no update) on two of 512x640, interleaved in one run, random weights. The most memory is
that of a process of its own, less what it holds before the first call. Growth is the exponent that
fits the encoder's seconds, and its memory, to its tokens, at image sides from 256 to 1024.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import time

import keras
import numpy as np

SIZES = {"inference": (1, 800, 1066), "gradient": (2, 512, 640)}
SIDES = (256, 384, 512, 768, 1024)


def images_of(work):
    """Return random images, float32 (batch, height, width, 3) in 0..255."""
    return np.random.default_rng(0).uniform(0, 255, (*SIZES[work], 3)).astype("float32")


def ours(work):
    """Return a function that computes, and waits for the result."""
    import tensorflow as tf

    import keras_detr

    model = keras_detr.DeformableDETR.from_preset("deformable_detr_r50", load_weights=False)
    images = tf.constant(images_of(work))

    @tf.function
    def inference():
        return model(images, training=False, return_auxiliary=False)

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            total = sum(tf.reduce_sum(output) for output in outputs.values())
        return tape.gradient(total, model.trainable_variables)

    program = {"inference": inference, "gradient": gradient}[work]
    return lambda: [tensor.numpy() for tensor in tf.nest.flatten(program())]


def transformers(work):
    """Return a function that computes with transformers' model, on its own ResNet."""
    import torch
    from transformers import (
        DeformableDetrConfig,
        DeformableDetrForObjectDetection,
        ResNetConfig,
    )

    backbone = ResNetConfig(out_features=["stage2", "stage3", "stage4"])
    config = DeformableDetrConfig(
        use_timm_backbone=False, backbone_config=backbone, disable_custom_kernels=True
    )
    model = DeformableDetrForObjectDetection(config)
    images = torch.tensor(images_of(work).transpose(0, 3, 1, 2) / 255)

    def inference():
        with torch.no_grad():
            model.eval()(images)

    def gradient():
        outputs = model.train()(images)
        model.zero_grad()
        states = outputs.intermediate_hidden_states
        total = outputs.logits.sum() + outputs.pred_boxes.sum() + states.sum()
        total.backward()

    return {"inference": inference, "gradient": gradient}[work]


CONTENDERS = {"keras_detr": ours, "transformers": transformers}


def encoder(side):
    """Return a function that runs the encoder on the tokens of one square image."""
    import tensorflow as tf

    from keras_detr.layers.deformable_encoder import DeformableEncoder

    shapes = tuple((side // stride, side // stride) for stride in (8, 16, 32, 64))
    num_tokens = sum(height * width for height, width in shapes)
    layer = DeformableEncoder()
    generator = np.random.default_rng(0)
    tokens = tf.constant(generator.normal(size=(1, num_tokens, 256)).astype("float32"))
    places = tf.constant(generator.uniform(size=(1, num_tokens, 4, 2)).astype("float32"))
    program = tf.function(lambda: layer(tokens, tokens, places, spatial_shapes=shapes))
    return num_tokens, lambda: program().numpy()


def most_memory():
    """Return the most memory, in GB, that this program has had; Linux only."""
    # Not `resource.getrusage`, which counts the process that started this one.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status).group(1)) / 2**20


def measure_memory(*arguments):
    """Return what a process of its own prints last."""
    command = [sys.executable, __file__, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(run.stdout.splitlines()[-1])


def print_growth():
    """Print seconds and memory of the encoder by side, and the exponents that fit them."""
    programs = [encoder(side) for side in SIDES]
    for _, program in programs:
        program()
    times = np.zeros((7, len(SIDES)))
    for row in times:
        for index, (_, program) in enumerate(programs):
            start = time.perf_counter()
            program()
            row[index] = time.perf_counter() - start
    seconds = np.median(times, axis=0)
    memory = [measure_memory("--alone", "encoder", "--side", side) for side in SIDES]
    tokens = [count for count, _ in programs]
    for row in zip(SIDES, tokens, seconds, memory, strict=True):
        print("side {:5}  tokens {:6}  {:7.3f} s  {:6.3f} GB".format(*row))
    for name, values in (("seconds", seconds), ("memory", memory)):
        exponent = np.polyfit(np.log(tokens), np.log(values), 1)[0]
        print(f"exponent of {name}: {exponent:.2f}")


def print_comparison(rounds):
    """Print times, ratios and memory of both."""
    print("work      contender     median    min  first  ratio  memory (GB)")
    for work in SIZES:
        programs = {name: build(work) for name, build in CONTENDERS.items()}
        times = {name: [] for name in programs}
        for _ in range(rounds):
            for name, program in programs.items():
                start = time.perf_counter()
                program()
                times[name].append(time.perf_counter() - start)
        medians = {name: np.median(found[1:]) for name, found in times.items()}
        for name, found in times.items():
            memory = measure_memory("--alone", name, "--work", work)
            print(
                f"{work:9} {name:12} {medians[name]:7.2f} {min(found[1:]):6.2f} {found[0]:6.1f} "
                f"{medians[name] / medians['transformers']:6.2f} {memory:8.2f}",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", action="store_true", help="the encoder's, by image side")
    parser.add_argument("--alone", choices=[*CONTENDERS, "encoder"], help="print its memory")
    parser.add_argument("--work", choices=SIZES, default="inference")
    parser.add_argument("--side", type=int, choices=SIDES, default=SIDES[0])
    arguments = parser.parse_args()
    if arguments.alone:
        is_encoder = arguments.alone == "encoder"
        program = (
            encoder(arguments.side)[1]
            if is_encoder
            else CONTENDERS[arguments.alone](arguments.work)
        )
        before = most_memory()
        program()
        program()
        print(most_memory() - before)
    elif arguments.growth:
        print_growth()
    else:
        print(f"backend {keras.backend.backend()}; seconds, the first call apart")
        print_comparison(arguments.rounds)


if __name__ == "__main__":
    main()
