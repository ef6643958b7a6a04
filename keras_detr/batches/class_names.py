"""The names of classes: texts that differ, one for each label."""

import collections.abc
import logging

from keras_detr.batches.shapes import described

logger = logging.getLogger("keras_detr")

_MOST_SHOWN = 20
# They are iterable, and hold no names in the order of labels.
_NO_SEQUENCES = (str, bytes, collections.abc.Mapping, collections.abc.Set)


def check_class_names(names, num_classes=None, what="`class_names`"):
    """Return the names of classes as a tuple of str, without the blanks around them.

    Args:
        names: should be a sequence of str that differ, one a class; or `None`, which is returned.
        num_classes: int, how many names there must be; or `None`.
        what: str, whose names they are, for the error.

    Raises:
        ValueError: they are something else. The message says which name is wrong, and where.
    """
    if names is None:
        return None
    if isinstance(names, _NO_SEQUENCES) or not isinstance(names, collections.abc.Iterable):
        raise ValueError(f"{what} must be a list of names. Received: {described(names)}.")
    names = tuple(names)
    if num_classes is not None and len(names) != num_classes:
        raise ValueError(
            f"{what} must hold one name for each of {num_classes} classes. Received: {len(names)} "
            "names."
        )
    if not names:
        raise ValueError(f"{what} must be a list of at least one name. Received: no name.")
    places = {}
    for label, name in enumerate(names):
        if not isinstance(name, str):
            raise ValueError(
                f"{what} must be a list of texts. Received: {name!r:.80}, of the type "
                f"{type(name).__name__}, at position {label}. Write it as a text; YAML needs "
                "quotes around words such as no, null and 1."
            )
        text = str(name).strip()
        if not text:
            raise ValueError(
                f"{what} must be a list of names that aren't empty. Received: {name!r:.80} at "
                f"position {label}."
            )
        if text in places:
            raise ValueError(
                f"{what} must be a list of names that differ, in more than the blanks around "
                f"them. Received: {text!r:.80} at the positions {places[text]} and {label}."
            )
        places[text] = label
    return tuple(places)


def repaired_class_names(names, source):
    """Return the names in a file that is to load whatever they are, as `check_class_names` wants.

    Args:
        names: list or tuple, one a class; something else is returned as it is.
        source: str, the file or model, for the log, which says what was changed.

    Returns:
        tuple: an empty name becomes that of its label, and a repeated one has its label added.
    """
    if not isinstance(names, (list, tuple)):
        return names
    repaired = {}
    for label, name in enumerate(names):
        text = "" if name is None else str(name).strip()
        text = text or f"class {label}"
        while text in repaired:
            text = f"{text} (class {label})"
        repaired[text] = name
    changes = [
        f"{name!r:.80} is now {text!r:.80}" for text, name in repaired.items() if text != name
    ]
    if changes:
        logger.warning(
            "Class names of %s that are empty, aren't texts, or name several classes, were "
            "changed: %s%s. Pass `class_names` for others.",
            source,
            ", ".join(changes[:_MOST_SHOWN]),
            ", ..." if len(changes) > _MOST_SHOWN else "",
        )
    return tuple(repaired)


def check_same_classes(dataset, model):
    """Check that the labels of a data set mean what a model takes them for.

    Args:
        dataset: anything. Its `class_names` are compared, if it has them: what is mapped from a
            loader's data set doesn't.
        model: a detector, which may have `class_names`.

    Raises:
        ValueError: names or their order differ. The message says how.
    """
    found, expected = (getattr(each, "class_names", None) for each in (dataset, model))
    if not found or not expected:
        return
    difference = difference_of(tuple(found), tuple(expected))
    if difference:
        raise ValueError(
            "`class_names` of the data set and of the model must be the same in the same order, as "
            f"a label is a place in it. {difference} Load the data with "
            "`class_names=model.class_names` (`load_folder`: `classes=`)."
        )


def difference_of(found, expected):
    """Return how tuples of names differ, in sentences, or an empty str."""
    if found == expected:
        return ""
    extra = [name for name in found if name not in expected]
    missing = [name for name in expected if name not in found]
    kinds = [("not expected", extra), ("missing", missing)]
    parts = [f"{kind} {_shown(names)}" for kind, names in kinds if names]
    return (
        f"Received: {_shown(found)}. Expected: {_shown(expected)}. They differ: "
        f"{', '.join(parts) or 'in their order'}."
    )


def _shown(names):
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return f"{list(names[:_MOST_SHOWN])}{more}"
