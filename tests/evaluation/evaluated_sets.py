"""Sets of images with true and detected boxes, and what pycocotools finds in them."""

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
