"""What a detector would be in transformers: its settings, or why transformers can't hold it."""

from keras_detr.checkpoints.hub.detector import ACTIVATIONS, UNUSED_LABEL
from keras_detr.layers.learned_position_embedding import LearnedPositionEmbedding
from keras_detr.layers.sine_position_embedding import SinePositionEmbedding
from keras_detr.models.backbones.resnet_backbone import ResNetBackbone

# The arguments that have the same value in both.
_KEPT = (
    "num_classes",
    "class_names",
    "num_queries",
    "hidden_dim",
    "num_heads",
    "num_encoder_layers",
    "num_decoder_layers",
    "feed_forward_dim",
    "dropout",
    "activation",
)
# What transformers' position embeddings are fixed to.
_TEMPERATURE = 10000.0
_NUM_POSITIONS = 50


def hub_settings(model, neck_class, position_offset):
    """Return the settings that a config.json stands for, as `checkpoint_settings` would read them.

    Args:
        model: detector with a backbone, a neck, an encoder and a decoder.
        neck_class: the neck's class in transformers' model.
        position_offset: float, the `offset` of its sine embeddings.

    Raises:
        ValueError: transformers can't hold the detector; the message says why.
    """
    _check_backbone(model)
    if type(model.neck) is not neck_class:
        raise not_in_transformers(
            model,
            f"its neck is a {type(model.neck).__name__}, and transformers' model has what "
            f"{neck_class.__name__} is",
        )
    if model.preprocessor_sizes is None:
        raise not_in_transformers(
            model,
            "its `preprocessor` is None, so preprocessor_config.json can't say how images are "
            "resized; assign a DETRPreprocessor",
        )
    config = model.get_config()
    if not config["num_encoder_layers"]:
        raise not_in_transformers(model, "it has no encoder layers")
    activation = config["activation"]
    if activation not in ACTIVATIONS:
        raise not_in_transformers(
            model, f"its activation is {activation!r:.80}, not one of {', '.join(ACTIVATIONS)}"
        )
    if model.class_names and UNUSED_LABEL in model.class_names:
        raise not_in_transformers(
            model,
            f"a class is called {UNUSED_LABEL!r}, which stands for a row without a class in a "
            "config.json; give it another name",
        )
    return {
        **{name: config[name] for name in _KEPT},
        "backbone": model.backbone.get_config(),
        "position_embedding": _position_embedding(model, position_offset),
    }


def not_in_transformers(model, reason):
    """Return the error for a detector that transformers can't hold, for a reason."""
    return ValueError(
        f"This {type(model).__name__} can't be exported to transformers: {reason}. "
        "`save_to_preset` and `upload_preset` keep it for keras_detr, and `export` for programs "
        "without it."
    )


def _check_backbone(model):
    backbone = model.backbone
    if type(backbone) is not ResNetBackbone:
        raise not_in_transformers(
            model,
            f"its backbone is a {type(backbone).__name__}, and the export knows the names of a "
            "ResNetBackbone's weights only",
        )
    if backbone.dilation:
        raise not_in_transformers(
            model,
            "its backbone has `dilation=True`, and transformers' own ResNet has none (it dilates "
            "only backbones of timm)",
        )
    if not backbone.include_rescaling:
        raise not_in_transformers(
            model,
            "its backbone has `include_rescaling=False`, so preprocessor_config.json can't say "
            "how colors are to be normalized",
        )


def _position_embedding(model, offset):
    """Return "sine" or "learned"."""
    embedding = model.neck.position_embedding
    if type(embedding) is LearnedPositionEmbedding and embedding.num_positions == _NUM_POSITIONS:
        return "learned"
    is_sine = type(embedding) is SinePositionEmbedding
    if is_sine and (embedding.temperature, embedding.offset) == (_TEMPERATURE, offset):
        return "sine"
    raise not_in_transformers(
        model,
        "transformers' position embeddings are sines with a temperature of "
        f"{_TEMPERATURE:g} and an offset of {offset:g}, or {_NUM_POSITIONS} learned rows and "
        f"columns; this neck has a {type(embedding).__name__} with other settings",
    )
