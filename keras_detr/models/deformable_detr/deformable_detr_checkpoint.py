"""Deformable DETR's variables by the names of official checkpoints and of transformers' files."""

from keras_detr.checkpoints import (
    DEFORMABLE_DETR_TABLE,
    deformable_detr_config,
    repeat_shared_heads,
    to_hub_names,
)
from keras_detr.models.necks.multi_scale_neck import MultiScaleNeck
from keras_detr.models.presets.checkpoint_variables import (
    dense_variables,
    norm_variables,
    perceptron_variables,
    read_variables,
    table,
)
from keras_detr.models.presets.deformable_variables import deformable_variables
from keras_detr.models.presets.head_fitting import DENOISING_NAMES, DENOISING_POSITIONS
from keras_detr.models.presets.hub_settings import hub_settings, not_in_transformers

# What the norms after transformers' projections are fixed to.
_NUM_GROUPS = 32


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


def deformable_detr_in_transformers(model):
    """Return what transformers' files hold; see `DetectorContract.in_transformers`.

    Denoising queries aren't among it, as transformers has none.
    """
    settings = hub_settings(model, MultiScaleNeck, position_offset=-0.5)
    if model.neck.num_groups != _NUM_GROUPS:
        raise not_in_transformers(
            model,
            f"its neck has `num_groups={model.neck.num_groups}`, and transformers' has "
            f"{_NUM_GROUPS}",
        )
    if model.num_levels == 2:
        raise not_in_transformers(
            model, "it has `num_levels=2`, and transformers' model has 1, or 3 and more"
        )
    config = deformable_detr_config(
        {
            **settings,
            "num_levels": model.num_levels,
            "num_points": model.num_points,
            "use_box_refinement": model.use_box_refinement,
            "use_two_stage": model.use_two_stage,
        }
    )
    tensors = {
        name: tensor
        for name, tensor in read_variables(deformable_detr_variables(model)).items()
        if not name.startswith(DENOISING_NAMES)
    }
    in_decoder = ("bbox_embed",) * model.use_box_refinement
    in_decoder += ("class_embed",) * model.use_two_stage
    tensors = repeat_shared_heads(
        to_hub_names(tensors, DEFORMABLE_DETR_TABLE),
        model.num_decoder_layers + model.use_two_stage,
        in_decoder,
    )
    return config, tensors


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
