"""DINO's variables by the names of official checkpoints."""

from keras_detr.models.presets.checkpoint_variables import (
    dense_variables,
    norm_variables,
    perceptron_variables,
    table,
)
from keras_detr.models.presets.deformable_variables import deformable_variables


def dino_detr_variables(model):
    """Return all variables of a `DINODETR` by the names of its table in `checkpoints`."""
    decoder = model.decoder
    return {
        **deformable_variables(
            model.backbone, model.neck, model.encoder, decoder, model.proposals, model.denoising
        ),
        "transformer.tgt_embed.weight": table(model.content_queries),
        **dense_variables("transformer.enc_out_class_embed", model.proposal_class_head),
        **perceptron_variables("transformer.enc_out_bbox_embed", model.proposal_box_head),
        **perceptron_variables("transformer.decoder.ref_point_head", decoder.ref_point_head),
        **norm_variables("transformer.decoder.norm", decoder.norm),
        **dense_variables("class_embed.0", model.class_head),
        **perceptron_variables("bbox_embed.0", model.box_head),
    }
