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


def deformable_variables(backbone, neck, encoder, decoder, proposals, denoising):
    """Return the variables of a detector's layers, of which it may lack the last two (`None`).

    Args:
        backbone: `ResNetBackbone`.
        neck: `MultiScaleNeck`.
        encoder: `DeformableEncoder`.
        decoder: layer with `decoder_layers`, each a `DeformableDecoderLayer`.
        proposals: `TokenProposals` or `None`.
        denoising: `ContrastiveDenoising` or `None`.
    """
    variables = {
        **backbone_variables(backbone),
        **position_variables(neck.position_embedding),
        "transformer.level_embed": table(neck.level_embeddings),
        **transformer_variables(encoder, decoder, "cross_attn"),
    }
    for index in range(neck.num_levels):
        name = f"input_proj.{index}"
        variables.update(convolution_variables(f"{name}.0", neck.projections[index]))
        variables.update(norm_variables(f"{name}.1", neck.norms[index]))
    if proposals is not None:
        name = "transformer.enc_output"
        variables.update(dense_variables(name, proposals.enc_output))
        variables.update(norm_variables(f"{name}_norm", proposals.enc_output_norm))
    if denoising is not None:
        variables[f"{LABEL_TABLE}.weight"] = table(denoising.label_embeddings)
    return variables
