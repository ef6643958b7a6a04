"""DETR's variables by the names of official checkpoints."""

from keras_detr.models.backbones.backbone_checkpoint import backbone_variables, position_variables
from keras_detr.models.presets.checkpoint_variables import (
    attention_variables,
    convolution_variables,
    dense_variables,
    feed_forward_and_norm_variables,
    norm_variables,
    table,
)


def detr_variables(model):
    """Return all variables of a DETR by the names of `checkpoints.DETR_TABLE`.

    Args:
        model: `DETR`.

    Returns:
        dict of name -> `CheckpointVariable`. The weights of a backbone that isn't a
        `ResNetBackbone` go by their order.
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


def _transformer_layer(name, layer, attentions, size):
    variables = feed_forward_and_norm_variables(name, layer, len(attentions) + 1, size)
    for attention in attentions:
        part = getattr(layer, attention)
        variables.update(attention_variables(f"{name}.{attention}", part, size))
    return variables
