"""Programs of a backend's own kind: compiled where it compiles, waiting for their results."""

import keras
import numpy as np


def compiled(function, *arguments):
    """Return a callable that computes `function(*arguments)` and waits for it.

    Args:
        function: callable of tensors, made of `keras.ops` or layers.
        arguments: arrays, or dicts of them; copied to the device once.
    """
    arguments = [on_device(argument) for argument in arguments]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        program = tf.function(function, autograph=False)
        # On a CPU it returns when it is done.
        return lambda: program(*arguments)
    if backend == "jax":
        import jax

        program = jax.jit(function)
        return lambda: jax.block_until_ready(program(*arguments))
    import torch

    def run():
        with torch.no_grad():
            function(*arguments)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run


def gradients(function, *arguments, to):
    """Return a callable that computes gradients of `function(*arguments)`.

    Args:
        function: callable of tensors, whose result is the gradient to itself too.
        arguments: arrays; copied to the device once.
        to: indices of the arguments that gradients are computed to.
    """
    arguments = [on_device(argument) for argument in arguments]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def gradients_of(upstream, *arguments):
            with tf.GradientTape() as tape:
                tape.watch(arguments)
                result = function(*arguments)
            return tape.gradient(result, [arguments[index] for index in to], upstream)

        # The function itself isn't needed for them, and left out of the program.
        program = tf.function(gradients_of, autograph=False)
        upstream = function(*arguments)
        return lambda: program(upstream, *arguments)
    if backend == "jax":
        import jax

        def gradients_of(upstream, *arguments):
            found = jax.vjp(function, *arguments)[1](upstream)
            return [found[index] for index in to]

        program = jax.jit(gradients_of)
        upstream = function(*arguments)
        return lambda: jax.block_until_ready(program(upstream, *arguments))
    import torch

    wanted = [arguments[index].requires_grad_() for index in to]
    result = function(*arguments)

    def run():
        torch.autograd.grad(result, wanted, result, retain_graph=True)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run


def on_device(argument):
    """Return an array, or the arrays of a dict, as tensors of the backend."""
    if isinstance(argument, dict):
        return {name: on_device(value) for name, value in argument.items()}
    return keras.ops.convert_to_tensor(argument)


def inference(model, inputs, **settings):
    """Return a callable that computes a model's outputs.

    Args:
        model: `keras.Model`.
        inputs: array, or dict of arrays.
        **settings: of its `call`.
    """
    settings = {"training": False, **settings}
    if keras.backend.backend() != "jax":
        return compiled(lambda x: model(x, **settings), inputs)
    values = [
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]

    def call(trainable, non_trainable, x):
        return model.stateless_call(trainable, non_trainable, x, **settings)[0]

    import jax

    program, inputs = jax.jit(call), on_device(inputs)
    return lambda: jax.block_until_ready(program(*values, inputs))


def prediction(model, inputs, **settings):
    """Return a callable that predicts a batch as `predict` does, decoded and on the host.

    Args:
        model: a detector.
        inputs: array, or dict of arrays.
        **settings: of its `compile`.
    """
    model.compile(**settings)
    inputs = on_device(inputs)
    return lambda: model.predict_on_batch(inputs)


def training_step(model, inputs, targets):
    """Return a callable that takes a step of `fit` on one batch."""
    model.compile()
    return lambda: model.train_on_batch(inputs, targets, return_dict=True)


def random_images(batch, height, width):
    """Return float32 (batch, height, width, 3) in 0..255."""
    return np.random.default_rng(0).uniform(0, 255, (batch, height, width, 3)).astype("float32")


def random_mask(batch, height, width):
    """Return uint8 (batch, height, width): images of several sizes, the first without padding."""
    mask = np.zeros((batch, height, width), "uint8")
    for index, image in enumerate(mask):
        image[: height - index * height // 16, : width - (index % 3) * width // 6] = 1
    return mask


def random_targets(batch, num_objects=10, num_classes=80):
    """Return boxes xyxy in pixels of images of at least 256x256, and classes."""
    generator = np.random.default_rng(1)
    corners = generator.uniform(0, 120, (batch, num_objects, 2))
    sizes = generator.uniform(10, 120, (batch, num_objects, 2))
    return {
        "boxes": np.concatenate([corners, corners + sizes], -1).astype("float32"),
        "classes": generator.integers(0, num_classes, (batch, num_objects)).astype("int32"),
    }


def random_masks(boxes, height, width):
    """Return bool (batch, objects, height, width): ellipses in boxes xyxy in pixels."""
    left, top, right, bottom = np.moveaxis(boxes[..., None, None], 2, 0)
    y, x = np.mgrid[:height, :width]
    x = (2 * x - left - right) / (right - left)
    y = (2 * y - top - bottom) / (bottom - top)
    return x * x + y * y < 1
