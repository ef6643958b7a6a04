"""DETR's variables by the names of official checkpoints."""

from keras_detr.models.backbones.backbone_checkpoint import backbone_variables, position_variables
from keras_detr.models.checkpoint_variables import (
    attention_variables,
    convolution_variables,
    dense_variables,
    feed_forward_variables,
    norm_variables,
    table,
)
from keras_detr.models.head_fitting import fit_class_heads, fit_queries


def detr_variables(model):
    """Return all variables of a DETR by the names of `checkpoints.DETR_TABLE`.

    Args:
        model: `DETR`.

    Returns:
        dict of name -> `CheckpointVariable`. A backbone that isn't a `ResNetBackbone` goes by its
        own variables' paths.
    """
    size = model.hidden_dim
    variables = {
        **backbone_variables(model.backbone),
        **convolution_variables("input_proj", model.neck.input_projection),
        "query_embed.weight": table(model.decoder.query_embeddings),
        **dense_variables("class_embed", model.class_head, size),
        **position_variables(model.neck.position_embedding),
    }
    for index, layer in enumerate(model.box_head.dense_layers):
        variables.update(dense_variables(f"bbox_embed.layers.{index}", layer, size))
    for index, layer in enumerate(model.encoder.encoder_layers):
        name = f"transformer.encoder.layers.{index}"
        variables.update(_transformer_layer(name, layer, ("self_attn",), size))
    if model.encoder.norm is not None:
        variables.update(norm_variables("transformer.encoder.norm", model.encoder.norm))
    for index, layer in enumerate(model.decoder.decoder_layers):
        name = f"transformer.decoder.layers.{index}"
        attentions = ("self_attn", "multihead_attn")
        variables.update(_transformer_layer(name, layer, attentions, size))
    variables.update(norm_variables("transformer.decoder.norm", model.decoder.norm))
    return variables


def fit_detr_tensors(tensors, model, class_rows, may_reset_classes, source):
    """Make a checkpoint's class head and queries those of a model with other numbers of them.

    Args:
        tensors: dict of canonical name -> array; not changed.
        model: `DETR`, just built.
        class_rows: sequence of int or `None`; see `fit_class_heads`.
        may_reset_classes: bool, whether the user asked for a number of classes.
        source: str, where the tensors came from, for messages.

    Returns:
        dict of canonical name -> array.

    Raises:
        ValueError: the numbers of classes differ and `may_reset_classes` is false.
    """
    own = detr_variables(model)
    tensors = fit_class_heads(
        tensors,
        own,
        {"class_embed": class_rows},
        model.num_classes,
        may_reset_classes,
        source,
        has_no_object=True,
    )
    return fit_queries(tensors, own, model.num_queries, source)


def _transformer_layer(name, layer, attentions, size):
    variables = feed_forward_variables(name, layer.feed_forward, size)
    for attention in attentions:
        part = getattr(layer, attention)
        variables.update(attention_variables(f"{name}.{attention}", part, size))
    for index in range(1, len(attentions) + 2):
        variables.update(norm_variables(f"{name}.norm{index}", getattr(layer, f"norm{index}")))
    return variables
