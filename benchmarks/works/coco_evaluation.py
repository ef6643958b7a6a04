"""COCO's figures: COCOMetrics beside pycocotools.

Random detections stand for the worst case: 100 in every image, spread over all classes, half of the
7 objects of an image found.
"""

import contextlib
import io

import numpy as np

NUM_CLASSES, NUM_TRUE, NUM_DETECTED = 80, 7, 100
BATCH_SIZE = 8


def random_batches(num_images, seed=0):
    """Yield true boxes and detections of batches of images, boxes xywh in pixels."""
    rng = np.random.default_rng(seed)
    for start in range(0, num_images, BATCH_SIZE):
        number = min(BATCH_SIZE, num_images - start)
        y_true = random_objects(rng, number, NUM_TRUE)
        y_true["area"] = y_true["boxes"][..., 2:].prod(-1) * 0.7
        y_true["is_crowd"] = rng.uniform(size=(number, NUM_TRUE)) < 0.02
        y_pred = random_objects(rng, number, NUM_DETECTED)
        y_pred["confidence"] = rng.uniform(size=(number, NUM_DETECTED))
        found = slice(0, NUM_TRUE // 2)
        noise = rng.normal(0, 4, (number, NUM_TRUE // 2, 4))
        y_pred["boxes"][:, found] = np.maximum(y_true["boxes"][:, found] + noise, 1)
        y_pred["classes"][:, found] = y_true["classes"][:, found]
        yield y_true, y_pred


def random_objects(rng, num_images, number):
    """Return random boxes and classes."""
    corner = rng.uniform(0, 400, (num_images, number, 2))
    size = rng.uniform(4, 200, (num_images, number, 2))
    classes = rng.integers(0, NUM_CLASSES, (num_images, number))
    return {"boxes": np.concatenate([corner, size], axis=-1), "classes": classes}


def ours(num_images):
    """Return a callable that computes AP with keras_detr."""
    from keras_detr.evaluation import COCOMetrics

    return lambda: by_coco_metrics(COCOMetrics, num_images)


def by_coco_metrics(COCOMetrics, num_images):
    metrics = COCOMetrics("xywh", num_classes=NUM_CLASSES)
    for y_true, y_pred in random_batches(num_images):
        metrics.update_state(y_true, y_pred)
    return metrics.result()["AP"]


def pycocotools(num_images):
    """Return a callable that computes AP with pycocotools, all classes at once as everyone does."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    return lambda: by_pycocotools(COCO, COCOeval, num_images)


def by_pycocotools(COCO, COCOeval, num_images):
    truth, detections = [], []
    for start, (y_true, y_pred) in enumerate(random_batches(num_images)):
        image_ids = [BATCH_SIZE * start + index for index in range(len(y_true["classes"]))]
        crowds = {"area": y_true["area"], "iscrowd": y_true["is_crowd"].astype(int)}
        truth += annotations_of(y_true, image_ids, len(truth), crowds)
        scores = {
            "area": y_pred["boxes"][..., 2:].prod(-1),
            "iscrowd": np.zeros_like(y_pred["classes"]),
            "score": y_pred["confidence"],
        }
        detections += annotations_of(y_pred, image_ids, len(detections), scores)
    with contextlib.redirect_stdout(io.StringIO()):
        datasets = []
        for annotations in (truth, detections):
            coco = COCO()
            coco.dataset = {
                "images": [{"id": number} for number in range(num_images)],
                "categories": [{"id": label} for label in range(NUM_CLASSES)],
                "annotations": annotations,
            }
            coco.createIndex()
            datasets.append(coco)
        evaluation = COCOeval(*datasets, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


def annotations_of(objects, image_ids, first, others):
    """Return the objects of a batch as COCO's records, numbered from `first` + 1."""
    return [
        {
            "id": first + index * objects["classes"].shape[1] + position + 1,
            "image_id": image_id,
            "category_id": int(objects["classes"][index, position]),
            "bbox": box.tolist(),
            **{name: values[index, position].item() for name, values in others.items()},
        }
        for index, image_id in enumerate(image_ids)
        for position, box in enumerate(objects["boxes"][index])
    ]


CONTENDERS = {"keras_detr": ours, "pycocotools": pycocotools}
