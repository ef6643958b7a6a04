"""Numbers of a JSON file as they should be, whatever stands in their places."""

import numbers

import numpy as np

_LARGEST_ID = np.iinfo(np.int64).max


def whole_number(value):
    """Return a value as an int of 64 bits, or None if it isn't one; 1.0 counts as 1."""
    if type(value) is not int:
        found = number(value)
        if found is None or not found.is_integer():
            return None
        value = int(value)
    return value if -_LARGEST_ID <= value <= _LARGEST_ID else None


def number(value):
    """Return a value as a float, or None if it isn't a number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def four_numbers(value):
    """Return the four numbers of a box, or None."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        return None
    box = [number(side) for side in value]
    return None if None in box else box


def flag(value):
    """Return a bool: False if the value is missing, and None if it is neither 0 nor 1."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return bool(value)
    return {0: False, 1: True}.get(whole_number(value))


def area(value):
    """Return a float: NaN if the value is missing, and -1 if it isn't a number."""
    if value is None:
        return np.nan
    found = number(value)
    return -1.0 if found is None or found != found else found
