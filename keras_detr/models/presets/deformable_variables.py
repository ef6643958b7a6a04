"""What Deformable DETR and DINO share, by the names of official checkpoints."""

from keras_detr.models.backbones.backbone_checkpoint import backbone_variables, position_variables
from keras_detr.models.presets.checkpoint_variables import (
    convolution_variables,
    dense_variables,
    norm_variables,
    table,
    transformer_variables,
)
from keras_detr.models.presets.head_fitting import LABEL_TABLE


def deformable_variables(model):
    """Return the variables of backbone, neck, transformer, proposals and table of labels.

    Args:
        model: a detector with `backbone`, `neck`, `encoder`, `decoder`, `use_two_stage` (and with
            it `proposals`) and `denoising`.
    """
    variables = {
        **backbone_variables(model.backbone),
        **position_variables(model.neck.position_embedding),
        "transformer.level_embed": table(model.neck.level_embeddings),
        **transformer_variables(model.encoder, model.decoder, "cross_attn"),
    }
    for index in range(model.num_levels):
        name = f"input_proj.{index}"
        variables.update(convolution_variables(f"{name}.0", model.neck.projections[index]))
        variables.update(norm_variables(f"{name}.1", model.neck.norms[index]))
    if model.use_two_stage:
        name = "transformer.enc_output"
        variables.update(dense_variables(name, model.proposals.enc_output))
        variables.update(norm_variables(f"{name}_norm", model.proposals.enc_output_norm))
    if model.denoising is not None:
        variables[f"{LABEL_TABLE}.weight"] = table(model.denoising.label_embeddings)
    return variables
