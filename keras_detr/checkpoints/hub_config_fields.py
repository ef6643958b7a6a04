"""Read fields of a Hub's config.json, or say which one can't be read."""


def check(field, value, supported):
    """Refuse a value that isn't supported, naming its field."""
    if value not in supported:
        expected = " or ".join(repr(choice) for choice in supported)
        raise ValueError(f"`{field}` of the Hub config must be {expected}. Received: {value!r}.")


def count(config, field, default):
    """Return a positive integer of the config."""
    value = config.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"`{field}` of the Hub config must be an int above 0. Received: {value!r}."
        )
    return value


def shared_count(config, field, default):
    """Return a number that the encoder and the decoder must have in common."""
    encoder = count(config, f"encoder_{field}", default)
    decoder = count(config, f"decoder_{field}", default)
    if encoder != decoder:
        raise ValueError(
            f"`encoder_{field}` and `decoder_{field}` of the Hub config must be equal. "
            f"Received: {encoder} and {decoder}."
        )
    return encoder
