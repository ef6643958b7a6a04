"""Write detections as COCO's results.json."""

import contextlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_detr.checkpoints.files.atomic_files import folder_beside, move_file
from keras_detr.ops.backends import current
from keras_detr.ops.processes import (
    check_outcomes,
    failing_together,
    first_process_first,
    gather,
    is_first_process,
)


class COCOResultsWriter:
    """Write a results.json for COCO's server and pycocotools' `loadRes`.

    It is a list of `{"image_id", "category_id", "bbox": [x, y, width, height], "score"}`, with
    boxes in pixels of the original image to a hundredth of a pixel. Each batch is written at once
    to a temporary file, which replaces `path` when the `with` block ends. If the block fails, it is
    removed, and a file that exists at `path` is kept.

    Detections with masks have "segmentation" too, `{"size", "counts"}`. To evaluate masks by size
    with pycocotools, remove "bbox": it takes the areas of boxes where there are any.

    Where several processes evaluate together, each of them opens the writer and writes the batches
    that it has predicted. When the block ends, the first process writes what all have written, in
    the order of the batches, to `path`: the file that one process would write.

    Args:
        path: str or path of the file; its folder must exist.
        category_ids: sequence of int, the category id of each class in the annotations: the
            `category_ids` of a data set. None for a class leaves its detections out, which no
            annotation could be compared with. COCO's are
            `keras_detr.checkpoints.COCO_CATEGORY_IDS`.

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
        RuntimeError: the block has failed in another process.
    """

    def __init__(self, path: str | os.PathLike[str], *, category_ids: Sequence[int]) -> None:
        self.path = Path(path)
        self.category_ids = tuple(None if id is None else int(id) for id in category_ids)
        self.num_detections = 0
        self._open_files = contextlib.ExitStack()
        # Open in the first process only.
        self._file: Any = None
        # Of several processes: the records of each batch that this one has written.
        self._batches: list[list[str]] | None = None

    def __enter__(self):
        with first_process_first():
            if is_first_process():
                self._open()
        self._batches = []
        return self

    def _open(self):
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"`path` must lie in a folder that exists. Received: {str(self.path)!r}."
            )
        folder = self._open_files.enter_context(folder_beside(self.path))
        unfinished = (folder / self.path.name).open("w", encoding="utf-8")
        self._file = self._open_files.enter_context(unfinished)
        self._file.write("[")

    def write(self, image_ids: Any, detections: Mapping[str, Any]) -> None:
        """Add the detections of a batch.

        Args:
            image_ids: int (batch,), the ids of the images in their annotations.
            detections: dict of "boxes" (batch, K, 4), xyxy in pixels of the original images,
                "classes", "confidence" (batch, K) and optionally "num_detections" (batch,). Class
                -1, and everything beyond "num_detections", is padding. Optionally "masks", for each
                image a list of K encoded masks of the original image, as `evaluate_detector` hands
                them on.

        Raises:
            ValueError: the file isn't open, or a class has no category id.
        """
        if self._batches is None:
            raise ValueError("A results file is written inside of a `with` block only.")
        names = {"boxes", "classes", "confidence", "num_detections"} & set(detections)
        found = {name: keras.ops.convert_to_numpy(detections[name]) for name in names}
        image_ids = keras.ops.convert_to_numpy(image_ids)
        if found["classes"].size and found["classes"].max() >= len(self.category_ids):
            raise ValueError(
                f"`category_ids` must name the category of every class. Received: "
                f"{len(self.category_ids)} ids, and a detection of class {found['classes'].max()}."
            )
        records = []
        for index, image_id in enumerate(image_ids):
            number = int(found["num_detections"][index]) if "num_detections" in found else None
            rows = [found[name][index][:number] for name in ("boxes", "classes", "confidence")]
            masks = detections["masks"][index] if "masks" in detections else [None] * len(rows[0])
            columns = *(row.tolist() for row in rows), masks[:number]
            for box, label, confidence, mask in zip(*columns, strict=True):
                if label >= 0 and self.category_ids[int(label)] is not None:
                    record = self._record(int(image_id), box, int(label), confidence, mask)
                    records.append(record)
        if current().process().count == 1:
            self._write(records)
        else:
            self._batches.append(records)

    def __exit__(self, kind, error, traceback):
        batches, self._batches = self._batches, None
        with self._open_files:
            errors, batches = zip(
                *gather((None if error is None else repr(error), batches)), strict=True
            )
            if kind is not None:
                return
            check_outcomes(errors)
            with failing_together():
                if is_first_process():
                    self._finish(batches)
            self.num_detections = gather(self.num_detections)[0]

    def _finish(self, batches_by_process):
        """Write what is missing, and move the file to its place."""
        # The first batch of each process, then the second of each, and so on.
        for records in itertools.chain(*itertools.zip_longest(*batches_by_process, fillvalue=())):
            self._write(records)
        self._file.write("\n]\n")
        self._file.close()
        move_file(Path(self._file.name), self.path)

    def _write(self, records):
        for record in records:
            self._file.write(f"{',' if self.num_detections else ''}\n{record}")
            self.num_detections += 1

    def _record(self, image_id, box, label, confidence, mask):
        left, top, right, bottom = box
        bbox = ", ".join(f"{value:.2f}" for value in (left, top, right - left, bottom - top))
        segmentation = "" if mask is None else f', "segmentation": {json.dumps(mask)}'
        return (
            f'{{"image_id": {image_id}, "category_id": {self.category_ids[label]}, '
            f'"bbox": [{bbox}], "score": {confidence:.9g}{segmentation}}}'
        )
