"""COCO's metrics in the logs of `fit`."""

import itertools
from collections.abc import Mapping
from typing import Any

import keras

from keras_detr.batches.class_names import check_same_classes
from keras_detr.batches.image_range import image_range_of
from keras_detr.batches.structure import repeats_forever
from keras_detr.evaluation.coco_metrics import COCOMetrics
from keras_detr.evaluation.detector_evaluation import check_batch, evaluate_batches
from keras_detr.evaluation.mask_scores import MaskScores
from keras_detr.evaluation.shared_batches import SharedBatches
from keras_detr.evaluation.summary import class_table, f1_line, summary_table
from keras_detr.ops.processes import failing_together, is_first_process


class COCOEvaluation(keras.callbacks.Callback):
    """Evaluate a model as COCO does while it trains, and add the metrics to the logs of `fit`.

    The logs get "val_AP", "val_AP50", "val_AP75", "val_AP_small", "val_AP_medium",
    "val_AP_large", "val_AR1", "val_AR10", "val_AR100", "val_AR_small", "val_AR_medium" and
    "val_AR_large". `History`, `EarlyStopping(monitor="val_AP", mode="max")`, `ModelCheckpoint`
    and `CSVLogger` see them if they come after this callback in the list of callbacks.

    If the model predicts masks and the batches have them, "val_mask_AP" and so on follow, COCO's
    metrics of masks; see `evaluate_detector`.

    Every epoch has metrics: the first, every `every`-th and the last are evaluated, and the epochs
    between repeat the last result. A repeated value is no improvement, so `ModelCheckpoint` saves
    only evaluated epochs, and `EarlyStopping` counts all epochs.

    Where several processes train together, each predicts its share of the batches, see
    `evaluate_detector`; all log the figures of all images, and the first prints them.

    A metric is NaN if the data set has no such objects, for example no small ones. Don't monitor
    it then: Keras never finds a number better than NaN.

    Args:
        batches: batches of validation images, see `evaluate_detector`. They are read once for each
            evaluation, and only one of them is in memory. They should contain COCO's crowds. Every
            process gets the same.
        every: int, the number of epochs from one evaluation to the next.
        per_class: bool, whether the AP of each class is shown, and logged as "val_AP/<name>" and
            "val_mask_AP/<name>"; names are the model's `class_names`, or the numbers of the
            classes.
        f1: bool, whether the best F1 of boxes at IoU 0.50 is shown, and logged as "val_F1", and the
            confidence threshold that gives it as "val_F1_confidence"; with `per_class` also
            "val_F1/<name>". See `COCOMetrics.curves`.
        verbose: int: 0 prints nothing, 1 a table, 2 also a progress bar.

    Raises:
        ValueError: `every` isn't a positive integer; `batches` can be read only once, or never
            end; when `fit` begins: the first batch isn't as `evaluate_detector` takes it.
        TypeError: when `fit` begins: the model is no detector.

    Example:
        ```python
        from keras_detr.evaluation import COCOEvaluation

        model.compile()
        history = model.fit(train_batches, epochs=1, callbacks=[COCOEvaluation(valid_batches)])
        print(history.history["val_AP"])
        ```
    """

    # At the end of an epoch: `fit` says so where averages come into their place later.
    reads_weights = True
    # Callbacks that monitor these come after it.
    logs_coco_figures = True

    def __init__(
        self,
        batches: Any,
        *,
        every: int = 1,
        per_class: bool = False,
        f1: bool = False,
        verbose: int | str = 1,
    ) -> None:
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(
                "`every` must be a number of epochs, an integer of at least 1. "
                f"Received: {every!r}."
            )
        _check_readable_again(batches)
        self.batches = batches
        self.every = every
        self.per_class = per_class
        self.f1 = f1
        self.verbose = verbose
        self._figures = None
        self._masks = None

    def on_train_begin(self, logs=None):
        """Check the model and the first batch of the data set before training starts."""
        _check_detector(self.model)
        check_same_classes(self.batches, self.model)
        self._masks = MaskScores(self.model)
        with failing_together():
            for batch in itertools.islice(SharedBatches(self.batches), 1):
                check_batch(self.model, batch, self._masks, image_range_of(self.model))
        self._figures = None

    def on_epoch_end(self, epoch, logs=None):
        """Evaluate if this epoch is due, and add the metrics to `logs`."""
        number = epoch + 1
        is_last = number == (self.params or {}).get("epochs")
        if self._figures is None or number % self.every == 0 or is_last:
            self._figures = self._evaluate(number)
        if logs is not None:
            logs.update(self._figures)

    def get_training_state(self) -> dict[str, Any]:
        """Return the last metrics, which resumed training repeats until the next evaluation."""
        return {"figures": self._figures}

    def set_training_state(self, state: Mapping[str, Any]) -> None:
        """Restore the metrics of `get_training_state`."""
        self._figures = state["figures"]

    def _evaluate(self, number):
        model = self.model
        names = getattr(model, "class_names", None) if self.per_class else None
        metrics = COCOMetrics("rel_xyxy", num_classes=model.num_classes, class_names=names)
        if self._masks is None:
            self._masks = MaskScores(model)
        self._masks.reset()
        result = evaluate_batches(
            model, self.batches, metrics, self._masks, verbose=int(self.verbose > 1)
        )
        figures = {f"val_{name}": value for name, value in result.items()}
        curves = metrics.curves() if self.f1 else None
        tables = [summary_table(result)]
        if self.f1:
            best = curves.best()
            figures["val_F1"] = best["F1"]
            figures["val_F1_confidence"] = best["confidence_threshold"]
            tables.append(f1_line(best))
        if self.per_class:
            by_class = metrics.result_per_class()
            f1_by_class = curves.best_per_class() if self.f1 else None
            figures.update({f"val_AP/{name}": value for name, value in by_class.items()})
            for name, found in (f1_by_class or {}).items():
                figures[f"val_F1/{name}"] = found["F1"]
            masks_by_class = self._masks.result_per_class()
            for name, value in (masks_by_class or {}).items():
                figures[f"val_mask_AP/{name}"] = value
            tables.append(class_table(by_class, f1_by_class, masks_by_class))
        # What was found isn't kept while the model trains.
        self._masks.reset()
        if self.verbose and is_first_process():
            # The progress bar of `fit` hasn't ended its line.
            print("", f"Epoch {number}, in percent", *tables, sep="\n", flush=True)
        return figures


def _check_detector(model):
    names = ("predict_on_batch", "num_classes", "bounding_box_format")
    missing = [name for name in names if not hasattr(model, name)]
    if missing:
        raise TypeError(
            "`COCOEvaluation` evaluates the detectors of keras_detr, such as `DETR`. Received a "
            f"{type(model).__name__} without {', '.join(f'`{name}`' for name in missing)}."
        )


def _check_readable_again(batches):
    if hasattr(batches, "__next__"):
        raise ValueError(
            "`batches` must be readable once for each evaluation: pass a tf.data.Dataset, a "
            "keras.utils.PyDataset or a list of batches. Received an iterator, which is used up "
            f"by the first: {type(batches).__name__}."
        )
    if repeats_forever(batches):
        raise ValueError(
            "`batches` must end: an evaluation reads all of them. Received a data set that repeats "
            "forever; leave out `repeat()`, or append `take(number_of_batches)`."
        )
