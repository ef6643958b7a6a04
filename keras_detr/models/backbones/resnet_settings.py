"""A ResNet from the plain settings of a checkpoint."""

from keras_detr.models.backbones.resnet_backbone import BOTTLENECK_EXPANSION, ResNetBackbone


def resnet_of_settings(settings):
    """Build the backbone of a detector on the Hub, without weights.

    Args:
        settings: dict, from a reader of config.json in `checkpoints`: "backbone" and "dilation"; if
            the first is `None`, the four keys "backbone_*"; and perhaps "normalization", a pair of
            mean and standard deviation, by default ImageNet's.
    """
    arguments = {"dilation": settings["dilation"]}
    if "normalization" in settings:
        arguments["mean"], arguments["standard_deviation"] = settings["normalization"]
    name = settings["backbone"]
    if name is not None:
        depth = int(name.removeprefix("resnet"))
        return ResNetBackbone(depth, name=name, **arguments)
    is_bottleneck = settings["backbone_block_type"] == "bottleneck"
    expansion = BOTTLENECK_EXPANSION if is_bottleneck else 1
    return ResNetBackbone(
        50 if is_bottleneck else 18,
        stackwise_num_blocks=settings["backbone_depths"],
        stackwise_num_filters=tuple(
            size // expansion for size in settings["backbone_hidden_sizes"]
        ),
        stem_num_filters=settings["backbone_embedding_size"],
        name="resnet",
        **arguments,
    )
