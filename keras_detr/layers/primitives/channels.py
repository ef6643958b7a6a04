"""Where the channels of a feature map are: last, everywhere in this package."""


def check_channels_last(data_format):
    """Raise `ValueError` unless a layer's `data_format` says that the last axis holds channels."""
    if data_format != "channels_last":
        raise ValueError(
            '`data_format` must be "channels_last": all maps are (batch, height, width, channels), '
            f"whatever Keras' configuration says. Received: {data_format!r}."
        )
