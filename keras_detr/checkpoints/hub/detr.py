"""Translate the config.json of a DETR on the Hub into the arguments of `DETR`.

Source: transformers models/detr/configuration_detr.py, versions 4 and 5, whose defaults
replace missing keys.
"""

from typing import Any

from .backbone import stages_read
from .detector import detector_settings
from .fields import check


def detr_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Translate the config.json of a Hub repository with a DETR.

    Args:
        config: dict, the parsed config.json, of model_type "detr".

    Returns:
        dict of plain values under the names of `DETR`'s arguments: "num_classes", "class_names",
        "num_queries", "hidden_dim", "num_heads", "num_encoder_layers", "num_decoder_layers",
        "feed_forward_dim", "dropout" and "activation". "class_names" is None if transformers wrote
        "LABEL_0", "LABEL_1", ... in place of names. There are three other keys:
            "backbone": dict of arguments of `ResNetBackbone`.
            "position_embedding": str, "sine" or "learned".
            "class_rows": tuple of int, the rows of the class head that are in use, ascending. Rows
                labelled "N/A" are left out. The no-object row follows all others and isn't counted.

    Raises:
        ValueError: the config describes a model that this package doesn't build. The message
            names the field.

    Example:
        ```python
        from keras_detr.checkpoints import detr_settings

        names = {"id2label": {"0": "cat", "1": "dog"}, "model_type": "detr", "num_queries": 50}
        print(detr_settings(names)["class_names"])  # ['cat', 'dog']
        ```
    """
    settings = detector_settings(config, model_type="detr", num_queries=100, feed_forward_dim=2048)
    field, stages = stages_read(config, default=(4,))
    check(f"{field}[-1]", stages[-1], (4,))
    return settings
