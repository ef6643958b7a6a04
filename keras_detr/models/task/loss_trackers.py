"""The numbers that `fit` logs in addition to the loss."""

import itertools

import keras

COUNTS = ("clipped_boxes", "dropped_boxes")


class LossTrackers:
    """Hold the running means of the loss' parts, and the user's metrics.

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
        names, self.only_train = (), ()
        if loss is not None:
            of_encoder = loss.encoder_component_names if use_two_stage else ()
            of_masks = loss.mask_component_names if has_masks else ()
            self.only_train = loss.denoising_component_names if has_denoising else ()
            parts = loss.component_names, of_masks, of_encoder, self.only_train
            names = (*itertools.chain(*parts), *loss.metric_names)
        self._trackers = {
            name: keras.metrics.Sum(name) if name in COUNTS else keras.metrics.Mean(name)
            for name in names
        }

    @property
    def all(self):
        """All metrics, the loss' parts first."""
        return [*self._trackers.values(), *self.metrics]

    def update(self, components, batch_size):
        """Add what `HungarianLoss.components` says of a batch; its size is its weight in means."""
        for name, tracker in self._trackers.items():
            if name in self.only_train and name not in components:
                continue
            weight = None if name in COUNTS else batch_size
            tracker.update_state(components[name], sample_weight=weight)
