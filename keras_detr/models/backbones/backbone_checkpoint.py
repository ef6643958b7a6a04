"""The variables of backbones, and of learned positions, by the names of official checkpoints."""

from keras_detr.layers.learned_position_embedding import LearnedPositionEmbedding
from keras_detr.layers.primitives.frozen_norm_conv2d import FrozenNormConv2D
from keras_detr.models.presets.checkpoint_variables import convolution, table, vector

_NORM_VARIABLES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def resnet_variables(backbone):
    """Return the variables of a `ResNetBackbone` by the names of `checkpoints.RESNET_TABLE`."""
    variables = {}
    for layer in backbone.layers:
        if not isinstance(layer, FrozenNormConv2D):
            continue
        # "layer1_0_downsample_1" is torchvision's "layer1.0.downsample.1".
        name, norm_name = (name.replace("_", ".") for name in (layer.name, layer.norm.name))
        variables[f"{name}.weight"] = convolution(layer.kernel)
        for torch_name, keras_name in _NORM_VARIABLES.items():
            variables[f"{norm_name}.{torch_name}"] = vector(getattr(layer.norm, keras_name))
    return variables


def backbone_variables(backbone):
    """Return a backbone's variables by name, or by number if it has no `checkpoint_variables`.

    The paths of its weights wouldn't do: they may occur twice, and those of a `Sequential` model
    change when it is built from its configuration.
    """
    if hasattr(backbone, "checkpoint_variables"):
        named = backbone.checkpoint_variables()
        return {f"backbone.{name}": entry for name, entry in named.items()}
    return {f"backbone.{i}": table(weight) for i, weight in enumerate(backbone.weights)}


def position_variables(position_embedding):
    """Return the tables of learned positions, which the original counts among the backbone."""
    if not isinstance(position_embedding, LearnedPositionEmbedding):
        return {}
    return {
        "backbone.1.row_embed.weight": table(position_embedding.row_embeddings),
        "backbone.1.col_embed.weight": table(position_embedding.column_embeddings),
    }
