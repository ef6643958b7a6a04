"""One program from raw images to detections."""

from typing import Any

from keras import ops

from keras_detr.export.resizing import resize_images, resized_size
from keras_detr.ops.backends.portable import portable_programs


class RawImageDetector:
    """Detect objects in a batch of raw images of one size: resize, predict, decode.

    It does the same as `predict` of a detector does for a list of raw images, in one program with
    operations that other runtimes have. Images of one size need no padding. Without a
    `preprocessor`, they aren't resized.

    Args:
        model: `SetPredictionDetector`.

    Call arguments:
        images: uint8 or float32 (batch, height, width, 3), RGB in 0..255, of any size.

    Returns:
        dict of "boxes" float32 (batch, detections, 4) in the model's `bounding_box_format` and for
        the raw images' size, "classes" int32 (batch, detections), "confidence" float32 (batch,
        detections), the most confident first, and "num_detections" int32 (batch,). Of a model with
        masks also "mask_logits" float32 (batch, detections, rows, columns), of the whole image.

    Example:
        ```python
        from keras_detr.export import RawImageDetector

        images = np.zeros((1, 60, 80, 3), "uint8")
        found = RawImageDetector(model)(images)
        print(found["boxes"].shape, found["num_detections"].shape)
        ```
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, images):
        """Return the detections."""
        with portable_programs():
            images = ops.cast(images, "float32")
            height, width = ops.shape(images)[1:3]
            seen = images
            if self.model.preprocessor_sizes is not None:
                size = resized_size(height, width, *self.model.preprocessor_sizes)
                seen = resize_images(images, size)
            outputs = self.model(seen, training=False, return_auxiliary=False)
            sides = [ops.reshape(ops.cast(side, "float32"), (1,)) for side in (height, width)]
            return self.model.prediction_decoder(outputs, image_size=sides)
