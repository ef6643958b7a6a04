"""Write detectors as ONNX files."""

import contextlib
import json
import logging
import tempfile

from keras_detr.export.metadata import metadata_of
from keras_detr.export.saved_model import SIGNATURE, write_saved_model

# onnxruntime reads it since version 1.14.
OPSET = 18


def write_onnx(model, path, input_dtype):
    """Write a detector as an ONNX file, with its metadata as JSON in the file's properties.

    Raises:
        ValueError: the model has operations that ONNX doesn't have.
    """
    import onnx

    with (
        _only_errors("tf2onnx", "tensorflow"),
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
    ):
        write_saved_model(model, folder, input_dtype)
        program = _convert(folder, model.name)
    _check_operations(program, onnx)
    _name_axes(program)
    metadata = {name: json.dumps(value) for name, value in metadata_of(model).items()}
    onnx.helper.set_model_props(program, metadata)
    onnx.save(program, path)


def _convert(folder, name):
    """Convert the program of a SavedModel to ONNX."""
    import tensorflow as tf
    from tf2onnx import optimizer, tf_loader, tfonnx
    from tf2onnx.optimizer.const_fold_optimizer import ConstFoldOptimizer
    from tf2onnx.optimizer.identity_optimizer import IdentityOptimizer
    from tf2onnx.optimizer.merge_duplicated_nodes_optimizer import MergeDuplicatedNodesOptimizer
    from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

    definition, inputs, outputs, names = tf_loader.from_saved_model(
        folder, None, None, tag=["serve"], signatures=[SIGNATURE], return_tensors_to_rename=True
    )
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            continue_on_error=True,
            opset=OPSET,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=names,
        )
    # Not all optimizers: together, those for reshapes write the shapes of other arrays. Errors
    # aren't caught, as that would copy all weights for each optimizer.
    optimizers = {
        "optimize_transpose": TransposeOptimizer,
        "fold_constants": ConstFoldOptimizer,
        "merge_duplication": MergeDuplicatedNodesOptimizer,
        "remove_identity": IdentityOptimizer,
    }
    converted = optimizer.optimize_graph(converted, catch_errors=False, optimizers=optimizers)
    return converted.make_model(name)


def _check_operations(program, onnx):
    """Raise ValueError for operations that ONNX lacks: the converter writes them all the same."""
    known = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    unknown = {node.op_type for node in program.graph.node if node.op_type not in known}
    if unknown:
        raise ValueError(
            f"`format` 'onnx' can't hold this model: ONNX has no {sorted(unknown)}, which a part "
            "of it computes with. Export it as 'tf_saved_model'."
        )


def _name_axes(program):
    """Name the axes of any length, as they are shown in a session's inputs and outputs."""
    for value, names in (
        *((value, ("batch", "height", "width")) for value in program.graph.input),
        *((value, ("batch",)) for value in program.graph.output),
    ):
        for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            axis.dim_param = name


@contextlib.contextmanager
def _only_errors(*names):
    """Silence everything but errors of some loggers."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
