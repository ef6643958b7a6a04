"""Sets of images with true and detected boxes or masks, and what pycocotools finds in them."""

import contextlib
import io
import json

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def official_batches(shared_data):
    """Return pycocotools' own sample of 100 images, boxes in "xywh", and the number of classes."""
    folder = shared_data / "cocoeval"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    detections = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    labels = {entry["id"]: label for label, entry in enumerate(truth["categories"])}
    image_ids = [image["id"] for image in truth["images"]]
    for entry in (*truth["annotations"], *detections):
        entry["label"] = labels[entry["category_id"]]
    batches = []
    for true_rows, rows in zip(
        _by_image(truth["annotations"], image_ids), _by_image(detections, image_ids), strict=True
    ):
        y_true = {
            "boxes": _column(true_rows, "bbox", (4,))[None],
            "classes": _column(true_rows, "label")[None],
            "is_crowd": _column(true_rows, "iscrowd")[None],
            "area": _column(true_rows, "area")[None],
        }
        y_pred = {
            "boxes": _column(rows, "bbox", (4,))[None],
            "classes": _column(rows, "label")[None],
            "confidence": _column(rows, "score")[None],
        }
        batches.append((y_true, y_pred))
    return batches, len(labels)


def _by_image(entries, image_ids):
    rows = {image_id: [] for image_id in image_ids}
    for entry in entries:
        rows[entry["image_id"]].append(entry)
    return [rows[image_id] for image_id in image_ids]


def _column(rows, key, shape=()):
    return np.array([row[key] for row in rows], np.float64).reshape(-1, *shape)


def random_batch(rng, num_images=3, num_classes=3, num_true=6, num_detected=9, flat_share=0.0):
    """Make batches in xyxy pixels: crowds, empty images, ties, detections near the truth.

    `flat_share` of all sides have no length.
    """

    def boxes(number):
        corner = rng.uniform(0, 150, (num_images, number, 2))
        size = rng.uniform(4, 150, corner.shape) * (rng.uniform(size=corner.shape) >= flat_share)
        return np.concatenate([corner, corner + size], axis=-1)

    classes = rng.integers(-1, num_classes, (num_images, num_true))
    classes[rng.uniform(size=num_images) < 0.3] = -1
    y_true = {"boxes": boxes(num_true), "classes": classes}
    y_true["is_crowd"] = rng.uniform(size=classes.shape) < 0.2
    sides = y_true["boxes"][..., 2:] - y_true["boxes"][..., :2]
    y_true["area"] = sides.prod(-1) * rng.uniform(0.3, 1, classes.shape)
    y_pred = {
        "boxes": boxes(num_detected),
        "classes": rng.integers(0, num_classes, (num_images, num_detected)),
        "confidence": np.round(rng.uniform(size=(num_images, num_detected)), 1),
        "num_detections": rng.integers(0, num_detected + 1, num_images),
    }
    y_pred["boxes"][:, :num_true] = y_true["boxes"] + rng.normal(0, 8, y_true["boxes"].shape)
    is_known = (classes >= 0) & (rng.uniform(size=classes.shape) < 0.8)
    y_pred["classes"][:, :num_true][is_known] = classes[is_known]
    return y_true, y_pred


def evaluated_by_pycocotools(batches, num_classes):
    """Drive pycocotools directly, through the files' layout and its own `loadRes`.

    Returns:
        pycocotools.cocoeval.COCOeval, summarized.
    """
    images, truth, detections = [], [], []
    for y_true, y_pred in batches:
        for index in range(len(y_true["classes"])):
            image_id = len(images) + 100
            images.append({"id": image_id})
            for position, label in enumerate(y_true["classes"][index]):
                if label < 0:
                    continue
                x1, y1, x2, y2 = y_true["boxes"][index, position]
                truth.append(
                    {
                        "id": len(truth) + 1,
                        "image_id": image_id,
                        "category_id": int(label) + 5,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": float(y_true["area"][index, position]),
                        "iscrowd": int(y_true["is_crowd"][index, position]),
                    }
                )
            for position in range(y_pred["num_detections"][index]):
                x1, y1, x2, y2 = y_pred["boxes"][index, position]
                detections.append(
                    {
                        "image_id": image_id,
                        "category_id": int(y_pred["classes"][index, position]) + 5,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "score": float(y_pred["confidence"][index, position]),
                    }
                )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        categories = [{"id": label + 5} for label in range(num_classes)]
        coco.dataset = {"images": images, "categories": categories, "annotations": truth, "info": 0}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def masks_by_pycocotools(batches, num_classes):
    """Return the twelve figures of masks and every class's AP, NaN where COCO says -1."""
    images, truth, detections = [], [], []
    for y_true, y_pred in batches:
        for index, classes in enumerate(y_true["classes"]):
            image_id = len(images) + 100
            height, width = y_true["masks"][index][0]["size"]
            images.append({"id": image_id, "height": height, "width": width})
            for place, label in enumerate(classes):
                if label >= 0:
                    entry = _record(y_true, index, place, image_id)
                    entry["id"] = len(truth) + 1
                    entry["area"] = float(y_true["area"][index][place])
                    entry["iscrowd"] = int(y_true["is_crowd"][index][place])
                    truth.append(entry)
            for place in range(y_pred["num_detections"][index]):
                score = float(y_pred["confidence"][index][place])
                detections.append({**_record(y_pred, index, place, image_id), "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        categories = [{"id": label + 5} for label in range(num_classes)]
        coco.dataset = {"images": images, "categories": categories, "annotations": truth, "info": 0}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(detections), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    by_class = [precision[:, :, label].mean() for label in range(num_classes)]
    return tuple(np.where(np.less(row, 0), np.nan, row) for row in (evaluation.stats, by_class))


def _record(objects, index, place, image_id):
    return {
        "image_id": image_id,
        "category_id": int(objects["classes"][index][place]) + 5,
        "segmentation": dict(objects["masks"][index][place]),
    }


def ellipses(rng, number, size):
    """Return bool masks (number, height, width), some of them larger than 96x96 pixels or empty."""
    rows, columns = (np.arange(side) for side in size)
    places = rng.uniform(0, size, (number, 2))
    radii = rng.uniform(0, 80, (number, 2))
    down = (rows[:, None] - places[:, 0, None, None]) / radii[:, 0, None, None]
    right = (columns - places[:, 1, None, None]) / radii[:, 1, None, None]
    return down**2 + right**2 < 1
