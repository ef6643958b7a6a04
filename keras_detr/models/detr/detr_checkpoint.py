"""DETR's variables by the names of official checkpoints."""

import logging

import numpy as np

from keras_detr.layers.learned_position_embedding import LearnedPositionEmbedding
from keras_detr.models.backbones.resnet_backbone import ResNetBackbone
from keras_detr.models.backbones.resnet_checkpoint import resnet_variables
from keras_detr.models.checkpoint_variables import convolution, kernel, table, vector

logger = logging.getLogger("keras_detr")


def detr_variables(model):
    """Return all variables of a DETR by the names of `checkpoints.DETR_TABLE`.

    Args:
        model: `DETR`.

    Returns:
        dict of name -> `CheckpointVariable`. A backbone that isn't a `ResNetBackbone` goes by its
        own variables' paths.
    """
    size = model.hidden_dim
    projection = model.neck.input_projection
    variables = {
        **_backbone_variables(model.backbone),
        "input_proj.weight": convolution(projection.kernel),
        "input_proj.bias": vector(projection.bias),
        "query_embed.weight": table(model.decoder.query_embeddings),
        **_dense("class_embed", model.class_head, size),
    }
    positions = model.neck.position_embedding
    if isinstance(positions, LearnedPositionEmbedding):
        variables["backbone.1.row_embed.weight"] = table(positions.row_embeddings)
        variables["backbone.1.col_embed.weight"] = table(positions.column_embeddings)
    for index, layer in enumerate(model.box_head.dense_layers):
        variables.update(_dense(f"bbox_embed.layers.{index}", layer, size))
    for index, layer in enumerate(model.encoder.encoder_layers):
        name = f"transformer.encoder.layers.{index}"
        variables.update(_transformer_layer(name, layer, ("self_attn",), size))
    if model.encoder.norm is not None:
        variables.update(_norm("transformer.encoder.norm", model.encoder.norm))
    for index, layer in enumerate(model.decoder.decoder_layers):
        name = f"transformer.decoder.layers.{index}"
        attentions = ("self_attn", "multihead_attn")
        variables.update(_transformer_layer(name, layer, attentions, size))
    variables.update(_norm("transformer.decoder.norm", model.decoder.norm))
    return variables


def fit_detr_tensors(tensors, model, class_rows, may_reset_classes, source):
    """Make a checkpoint's class head and queries those of a model with other numbers of them.

    Args:
        tensors: dict of canonical name -> array; not changed.
        model: `DETR`, just built.
        class_rows: sequence of int, the rows of the checkpoint's class head that are real classes,
            or `None` for all rows but the last, no-object. A head whose last row but one isn't the
            last of these is another's, and counts as `None`.
        may_reset_classes: bool, whether the user asked for a number of classes: only then a head
            that doesn't fit starts anew.
        source: str, where the tensors came from, for messages.

    Returns:
        dict of canonical name -> array.

    Raises:
        ValueError: the numbers of classes differ and `may_reset_classes` is false.
    """
    tensors = dict(tensors)
    own = detr_variables(model)
    if "class_embed.weight" in tensors and "class_embed.bias" in tensors:
        num_rows = len(tensors["class_embed.weight"])
        # A file with another number of rows than the preset's is another model's, fine-tuned.
        is_of_preset = class_rows is not None and num_rows == max(class_rows) + 2
        rows = list(class_rows if is_of_preset else range(num_rows - 1))
        if len(rows) == model.num_classes:
            for name in ("class_embed.weight", "class_embed.bias"):
                # No-object is the last row of both.
                tensors[name] = tensors[name][[*rows, num_rows - 1]]
        elif may_reset_classes:
            logger.warning(
                "The class head starts anew: %s has %d classes, the model has %d.",
                source,
                len(rows),
                model.num_classes,
            )
            for name in ("class_embed.weight", "class_embed.bias"):
                tensors[name] = own[name].to_torch()
        else:
            raise ValueError(
                f"The checkpoint {source} has {len(rows)} classes, but the model has "
                f"{model.num_classes}. Pass `num_classes={len(rows)}` to keep its class head, or "
                f"`num_classes={model.num_classes}` to start with a new one."
            )
    queries = tensors.get("query_embed.weight")
    if queries is not None and len(queries) != model.num_queries:
        fresh = own["query_embed.weight"].to_torch()[len(queries) :]
        tensors["query_embed.weight"] = np.concatenate([queries[: model.num_queries], fresh])
        logger.warning(
            "The model has %d queries, %s has %d: %s.",
            model.num_queries,
            source,
            len(queries),
            "the rest start anew" if len(fresh) else "the first are kept",
        )
    return tensors


def _backbone_variables(backbone):
    if isinstance(backbone, ResNetBackbone):
        return {f"backbone.{name}": entry for name, entry in resnet_variables(backbone).items()}
    return {f"backbone.{variable.path}": table(variable) for variable in backbone.variables}


def _transformer_layer(name, layer, attentions, size):
    width = layer.feed_forward_dim
    variables = {
        **_dense(f"{name}.linear1", layer.feed_forward.linear1, size),
        **_dense(f"{name}.linear2", layer.feed_forward.linear2, width),
    }
    for attention in attentions:
        variables.update(_attention(f"{name}.{attention}", getattr(layer, attention), size))
    for index in range(1, len(attentions) + 2):
        variables.update(_norm(f"{name}.norm{index}", getattr(layer, f"norm{index}")))
    return variables


def _attention(name, attention, size):
    return {
        **_dense(f"{name}.q_proj", attention.query_dense, size),
        **_dense(f"{name}.k_proj", attention.key_dense, size),
        **_dense(f"{name}.v_proj", attention.value_dense, size),
        **_dense(f"{name}.out_proj", attention.output_dense, size),
    }


def _dense(name, layer, num_inputs):
    return {f"{name}.weight": kernel(layer.kernel, num_inputs), f"{name}.bias": vector(layer.bias)}


def _norm(name, layer):
    return {f"{name}.weight": vector(layer.gamma), f"{name}.bias": vector(layer.beta)}
