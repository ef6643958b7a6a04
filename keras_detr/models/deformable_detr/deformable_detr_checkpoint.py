"""Deformable DETR's variables by the names of official checkpoints."""

from keras_detr.models.backbones.backbone_checkpoint import backbone_variables, position_variables
from keras_detr.models.presets.checkpoint_variables import (
    attention_variables,
    convolution_variables,
    dense_variables,
    feed_forward_and_norm_variables,
    norm_variables,
    table,
)


def deformable_detr_variables(model):
    """Return all variables of a Deformable DETR by the names of its table in `checkpoints`.

    Args:
        model: `DeformableDETR`.

    Returns:
        dict of name -> `CheckpointVariable`.
    """
    size = model.hidden_dim
    variables = {
        **backbone_variables(model.backbone),
        **position_variables(model.neck.position_embedding),
        "transformer.level_embed": table(model.neck.level_embeddings),
    }
    for index in range(model.num_levels):
        name = f"input_proj.{index}"
        variables.update(convolution_variables(f"{name}.0", model.neck.projections[index]))
        variables.update(norm_variables(f"{name}.1", model.neck.norms[index]))
    for index, head in enumerate(model.class_heads):
        variables.update(dense_variables(f"class_embed.{index}", head, size))
    for index, head in enumerate(model.box_heads):
        for place, layer in enumerate(head.dense_layers):
            name = f"bbox_embed.{index}.layers.{place}"
            variables.update(dense_variables(name, layer, size))
    for index, layer in enumerate(model.encoder.encoder_layers):
        name = f"transformer.encoder.layers.{index}"
        variables.update(_deformable_attention(f"{name}.self_attn", layer.self_attn, size))
        variables.update(feed_forward_and_norm_variables(name, layer, 2, size))
    for index, layer in enumerate(model.decoder.decoder_layers):
        name = f"transformer.decoder.layers.{index}"
        variables.update(attention_variables(f"{name}.self_attn", layer.self_attn, size))
        variables.update(_deformable_attention(f"{name}.cross_attn", layer.cross_attn, size))
        variables.update(feed_forward_and_norm_variables(name, layer, 3, size))
    variables.update(_queries(model, size))
    return variables


def _queries(model, size):
    if not model.use_two_stage:
        return {
            "query_embed.weight": table(model.query_embeddings),
            **dense_variables("transformer.reference_points", model.reference_points, size),
        }
    proposals = model.proposals
    return {
        **dense_variables("transformer.enc_output", proposals.enc_output, size),
        **norm_variables("transformer.enc_output_norm", proposals.enc_output_norm),
        **dense_variables("transformer.pos_trans", proposals.pos_trans, 2 * size),
        **norm_variables("transformer.pos_trans_norm", proposals.pos_trans_norm),
    }


def _deformable_attention(name, attention, size):
    variables = {}
    for part in ("sampling_offsets", "attention_weights", "value_proj", "output_proj"):
        variables.update(dense_variables(f"{name}.{part}", getattr(attention, part), size))
    return variables
