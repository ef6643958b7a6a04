"""What training minimizes and logs: `compile`, the loss, its parts and metrics."""

import logging
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_detr.losses.hungarian_loss import HungarianLoss
from keras_detr.models.task.carried_inputs import image_weights
from keras_detr.models.task.loss_trackers import LossTrackers
from keras_detr.ops.backends import current

logger = logging.getLogger("keras_detr")


class DetectorObjective:
    """Compute one loss that matches predictions with objects, and track its parts."""

    def compile(
        self,
        optimizer: Any = "auto",
        loss: Any = "auto",
        metrics: Sequence[Any] | None = None,
        box_loss: None = None,
        classification_loss: None = None,
        **kwargs: Any,
    ) -> None:
        """Configure training, by default with the paper's optimizer and loss.

        Args:
            optimizer: "auto" (`default_optimizer`), or any Keras optimizer.
            loss: "auto" (the paper's `HungarianLoss`), or a `HungarianLoss`.
            metrics: list of `keras.metrics.Metric`, updated with targets (rel_center_xywh) and raw
                outputs. Where several devices share a batch, targets have "image_weights" too, see
                `HungarianLoss`.
            box_loss: not taken; KerasCV's detectors have it.
            classification_loss: not taken; KerasCV's detectors have it.
            **kwargs: of `keras.Model.compile`: `run_eagerly`, `steps_per_execution`,
                `auto_scale_loss`, and `jit_compile`, which on torch compiles `predict` only.

        Raises:
            ValueError: `box_loss` or `classification_loss` is given, `loss` is no loss for sets, or
                there are weights that no loss would use: `loss_weights` or `weighted_metrics`.
        """
        for name in ("loss_weights", "weighted_metrics"):
            if kwargs.get(name):
                raise ValueError(
                    f"`{name}` must be left out: it would have no effect. The weights of the "
                    "loss' parts are arguments of `keras_detr.HungarianLoss`, such as "
                    f"`class_weight`, and samples have no weights. Received: {kwargs[name]!r}."
                )
        if box_loss is not None or classification_loss is not None:
            raise ValueError(
                f"`{type(self).__name__}.compile` takes no `box_loss` and no "
                "`classification_loss`: one loss matches predictions with objects and then "
                "compares classes and boxes. Leave both out for the paper's loss, or pass "
                "`loss=keras_detr.HungarianLoss(class_weight=..., box_weight=..., "
                "giou_weight=...)`."
            )
        if isinstance(loss, str) and loss == "auto":
            loss = self.default_loss()
        if loss is not None and not isinstance(loss, HungarianLoss):
            raise ValueError(
                f'`loss` must be "auto" or a `keras_detr.HungarianLoss`. Received: {loss!r}.'
            )
        if isinstance(optimizer, str) and optimizer == "auto":
            optimizer = self.default_optimizer()
        elif isinstance(optimizer, str):
            logger.warning(
                "`optimizer=%r` has Keras' default rate, which is far too high for a transformer: "
                "leave `optimizer` out for the paper's, or see `model.default_optimizer`.",
                optimizer,
            )
        # Keras gets no loss: it would trace the whole model to build one that it never calls.
        super().compile(optimizer=optimizer, loss=None, **kwargs)
        self.loss = loss
        self._loss_trackers = LossTrackers(
            loss,
            metrics,
            use_two_stage=self.use_two_stage,
            has_denoising=self.denoising is not None,
            has_masks=self.has_masks,
        )
        # `build_optimizer` accepts whatever layers are frozen by then.
        self._untracked.trained_paths = None

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the total loss of a batch, and track its parts.

        Arguments are those of `keras.Model.compute_loss`. `y` has boxes in `bounding_box_format`,
        classes and perhaps masks, `y_pred` raw outputs; `sample_weight` isn't taken.
        """
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` must be left out: sample weights aren't supported, because the "
                "objects of a batch share one normalizer."
            )
        components = self.loss.components(
            self._compared_targets(x, y), y_pred, is_compiled_by_xla=bool(self.jit_compile)
        )
        penalty = sum(ops.sum(ops.cast(penalty, "float32")) for penalty in self.losses)
        weights = image_weights(x)
        num_images = ops.shape(y_pred["box"])[0] if weights is None else ops.sum(weights)
        self._loss_trackers.update(components, penalty, num_images)
        return self.loss.total(components) + current().loss_of_replica(penalty)

    def _compared_targets(self, x, y):
        """Return the targets that loss and metrics compare with raw outputs."""
        targets = self.encode_targets(x, y)
        weights = image_weights(x)
        return targets if weights is None else {**targets, "image_weights": weights}

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics given to `compile`, and return all logs."""
        if self._loss_trackers.metrics:
            targets = self._compared_targets(x, y)
            for metric in self._loss_trackers.metrics:
                metric.update_state(targets, y_pred)
        return self.get_metrics_result()

    def get_metrics_result(self):
        """Return all logs by name, in evaluation without those that only training has."""
        logs = super().get_metrics_result()
        if self._untracked.is_evaluating and self._loss_trackers is not None:
            return {name: logs[name] for name in logs if name not in self._loss_trackers.only_train}
        return logs

    @property
    def metrics(self):
        """The loss, its parts, and the metrics given to `compile`."""
        if not self.compiled:
            return []
        return self._loss_trackers.all
