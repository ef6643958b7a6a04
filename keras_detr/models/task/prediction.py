"""Prediction: `predict` on batches and raw images, attention, and export."""

import os
from typing import Any

from keras_detr.batches.shapes import check_batch_size
from keras_detr.inference.detection import detect
from keras_detr.inference.detections import Detections
from keras_detr.models.task.data_adapter import prediction_batch, prediction_inputs, split_batch
from keras_detr.models.task.decoder_attention import AttentionModel, attend
from keras_detr.models.task.raw_images import (
    build_preprocessor,
    is_list_of_images,
    sizes_of_preprocessor,
)
from keras_detr.models.task.raw_prediction import predict_raw_images
from keras_detr.ops.backends import current
from keras_detr.ops.processes import by_first_process, verbose_of_process


class DetectorPrediction:
    """Return detections, computing nothing that only training needs."""

    def predict_step(self, *args):
        """Return detections of one batch, without computing what they don't need."""
        *state, data = args
        inputs = split_batch(data)[0]
        kwargs = {"training": False, "return_auxiliary": False}
        if state:
            # The JAX trainer hands the variables over, and takes them back.
            trainable_variables, non_trainable_variables = state[0]
            outputs, non_trainable_variables = self.stateless_call(
                trainable_variables, non_trainable_variables, inputs, **kwargs
            )
            return self.decode_predictions(outputs, inputs), non_trainable_variables
        return self.decode_predictions(self(inputs, **kwargs), inputs)

    def make_predict_function(self, force=False):
        """Create the function that `predict` calls with each batch.

        The backend may have a program of its own under `jit_compile`: torch compiles only this.
        """
        if self.predict_function is not None and not force:
            return self.predict_function
        self.predict_function = current().prediction_function(self)
        if self.predict_function is not None:
            return self.predict_function
        program = None
        if self.jit_compile:
            program = current().prediction_program(self, lambda x: self.predict_step((x,)))
        if program is None:
            return super().make_predict_function(force)
        self.predict_function = lambda batches: program(split_batch(batches[0])[0])
        return self.predict_function

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return detections for images; takes what `fit` takes, with or without targets.

        A list of raw images, arrays (height, width, 3) of any sizes, RGB in 0..255, passes
        through `preprocessor` first. Its boxes are in pixels of each original image, or relative
        to it, as `bounding_box_format` says. A batch, which is an array, a dict or from a data set,
        is taken as it is; where `preprocessor` would resize it and there is no "pixel_mask", a line
        in the log says so once. For files, and images of any kind, there is `detect`.

        Returns:
            dict of NumPy arrays: see `decode_predictions`. Of a model with masks a batch gives
            "mask_logits", and a list of raw images gives "masks": for each image a list with a
            mask of the original image for each detection, as `keras_detr.inference.encode_masks`
            returns them. `confidence_threshold`, float, then leaves out the masks of less confident
            detections, which takes less time.

        Example:
        ```python
        photo = keras_detr.inference.read_image("photo.png")
        found = model.predict([photo])  # resized; boxes are in pixels of the photo
        batch = model.preprocessor([photo])
        found = model.predict(batch)  # the same, in pixels of the resized image
        ```
        """
        if is_list_of_images(x):
            return predict_raw_images(self, x, batch_size, verbose, *args, **kwargs)
        check_batch_size(batch_size)
        verbose = verbose_of_process(verbose)
        # Now, as it depends on what there is beside this process.
        self.make_predict_function()
        with current().variables_kept(self), current().predicting(self):
            inputs = prediction_inputs(self, x)
            return super().predict(inputs, batch_size, verbose, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> dict[str, Any]:
        """Return detections for a batch, which isn't resized; takes arrays as `predict` does."""
        current().variables_apart(self)
        return super().predict_on_batch(prediction_batch(self, x))

    def detect(
        self,
        images: Any,
        *,
        confidence_threshold: float = 0.5,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        exif: str = "apply",
    ) -> list[Detections]:
        """Return the objects in images of any kind and size, in pixels of each image.

        It is `keras_detr.detect(model, images, ...)`, which describes the arguments and errors.

        Args:
            images: path of an image file or of a folder of them, array, `PIL.Image.Image`, batch
                of arrays, or a list of these, mixed.
            confidence_threshold: float in 0..1, less confident objects are left out.
            batch_size: int or `None`, the number of images that are predicted at a time.
            verbose: "auto", 0 or 1: whether to show a progress bar.
            exif: "apply" or "ignore", whether pictures are turned as their EXIF tag says.

        Returns:
            list of `keras_detr.inference.Detections`, one for every image, in the same order.

        Example:
        ```python
        for found in model.detect(["photo.png", "holiday_pictures"], confidence_threshold=0.7):
            print(found.path, found.names, found.boxes)
        ```
        """
        return detect(
            self,
            images,
            confidence_threshold=confidence_threshold,
            batch_size=batch_size,
            verbose=verbose,
            exif=exif,
        )

    def decoder_attention(self, inputs: Any) -> dict[str, Any]:
        """Return where each query looked in the image, in every decoder layer.

        This is for looking into a model; `predict` and training compute none of it.

        Args:
            inputs: a batch: images, or a dict of "images" and perhaps "pixel_mask"; `preprocessor`
                makes one from raw images.

        Returns:
            dict of NumPy arrays. What each query found, in the order of the queries: "boxes"
            float32 (batch, queries, 4) in `bounding_box_format`, "classes" int (batch, queries),
            the likeliest, and "confidence" float32 (batch, queries). What it looked at:
            "attention_weights" float32, which sum to 1 for each head: (batch, layers, queries,
            heads, height, width) of the map that DETR's decoder reads, of the padded image, and 0
            on padding; of Deformable DETR (batch, layers, queries, heads, levels, points), of the
            "sampling_points" float32 (batch, layers, queries, heads, levels, points, 2), x and y
            relative to the unpadded image, outside of 0..1 where a point misses it.

        Raises:
            NotImplementedError: the detector has no `attend_set`.
        """
        if self._untracked.attention_model is None:
            self._untracked.attention_model = AttentionModel(self)
        return attend(self._untracked.attention_model, inputs)

    @property
    def is_trained_unpadded(self):
        """bool, whether the backbone is dilated (DC5).

        The published weights of such models were trained and scored on single images without
        padding, and padding costs them about 10 AP. `predict` and `detect` take their images one by
        one; `keras_detr.preprocessing.evaluation_batches` does with `batch_size=None`.

        Source: facebookresearch/detr, README.md.
        """
        return bool(getattr(self.backbone, "dilation", False))

    @property
    def preprocessor(self):
        """`keras_detr.preprocessing.DETRPreprocessor`: what raw images pass through first.

        Another one can be assigned, or `None`: then raw images keep their size in `predict`,
        `detect` and exports, and those of one size are predicted together. What is assigned is
        saved with the model, as `preprocessor_sizes`. Resizing needs TensorFlow, whatever the
        backend is.
        """
        if self.preprocessor_sizes is None:
            return None
        if sizes_of_preprocessor(self._untracked.preprocessor) != tuple(self.preprocessor_sizes):
            self._untracked.preprocessor = build_preprocessor(
                self.preprocessor_sizes, self.bounding_box_format
            )
        return self._untracked.preprocessor

    @preprocessor.setter
    def preprocessor(self, preprocessor):
        self.preprocessor_sizes = sizes_of_preprocessor(preprocessor)
        self._untracked.preprocessor = preprocessor

    def __setattr__(self, name, value):
        if name == "preprocessor":
            # Keras would make it one of the model's layers.
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @by_first_process
    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        *,
        input_dtype: str = "uint8",
    ) -> None:
        """Write the detector as a program for other runtimes: raw images in, detections out.

        Resizing (as `preprocessor` does it, if there is one) and decoding are inside; the batch and
        the size of images are free at every call, and all images of a call have one size. The file
        is read without keras_detr and without Keras. Its one input is "images", `input_dtype`
        (batch, height, width, 3), RGB in 0..255; its outputs are those of `decode_predictions`,
        boxes in `bounding_box_format` of the original images. They are what `predict` returns for a
        list of images with `batch_size=1`, within rounding. Names of classes, if the model has
        them, and the `bounding_box_format` are in the file; the guide to export shows how to read
        them.

        - "tf_saved_model" is a folder: `tf.saved_model.load(path).serve(images)`.
        - "onnx" is a file whose name ends in ".onnx", of opset 18:
          `onnxruntime.InferenceSession(path).run(None, {"images": images})`.
        - "litert" is a file whose name ends in ".tflite", of builtin operations:
          `Interpreter(path).get_signature_runner()(images=images)` of ai_edge_litert.interpreter.

        Args:
            filepath: str or path. An earlier export there is replaced once the new one is complete;
                anything else there stays, and is an error.
            format: str, "tf_saved_model", "onnx" or "litert".
            verbose: bool or `None`, whether to print where the file is; `None` does.
            input_dtype: str, "uint8" or "float32".

        Raises:
            ValueError: an argument can't be understood, something else is at `filepath`, or the
                format can't hold the model: ONNX and LiteRT hold float32 only.
            NotImplementedError: the Keras backend isn't TensorFlow.
            ImportError: a package of the extra `export` is missing.
            OSError: it can't be written, for example because the disk is full.
        """
        # Only this method needs TensorFlow.
        from keras_detr.export import export_detector

        export_detector(self, filepath, format, input_dtype=input_dtype)
        if verbose is None or verbose:
            print(f"Exported {self.name} as {format} to {str(filepath)!r}.")
