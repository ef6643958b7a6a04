"""The objects in one image, and the forms in which other programs take them."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from keras_detr.inference.image_again import image_again
from keras_detr.ops.masks.encoded_masks import decode_masks

_MOST_OBJECTS_SHOWN = 3


# Arrays have no single truth value, so detections are compared by identity.
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """Hold the objects in one image, the most confident first.

    `len(found)` is their number.

    Attributes:
        path: `pathlib.Path` of the file, `None` for an array.
        image_size: pair of int (height, width), pixels; `None` if the file couldn't be read.
        boxes: float32 (objects, 4), xyxy in pixels of the image, upright unless EXIF is ignored.
        classes: int64 (objects,).
        names: list of str, the classes' names; "class 0", "class 1", ... if the model has none.
        confidence: float32 (objects,), in 0..1.
        error: str, why the file couldn't be read; `None` if it could.
        exif: "apply" or "ignore", how `keras_detr.detect` read the image.
        masks: list of dict, the mask of each object as COCO's compressed run lengths, see
            `keras_detr.inference.encode_masks`; `None` of a model without masks.

    Example:
    ```python
    found = keras_detr.detect(model, "photo.png", confidence_threshold=0.0)[0]
    print(found)
    found.plot("photo_with_boxes.png")
    record = found.to_dict()
    ```
    """

    path: pathlib.Path | None
    image_size: tuple[int, int] | None
    boxes: np.ndarray
    classes: np.ndarray
    names: list
    confidence: np.ndarray
    error: str | None = None
    exif: str = dataclasses.field(default="apply", kw_only=True)
    masks: list | None = dataclasses.field(default=None, kw_only=True)

    def __len__(self):
        return len(self.classes)

    def __repr__(self):
        source = "array" if self.path is None else repr(str(self.path))
        if self.error is not None:
            return f"Detections({source}, error={self.error!r})"
        count = "1 object" if len(self) == 1 else f"{len(self) or 'no'} objects"
        pairs = zip(self.names, self.confidence, strict=True)
        objects = [f"{name} {confidence:.2f}" for name, confidence in pairs]
        if len(objects) > _MOST_OBJECTS_SHOWN:
            objects[_MOST_OBJECTS_SHOWN:] = ["..."]
        listed = f": {', '.join(objects)}" if objects else ""
        return f"Detections({source}, image_size={self.image_size}, {count}{listed})"

    def to_dict(self) -> dict[str, Any]:
        """Return the detections as a dict that `json.dumps` takes.

        Returns:
            dict of "path" (str or `None`), "image_size" (list of height and width, or `None`),
            "boxes" (list of lists of four float, xyxy), "classes" (list of int), "names" (list of
            str), "confidence" (list of float), "error" (str or `None`), and of a model with masks
            "masks" (list of dict of "size" and "counts", as COCO's files have them).
        """
        masks = {} if self.masks is None else {"masks": self.masks}
        return {
            "path": None if self.path is None else str(self.path),
            "image_size": None if self.image_size is None else [int(n) for n in self.image_size],
            "boxes": self.boxes.tolist(),
            "classes": self.classes.tolist(),
            "names": [str(name) for name in self.names],
            "confidence": self.confidence.tolist(),
            "error": self.error,
            **masks,
        }

    def dense_masks(self) -> np.ndarray:
        """Return the masks as bool (objects, image height, image width).

        Raises:
            ValueError: there are none: the model has no masks, or the file couldn't be read.
        """
        if self.masks is None:
            reason = self.error or "the model that found these objects has none"
            raise ValueError(f"There are no masks: {reason}.")
        return decode_masks(self.masks, image_size=self.image_size)

    def to_supervision(self) -> Any:
        """Return the detections as `supervision.Detections`, with "class_name" in their data.

        Raises:
            ImportError: supervision isn't installed.
        """
        try:
            import supervision
        except ModuleNotFoundError as error:
            raise _missing("supervision") from error
        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.confidence,
            class_id=self.classes,
            mask=None if self.masks is None else self.dense_masks(),
            data={"class_name": np.array(self.names, dtype=str)},
        )

    def to_pandas(self) -> Any:
        """Return the detections as a `pandas.DataFrame` with a row for each object.

        Its columns are "x1", "y1", "x2", "y2" (pixels), "class" (int), "name" and "confidence".

        Raises:
            ImportError: pandas isn't installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise _missing("pandas") from error
        corners = dict(zip(("x1", "y1", "x2", "y2"), self.boxes.T, strict=True))
        columns = {"class": self.classes, "name": self.names, "confidence": self.confidence}
        return pandas.DataFrame({**corners, **columns})

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        image: Any = None,
        title: str | None = None,
    ) -> Any:
        """Draw the objects on their image, as `keras_detr.visualization.plot_detections` does.

        Masks are drawn where there are some.

        Detections don't hold their image, so that those of thousands of images take little memory.
        A file is read again; an array or a picture of PIL has to be passed as `image`.

        Args:
            path: where to write the picture, a PNG; or `None`.
            image: path, array or `PIL.Image.Image`, the image that was passed to
                `keras_detr.detect`; or `None` to read the file again.
            title: str, above the image; by default the file's name.

        Returns:
            `matplotlib.figure.Figure`.

        Raises:
            ValueError: `image` is missing, is several images or has another size, or there are no
                detections, because the file couldn't be read.
        """
        # Only this method needs matplotlib.
        from keras_detr.visualization.detections import plot_detections

        if title is None:
            title = "Detections" if self.path is None else self.path.name
        names = {int(label): name for label, name in zip(self.classes, self.names, strict=True)}
        class_names = [names.get(n, f"class {n}") for n in range(max(names, default=0) + 1)]
        return plot_detections(
            image_again(self, image),
            {
                "boxes": self.boxes,
                "classes": self.classes,
                "confidence": self.confidence,
                "masks": self.masks,
            },
            "xyxy",
            class_names=class_names,
            confidence_threshold=0.0,
            title=title,
            path=path,
        )


def _missing(package):
    return ImportError(
        f"`to_{package}` needs {package}, which isn't installed: "
        f'`pip install "keras_detr[{package}]"`.'
    )
