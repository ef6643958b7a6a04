"""Deformable DETR's variables by the names of official checkpoints."""

from keras_detr.models.presets.checkpoint_variables import (
    dense_variables,
    norm_variables,
    perceptron_variables,
    table,
)
from keras_detr.models.presets.deformable_variables import deformable_variables
from keras_detr.models.presets.head_fitting import DENOISING_POSITIONS


def deformable_detr_variables(model):
    """Return all variables of a `DeformableDETR` by the names of its table in `checkpoints`."""
    proposals = model.proposals if model.use_two_stage else None
    layers = (model.backbone, model.neck, model.encoder, model.decoder, proposals, model.denoising)
    variables = {**deformable_variables(*layers), **_query_variables(model)}
    for index in range(len(model.class_heads)):
        variables.update(dense_variables(f"class_embed.{index}", model.class_heads[index]))
        variables.update(perceptron_variables(f"bbox_embed.{index}", model.box_heads[index]))
    if model.denoising is not None:
        variables.update(perceptron_variables(DENOISING_POSITIONS, model.denoising_positions))
    return variables


def _query_variables(model):
    if not model.use_two_stage:
        return {
            "query_embed.weight": table(model.query_embeddings),
            **dense_variables("transformer.reference_points", model.reference_points),
        }
    proposals = model.proposals
    return {
        **dense_variables("transformer.pos_trans", proposals.pos_trans),
        **norm_variables("transformer.pos_trans_norm", proposals.pos_trans_norm),
    }
