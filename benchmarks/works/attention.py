"""Multi-scale deformable attention alone: every cell of four maps reads four points on each."""

import math

import keras
import numpy as np
from programs import compiled

from works import peers

SHAPES = {
    "forward": (1, ((100, 134), (50, 67), (25, 34), (13, 17))),
    "gradient": (2, ((64, 80), (32, 40), (16, 20), (8, 10))),
}
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


def ours(mode):
    """Return a callable that computes our attention, or its gradients."""
    from keras_detr.ops.deformable_attention import multi_scale_deformable_attention

    batch, shapes = SHAPES[mode]
    arrays = draw(batch, shapes)

    def attend(values, locations, weights):
        return multi_scale_deformable_attention(values, shapes, locations, weights)

    backend = keras.backend.backend()
    if backend == "torch":
        return of_torch(attend, arrays, mode)
    if mode == "forward":
        return compiled(attend, *arrays)
    if backend == "jax":
        import jax

        return compiled(jax.grad(lambda *tensors: attend(*tensors).sum(), (0, 1, 2)), *arrays)
    import tensorflow as tf

    def gradients(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = tf.reduce_sum(attend(*tensors))
        return tape.gradient(total, tensors)

    return compiled(gradients, *arrays)


def transformers(mode):
    """Return a callable that computes with transformers' layer."""
    import torch
    from transformers.models.deformable_detr import modeling_deformable_detr

    batch, shapes = SHAPES[mode]
    layer = modeling_deformable_detr.MultiScaleDeformableAttention()
    sizes = torch.tensor(shapes, device=peers.device())

    def attend(values, locations, weights):
        return layer(values, sizes, list(shapes), None, locations, weights, 64)

    return of_torch(attend, draw(batch, shapes), mode)


def of_torch(attend, arrays, mode):
    """Return a callable that computes with torch."""
    import torch

    tensors = [torch.tensor(array, device=peers.device()) for array in arrays]

    def forward():
        with torch.no_grad():
            attend(*tensors)
        peers.synchronize()

    def gradients():
        inputs = [tensor.detach().requires_grad_() for tensor in tensors]
        attend(*inputs).sum().backward()
        peers.synchronize()

    return {"forward": forward, "gradient": gradients}[mode]


CONTENDERS = {"keras_detr": ours, "transformers": transformers}
