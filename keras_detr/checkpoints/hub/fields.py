"""Read and check the fields of a config.json on the Hub."""

import contextlib

from ..counts import LARGEST_COUNT, check_counts

OF_CONFIG = " of the Hub config"


@contextlib.contextmanager
def naming_file(name):
    """Put the name of a file before the message of a ValueError in the body of a `with`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def check(field, value, supported):
    """Raise an error that names the field if a value isn't supported."""
    if value not in supported:
        expected = " or ".join(repr(choice) for choice in supported)
        raise ValueError(f"`{field}` of the Hub config must be {expected}. Received: {value!r}.")


def check_type(field, value, kind, expected):
    """Return a value, or raise an error that names the field if it has another type."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(
            f"`{field}` of the Hub config must be {expected}. Received: {value!r:.80}."
        )
    return value


def items(config, field, default, kind, expected):
    """Return a list of the config as a tuple, and check the type of its items."""
    name = field.rsplit(".", 1)[-1]
    values = check_type(field, config.get(name, default), (list, tuple), f"a list of {expected}")
    return tuple(check_type(field, value, kind, f"a list of {expected}") for value in values)


def count(config, field, default, largest=LARGEST_COUNT):
    """Return a positive integer of the config, of at most `largest`."""
    value = config.get(field.rsplit(".", 1)[-1], default)
    # A list would stand for several.
    check_counts(largest, of=OF_CONFIG, **{field: (value,)})
    return value


def shared_count(config, field, default):
    """Return a number that must be the same for the encoder and the decoder."""
    encoder = count(config, f"encoder_{field}", default)
    decoder = count(config, f"decoder_{field}", default)
    if encoder != decoder:
        raise ValueError(
            f"`encoder_{field}` and `decoder_{field}` of the Hub config must be equal. "
            f"Received: {encoder} and {decoder}."
        )
    return encoder
