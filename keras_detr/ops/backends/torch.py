"""What torch does faster, or must do otherwise."""

import collections
import contextlib
import math
import warnings

import keras
import scipy.sparse
import torch
from keras import ops
from torch import distributed
from torch.nn import functional
from torch.optim.adamw import adamw

from keras_detr.ops.backends import memory_saving_dropout, memory_saving_feed_forward
from keras_detr.ops.backends.interface import Backend, Process
from keras_detr.ops.backends.narrow_strides import unstrided
from keras_detr.ops.backends.program_cache import ProgramCache


class TorchBackend(Backend):
    """Compute on torch, which compiles nothing by itself."""

    _is_alone = False

    # Programs.

    def known_number(self, scalar):
        return scalar.item()

    def repeat_while(self, condition, body, state, most_times):
        """Take all steps in an exported program, which can't ask for a value under way."""
        if not torch.compiler.is_compiling():
            return super().repeat_while(condition, body, state, most_times)
        for number in range(most_times):
            state = body(number, state)
        return state

    def prediction_program(self, model, predict):
        """Export a program for each shape of a batch, and compile that.

        When torch compiles Keras' layers directly, it breaks the program at dozens of places.
        """

        class Program(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, inputs):
                return predict(inputs)

        programs = ProgramCache()

        def call(inputs):
            inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
            arrays = keras.tree.flatten_with_path(inputs)
            key = tuple((path, array.shape, array.dtype) for path, array in arrays)

            def build():
                exported = torch.export.export(Program(), (inputs,), strict=False)
                return torch.compile(exported.module())

            with torch.no_grad():
                return programs.get(key, build)(inputs)

        return call

    @contextlib.contextmanager
    def compilable_steps(self, model):
        """Keep torch from compiling steps of training, which fails at Keras' layers."""
        jit_compile, model.jit_compile = model.jit_compile, False
        try:
            yield
        finally:
            model.jit_compile = jit_compile

    # Tokens.

    def attention(self, query, key, value, bias=None):
        """Use torch's own kernel, which never holds the weights."""
        if bias is not None:
            # Finite in half precision too, so that a row of nothing else is an average.
            bias = bias.clamp(min=torch.finfo(query.dtype).min).to(query.dtype)
        return functional.scaled_dot_product_attention(
            query, key.transpose(2, 3), value, attn_mask=bias, scale=1.0
        )

    def dropout(self, inputs, rate, seed_generator):
        """Keep only the mask: a step of Deformable DETR takes 1.3 times the memory otherwise."""
        if inputs.device.type != "cpu":
            # GPUs have one kernel for it.
            return super().dropout(inputs, rate, seed_generator)
        return memory_saving_dropout.dropout(self, inputs, rate, seed_generator)

    def masked(self, numbers, is_kept):
        """Multiply, in an eighth of the time of torch's `where`."""
        return numbers * is_kept

    def dropout_mask(self, shape, rate, seed_generator):
        """Draw 64 bits at a time, which make four numbers with signs."""
        if seed_generator.state.value.device.type != "cpu":
            return super().dropout_mask(shape, rate, seed_generator)
        first, second = seed_generator.next().tolist()
        generator = torch.Generator().manual_seed(first << 32 | second)
        size = math.prod(shape)
        words = torch.empty(-(-size // 4), dtype=torch.int64)
        words.random_(-(2**63), None, generator=generator)
        num_dropped, scale = memory_saving_dropout.rounded(rate)
        return words.view(torch.int16)[:size].reshape(shape) >= num_dropped - 2**15, scale

    relu_feed_forward = memory_saving_feed_forward.relu_feed_forward

    # Feature maps.

    def convolution(
        self,
        inputs,
        kernel,
        bias,
        residual=None,
        *,
        strides=(1, 1),
        dilation=(1, 1),
        padding="valid",
        margin=0,
        use_relu=False,
        **settings,
    ):
        """Convolve a map whose channels are last without a copy of it, and add the bias meanwhile.

        `keras.ops.conv` copies map and result into another order, which took half of the time of
        DETR's inference.
        """
        rows, columns, channels, _ = kernel.shape
        inputs, strides = unstrided(inputs, kernel, strides)
        if padding == "same":
            if max(strides) > 1 or not (rows % 2 and columns % 2):
                # torch pads all sides alike.
                settings = {**settings, "strides": strides, "dilation": dilation}
                return super().convolution(
                    inputs, kernel, bias, residual, padding=padding, use_relu=use_relu, **settings
                )
            margins = (rows // 2 * dilation[0], columns // 2 * dilation[1])
        else:
            margins = (margin, margin)
        outputs = functional.conv2d(
            inputs.permute(0, 3, 1, 2),
            # Nothing is moved where `lay_out_kernel` laid the kernel out.
            kernel.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last),
            bias,
            stride=tuple(strides),
            padding=margins,
            dilation=tuple(dilation),
            groups=inputs.shape[-1] // channels,
        )
        # In place, because every large array is memory that the system has to find; and before
        # the axes are permuted: the gradient of a view that was changed takes a copy.
        if residual is not None:
            outputs.add_(residual.permute(0, 3, 1, 2))
        if use_relu:
            outputs.relu_()
        return outputs.permute(0, 2, 3, 1)

    def lay_out_kernel(self, variable):
        """Put filters first in memory, as permuting them at each call takes a tenth of the time."""
        tensor = variable.value
        # Keras has only shapes while it infers them.
        if not tensor.is_meta:
            filters_first = tensor.detach().permute(3, 0, 1, 2).contiguous()
            tensor.data = filters_first.permute(1, 2, 3, 0)

    def max_pool(self, inputs, sizes, strides, margins):
        """Pool without the copy that Keras makes, in whose order torch takes ten times as long."""
        settings = [tuple(pair) for pair in (sizes, strides, margins)]
        return functional.max_pool2d(inputs.permute(0, 3, 1, 2), *settings).permute(0, 2, 3, 1)

    # Rows of a table.

    def weighted_row_sums(self, table, indices, weights):
        """Sum rows as a bag of embeddings."""
        return functional.embedding_bag(
            torch.cat(list(indices), dim=1),
            table.to(torch.float32),
            per_sample_weights=torch.cat(list(weights), dim=1),
            mode="sum",
        )

    def weighted_row_gradients(self, table, indices, weights, upstream):
        """Sample products of two matrices, and multiply with a sparse one."""
        num_lists = len(indices)
        indices, weights = (torch.cat(list(numbers), dim=1) for numbers in (indices, weights))
        num_sums, terms = indices.shape
        starts = torch.arange(num_sums + 1, dtype=indices.dtype, device=indices.device) * terms
        with warnings.catch_warnings():
            # torch calls all sparse matrices of this layout a beta feature.
            warnings.simplefilter("ignore", UserWarning)
            pattern = torch.sparse_csr_tensor(
                starts,
                indices.reshape(-1),
                weights.new_zeros(weights.numel()),
                (num_sums, len(table)),
                check_invariants=False,
            )
        transposed_table = table.to(torch.float32).t()
        of_weights = torch.sparse.sampled_addmm(pattern, upstream, transposed_table, beta=0.0)
        of_weights = of_weights.values().reshape(indices.shape)
        add = add_rows_by_scipy if table.device.type == "cpu" else add_rows_by_torch
        of_table = add(len(table), indices, weights, upstream)
        return of_table, list(of_weights.chunk(num_lists, dim=1))

    # Training.

    def global_norm(self, tensors):
        """Take all norms at once on a GPU."""
        return torch.nn.utils.get_total_norm(tensors)

    def adamw_steps(self, updates, update_one_by_one, step, learning_rate, betas, epsilon):
        """Update all variables of one weight decay in one operation."""
        groups = collections.defaultdict(list)
        for update in updates:
            tensors = _tensors_in_one_order(update)
            groups[update.weight_decay, tensors[0].is_contiguous()].append(tensors)
        step = int(step)
        for (weight_decay, is_contiguous), group in groups.items():
            variables, momenta, velocities, gradients = map(list, zip(*group, strict=True))
            device = variables[0].device
            adamw(
                variables,
                gradients,
                momenta,
                velocities,
                [],
                # A number of its own for each variable, because it is counted on.
                list(torch.full((len(group),), step - 1.0, device=device)),
                lr=ops.convert_to_tensor(learning_rate, "float32"),
                beta1=betas[0],
                beta2=betas[1],
                # torch adds it after the bias is corrected.
                eps=epsilon / math.sqrt(1 - betas[1] ** step),
                weight_decay=weight_decay,
                amsgrad=False,
                maximize=False,
                fused=is_contiguous,
            )

    # Devices and processes.

    def process(self):
        """Return this process of torch's default group, or the only one where there is none."""
        if self._is_alone or not _has_group():
            return super().process()
        return Process(distributed.get_rank(), distributed.get_world_size())

    @contextlib.contextmanager
    def alone(self):
        was_alone, self._is_alone = self._is_alone, True
        try:
            yield
        finally:
            self._is_alone = was_alone

    def gather_bytes(self, data):
        count = self.process().count
        if count == 1:
            return super().gather_bytes(data)
        gathered = [b""] * count
        distributed.all_gather_object(gathered, data)
        return gathered

    def num_replicas(self):
        """Return the number of processes: each computes with one device."""
        return self.process().count

    def sum_over_replicas(self, value):
        if self.num_replicas() == 1:
            return value
        total = value.detach().clone()
        if distributed.get_backend() == "nccl":
            # It sums what is on GPUs only.
            total = total.to("cuda")
        distributed.all_reduce(total)
        return total.to(value.device)

    def check_training(self):
        """Raise unless there is one process, or Keras has a distribution for all of them.

        Keras 3.15 has none on torch. Those after it have, and wrap the model themselves
        (github.com/keras-team/keras, pull request 23316).
        """
        process = self.process()
        if process.count == 1 or keras.distribution.distribution() is not None:
            return
        raise NotImplementedError(
            f"This is process {process.index} of {process.count} of torch.distributed, and Keras "
            "would train or evaluate in each of them apart from the others. Write a loop with "
            "torch.nn.parallel.DistributedDataParallel, as examples/train_ddp.py does and the "
            'guide "Devices and hosts" explains; or use JAX, where `fit` trains on several devices '
            "and hosts: set the environment variable KERAS_BACKEND=jax."
        )


def _has_group():
    return distributed.is_available() and distributed.is_initialized()


def _tensors_in_one_order(update):
    """Return variable, momentum, velocity and gradient, with axes as memory holds the variable.

    The operation goes through memory, and takes for granted that all have one order there.
    """
    variable, momentum, velocity, gradient, _ = update
    order = _axes_in_memory(variable.value)
    for state in (momentum, velocity):
        if not state.value.permute(order).is_contiguous():
            state.value.data = torch.empty_like(variable.value).copy_(state.value.detach())
    states = [state.value.detach().permute(order) for state in (variable, momentum, velocity)]
    return *states, gradient.permute(order).contiguous()


def _axes_in_memory(tensor):
    """Return the axes of a tensor from the one with the largest steps to the least."""
    return sorted(range(tensor.ndim), key=lambda axis: -tensor.stride(axis))


def add_rows_by_scipy(num_rows, indices, weights, upstream):
    """Return the table of which row j is the sum of w[n, k] * upstream[n] where indices[n, k] is j.

    A product with a transposed sparse matrix, which torch would sort first. Shapes are those of
    `Backend.weighted_row_gradients`, with all lists in one.
    """
    starts = torch.arange(len(indices) + 1, dtype=indices.dtype) * indices.shape[1]
    parts = tuple(part.reshape(-1).numpy() for part in (weights, indices, starts))
    matrix = scipy.sparse.csc_array(parts, shape=(num_rows, len(upstream)))
    return torch.from_numpy(matrix @ upstream.numpy())


def add_rows_by_torch(num_rows, indices, weights, upstream, terms_at_once=16):
    """Return what `add_rows_by_scipy` does, on any device; a GPU adds many terms at once."""
    size = upstream.shape[1]
    table = upstream.new_zeros((num_rows, size))
    parts = (numbers.split(terms_at_once, dim=1) for numbers in (indices, weights))
    for index, weight in zip(*parts, strict=True):
        rows = (upstream[:, None] * weight[..., None]).view(-1, size)
        # In half of the time of `index_add_`.
        table.scatter_add_(0, index.reshape(-1, 1).long().expand(rows.shape), rows)
    return table


BACKEND = TorchBackend()
