"""Write detections as COCO's results.json."""

import os
import tempfile
from pathlib import Path

import keras


class COCOResultsWriter:
    """Write a results.json, as COCO's server and pycocotools' `loadRes` read it.

    A list of `{"image_id", "category_id", "bbox": [x, y, width, height], "score"}`, boxes in
    pixels of the original image to a hundredth of a pixel, scores to six digits. Batches are
    written as they come, into a file beside `path` that replaces `path` when the `with` block
    ends; if the block fails, it is removed, and what stood at `path` stays.

    Args:
        path: str or path of the file; its folder must exist.
        category_ids: sequence of int, the id of each class in the annotations of the images;
            COCO's own are `keras_detr.checkpoints.coco_categories.COCO_CATEGORY_IDS`.

    Example:
    ```python
    from keras_detr.checkpoints import COCO_CATEGORY_IDS
    from keras_detr.evaluation import COCOResultsWriter, evaluate_detector

    with COCOResultsWriter("results.json", category_ids=COCO_CATEGORY_IDS) as writer:
        evaluate_detector(
            model,
            validation_batches,
            on_batch=lambda batch, found: writer.write(batch["image_id"], found),
        )
    ```

    Raises:
        FileNotFoundError: when the block begins: the folder doesn't exist.
    """

    def __init__(self, path, *, category_ids):
        self.path = Path(path)
        self.category_ids = tuple(int(category) for category in category_ids)
        self.num_detections = 0
        self._file = None

    def __enter__(self):
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"`path` must lie in a folder that exists. Received: {str(self.path)!r}."
            )
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}-")
        self._unfinished = Path(name)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")
        self._file.write("[")
        return self

    def write(self, image_ids, detections):
        """Add the detections of a batch.

        Args:
            image_ids: int (batch,), the ids of the images in their annotations.
            detections: dict of "boxes" (batch, K, 4), xyxy in pixels of the original images,
                "classes", "confidence" (batch, K) and perhaps "num_detections" (batch,). Class
                -1, and what is beyond "num_detections", is padding.

        Raises:
            ValueError: the file isn't open, or a class has no category id.
        """
        if self._file is None:
            raise ValueError("A results file is written inside of a `with` block only.")
        found = {name: keras.ops.convert_to_numpy(value) for name, value in detections.items()}
        image_ids = keras.ops.convert_to_numpy(image_ids)
        if found["classes"].size and found["classes"].max() >= len(self.category_ids):
            raise ValueError(
                f"`category_ids` must name the category of every class. Received: "
                f"{len(self.category_ids)} ids, and a detection of class {found['classes'].max()}."
            )
        for index, image_id in enumerate(image_ids):
            number = int(found["num_detections"][index]) if "num_detections" in found else None
            rows = [found[name][index][:number] for name in ("boxes", "classes", "confidence")]
            for box, label, confidence in zip(*(row.tolist() for row in rows), strict=True):
                if label >= 0:
                    self._write_one(int(image_id), box, int(label), confidence)

    def __exit__(self, kind, error, traceback):
        try:
            if kind is None:
                self._file.write("\n]\n")
            self._file.close()
            if kind is None:
                # A temporary file is for its owner's eyes only.
                self._unfinished.chmod(0o666 & ~_umask())
                os.replace(self._unfinished, self.path)
        finally:
            self._file = None
            self._unfinished.unlink(missing_ok=True)

    def _write_one(self, image_id, box, label, confidence):
        left, top, right, bottom = box
        bbox = ", ".join(f"{value:.2f}" for value in (left, top, right - left, bottom - top))
        self._file.write(
            f'{"," if self.num_detections else ""}\n{{"image_id": {image_id}, "category_id": '
            f'{self.category_ids[label]}, "bbox": [{bbox}], "score": {confidence:.9g}}}'
        )
        self.num_detections += 1


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask
