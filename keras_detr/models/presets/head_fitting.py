"""Fit a checkpoint's class heads and queries to a model that has other numbers of them."""

import logging

import numpy as np

# The canonical names of the variables of denoising queries start so: the table of labels, and the
# network from a box to a query's position.
LABEL_TABLE = "label_enc"
DENOISING_POSITIONS = "denoising_positions"
DENOISING_NAMES = (f"{LABEL_TABLE}.", f"{DENOISING_POSITIONS}.")

# The canonical names of learned queries, of which a detector has one at most.
QUERY_TABLES = ("query_embed.weight", "transformer.tgt_embed.weight")

logger = logging.getLogger("keras_detr")


def fit_class_heads(tensors, own, heads, num_classes, may_reset_classes, source, has_no_object):
    """Keep the rows of real classes, or start the class heads anew.

    Arguments that aren't described here are those of `DetectorContract.fit_checkpoint`.

    Args:
        own: dict of canonical name -> `CheckpointVariable`, of the model just built.
        heads: dict of canonical name of a class head -> sequence of int, the checkpoint's rows
            that are real classes, or `None` for all rows (but the last one, if that is no-object).
            A head whose last row isn't the last of these is another's, and counts as `None`.
        may_reset_classes: bool, whether a head that doesn't fit starts anew.
        has_no_object: bool, whether the last row is no-object.
    """
    tensors = dict(tensors)
    is_logged = False
    for head, class_rows in heads.items():
        # A table of labels has no bias.
        names = [name for name in (f"{head}.weight", f"{head}.bias") if name in tensors]
        if not names:
            continue
        num_real = len(tensors[names[0]]) - has_no_object
        # A file with another number of rows than the preset's is another model's, fine-tuned.
        is_of_preset = class_rows is not None and num_real == max(class_rows) + 1
        rows = list(class_rows if is_of_preset else range(num_real))
        if len(rows) == num_classes:
            kept = [*rows, num_real] if has_no_object else rows
            tensors.update({name: tensors[name][kept] for name in names})
        elif may_reset_classes:
            if not is_logged:
                logger.warning(
                    "The class head starts anew: %s has %d classes, the model has %d.",
                    source,
                    len(rows),
                    num_classes,
                )
            is_logged = True
            tensors.update({name: own[name].to_torch() for name in names})
        else:
            raise ValueError(
                f"The checkpoint {source} has {len(rows)} classes, but the model has "
                f"{num_classes}. Pass `num_classes={len(rows)}` to keep its class head, or "
                f"`num_classes={num_classes}` to start with a new one."
            )
    return tensors


def without_spare_rows(tensors, heads, num_rows, has_no_object):
    """Return tensors without the rows of class heads that follow the last one in use.

    Heads of another number of rows stay as they are: they are another model's. Arguments that
    aren't described here are those of `fit_class_heads`.

    Args:
        num_rows: int, how many rows the heads have, without no-object.
    """
    tensors = dict(tensors)
    for head, class_rows in heads.items():
        for name in (f"{head}.weight", f"{head}.bias"):
            if name in tensors and len(tensors[name]) == num_rows + has_no_object:
                kept = [*range(max(class_rows) + 1), *([num_rows] if has_no_object else [])]
                tensors[name] = tensors[name][kept]
    return tensors


def fit_queries(tensors, own, num_queries, source):
    """Keep the first queries, or add new ones; the arguments are those of `fit_class_heads`."""
    name = next((name for name in QUERY_TABLES if name in own), None)
    queries = tensors.get(name)
    if queries is None or len(queries) == num_queries:
        return tensors
    fresh = own[name].to_torch()[len(queries) :]
    logger.warning(
        "The model has %d queries, %s has %d: %s.",
        num_queries,
        source,
        len(queries),
        "the rest start anew" if len(fresh) else "the first are kept",
    )
    return {**tensors, name: np.concatenate([queries[:num_queries], fresh])}


def fit_denoising(tensors, own):
    """Leave out what belongs to denoising queries that the model hasn't, or start them anew.

    Most detectors were trained without. Arguments are those of `fit_class_heads`.
    """
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if name in own or not name.startswith(DENOISING_NAMES)
    }
    fresh = {
        name: entry.to_torch()
        for name, entry in own.items()
        if name not in tensors and name.startswith(DENOISING_NAMES)
    }
    return {**kept, **fresh}


def without_spare_labels(tensors, class_head):
    """Return tensors whose table of labels has the rows of a class head.

    The original's has one more, which nothing reads.
    """
    table, head = tensors.get(f"{LABEL_TABLE}.weight"), tensors.get(f"{class_head}.weight")
    if table is None or head is None:
        return tensors
    return {**tensors, f"{LABEL_TABLE}.weight": table[: len(head)]}
