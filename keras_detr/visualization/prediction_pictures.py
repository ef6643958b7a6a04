"""Log pictures of predictions for TensorBoard."""

import io
import os
import time
from collections.abc import Sequence
from typing import Any

import keras

from keras_detr.batches.arrays import numpy_parts
from keras_detr.batches.carried_format import check_carried_format
from keras_detr.batches.class_names import check_class_names
from keras_detr.batches.structure import batch_parts
from keras_detr.visualization.drawn_objects import drawn_targets
from keras_detr.visualization.model_predictions import plot_predictions

# TensorBoard's number for this color space.
_RGBA = 4


class PredictionPictures(keras.callbacks.Callback):
    """Log a picture of predictions beside the ground truth for TensorBoard, at the end of epochs.

    `tensorboard --logdir <log_dir>` shows it under "Images", with a slider for the epochs. It works
    on every backend, and together with `keras.callbacks.TensorBoard`.

    Args:
        log_dir: str or path of the folder for TensorBoard's files; created where it doesn't exist.
        batch: one batch of images and their true objects, as `plot_batch` takes it:
            `next(iter(validation_batches))`.
        every: int, the number of epochs from one picture to the next.
        confidence_threshold: float, less confident detections aren't drawn.
        class_names: sequence of str, one a class; or `None` for those of the model, if it has any.
        max_images: int, the most images of the batch that are drawn.

    Raises:
        ImportError: TensorBoard isn't installed.
        ValueError: `every` is below 1, names aren't names, or the batch has no images or no boxes;
            when `fit` begins: it carries another format than the model's.

    Example:
    ```python
    model.compile()
    pictures = keras_detr.visualization.PredictionPictures("logs", next(iter(validation_batches)))
    model.fit(train_batches, epochs=10, callbacks=[pictures])
    ```
    """

    # Of several processes, only the first one has it.
    only_writes_files = True

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        batch: Any,
        *,
        every: int = 1,
        confidence_threshold: float = 0.5,
        class_names: Sequence[str] | None = None,
        max_images: int = 6,
    ) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"`every` must be at least 1. Received: {every}.")
        # An error now is better than one after the first epoch.
        _import_tensorboard()
        self.log_dir = os.fspath(log_dir)
        self.every = every
        self.confidence_threshold = confidence_threshold
        self.class_names = check_class_names(class_names)
        parts = numpy_parts(batch_parts(batch))
        self._carried_format = parts.carried_format
        objects = drawn_targets(parts, max_images)
        self._batch = {"images": parts.images[:max_images], "bounding_boxes": objects}
        if parts.pixel_mask is not None:
            self._batch["pixel_mask"] = parts.pixel_mask[:max_images]
        self._writer = None

    def on_train_begin(self, logs=None):
        """Check that the true boxes are in the model's format."""
        check_carried_format(self._carried_format, self.model.bounding_box_format)

    def on_epoch_end(self, epoch, logs=None):
        """Predict, draw, and log the picture."""
        if (epoch + 1) % self.every:
            return
        picture = io.BytesIO()
        figure = plot_predictions(
            self.model,
            self._batch,
            class_names=self.class_names,
            confidence_threshold=self.confidence_threshold,
            max_images=len(self._batch["images"]),
        )
        figure.savefig(picture, format="png")
        self._write(picture.getvalue(), figure.canvas.get_width_height(), epoch)

    def on_train_end(self, logs=None):
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, png, size, epoch):
        """Log a picture at the same step as `keras.callbacks.TensorBoard` logs the epoch."""
        file_writer, event, summary = _import_tensorboard()
        if self._writer is None:
            self._writer = file_writer.EventFileWriter(self.log_dir)
        image = summary.Summary.Image(
            encoded_image_string=png, width=size[0], height=size[1], colorspace=_RGBA
        )
        value = summary.Summary.Value(tag="predictions", image=image)
        self._writer.add_event(
            event.Event(wall_time=time.time(), step=epoch, summary=summary.Summary(value=[value]))
        )
        # Seen while the training goes on.
        self._writer.flush()


def _import_tensorboard():
    """Return TensorBoard's modules for writing events, or raise ImportError."""
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer import event_file_writer
    except ImportError as error:
        raise ImportError(
            "`PredictionPictures` needs TensorBoard, which isn't installed: `pip install "
            "tensorboard`."
        ) from error
    return event_file_writer, event_pb2, summary_pb2
