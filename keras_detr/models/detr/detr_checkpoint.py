"""DETR's variables by the names of official checkpoints, and as transformers' files have them."""

from keras_detr.checkpoints import DETR_TABLE, detr_config, to_hub_names
from keras_detr.models.backbones.backbone_checkpoint import backbone_variables, position_variables
from keras_detr.models.necks.single_scale_neck import SingleScaleNeck
from keras_detr.models.presets.checkpoint_variables import (
    convolution_variables,
    dense_variables,
    norm_variables,
    perceptron_variables,
    read_variables,
    table,
    transformer_variables,
)
from keras_detr.models.presets.hub_settings import hub_settings, not_in_transformers

# The canonical names of what only a `DETRSegmenter` has start so.
MASK_NAMES = ("bbox_attention.", "mask_head.")


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


def detr_in_transformers(model):
    """Return what transformers' files hold of a `DETR`; see `DetectorContract.in_transformers`."""
    if model.normalize_before:
        raise not_in_transformers(
            model, "it has `normalize_before=True`, and transformers' layers normalize after"
        )
    settings = hub_settings(model, SingleScaleNeck, position_offset=0.0)
    tensors = read_variables(detr_variables(model))
    return detr_config(settings), to_hub_names(tensors, DETR_TABLE)


def detr_segmenter_variables(model):
    """Return all variables of a `DETRSegmenter`, likewise by the names of its table."""
    head, attention = model.mask_head, model.mask_attention
    variables = {
        **detr_variables(model),
        **dense_variables("bbox_attention.q_linear", attention.query_dense),
        **dense_variables("bbox_attention.k_linear", attention.key_dense),
    }
    for layer in (*head.convolutions, *head.adapters, head.output_convolution):
        variables.update(convolution_variables(f"mask_head.{layer.name}", layer))
    for layer in head.norms:
        variables.update(norm_variables(f"mask_head.{layer.name}", layer))
    return variables
