"""The numbers that `fit` logs."""

import itertools

import keras
from keras import ops

from keras_detr.ops.backends import current

COUNTS = ("clipped_boxes", "dropped_boxes")


class LossTrackers:
    """Hold the running means of the loss and of its parts, and the user's metrics.

    Where several devices share a batch, each mean is that of the whole batch; Keras' own tracker
    of the loss would weigh the devices' parts by their images, of which the last may have fewer.
    This isn't a layer, so that Keras doesn't keep the old ones when a model is compiled again.

    Args:
        loss: `HungarianLoss` or `None`.
        metrics: list of `keras.metrics.Metric`, or `None`.
        use_two_stage: bool, whether predictions have an encoder's part, and so the loss too.
        has_denoising: bool, whether predictions for training have denoising queries.
        has_masks: bool, whether predictions have masks.

    Attributes:
        only_train: tuple of str, the names of those parts that evaluation doesn't have.

    Raises:
        ValueError: an entry of `metrics` is no metric.
    """

    def __init__(
        self, loss, metrics=None, *, use_two_stage=False, has_denoising=False, has_masks=False
    ):
        self.metrics = list(metrics or ())
        for metric in self.metrics:
            if not isinstance(metric, keras.metrics.Metric):
                raise ValueError(
                    "`metrics` must be a list of `keras.metrics.Metric` that take (targets, raw "
                    f"outputs). Received: {metric!r}."
                )
        names, errors, self.only_train = (), (), ()
        if loss is not None:
            of_encoder = loss.encoder_component_names if use_two_stage else ()
            of_masks = loss.mask_component_names if has_masks else ()
            self.only_train = loss.denoising_component_names if has_denoising else ()
            parts = loss.component_names, of_masks, of_encoder, self.only_train
            names = tuple(itertools.chain(*parts))
            errors = loss.metric_names
        self._loss = keras.metrics.Mean("loss")
        self._parts = {name: keras.metrics.Mean(name) for name in names}
        self._errors = {
            name: keras.metrics.Sum(name) if name in COUNTS else keras.metrics.Mean(name)
            for name in errors
        }

    @property
    def all(self):
        """All metrics, the loss and its parts first."""
        return [self._loss, *self._parts.values(), *self._errors.values(), *self.metrics]

    def update(self, components, penalty, num_images):
        """Add a batch.

        Args:
            components: what `HungarianLoss.components` returned.
            penalty: float scalar, what is added to the loss.
            num_images: int scalar, the weight of a batch in means.
        """
        names = [name for name in self._parts if name in components]
        parts = ops.stack([components[name] for name in names])
        means = current().sum_over_replicas(parts) / current().num_replicas()
        self._loss.update_state(ops.sum(means) + penalty, sample_weight=num_images)
        for name, mean in zip(names, ops.unstack(means, len(names)), strict=True):
            self._parts[name].update_state(mean, sample_weight=num_images)
        for name, tracker in self._errors.items():
            weight = None if name in COUNTS else num_images
            tracker.update_state(components[name], sample_weight=weight)
