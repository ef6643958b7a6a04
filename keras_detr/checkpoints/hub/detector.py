"""Translate the fields that the config.json files of all detectors on the Hub share.

Source: transformers models/detr/configuration_detr.py and
models/deformable_detr/configuration_deformable_detr.py.
"""

from ..counts import MOST_CHANNELS
from .backbone import backbone_settings
from .fields import check, check_type, count, shared_count

UNUSED_LABEL = "N/A"
_MOST_LAYERS = 100
ACTIVATIONS = ("relu", "gelu", "silu")


def detector_settings(config, model_type, num_queries, feed_forward_dim):
    """Translate the backbone, the classes, the queries and the sizes of the transformer.

    The config must have the `model_type`; `num_queries` and `feed_forward_dim` are its defaults.
    The result is that of `detr_settings`.
    """
    check("model_type", config.get("model_type"), (model_type,))
    check("num_channels", config.get("num_channels", 3), (3,))
    position_embedding = config.get("position_embedding_type", "sine")
    check("position_embedding_type", position_embedding, ("sine", "learned"))
    activation = config.get("activation_function", "relu")
    check("activation_function", activation, ACTIVATIONS)
    dropout = check_type("dropout", config.get("dropout", 0.1), (int, float), "a number")
    if not 0 <= dropout < 1:
        raise ValueError(
            f"`dropout` of the Hub config must be in [0, 1). Received: {dropout!r:.80}."
        )
    rows, names = _classes_in_use(config)
    return {
        "backbone": backbone_settings(config),
        "num_classes": len(rows),
        "class_names": names,
        "class_rows": rows,
        "num_queries": count(config, "num_queries", num_queries),
        "hidden_dim": count(config, "d_model", 256, MOST_CHANNELS),
        "num_heads": shared_count(config, "attention_heads", 8),
        "num_encoder_layers": count(config, "encoder_layers", 6, _MOST_LAYERS),
        "num_decoder_layers": count(config, "decoder_layers", 6, _MOST_LAYERS),
        "feed_forward_dim": shared_count(config, "ffn_dim", feed_forward_dim),
        "dropout": float(dropout),
        "activation": activation,
        "position_embedding": position_embedding,
    }


def _classes_in_use(config):
    """Return the rows of the class head that are in use, and their names, or `None` for no names.

    transformers leaves `id2label` out of the file if there are two classes without names, and
    writes "LABEL_0", "LABEL_1", ... for any other number.
    """
    labels = config.get("id2label")
    if labels is None:
        labels = {i: f"LABEL_{i}" for i in range(count(config, "num_labels", 2))}
    try:
        by_row = dict(
            sorted((int(row), "" if label is None else str(label)) for row, label in labels.items())
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"`id2label` of the Hub config must map class ids to names. Received: {labels!r:.80}."
        ) from error
    if list(by_row) != list(range(len(labels))):
        raise ValueError(
            "`id2label` of the Hub config must number its classes 0, 1, 2, ..., one for each row "
            f"of the class head. Received the ids: {list(by_row)!s:.80}. In a local copy of the "
            f'folder, name those that are missing "{UNUSED_LABEL}" if the head has rows for them.'
        )
    rows = tuple(row for row, label in by_row.items() if label != UNUSED_LABEL)
    if not rows:
        raise ValueError(
            f"`id2label` of the Hub config names no class in use. Received: {labels!r:.80}."
        )
    names = tuple(by_row[row] for row in rows)
    is_named = any(by_row[row] != f"LABEL_{row}" for row in rows)
    return rows, names if is_named else None
