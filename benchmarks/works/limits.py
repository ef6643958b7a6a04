"""What can't be saved: a model's convolutions and matrix products, one after the other, alone."""

import collections

import numpy as np
from programs import compiled

ENCODER_LAYERS = DECODER_LAYERS = 6
SIZE, HEADS = 256, 8


def convolutions_and_products(family, batch, height, width):
    """Return a callable that computes them, in the library of the backend."""
    backbone, maps = resnet50(height, width)
    convolutions = backbone + EXTRA_CONVOLUTIONS[family](maps)
    generator = np.random.default_rng(0)

    def draw(*shape):
        return generator.normal(size=shape).astype("float32")

    import keras

    programs = []
    for (size, kernel, strides), count in collections.Counter(convolutions).items():
        arrays = draw(batch, *size), draw(*kernel)

        def convolve(x, weights, strides=strides):
            return keras.ops.conv(x, weights, strides=strides, padding="same")

        programs.append((compiled(convolve, *arrays), count))
    products = PRODUCTS[family](maps, batch)
    for (left, right), count in collections.Counter(products).items():
        programs.append((compiled(keras.ops.matmul, draw(*left), draw(*right)), count))

    def run():
        for program, count in programs:
            for _ in range(count):
                program()

    return run


def resnet50(height, width):
    """Return its convolutions, each ((height, width, channels), kernel, strides), and its maps."""
    from keras_detr import ResNetBackbone
    from keras_detr.layers import FrozenNormConv2D

    # "same" instead of padding in advance: the input is that much smaller, the work is the same.
    backbone = ResNetBackbone(50, input_shape=(height, width, 3))
    convolutions = []
    for layer in backbone.layers:
        if isinstance(layer, FrozenNormConv2D):
            less = layer.kernel_size[0] - 1 if layer.padding == "valid" else 0
            rows, columns, channels = layer.input.shape[1:]
            convolutions.append(
                (
                    (rows - less // 2 * 2, columns - less // 2 * 2, channels),
                    tuple(layer.kernel.shape),
                    layer.strides[0],
                )
            )
    levels = backbone.pyramid_level_inputs
    maps = [tuple(backbone.get_layer(levels[level]).output.shape[1:]) for level in sorted(levels)]
    return convolutions, maps


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


EXTRA_CONVOLUTIONS = {"detr": _of_detr, "deformable_detr": _of_deformable_detr}
PRODUCTS = {"detr": detr_products, "deformable_detr": deformable_detr_products}
