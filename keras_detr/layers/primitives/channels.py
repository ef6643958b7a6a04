"""Where the channels of a feature map are: last, everywhere in this package."""


def check_channels_last(data_format):
    """Check that a layer is asked for maps whose last axis holds their channels.

    Args:
        data_format: str, as of `keras.layers.Conv2D`.

    Raises:
        ValueError: it is another one.
    """
    if data_format != "channels_last":
        raise ValueError(
            '`data_format` must be "channels_last": all maps are (batch, height, width, channels), '
            f"whatever Keras' configuration says. Received: {data_format!r}."
        )
