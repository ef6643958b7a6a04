"""ResNet's variables by torchvision's names."""

from keras_detr.layers.primitives.frozen_norm_conv2d import FrozenNormConv2D
from keras_detr.models.presets.checkpoint_variables import convolution, vector

_NORM_VARIABLES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def resnet_variables(backbone):
    """Return the variables of a `ResNetBackbone` by the names of `checkpoints.RESNET_TABLE`.

    Args:
        backbone: `ResNetBackbone`.

    Returns:
        dict of name -> `CheckpointVariable`.
    """
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
