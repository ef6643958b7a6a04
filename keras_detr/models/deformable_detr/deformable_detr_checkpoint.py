"""Deformable DETR's variables by the names of official checkpoints."""

from keras_detr.models.backbones.backbone_checkpoint import backbone_variables, position_variables
from keras_detr.models.presets.checkpoint_variables import (
    convolution_variables,
    dense_variables,
    norm_variables,
    perceptron_variables,
    table,
    transformer_variables,
)


def deformable_detr_variables(model):
    """Return all variables of a `DeformableDETR` by the names of its table in `checkpoints`."""
    variables = {
        **backbone_variables(model.backbone),
        **position_variables(model.neck.position_embedding),
        "transformer.level_embed": table(model.neck.level_embeddings),
        **transformer_variables(model.encoder, model.decoder, "cross_attn"),
        **_query_variables(model),
    }
    for index in range(model.num_levels):
        name = f"input_proj.{index}"
        variables.update(convolution_variables(f"{name}.0", model.neck.projections[index]))
        variables.update(norm_variables(f"{name}.1", model.neck.norms[index]))
    for index in range(len(model.class_heads)):
        variables.update(dense_variables(f"class_embed.{index}", model.class_heads[index]))
        variables.update(perceptron_variables(f"bbox_embed.{index}", model.box_heads[index]))
    return variables


def _query_variables(model):
    if not model.use_two_stage:
        return {
            "query_embed.weight": table(model.query_embeddings),
            **dense_variables("transformer.reference_points", model.reference_points),
        }
    proposals = model.proposals
    return {
        **dense_variables("transformer.enc_output", proposals.enc_output),
        **norm_variables("transformer.enc_output_norm", proposals.enc_output_norm),
        **dense_variables("transformer.pos_trans", proposals.pos_trans),
        **norm_variables("transformer.pos_trans_norm", proposals.pos_trans_norm),
    }
