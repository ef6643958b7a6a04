"""Training: `compile`, the loss and its parts, `fit` and `evaluate`."""

import contextlib

import keras
from keras import ops

from keras_detr.batches.shapes import check_batch_size
from keras_detr.batches.structure import training_pair
from keras_detr.losses.hungarian_loss import HungarianLoss
from keras_detr.models.task.backup.training_backup import resumable_callbacks
from keras_detr.models.task.data_adapter import (
    no_warning_at_the_end,
    split_batch,
    training_batch,
    training_data,
    with_targets,
)
from keras_detr.models.task.loss_trackers import LossTrackers
from keras_detr.models.task.trained_variables import build_optimizer
from keras_detr.ops.backends import current
from keras_detr.ops.keras_internals import is_validation_of_fit


class DetectorTraining:
    """Train with one loss that matches predictions with objects, on batches of any structure."""

    def compile(
        self,
        optimizer="auto",
        loss="auto",
        metrics=None,
        box_loss=None,
        classification_loss=None,
        **kwargs,
    ):
        """Configure training, by default with the paper's optimizer and loss.

        Args:
            optimizer: "auto" (`default_optimizer`), or any Keras optimizer.
            loss: "auto" (the paper's `HungarianLoss`), or a `HungarianLoss`.
            metrics: list of `keras.metrics.Metric`, updated with targets (rel_center_xywh) and raw
                outputs.
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
        # Keras gets no loss: it would trace the whole model to build one that it never calls.
        super().compile(optimizer=optimizer, loss=None, **kwargs)
        self.loss = loss
        # Keras' list begins with the mean of the loss. Looking for it takes a walk over all layers.
        self._untracked.mean_loss = super().metrics[0]
        has_denoising = self.denoising is not None
        self._loss_trackers = LossTrackers(loss, metrics, self.use_two_stage, has_denoising)
        # `build_optimizer` accepts whatever layers are frozen by then.
        self._untracked.trained_paths = None

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the total loss of a batch, and track its parts.

        Arguments are those of `keras.Model.compute_loss`. `y` has boxes in `bounding_box_format`
        and classes, `y_pred` raw outputs; `sample_weight` isn't taken.
        """
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` must be left out: sample weights aren't supported, because the "
                "objects of a batch share one normalizer."
            )
        targets = self.encode_targets(x, y)
        components = self.loss.components(
            targets, y_pred, is_compiled_by_xla=bool(self.jit_compile)
        )
        self._loss_trackers.update(components, batch_size=ops.shape(y_pred["box"])[0])
        total = self.loss.total(components)
        for penalty in self.losses:
            total = total + ops.sum(ops.cast(penalty, "float32"))
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics given to `compile`, and return all logs."""
        if self._loss_trackers.metrics:
            targets = self.encode_targets(x, y)
            for metric in self._loss_trackers.metrics:
                metric.update_state(targets, y_pred)
        return self.get_metrics_result()

    def get_metrics_result(self):
        """Return all logs by name, in evaluation without those that only training has."""
        logs = super().get_metrics_result()
        if self._untracked.is_evaluating and self._loss_trackers is not None:
            return {name: logs[name] for name in logs if name not in self._loss_trackers.only_train}
        return logs

    @contextlib.contextmanager
    def _evaluating(self):
        """Return the context in which `evaluate` runs, also that of a training."""
        was_evaluating = self._untracked.is_evaluating
        self._untracked.is_evaluating = True
        try:
            yield
        finally:
            self._untracked.is_evaluating = was_evaluating

    @property
    def metrics(self):
        """The loss, its parts, and the metrics given to `compile`."""
        if not self.compiled:
            return []
        return [self._untracked.mean_loss, *self._loss_trackers.all]

    def train_step(self, *args):
        """Take one step; batches may be KerasCV's dict as well as a pair."""
        *state, data = args
        inputs, bounding_boxes = split_batch(training_pair(data))
        if self.denoising is not None:
            inputs = with_targets(inputs, self.encode_targets(inputs, bounding_boxes))
        return super().train_step(*state, (inputs, bounding_boxes))

    def test_step(self, *args):
        """Evaluate one batch; batches may be KerasCV's dict as well as a pair."""
        *state, data = args
        with self._evaluating():
            return super().test_step(*state, split_batch(training_pair(data)))

    def make_train_function(self, force=False):
        """Create the function that `fit` calls with each batch, compiled where that is possible."""
        with current().compilable_steps(self):
            return super().make_train_function(force)

    def make_test_function(self, force=False):
        """Create the function that `evaluate` calls with each batch, likewise."""
        with current().compilable_steps(self):
            return super().make_test_function(force)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        *args,
        validation_data=None,
        initial_epoch=0,
        **kwargs,
    ):
        """Train on KerasCV's dicts, pairs or arrays; see `keras.Model.fit`.

        With `keras.callbacks.BackupAndRestore` among the callbacks, a training that was interrupted
        goes on with everything it had: weights, optimizer, `History`, and the state of
        `EarlyStopping`, `ModelCheckpoint`, `ReduceLROnPlateau` and `COCOEvaluation`, in any order.
        A training that `EarlyStopping` had ended isn't continued. For a callback of your own,
        implement `get_training_state()`, which returns a dict of JSON values and arrays, and
        `set_training_state(state)`. A backup is written completely or not at all; with
        `double_checkpoint=True` the previous one is kept too, and loaded if the newer is damaged.
        There is a backup of every epoch, and with a `save_freq` in batches also in between.

        Arguments that aren't listed are those of `keras.Model.fit`.

        Args:
            x: `tf.data.Dataset`, generator or `keras.utils.PyDataset` of batches; or arrays. A
                batch is a dict of "images", optionally "pixel_mask", and "bounding_boxes" (a dict
                of "boxes" and "classes"), or a pair (inputs, bounding_boxes).
            y: dict of "boxes" and "classes", if `x` holds arrays of inputs.
            validation_data: like `x`, or a pair (x, y) of arrays. Arrays, and the first batch of a
                data set, are checked before training starts.
            initial_epoch: int, the epoch to begin with if there is no backup.

        Raises:
            ValueError: targets don't fit the model, an image has a NaN, layers were frozen or
                unfrozen since the first step, or none of the existing backups can be loaded.
            FloatingPointError: after an epoch the weights hold a NaN. No callback has seen that
                epoch, so `ModelCheckpoint` hasn't saved it.
        """
        check_batch_size(batch_size)
        _refuse_class_weight(kwargs)
        x, y = training_data(self, x, y)
        if validation_data is not None:
            validation_data, targets = training_data(self, validation_data, is_first_checked=True)
            validation_data = validation_data if targets is None else (validation_data, targets)
        if y is None and not isinstance(x, keras.utils.PyDataset):
            # Data sets have their own order; Keras warns if its default asks for another.
            kwargs.setdefault("shuffle", False)
        build_optimizer(self)
        if self.compiled:
            callbacks, initial_epoch = resumable_callbacks(self, callbacks, initial_epoch, epochs)
        with current().variables_kept(self), no_warning_at_the_end(kwargs.get("steps_per_epoch")):
            return super().fit(
                x,
                y,
                batch_size,
                epochs,
                verbose,
                callbacks,
                *args,
                validation_data=validation_data,
                initial_epoch=initial_epoch,
                **kwargs,
            )

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """Return the loss and its parts; takes what `fit` takes."""
        check_batch_size(batch_size)
        if not is_validation_of_fit(kwargs):
            x, y = training_data(self, x, y)
        # Of the positional arguments, `verbose` and `sample_weight` come before `steps`.
        steps = args[2] if len(args) > 2 else kwargs.get("steps")
        with current().variables_kept(self), self._evaluating(), no_warning_at_the_end(steps):
            return super().evaluate(x, y, batch_size, *args, **kwargs)

    def train_on_batch(self, x, y=None, **kwargs):
        """Take one step on a batch; takes arrays as `fit` does."""
        _refuse_class_weight(kwargs)
        build_optimizer(self)
        return super().train_on_batch(*training_batch(self, x, y), **kwargs)

    def test_on_batch(self, x, y=None, **kwargs):
        """Return the loss and its parts on a batch; takes arrays as `fit` does."""
        return super().test_on_batch(*training_batch(self, x, y), **kwargs)


def _refuse_class_weight(arguments):
    """Raise a ValueError where Keras' weights of classes are given, which it makes of labels."""
    if arguments.get("class_weight") is not None:
        raise ValueError(
            "`class_weight` must be left out: classes aren't weighted, because an image has "
            f"objects of several. Received: {arguments['class_weight']!r}."
        )
