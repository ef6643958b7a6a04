"""DETR's variables by the names of official checkpoints."""

from keras_detr.models.backbones.backbone_checkpoint import backbone_variables, position_variables
from keras_detr.models.presets.checkpoint_variables import (
    convolution_variables,
    dense_variables,
    norm_variables,
    perceptron_variables,
    table,
    transformer_variables,
)


def detr_variables(model):
    """Return all variables of a `DETR` by the names of `checkpoints.DETR_TABLE`."""
    variables = {
        **backbone_variables(model.backbone),
        **position_variables(model.neck.position_embedding),
        **convolution_variables("input_proj", model.neck.input_projection),
        "query_embed.weight": table(model.decoder.query_embeddings),
        **transformer_variables(model.encoder, model.decoder, "multihead_attn"),
        **norm_variables("transformer.decoder.norm", model.decoder.norm),
        **dense_variables("class_embed", model.class_head),
        **perceptron_variables("bbox_embed", model.box_head),
    }
    if model.encoder.norm is not None:
        variables.update(norm_variables("transformer.encoder.norm", model.encoder.norm))
    return variables
