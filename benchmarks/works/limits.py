"""What can't be saved: a model's convolutions and matrix products, one after the other, alone.

A training step has their gradients too, but for what the papers' recipe keeps frozen.
"""

import collections
import math
from typing import NamedTuple

import keras
import numpy as np
from programs import compiled, gradients

ENCODER_LAYERS = DECODER_LAYERS = 6
SIZE, HEADS = 256, 8


def convolutions_and_products(family, mode, batch, height, width):
    """Return a callable that computes them, in the library of the backend."""
    backbone, maps = resnet50(height, width, is_dilated=family == "detr_dc5")
    work = collections.Counter(backbone)
    for convolution in EXTRA_CONVOLUTIONS[family](maps):
        work[Convolution(*convolution)] += 1
    for shapes in PRODUCTS[family](maps, batch):
        work[Product(*shapes)] += 1
    programs = []
    for part, count in work.items():
        function, arrays = part.prepare(batch)
        programs.append((compiled(function, *arrays), count))
        if mode == "training" and part.trained:
            programs.append((gradients(function, *arrays, to=part.trained), count))

    def run():
        for program, count in programs:
            for _ in range(count):
                program()

    return run


def num_operations(family, mode, batch, height, width):
    """Return how many additions and multiplications they take."""
    backbone, maps = resnet50(height, width, is_dilated=family == "detr_dc5")
    work = [*backbone, *(Convolution(*found) for found in EXTRA_CONVOLUTIONS[family](maps))]
    work += [Product(*shapes) for shapes in PRODUCTS[family](maps, batch)]
    return sum(
        part.num_operations(batch) * (1 + (mode == "training") * len(part.trained)) for part in work
    )


class Convolution(NamedTuple):
    """Say what is convolved.

    Attributes:
        size: (height, width, channels) of the input.
        kernel: shape of the kernel.
        stride: int.
        dilation: int.
        trained: indices of what gradients are computed to: input, kernel.
    """

    size: tuple
    kernel: tuple
    stride: int
    dilation: int = 1
    trained: tuple = (0, 1)

    def prepare(self, batch):
        """Return a function, and its arguments."""
        arrays = draw(batch, *self.size), draw(*self.kernel)
        if keras.backend.backend() == "torch":
            return self.convolve_with_torch, (arrays[0], arrays[1].transpose(3, 0, 1, 2).copy())

        def convolve(x, kernel):
            return keras.ops.conv(x, kernel, self.stride, "same", dilation_rate=self.dilation)

        return convolve, arrays

    def num_operations(self, batch):
        """Return the additions and multiplications of the convolution of a batch."""
        rows, columns = (-(-side // self.stride) for side in self.size[:2])
        return 2 * batch * rows * columns * math.prod(self.kernel)

    def convolve_with_torch(self, x, kernel):
        """Convolve as Keras does on torch, but for its copies; filters come first."""
        import torch

        outputs = torch.nn.functional.conv2d(
            x.permute(0, 3, 1, 2),
            kernel.permute(0, 3, 1, 2),
            stride=self.stride,
            padding=self.kernel[0] // 2 * self.dilation,
            dilation=self.dilation,
        )
        return outputs.permute(0, 2, 3, 1)


class Product(NamedTuple):
    """Hold the shapes of a matrix product's factors, and to which gradients are computed."""

    left: tuple
    right: tuple
    trained: tuple = (0, 1)

    def prepare(self, batch):
        """Return a function, and its arguments."""
        return keras.ops.matmul, (draw(*self.left), draw(*self.right))

    def num_operations(self, batch):
        """Return the additions and multiplications of the product; shapes have the batch."""
        return 2 * math.prod(self.left) * self.right[-1]


def draw(*shape):
    """Return normal values."""
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def resnet50(height, width, is_dilated):
    """Return its convolutions, as often as they occur, and the sizes of its maps."""
    from keras_detr import ResNetBackbone
    from keras_detr.layers.primitives.frozen_norm_conv2d import FrozenNormConv2D

    backbone = ResNetBackbone(50, dilation=is_dilated, input_shape=(height, width, 3))
    convolutions = []
    for layer in backbone.layers:
        if isinstance(layer, FrozenNormConv2D):
            # Behind the map comes the residual, where there is one.
            inputs = keras.tree.flatten(layer.input)[0]
            convolutions.append(
                Convolution(
                    tuple(inputs.shape[1:]),
                    tuple(layer.kernel.shape),
                    layer.strides[0],
                    layer.dilation_rate[0],
                    trained_of(backbone, layer),
                )
            )
    levels = backbone.pyramid_level_inputs
    maps = [tuple(backbone.get_layer(levels[level]).output.shape[1:]) for level in sorted(levels)]
    return convolutions, maps


def trained_of(backbone, layer):
    """Return the indices of what gradients are computed to: input, kernel."""
    if not layer.trainable:
        return ()
    first_trained = f"layer{backbone.num_frozen_stages}_"
    return (
        (1,)
        if layer.name.startswith((f"{first_trained}0_conv1", f"{first_trained}0_down"))
        else (0, 1)
    )


def _of_detr(maps):
    return [(maps[-1], (1, 1, maps[-1][-1], SIZE), 1)]


def _of_deformable_detr(maps):
    points = [(m, (1, 1, m[-1], SIZE), 1) for m in maps[-3:]]
    return [*points, (maps[-1], (3, 3, maps[-1][-1], SIZE), 2)]


def detr_products(maps, batch):
    """Return the pairs of shapes of DETR's matrix products."""
    tokens, queries = maps[-1][0] * maps[-1][1], 100
    products = []
    for _ in range(ENCODER_LAYERS):
        products += attention(batch, tokens, tokens) + feed_forward(batch * tokens, 2048)
    for _ in range(DECODER_LAYERS):
        products += attention(batch, queries, queries) + attention(batch, queries, tokens)
        products += feed_forward(batch * queries, 2048)
    return products


def deformable_detr_products(maps, batch):
    """Return the pairs of shapes of Deformable DETR's matrix products."""
    rows, columns = maps[-1][:2]
    tokens = sum(m[0] * m[1] for m in maps[-3:]) + -(-rows // 2) * -(-columns // 2)
    queries, points = 300, 4 * 4 * HEADS
    products = []

    def sampled(count):
        return [
            ((batch * tokens, SIZE), (SIZE, SIZE)),
            ((batch * count, SIZE), (SIZE, 2 * points)),
            ((batch * count, SIZE), (SIZE, points)),
            ((batch * count, SIZE), (SIZE, SIZE)),
        ]

    for _ in range(ENCODER_LAYERS):
        products += sampled(tokens) + feed_forward(batch * tokens, 1024)
    for _ in range(DECODER_LAYERS):
        products += attention(batch, queries, queries) + sampled(queries)
        products += feed_forward(batch * queries, 1024)
    return products


def attention(batch, queries, keys):
    """Return the products of attention: three projections, scores, sums, and the last one."""
    square = (SIZE, SIZE)
    head = SIZE // HEADS
    return [
        ((batch * queries, SIZE), square),
        ((batch * keys, SIZE), square),
        ((batch * keys, SIZE), square),
        ((batch, HEADS, queries, head), (batch, HEADS, head, keys)),
        ((batch, HEADS, queries, keys), (batch, HEADS, keys, head)),
        ((batch * queries, SIZE), square),
    ]


def feed_forward(rows, size):
    """Return the two products of a feed-forward network."""
    return [((rows, SIZE), (SIZE, size)), ((rows, size), (size, SIZE))]


EXTRA_CONVOLUTIONS = {
    "detr": _of_detr,
    "detr_dc5": _of_detr,
    "deformable_detr": _of_deformable_detr,
}
PRODUCTS = {
    "detr": detr_products,
    "detr_dc5": detr_products,
    "deformable_detr": deformable_detr_products,
}
