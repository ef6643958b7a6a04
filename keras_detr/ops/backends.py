"""The one room that asks which Keras backend runs.

Everything here is a fact about the backend that `keras.ops` doesn't abstract: calls to the host
from inside a compiled program, and sums over the replicas of a distribution strategy.
"""

import contextlib
import contextvars
import functools
import importlib.util
import math
import operator
import sys
import warnings

import keras
import numpy as np


def call_on_host(function, arrays, shape, dtype):
    """Run a NumPy function on arrays that may belong to a program being compiled.

    Not differentiable. TensorFlow programs compiled by XLA can't call the host.

    Args:
        function: callable that takes one NumPy array for each of `arrays` and returns one.
        arrays: list of tensors.
        shape: tuple, the shape of the result; `None` where it isn't known.
        dtype: str, the dtype of the result.

    Returns:
        A tensor of the backend.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if tf.executing_eagerly():
            return tf.convert_to_tensor(function(*(np.asarray(a) for a in arrays)), dtype)
        result = tf.numpy_function(function, arrays, dtype, stateful=False)
        result.set_shape(shape)
        return result
    if backend == "jax":
        import jax

        if any(isinstance(array, jax.core.Tracer) for array in arrays):
            spec = jax.ShapeDtypeStruct(shape, dtype)
            return jax.pure_callback(
                lambda *args: function(*(np.asarray(a) for a in args)), spec, *arrays
            )
    return keras.ops.convert_to_tensor(
        function(*(keras.ops.convert_to_numpy(array) for array in arrays)), dtype
    )


def prefers_host_calls(array, is_compiled_by_xla=False):
    """Return whether a host call is the faster and safer way to compute something from `array`.

    It is on torch and on TensorFlow outside XLA, whose programs can't make one. In a program of
    JAX it would stop the asynchronous dispatch of the whole step; outside of one, a loop of
    `keras.ops` would be compiled anew at every call.

    Args:
        array: tensor.
        is_compiled_by_xla: bool, whether the program is compiled with `jit_compile=True`.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return not is_compiled_by_xla
    return backend == "torch" or is_concrete(array)


def is_concrete(array):
    """Return whether the values of a tensor can be read now (not a placeholder of a program)."""
    backend = keras.backend.backend()
    if isinstance(array, keras.KerasTensor):
        return False
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.executing_eagerly() or not tf.is_tensor(array)
    if backend == "jax":
        import jax

        return not isinstance(array, jax.core.Tracer)
    return True


def num_replicas():
    """Return the number of replicas that run this step under `tf.distribute`, else 1.

    Distributions of `keras.distribution` (JAX) compute with global arrays, so there one program
    sees the whole batch.
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(value):
    """Sum a tensor over the replicas of `tf.distribute`; the tensor itself elsewhere.

    Args:
        value: float tensor, of the same shape on every replica.
    """
    if num_replicas() == 1:
        return value
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


_IS_PORTABLE = contextvars.ContextVar("is_portable", default=False)


@contextlib.contextmanager
def portable_programs():
    """Trace programs, while this context lasts, of operations that other runtimes have too.

    Without parts compiled by XLA, and without gradients of their own: a program for TensorFlow on
    other hosts, for ONNX and for LiteRT.
    """
    token = _IS_PORTABLE.set(True)
    try:
        yield
    finally:
        _IS_PORTABLE.reset(token)


def is_program_portable():
    """Return whether the program being traced is one of `portable_programs`."""
    return _IS_PORTABLE.get()


def can_trace_for_tensorflow():
    """Return whether programs of the backend are TensorFlow's, from which others are converted."""
    return keras.backend.backend() == "tensorflow"


def compiled_by_xla(function):
    """Let XLA compile a function of `keras.ops` where a program isn't compiled by it anyway.

    For what takes XLA one loop, and the backend many passes over large arrays. On torch, and in
    `portable_programs`, the function stays as it is.

    Args:
        function: callable of tensors as positional arguments, and of hashable keyword arguments
            that shape the program. Keyword arguments may hold tensors too, on TensorFlow.
    """
    compiled = {}

    @functools.wraps(function)
    def call(*tensors, **settings):
        backend = keras.backend.backend()
        is_plain = backend == "torch" or is_program_portable()
        if is_plain or any(isinstance(array, keras.KerasTensor) for array in tensors):
            return function(*tensors, **settings)
        if backend not in compiled:
            compiled[backend] = _XLA_COMPILERS[backend](function, settings)
        return compiled[backend](*tensors, **settings)

    return call


def _compile_tensorflow(function, settings):
    import tensorflow as tf

    programs = {}

    def call(*tensors, **settings):
        # A program for each shape: TensorFlow would warn of one that is traced for several.
        key = tuple((tuple(tensor.shape), tensor.dtype) for tensor in tensors)
        if key not in programs:
            programs[key] = tf.function(
                functools.partial(function), jit_compile=True, autograph=False
            )
        return programs[key](*tensors, **settings)

    return call


def _compile_jax(function, settings):
    import jax

    return jax.jit(function, static_argnames=tuple(settings))


_XLA_COMPILERS = {"tensorflow": _compile_tensorflow, "jax": _compile_jax}


def compiles_exported_programs():
    """Return whether a program is exported first and then compiled, as `compiled_for_shapes` does.

    torch can't follow Keras' layers when it compiles: it breaks the program at dozens of places.
    """
    return keras.backend.backend() == "torch"


def compiled_for_shapes(model, function):
    """Let torch compile a function of batches, without gradients, once for each shape of them.

    Args:
        model: `keras.Model` with the variables that it computes with. Their values are read at each
            call.
        function: callable of a tensor or of a dict of tensors.
    """
    torch = _torch()

    class Program(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, inputs):
            return function(inputs)

    programs = {}

    def call(inputs):
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        arrays = keras.tree.flatten_with_path(inputs)
        key = tuple((path, array.shape, array.dtype) for path, array in arrays)
        with torch.no_grad():
            if key not in programs:
                program = torch.export.export(Program(), (inputs,), strict=False)
                programs[key] = torch.compile(program.module())
            return programs[key](inputs)

    return call


def compiles_parts_of_programs():
    """Return whether `compiled_by_xla` makes a program within a program, which isn't compiled."""
    return keras.backend.backend() == "tensorflow" and not is_program_portable()


def num_parallel_programs():
    """Return into how many programs of `compiled_by_xla` a long loop is worth dividing.

    A loop of XLA runs on one core. TensorFlow runs several such programs at a time.
    """
    return 4 if compiles_parts_of_programs() else 1


def computed_after(tensor, function, *arguments):
    """Return `function(*arguments)`, computed when a tensor is there, and not taken from before.

    Where a gradient computes a large array once more, TensorFlow would otherwise find that it has
    the same already, and keep that instead.

    Args:
        tensor: tensor.
        function: callable of tensors.
        *arguments: its arguments.
    """
    if keras.backend.backend() != "tensorflow":
        return function(*arguments)
    import tensorflow as tf

    with tf.control_dependencies([tensor]):
        return function(*arguments)


def add_channel_bias(features, bias):
    """Add a number to each channel.

    A compiled program of TensorFlow computes this form, and not a plain sum, while it convolves.

    Args:
        features: tensor (..., channels).
        bias: tensor (channels,).
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.nn.bias_add(features, bias)
    return features + bias


def sum_of_rows(matrix):
    """Return the sum of all rows of a long matrix.

    Args:
        matrix: float (rows, size).
    """
    if keras.backend.backend() != "tensorflow":
        return keras.ops.sum(matrix, axis=0)
    # As a product it takes TensorFlow a fourth of the time.
    ones = keras.ops.ones((1, keras.ops.shape(matrix)[0]), matrix.dtype)
    return keras.ops.matmul(ones, matrix)[0]


def custom_gradient(function):
    """Let a function compute its gradients itself, in the same words on all backends.

    Args:
        function: callable of tensors that returns a pair: its result, a tensor, and a callable from
            the gradient to the result to a tuple of gradients to the tensors, or to one.
    """

    @keras.ops.custom_gradient
    def call(*tensors):
        result, gradients = function(*tensors)

        def gradients_of(*arguments, upstream=None):
            # By name on torch, where the tensors come first.
            return gradients(arguments[-1] if upstream is None else upstream)

        return result, gradients_of

    return call


def scaled_convolution(
    inputs,
    kernel,
    scale,
    bias,
    residual=None,
    margin=0,
    use_relu=False,
    is_training=False,
    **settings,
):
    """Convolve with a kernel times a number for each filter, then add a number to each channel.

    Args:
        inputs: float (batch, height, width, channels).
        kernel: float (rows, columns, channels / groups, filters).
        scale: float (filters,); no gradient is computed to it.
        bias: float (filters,).
        residual: float tensor like the result, added to it; or `None`.
        margin: int, how many zeros surround the map on each side.
        use_relu: bool, whether a ReLU follows.
        is_training: bool, whether gradients may be computed.
        **settings: of `keras.ops.conv`: `strides` and `dilation_rate`, pairs of int; `padding`,
            "same" or "valid"; and `data_format`.

    Returns:
        float (batch, new height, new width, filters).
    """
    backend = keras.backend.backend()
    is_channels_last = settings["data_format"] == "channels_last"
    if backend == "torch" and is_channels_last and _pads_alike(kernel, settings):
        return _torch_convolution(inputs, kernel, scale, bias, residual, margin, use_relu, settings)
    # Not all of TensorFlow's kernels for processors have gradients of dilated convolutions.
    is_dilated = max(settings["dilation_rate"]) > 1
    is_lean = backend == "tensorflow" and is_channels_last and is_training and not is_dilated
    # In half precision TensorFlow's fast kernels of gradients don't know explicit padding.
    if margin and not (is_lean and keras.backend.standardize_dtype(inputs.dtype) == "float32"):
        inputs, margin = keras.ops.pad(inputs, _border(margin, margin)), 0

    def convolve(kernel, scale, bias, residual=None):
        if is_lean:
            outputs = _lean_convolution(inputs, kernel, scale, margin, settings)
        else:
            outputs = keras.ops.conv(inputs, kernel * scale, **settings)
        outputs = add_channel_bias(outputs, bias)
        if residual is not None:
            outputs = outputs + residual
        return keras.ops.relu(outputs) if use_relu else outputs

    num_parts = 1 if is_training else _num_parts_of_kernel(inputs, kernel)
    arrays = [kernel, scale, bias, *([] if residual is None else [residual])]
    if num_parts == 1:
        return convolve(*arrays)
    parts = zip(*(keras.ops.split(array, num_parts, axis=-1) for array in arrays), strict=True)
    return keras.ops.concatenate([convolve(*part) for part in parts], axis=-1)


def _num_parts_of_kernel(inputs, kernel, most_bytes=2**19 + 2**17):
    """Return into how many parts the filters of a convolution are worth dividing.

    For a single image, TensorFlow's kernels for processors read all filters again for each row of
    the map: a part of them stays in the cache, all of them don't.
    """
    if not prefers_parts_in_cache():
        return 1
    rows, columns, channels, filters = kernel.shape
    is_slow = rows * columns > 1 and inputs.shape[0] in (1, None) and kernel.dtype == "float32"
    if not is_slow or channels != inputs.shape[-1]:
        return 1
    num_parts = -(-4 * rows * columns * channels * filters // most_bytes)
    return math.gcd(filters, 2 ** math.ceil(math.log2(num_parts)))


def prefers_parts_in_cache():
    """Return whether large arrays are better computed one part after the other.

    On TensorFlow and a processor: other backends' programs divide their work themselves, and a
    program for other hosts should have few operations.
    """
    return (
        keras.backend.backend() == "tensorflow"
        and not is_program_portable()
        and not _has_tensorflow_gpu()
    )


def has_attention_kernel():
    """Return whether `attention_kernel` works: on torch, whose kernel never holds the weights."""
    return keras.backend.backend() == "torch"


def attention_kernel(query, key, value, bias=None):
    """Sum values by the softmax of scores, in one operation of torch.

    Args:
        query: (batch, heads, targets, size), scaled.
        key: (batch, heads, size, sources).
        value: (batch, heads, sources, size).
        bias: float32, broadcastable to (batch, heads, targets, sources), added to scores; or
            `None`.

    Returns:
        (batch, heads, targets, size).
    """
    torch = _torch()
    if bias is not None:
        # Finite in half precision too, so that a row of nothing else is an average.
        bias = bias.clamp(min=torch.finfo(query.dtype).min).to(query.dtype)
    return torch.nn.functional.scaled_dot_product_attention(
        query, key.transpose(2, 3), value, attn_mask=bias, scale=1.0
    )


@functools.cache
def _has_tensorflow_gpu():
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


def _border(*margins):
    """Return what `keras.ops.pad` takes to surround maps with so many rows and columns."""
    return [(0, 0), *((margin, margin) for margin in margins), (0, 0)]


def _lean_convolution(inputs, kernel, scale, margin, settings):
    """Convolve with a scaled kernel that is computed once more for the gradient.

    Kept for it, the scaled kernels would be a second copy of all kernels of a model.
    """
    import tensorflow as tf

    settings = {
        "strides": [1, *settings["strides"], 1],
        "padding": settings["padding"].upper(),
    }
    if margin:
        # A padded map would be kept for the gradient, beside the map itself.
        settings["padding"] = "EXPLICIT"
        settings["explicit_paddings"] = [0, 0, *[margin] * 4, 0, 0]

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradients(upstream):
            # The scale is a factor of both gradients: of the map, or of kernel and gradient.
            size_of_map = upstream.shape.num_elements() or math.inf
            is_map_scaled = size_of_map < 2 * kernel.shape.num_elements()
            if is_map_scaled:
                upstream, scaled = upstream * scale, kernel
            else:
                scaled = computed_after(upstream, operator.mul, kernel, scale)
            to_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs), filter=scaled, out_backprop=upstream, **settings
            )
            to_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=inputs, filter_sizes=kernel.shape, out_backprop=upstream, **settings
            )
            return to_inputs, to_kernel if is_map_scaled else to_kernel * scale

        return tf.raw_ops.Conv2D(input=inputs, filter=kernel * scale, **settings), gradients

    return convolve(inputs, tf.convert_to_tensor(kernel))


def _pads_alike(kernel, settings):
    """Return whether all sides are padded alike, which is all that torch knows."""
    is_centered = max(settings["strides"]) == 1 and all(size % 2 for size in kernel.shape[:2])
    return settings["padding"] == "valid" or is_centered


def _torch_convolution(inputs, kernel, scale, bias, residual, margin, use_relu, settings):
    """Convolve a map whose channels are last without a copy of it.

    `keras.ops.conv` copies map and result into another order, which took half of the time of
    DETR's inference; torch's operator takes them in this one, and adds the bias while it convolves.
    """
    rows, columns, channels, _ = kernel.shape
    margins = (margin, margin)
    if settings["padding"] == "same":
        sides = zip((rows, columns), settings["dilation_rate"], strict=True)
        margins = tuple(size // 2 * dilation for size, dilation in sides)
    # Nothing is moved where `lay_out_for_convolutions` laid the kernel out.
    turned = (kernel * scale).permute(3, 2, 0, 1).contiguous(memory_format=_torch().channels_last)
    outputs = _torch().nn.functional.conv2d(
        inputs.permute(0, 3, 1, 2),
        turned,
        bias,
        stride=tuple(settings["strides"]),
        padding=margins,
        dilation=tuple(settings["dilation_rate"]),
        groups=inputs.shape[-1] // channels,
    )
    # In place, because every large array is memory that the system has to find first. And before
    # the last change of order: the gradient of a view that was changed takes a copy.
    if residual is not None:
        outputs.add_(residual.permute(0, 3, 1, 2))
    if use_relu:
        outputs.relu_()
    return outputs.permute(0, 2, 3, 1)


def lay_out_for_convolutions(variable):
    """Let torch hold a kernel in memory in the order that its convolutions read it in.

    The numbers and the shape stay. Turned at each call, kernels take a tenth of a ResNet's time.

    Args:
        variable: `keras.Variable` (rows, columns, channels, filters).
    """
    tensor = getattr(variable, "_value", None) if keras.backend.backend() == "torch" else None
    # Keras creates none of them while it only infers shapes.
    if tensor is not None:
        filters_first = tensor.detach().permute(3, 0, 1, 2).contiguous()
        tensor.data = filters_first.permute(1, 2, 3, 0)


def padded_max_pool(inputs, sizes, strides, margins):
    """Return the largest number of each channel in windows of a map with a border of zeros.

    Args:
        inputs: float (batch, height, width, channels), at least zero.
        sizes, strides, margins: pairs of int.
    """
    if keras.backend.backend() == "torch":
        # Keras copies the map into an order in which torch takes ten times as long.
        pool = _torch().nn.functional.max_pool2d
        settings = [tuple(pair) for pair in (sizes, strides, margins)]
        return pool(inputs.permute(0, 3, 1, 2), *settings).permute(0, 2, 3, 1)
    padded = keras.ops.pad(inputs, _border(*margins))
    return keras.ops.max_pool(padded, sizes, strides, "valid", "channels_last")


def relu_gradient(upstream, outputs):
    """Return the gradient to the input of a ReLU.

    Args:
        upstream: float tensor, the gradient to its outputs.
        outputs: tensor like it.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.raw_ops.ReluGrad(gradients=upstream, features=outputs)
    return keras.ops.where(outputs > 0, upstream, keras.ops.zeros_like(upstream))


def has_fast_dropout(tensor):
    """Return whether `keras.random.dropout` is the fastest: torch has one kernel for it on GPUs."""
    return keras.backend.backend() == "torch" and tensor.device.type != "cpu"


def random_mask(shape, num_false, seed):
    """Draw bools that are false with a probability of `num_false / 2**16`.

    16 random bits decide each. The backends' own functions draw at least 32, which takes half of
    the time of dropout.

    Args:
        shape: tuple of int or scalar tensors.
        num_false: int in [0, 2**16).
        seed: uint32 (2,), as `keras.random.SeedGenerator` has it. On a GPU torch's own seed counts.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        return _torch_random_mask(shape, num_false, seed)
    if backend == "jax":
        import jax

        return jax.random.bits(seed, shape, "uint16") >= num_false
    import tensorflow as tf

    # It draws words of 32 bits at least: each makes two numbers.
    size = tf.reduce_prod(shape)
    words = tf.random.stateless_uniform(
        [(size + 1) // 2], tf.cast(seed, "int32"), minval=None, maxval=None, dtype="int32"
    )
    bits = tf.reshape(tf.reshape(tf.bitcast(words, "uint16"), [-1])[:size], shape)
    return tf.greater_equal(bits, tf.cast(num_false, bits.dtype))


def _torch_random_mask(shape, num_false, seed):
    torch = _torch()
    if seed.is_meta:
        # Keras infers shapes with tensors that hold no numbers.
        return torch.empty(shape, dtype=torch.bool, device="meta")
    generator = None
    if seed.device.type == "cpu":
        # A GPU would have to finish first whatever it computes.
        generator = torch.Generator()
        first, second = seed.tolist()
        generator.manual_seed(first << 32 | second)
    size = math.prod(shape)
    words = torch.empty(-(-size // 4), dtype=torch.int64, device=seed.device)
    # All of its 64 bits, which make four numbers with signs.
    words.random_(-(2**63), None, generator=generator)
    return words.view(torch.int16)[:size].reshape(shape) >= num_false - 2**15


def thinned(numbers, is_kept):
    """Set numbers to zero where a mask is false.

    Args:
        numbers: float tensor, finite.
        is_kept: bool tensor of its shape.
    """
    if keras.backend.backend() == "torch":
        # An eighth of the time of torch's `where`.
        return numbers * is_kept
    # Not a product: TensorFlow would compute the factors of all gradients early.
    return keras.ops.where(is_kept, numbers, keras.ops.zeros_like(numbers))


def weighted_row_sums(table, indices, weights):
    """Sum rows of a table, each times a weight: sum over k of w[n, k] * table[j[n, k]].

    Not differentiable; see `weighted_row_gradients`.

    Args:
        table: float (rows, size).
        indices: list of int32 (sums, terms), in [0, rows); k counts on from one to the next.
        weights: list of float32 (sums, terms), one for each of `indices`.

    Returns:
        float32 (sums, size).
    """
    backend = keras.backend.backend()
    if backend == "torch":
        return _torch().nn.functional.embedding_bag(
            keras.ops.concatenate(indices, axis=1),
            keras.ops.cast(table, "float32"),
            per_sample_weights=keras.ops.concatenate(weights, axis=1),
            mode="sum",
        )
    take, _ = _ROW_ACCESS[backend]()
    if is_program_portable():
        # Few operations, which no compiler will fuse, on arrays of a fourth of what is read.
        products = [
            keras.ops.matmul(weight[:, None], keras.ops.cast(take(table, index), "float32"))
            for index, weight in zip(indices, weights, strict=True)
        ]
        return sum(product[:, 0] for product in products)
    # One term at a time: XLA makes a single loop of it that reads whole rows.
    return sum(
        keras.ops.cast(take(table, index[:, k]), "float32") * weight[:, k, None]
        for k in range(indices[0].shape[1])
        for index, weight in zip(indices, weights, strict=True)
    )


def weighted_row_gradients(table, indices, weights, upstream):
    """Return the gradients of `weighted_row_sums` to the table and to the weights.

    Args:
        table: float (rows, size).
        indices: list of int32 (sums, terms), as there.
        weights: list of float32 (sums, terms), as there.
        upstream: float32 (sums, size), the gradient to the sums.

    Returns:
        pair of float32 (rows, size) and list of float32 (sums, terms).
    """
    merged = [keras.ops.concatenate(numbers, axis=1) for numbers in (indices, weights)]
    if keras.backend.backend() == "torch":
        gradients = _torch_row_gradients(table, *merged, upstream)
    else:
        gradients = _xla_row_gradients(table, *merged, upstream)
    return gradients[0], keras.ops.split(gradients[1], len(indices), axis=1)


def _xla_row_gradients(table, indices, weights, upstream, chunk=256):
    """Go through a few sums at a time, whose rows stay in the cache."""
    take, add = _ROW_ACCESS[keras.backend.backend()]()
    num_sums = keras.ops.shape(indices)[0]
    num_chunks = (num_sums + chunk - 1) // chunk
    # Sums without weight fill the last chunk.
    missing = num_chunks * chunk - num_sums
    indices, weights, upstream = (
        keras.ops.concatenate([array, keras.ops.zeros((missing, array.shape[1]), array.dtype)])
        for array in (indices, weights, upstream)
    )

    def step(number, gradients):
        of_table, of_weights = gradients
        start = (number * chunk, 0)
        index, weight, others = (
            keras.ops.slice(array, start, (chunk, array.shape[1]))
            for array in (indices, weights, upstream)
        )
        of_table = add(of_table, index, others[:, None] * weight[..., None])
        read = keras.ops.cast(take(table, index), "float32")
        products = keras.ops.matmul(read, others[..., None])[..., 0]
        return of_table, keras.ops.slice_update(of_weights, start, products)

    start = (keras.ops.zeros_like(table, "float32"), keras.ops.zeros_like(weights))
    of_table, of_weights = keras.ops.fori_loop(0, num_chunks, step, start)
    return of_table, of_weights[:num_sums]


def _torch_row_gradients(table, indices, weights, upstream):
    torch = _torch()
    num_sums, terms = indices.shape
    starts = torch.arange(num_sums + 1, dtype=indices.dtype, device=indices.device) * terms
    with warnings.catch_warnings():
        # Torch calls all sparse matrices of this layout a beta feature.
        warnings.simplefilter("ignore", UserWarning)
        pattern = torch.sparse_csr_tensor(
            starts,
            indices.reshape(-1),
            weights.new_zeros(weights.numel()),
            (num_sums, len(table)),
            check_invariants=False,
        )
    transposed_table = keras.ops.cast(table, "float32").t()
    of_weights = torch.sparse.sampled_addmm(pattern, upstream, transposed_table, beta=0.0)
    if table.device.type == "cpu":
        of_table = _rows_added_by_scipy(len(table), starts, indices, weights, upstream)
    else:
        of_table = _rows_added_by_torch(len(table), indices, weights, upstream)
    return of_table, of_weights.values().reshape(indices.shape)


def _rows_added_by_scipy(num_rows, starts, indices, weights, upstream):
    """Multiply with a transposed sparse matrix, which torch would sort first."""
    import scipy.sparse

    parts = tuple(part.reshape(-1).numpy() for part in (weights, indices, starts))
    matrix = scipy.sparse.csc_array(parts, shape=(num_rows, len(upstream)))
    return _torch().from_numpy(matrix @ upstream.numpy())


def _rows_added_by_torch(num_rows, indices, weights, upstream):
    table = upstream.new_zeros((num_rows, upstream.shape[1]))
    for index, weight in zip(indices.t(), weights.t(), strict=True):
        table.index_add_(0, index, upstream * weight[:, None])
    return table


def _torch():
    # The backend itself has imported it.
    return sys.modules["torch"]


# Pairs of callables: read the rows of a table at an index, and add rows to them.


def _tensorflow_rows():
    import tensorflow as tf

    def add(table, index, rows):
        return tf.tensor_scatter_nd_add(table, index[..., None], rows)

    return tf.gather, add


def _jax_rows():
    # The indices are right, so nothing needs to be filled in for wrong ones.
    mode = "promise_in_bounds"

    def take(table, index):
        return table.at[index].get(mode=mode)

    def add(table, index, rows):
        return table.at[index].add(rows, mode=mode)

    return take, add


_ROW_ACCESS = {"tensorflow": _tensorflow_rows, "jax": _jax_rows}


def has_fused_adam():
    """Return whether Adam has an operation of its own on this backend; JAX' programs fuse it."""
    return keras.backend.backend() in ("tensorflow", "torch")


def updates_variables_together():
    """Return whether all variables are updated at once, by `fused_adam_steps`."""
    return keras.backend.backend() == "torch"


def fused_adam_step(
    variable, momentum, velocity, gradient, beta_powers, learning_rate, betas, epsilon, kept=None
):
    """Update a variable as AdamW does, in one or two operations of TensorFlow.

    Args:
        variable: `tf.Variable`.
        momentum, velocity: `keras.Variable`s of its shape, updated too.
        gradient: tensor of its shape and dtype.
        beta_powers: pair of scalars, the betas to the power of the step, which counts from 1.
        learning_rate: scalar.
        betas: pair of float.
        epsilon: float, added to the root of the velocity before its bias is corrected.
        kept: scalar, what weight decay leaves of the variable, or `None` without it.
    """
    import tensorflow as tf

    def scalar(value):
        return tf.cast(value, variable.dtype)

    if kept is not None:
        # Not earlier: a program would compute it first of all, and hold a second copy of every
        # variable while it computes all gradients.
        with tf.control_dependencies([gradient]):
            variable.assign(variable * scalar(kept))

    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum.value.handle,
        v=velocity.value.handle,
        beta1_power=scalar(beta_powers[0]),
        beta2_power=scalar(beta_powers[1]),
        lr=scalar(learning_rate),
        beta1=scalar(betas[0]),
        beta2=scalar(betas[1]),
        epsilon=scalar(epsilon),
        grad=gradient,
    )


def fused_adam_steps(
    variables,
    momentums,
    velocities,
    gradients,
    step,
    learning_rate,
    betas,
    epsilon,
    weight_decay=0.0,
):
    """Update variables as AdamW does, in one operation of torch.

    Args:
        variables: list of `keras.Variable`.
        momentums, velocities: lists of `keras.Variable`s of their shapes, updated too.
        gradients: list of tensors of their shapes and dtypes.
        step: int, counts from 1.
        learning_rate: float.
        betas: pair of float.
        epsilon: float, added to the root of the velocity before its bias is corrected.
        weight_decay: float, times the learning rate what is taken off the variables.
    """
    torch = _torch()
    adamw = sys.modules[torch.optim.AdamW.__module__].adamw
    arrays = []
    for variable, *states, gradient in zip(
        variables, momentums, velocities, gradients, strict=True
    ):
        # The operation goes through memory, and takes for granted that all have one order there.
        order = _axes_in_memory(variable.value)
        for state in states:
            if not state.value.permute(order).is_contiguous():
                state.value.data = torch.empty_like(variable.value).copy_(state.value.detach())
        states = [state.value.permute(order) for state in (variable, *states)]
        arrays.append([*states, gradient.permute(order).contiguous()])
    tensors, momentums, velocities, gradients = map(list, zip(*arrays, strict=True))
    steps_before = torch.full((len(tensors),), step - 1.0, device=tensors[0].device)
    with torch.no_grad():
        adamw(
            tensors,
            gradients,
            momentums,
            velocities,
            [],
            list(steps_before.unbind()),
            lr=learning_rate,
            beta1=betas[0],
            beta2=betas[1],
            # torch adds it after the bias is corrected.
            eps=epsilon / math.sqrt(1 - betas[1] ** step),
            weight_decay=weight_decay,
            amsgrad=False,
            maximize=False,
            fused=all(tensor.is_contiguous() for tensor in tensors),
        )


def _axes_in_memory(tensor):
    """Return the axes of a tensor of torch from the one with the largest steps to the least."""
    return sorted(range(tensor.ndim), key=lambda axis: -tensor.stride(axis))


def sum_of_squares(value):
    """Return the sum of the squares of a float tensor, without an array of them."""
    if keras.backend.backend() == "torch":
        return _torch().linalg.vector_norm(value) ** 2
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return 2.0 * tf.nn.l2_loss(value)
    return keras.ops.sum(keras.ops.square(value))


def strategy_scope(model):
    """Return the context in which variables for training a model are to be created.

    Args:
        model: `keras.Model`. On TensorFlow it knows the `tf.distribute` strategy it was built with.
    """
    strategy = getattr(model, "distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()


@contextlib.contextmanager
def variables_kept(model):
    """Return a context in which an error leaves a model the variables of its last good step.

    JAX' trainers take the variables' values away while they run, and an interrupted one doesn't
    bring them back: without this a single bad batch, or Ctrl-C, would cost the whole model.

    Args:
        model: `keras.Model`, of which `fit`, `evaluate` or `predict` runs inside.
    """
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *model.metrics_variables]
    variables += [] if optimizer is None else optimizer.variables
    # References: the first step gives this memory away where it can.
    before = [(variable, variable._value) for variable in variables]
    try:
        yield
    except BaseException:
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        for variable, value in before:
            if variable._value is None and value is not None:
                variable.assign(value)
        raise


def is_tensorflow_installed():
    """Return whether TensorFlow can be imported, without importing it."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"] is not None
    return importlib.util.find_spec("tensorflow") is not None


def is_tensorflow_dataset(data):
    """Return whether `data` is a `tf.data.Dataset`, without importing TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(data, tensorflow.data.Dataset)


def is_data_loader(data):
    """Return whether `data` is a loader of torch or grain, without importing either."""
    modules = [cls.__module__ for cls in type(data).__mro__]
    return any(module.startswith(("torch.utils.data.", "grain.")) for module in modules)
