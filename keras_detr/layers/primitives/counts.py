"""Check numbers of layers, channels and the like before anything is built of them."""

import numbers

# No model is near it: a number above is a mistake, or meant to take all memory.
_LARGEST_COUNT = 2**16
# Each costs time to build.
MOST_LAYERS = 1000
MOST_CHANNELS = 2**14


def check_counts(largest=_LARGEST_COUNT, least=1, **counts):
    """Raise a ValueError that names the argument if a count isn't a whole number in a range.

    Args:
        largest: int.
        least: int.
        **counts: by name of an argument its value, or a sequence of values.
    """
    for name, value in counts.items():
        for count in value if isinstance(value, (list, tuple)) else (value,):
            is_whole = isinstance(count, numbers.Integral) and not isinstance(count, bool)
            if not is_whole or not least <= count <= largest:
                raise ValueError(
                    f"`{name}` must be a whole number from {least} to {largest}. Received: "
                    f"{_shown(count)}."
                )


def _shown(count):
    try:
        return f"{count!r:.80}"
    except ValueError:  # An int of more digits than Python prints.
        return "a very large int"
