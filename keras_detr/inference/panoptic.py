"""The segments of one image, and the forms in which other programs take them."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from keras_detr.inference.image_again import image_again
from keras_detr.ops.masks.encoded_masks import decode_masks

_MOST_SEGMENTS_SHOWN = 3


# Arrays have no single truth value, so segments are compared by identity.
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PanopticSegments:
    """Hold what an image is divided into: things, which are counted, and stuff.

    `len(found)` is the number of segments.

    Attributes:
        path: `pathlib.Path` of the file, `None` for an array.
        image_size: pair of int (height, width), pixels; `None` if the file couldn't be read.
        segments: list of dict, one a segment: "id" (int, from 1 on), "class" (int), "name" (str),
            "is_thing" (bool), "confidence" (float; of merged stuff the highest), "area" (int,
            pixels) and "mask" (dict, as `keras_detr.inference.encode_masks` returns it). No two
            segments share a pixel.
        error: str, why the file couldn't be read; `None` if it could.
        exif: "apply" or "ignore", how the image was read.

    Example:
    ```python
    found = segmenter.segment("photo.png", confidence_threshold=0.0)[0]
    print(found)
    print(found.segment_map().shape)  # That of the photo; 0 where no segment is.
    found.plot("photo_with_segments.png")
    record = found.to_dict()
    ```
    """

    path: pathlib.Path | None
    image_size: tuple[int, int] | None
    segments: list
    error: str | None = None
    exif: str = dataclasses.field(default="apply", kw_only=True)

    def __len__(self):
        return len(self.segments)

    def __repr__(self):
        source = "array" if self.path is None else repr(str(self.path))
        if self.error is not None:
            return f"PanopticSegments({source}, error={self.error!r})"
        count = "1 segment" if len(self) == 1 else f"{len(self) or 'no'} segments"
        by_area = sorted(self.segments, key=lambda segment: -segment["area"])
        pixels = self.image_size[0] * self.image_size[1]
        shares = [f"{one['name']} {one['area'] / pixels:.0%}" for one in by_area]
        if len(shares) > _MOST_SEGMENTS_SHOWN:
            shares[_MOST_SEGMENTS_SHOWN:] = ["..."]
        listed = f": {', '.join(shares)}" if shares else ""
        return f"PanopticSegments({source}, image_size={self.image_size}, {count}{listed})"

    def segment_map(self) -> np.ndarray:
        """Return int32 (image height, image width), the id of each pixel's segment, 0 for none.

        Raises:
            ValueError: there is none, because the file couldn't be read.
        """
        if self.error is not None:
            raise ValueError(f"There are no segments: {self.error}.")
        found: np.ndarray = np.zeros(self.image_size, np.int32)
        for segment in self.segments:
            (mask,) = decode_masks([segment["mask"]], image_size=self.image_size)
            found[mask] = segment["id"]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the segments as a dict that `json.dumps` takes.

        Returns:
            dict of "path" (str or `None`), "image_size" (list of height and width, or `None`),
            "segments" (list of dict, as in the attribute) and "error" (str or `None`).
        """
        return {
            "path": None if self.path is None else str(self.path),
            "image_size": None if self.image_size is None else [int(n) for n in self.image_size],
            "segments": self.segments,
            "error": self.error,
        }

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        image: Any = None,
        title: str | None = None,
    ) -> Any:
        """Draw the segments on their image, as `keras_detr.visualization.plot_segments` does.

        Segments don't hold their image. A file is read again; an array or a picture of PIL has to
        be passed as `image`.

        Args:
            path: where to write the picture, a PNG; or `None`.
            image: path, array or `PIL.Image.Image`, the image that was passed to `segment`; or
                `None` to read the file again.
            title: str, above the image; by default the file's name.

        Returns:
            `matplotlib.figure.Figure`.

        Raises:
            ValueError: `image` is missing, is several images or has another size, or there are no
                segments, because the file couldn't be read.
        """
        # Only this method needs matplotlib.
        from keras_detr.visualization.segments import plot_segments

        pixels = image_again(self, image)
        if title is None:
            title = "Segments" if self.path is None else self.path.name
        return plot_segments(pixels, self.segment_map(), self.segments, title=title, path=path)
