"""Layers made of layers: one pipeline after another, or one of several."""

import copy
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_detr.preprocessing.box_aware_layer import BoxAwareLayer
from keras_detr.preprocessing.random_draws import RandomDraws


def apply_layers(layers, element):
    """Pass one unbatched element through layers, first to last."""
    for layer in layers:
        element = layer(element)
    return element


@keras.saving.register_keras_serializable("keras_detr")
class RandomChoice(BoxAwareLayer):
    """Pass each image through one of several pipelines, drawn anew for every image.

    The image comes out as float32 in its own range, whichever pipeline it took.

    Args:
        pipelines: sequence of pipelines. Each is a sequence of `BoxAwareLayer`; an empty one
            leaves the image as it is.
        rates: sequence of float, how likely each pipeline is; they sum to 1. None: all equally.
        bounding_box_format: str, the format that the pipelines' layers have too; see
            `BoxAwareLayer`.
        seed: int or None; see `RandomHorizontalFlip`.

    Example:
        ```python
        from keras_detr.preprocessing import RandomChoice, RandomHorizontalFlip, Resize

        FORMAT = {"bounding_box_format": "xyxy"}
        flip, shrink = RandomHorizontalFlip(1.0, **FORMAT), Resize((30, 40), **FORMAT)
        changed = elements.map(RandomChoice([[flip], [shrink, flip], []], **FORMAT))
        print(next(iter(changed))["images"].shape)
        ```

    Source: facebookresearch/detr, datasets/transforms.py, RandomSelect.
    """

    is_size_random = True

    def __init__(
        self,
        pipelines: Any,
        rates: Sequence[float] | None = None,
        *,
        bounding_box_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(bounding_box_format=bounding_box_format, **kwargs)
        self.pipelines = tuple(tuple(pipeline) for pipeline in pipelines)
        number = len(self.pipelines)
        if not number:
            raise ValueError("`pipelines` must hold at least one pipeline. Received none.")
        for layer in (layer for pipeline in self.pipelines for layer in pipeline):
            _check_layer(layer, bounding_box_format)
        self.rates = (1 / number,) * number if rates is None else tuple(map(float, rates))
        if len(self.rates) != number or min(self.rates) < 0 or abs(sum(self.rates) - 1) > 1e-6:
            raise ValueError(
                f"`rates` must be {number} probabilities that sum to 1, one a pipeline. "
                f"Received: {rates!r}."
            )
        self.seed = seed
        self._draws = RandomDraws(seed)

    def draw(self, element):
        # Pipelines whose rates end below the draw are passed over.
        is_passed = tf.cast(tf.cumsum(self.rates)[:-1] <= self._draws.uniform(), tf.int32)
        return {"index": tf.reduce_sum(is_passed)}

    def apply(self, element, parameters):
        def branch(pipeline):
            result = apply_layers(pipeline, element)
            return {**result, "images": tf.cast(result["images"], tf.float32)}

        branches = [lambda chosen=pipeline: branch(chosen) for pipeline in self.pipelines]
        return tf.switch_case(parameters["index"], branches)

    def get_config(self):
        pipelines = [
            [keras.saving.serialize_keras_object(layer) for layer in pipeline]
            for pipeline in self.pipelines
        ]
        return {
            **super().get_config(),
            "pipelines": pipelines,
            "rates": self.rates,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        pipelines = [
            [keras.saving.deserialize_keras_object(layer) for layer in pipeline]
            for pipeline in copy.deepcopy(config["pipelines"])
        ]
        return cls(**{**config, "pipelines": pipelines})


def _check_layer(layer, bounding_box_format):
    if not isinstance(layer, BoxAwareLayer):
        raise ValueError(
            f"`pipelines` must hold sequences of `BoxAwareLayer`. Received among them: {layer!r}."
        )
    if layer.bounding_box_format != bounding_box_format:
        raise ValueError(
            f"`bounding_box_format` must be that of all layers, {bounding_box_format!r}. "
            f"Received {layer.bounding_box_format!r} for {type(layer).__name__}."
        )
