"""What every detector's checkpoint holds under `backbone`."""

from keras_detr.layers.learned_position_embedding import LearnedPositionEmbedding
from keras_detr.models.backbones.resnet_backbone import ResNetBackbone
from keras_detr.models.backbones.resnet_checkpoint import resnet_variables
from keras_detr.models.presets.checkpoint_variables import table


def backbone_variables(backbone):
    """Return a backbone's variables by name, or by number if it isn't a `ResNetBackbone`.

    The paths of its weights wouldn't do: they may occur twice, and those of a `Sequential` model
    change when it is built from its configuration.
    """
    if isinstance(backbone, ResNetBackbone):
        return {f"backbone.{name}": entry for name, entry in resnet_variables(backbone).items()}
    return {f"backbone.{i}": table(weight) for i, weight in enumerate(backbone.weights)}


def position_variables(position_embedding):
    """Return the tables of learned positions, which the original counts among the backbone."""
    if not isinstance(position_embedding, LearnedPositionEmbedding):
        return {}
    return {
        "backbone.1.row_embed.weight": table(position_embedding.row_embeddings),
        "backbone.1.col_embed.weight": table(position_embedding.column_embeddings),
    }
