"""The model card of an uploaded preset: the README.md that its page on the Hub shows."""

import math
import numbers
import re

import yaml

from keras_detr.ops.printable_text import printable

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~$-])")
_USAGE = """```python
import keras_detr

model = keras_detr.{loader}.from_preset("hf://{repo_id}")
{call}
```"""
_DETECT = 'print(keras_detr.detect(model, "photo.jpg")[0])  # Its names, confidence and boxes.'
# The arguments of a detector, where it has them, and how to call them.
_SIZES = {
    "num_queries": "queries",
    "num_encoder_layers": "encoder layers",
    "num_decoder_layers": "decoder layers",
    "hidden_dim": "size of a query",
    "num_levels": "feature maps",
    "use_box_refinement": "box refinement",
    "use_two_stage": "two stages",
}


def detector_card(model, repo_id, license=None, metrics=None):
    """Return the model card of a detector.

    Args:
        model: detector.
        repo_id: str, "owner/name".
        license: str or `None`.
        metrics: dict of str to number or str, or `None`, from `check_metrics`.
    """
    kind = type(model).__name__
    config = model.get_config()
    facts = {
        "detector": kind,
        "backbone": _backbone_name(model.backbone),
        "parameters": f"{model.count_params():,}",
        **{words: config[name] for name, words in _SIZES.items() if name in config},
        "masks": model.has_masks,
        "trained with denoising queries": model.denoising is not None,
        **_resizing(model.preprocessor_sizes),
        "format of boxes": f"`{model.bounding_box_format}`",
    }
    names = model.class_names or [f"class {label}" for label in range(model.num_classes)]
    classes = ", ".join(f"{label} {_escaped(name)}" for label, name in enumerate(names))
    count = "1 class" if model.num_classes == 1 else f"{model.num_classes} classes"
    text = f"A {kind} that detects objects of {count}, for [Keras](https://keras.io) 3."
    sections = {"Classes": classes, "Architecture": _table("", facts)}
    usage = _USAGE.format(loader="SetPredictionDetector", repo_id=repo_id, call=_DETECT)
    task = "image-segmentation" if model.has_masks else "object-detection"
    tags = ["keras", task, kind.lower()]
    return _card(repo_id, task, tags, license, text, usage, sections, metrics)


def _resizing(sizes):
    """Return the facts about a detector's `preprocessor_sizes`."""
    if sizes is None:
        return {"images": "not resized"}
    short_side, longest_side = sizes
    return {
        "short side of images": f"{short_side} pixels",
        "long side of images": f"at most {longest_side} pixels" if longest_side else "any",
    }


def backbone_card(backbone, repo_id, license=None, metrics=None):
    """Return the model card of a backbone; the arguments are those of `detector_card`."""
    facts = {
        "backbone": _backbone_name(backbone),
        "parameters": f"{backbone.count_params():,}",
        "feature maps": ", ".join(backbone.pyramid_level_inputs),
    }
    text = "A backbone for object detectors, for [Keras](https://keras.io) 3."
    sections = {"Architecture": _table("", facts)}
    loader, call = type(backbone).__name__, "features = model(images)  # RGB in 0..255."
    usage = _USAGE.format(loader=loader, repo_id=repo_id, call=call)
    task, tags = "image-feature-extraction", ["keras"]
    return _card(repo_id, task, tags, license, text, usage, sections, metrics)


def check_metrics(metrics):
    """Return metrics as a dict, or raise an error if they aren't numbers or texts by name.

    NaN is left out: `COCOMetrics` returns it for sizes of which there are no objects.
    """
    if metrics is None:
        return {}
    if not isinstance(metrics, dict):
        raise ValueError(
            f"`metrics` must be a dict, such as {{'AP': 0.42}}. Received: {metrics!r:.80}."
        )
    for name, value in metrics.items():
        is_number = isinstance(value, numbers.Real) and not math.isinf(value)
        if not (isinstance(name, str) and (is_number or isinstance(value, str))):
            raise ValueError(
                "`metrics` must hold finite numbers or texts by name, such as {'AP': 0.42, "
                f"'measured on': 'our photos'}}. Received: {name!r:.80}: {value!r:.80}."
            )
    # Only NaN differs from itself.
    return {name: value for name, value in metrics.items() if value == value}


def check_license(license):
    """Return the identifier of a license as the Hub writes it, or raise an error."""
    if license is None:
        return None
    if not isinstance(license, str) or not re.fullmatch(r"[\w.-]+", license):
        raise ValueError(
            "`license` must be an identifier of the Hub's list, such as 'apache-2.0' or 'mit', or "
            f"None. Received: {license!r:.80}."
        )
    return license.lower()


def _card(repo_id, task, tags, license, text, usage, sections, metrics):
    if metrics:
        results = "As reported by who uploaded the model.\n\n" + _table("metric", metrics)
        sections = {**sections, "Results": results}
    metadata = {
        "library_name": "keras_detr",
        **({"license": license} if license else {}),
        "pipeline_tag": task,
        "tags": tags,
    }
    header = yaml.safe_dump(metadata, sort_keys=False)
    parts = [f"---\n{header}---", f"# {_escaped(repo_id.split('/')[1])}", text, usage]
    parts += [f"## {title}\n\n{section}" for title, section in sections.items()]
    return "\n\n".join(parts) + "\n"


def _backbone_name(backbone):
    """Return a backbone's class, and the depth of a ResNet."""
    depth = getattr(backbone, "depth", None)
    kind = type(backbone).__name__
    return _escaped(f"{kind} of depth {depth}" if isinstance(depth, int) else kind)


def _table(title, rows):
    lines = [f"| {title} | |", "|---|---|"]
    lines += [f"| {_escaped(name)} | {_shown(value)} |" for name, value in rows.items()]
    return "\n".join(lines)


def _shown(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return f"{value:.3f}"
    return str(value) if str(value).startswith("`") else _escaped(value)


def _escaped(text):
    """Return a text that Markdown shows as it is, on one line."""
    return _MARKUP.sub(r"\\\1", printable(str(text)))
