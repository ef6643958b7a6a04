"""Training: the steps, `fit` and `evaluate`."""

import contextlib
from typing import Any

import keras

from keras_detr.batches.shapes import check_batch_size
from keras_detr.batches.structure import training_pair
from keras_detr.models.task.backup.training_backup import resumable_callbacks
from keras_detr.models.task.carried_inputs import with_targets
from keras_detr.models.task.data_adapter import no_warning_at_the_end, split_batch, training_batch
from keras_detr.models.task.divided_batches import checked_data, divided_batch, divided_data
from keras_detr.models.task.trained_variables import build_optimizer
from keras_detr.ops.backends import current
from keras_detr.ops.keras_internals import BuiltOnce, is_validation_of_fit
from keras_detr.ops.processes import naming_process, verbose_of_process


class DetectorTraining(BuiltOnce):
    """Train and evaluate on batches of any structure, whatever backend runs the steps."""

    @contextlib.contextmanager
    def _evaluating(self):
        """Return the context in which `evaluate` runs, also that of a training."""
        was_evaluating = self._untracked.is_evaluating
        self._untracked.is_evaluating = True
        try:
            yield
        finally:
            self._untracked.is_evaluating = was_evaluating

    def train_step(self, *args):
        """Take one step; batches may be KerasCV's dict as well as a pair."""
        *state, data = args
        logs = super().train_step(*state, self._step_data(data, training=True))
        return current().logs_of_replica(logs)

    def test_step(self, *args):
        """Evaluate one batch; batches may be KerasCV's dict as well as a pair."""
        *state, data = args
        with self._evaluating():
            logs = super().test_step(*state, self._step_data(data, training=False))
            return current().logs_of_replica(logs)

    def training_pair(self, batch: Any) -> tuple[Any, Any]:
        """Return what a training loop of your own passes to the model, and then to `compute_loss`.

        `fit` does this by itself.

        Args:
            batch: arrays as `fit` takes them: a dict, or a pair.

        Returns:
            pair of inputs, which carry the targets along where the detector reads them in training
            (denoising queries, masks), and of bounding boxes.

        Raises:
            ValueError: the batch doesn't fit the model.

        Example:
            ```python
            model.compile()
            inputs, bounding_boxes = model.training_pair(next(iter(train_batches)))
            y_pred = model(inputs, training=True)
            print(float(model.compute_loss(inputs, bounding_boxes, y_pred)))
            ```
        """
        return self._step_data(training_batch(self, batch), training=True)

    def _step_data(self, data, training):
        """Return the pair of inputs, with targets where the detector reads them, and targets."""
        inputs, bounding_boxes = split_batch(training_pair(data), self.has_masks)
        if self.wants_targets(training):
            boxes = {name: bounding_boxes[name] for name in ("boxes", "classes")}
            inputs = with_targets(inputs, self.encode_targets(inputs, boxes))
        return inputs, bounding_boxes

    def make_train_function(self, force=False):
        """Create the function that `fit` calls with each batch, compiled where that is possible."""
        if self.train_function is None or force:
            with current().compilable_steps(self):
                super().make_train_function(force)
            self.train_function = current().executions(self, self.train_function, True)
        return self.train_function

    def make_test_function(self, force=False):
        """Create the function that `evaluate` calls with each batch, likewise."""
        if self.test_function is None or force:
            with current().compilable_steps(self):
                super().make_test_function(force)
            self.test_function = current().executions(self, self.test_function, False)
        return self.test_function

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        *args: Any,
        validation_data: Any = None,
        initial_epoch: int = 0,
        **kwargs: Any,
    ) -> Any:
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
            NotImplementedError: on torch, there are several processes, which Keras 3.15 can't train
                together; `training_pair` is for a loop that does.
            FloatingPointError: after an epoch the weights hold a NaN. No callback has seen that
                epoch, so `ModelCheckpoint` hasn't saved it.
        """
        current().check_training()
        check_batch_size(batch_size)
        _refuse_class_weight(kwargs)
        checked = checked_data(self, x, y, steps_per_epoch=kwargs.get("steps_per_epoch"))
        if checked[1] is None and not isinstance(checked[0], keras.utils.PyDataset):
            # Data sets have their own order; Keras warns if its default asks for another.
            kwargs.setdefault("shuffle", False)
        sizes = {"batch_size": batch_size, "steps_per_epoch": kwargs.get("steps_per_epoch")}
        x, y = divided_data(self, *checked, shuffle=kwargs.get("shuffle", True), **sizes)
        if validation_data is not None:
            validation_data = self._validation_data(validation_data, batch_size, kwargs)
        build_optimizer(self)
        if self.compiled:
            callbacks, initial_epoch = resumable_callbacks(self, callbacks, initial_epoch, epochs)
        at_the_end = no_warning_at_the_end(kwargs.get("steps_per_epoch"))
        with naming_process(), current().variables_kept(self), at_the_end:
            return super().fit(
                x,
                y,
                batch_size,
                epochs,
                verbose_of_process(verbose),
                callbacks,
                *args,
                validation_data=validation_data,
                initial_epoch=initial_epoch,
                **kwargs,
            )

    def _validation_data(self, x, batch_size, arguments):
        """Return validation data as Keras' `fit` takes them, checked.

        `arguments` are those of `fit` that have no effect here but by their names: a dict.
        """
        steps = arguments.get("validation_steps")
        checked = checked_data(self, x, is_first_checked=True, validation_steps=steps)
        x, y = divided_data(
            self,
            *checked,
            batch_size=arguments.get("validation_batch_size") or batch_size,
            steps_per_epoch=steps,
        )
        return x if y is None else (x, y)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Return the loss and its parts; takes what `fit` takes."""
        current().check_training()
        check_batch_size(batch_size)
        # Of the positional arguments, `sample_weight` comes before `steps`.
        steps = args[1] if len(args) > 1 else kwargs.get("steps")
        if not is_validation_of_fit(kwargs):
            checked = checked_data(self, x, y, steps=steps)
            x, y = divided_data(self, *checked, batch_size=batch_size, steps_per_epoch=steps)
        with current().variables_kept(self), self._evaluating(), no_warning_at_the_end(steps):
            return super().evaluate(x, y, batch_size, verbose_of_process(verbose), *args, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        """Take one step on a batch; takes arrays as `fit` does."""
        current().check_training()
        _refuse_class_weight(kwargs)
        build_optimizer(self)
        batch = training_batch(self, x, y)
        current().variables_apart(self)
        return super().train_on_batch(*divided_batch(self, batch), **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        """Return the loss and its parts on a batch; takes arrays as `fit` does."""
        current().check_training()
        batch = training_batch(self, x, y)
        current().variables_apart(self)
        return super().test_on_batch(*divided_batch(self, batch), **kwargs)


def _refuse_class_weight(arguments):
    """Raise a ValueError where Keras' weights of classes are given, which it makes of labels."""
    if arguments.get("class_weight") is not None:
        raise ValueError(
            "`class_weight` must be left out: classes aren't weighted, because an image has "
            f"objects of several. Received: {arguments['class_weight']!r}."
        )
