"""Time COCO's figures: COCOMetrics beside pycocotools, each in a process of its own.

    python benchmarks/coco_metrics.py --images 5000 --rounds 1

Random detections stand for the worst case: 100 in every image, spread over all classes, half of the
7 objects of an image found. Rounds are interleaved, so that a busy machine slows both. Prints
seconds and the peak memory of the process, Keras and its backend included where they are used.
"""

import argparse
import contextlib
import io
import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor

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


def by_coco_metrics(num_images):
    """Return the AP by keras_detr."""
    from keras_detr.evaluation import COCOMetrics

    metrics = COCOMetrics("xywh", num_classes=NUM_CLASSES)
    for y_true, y_pred in random_batches(num_images):
        metrics.update_state(y_true, y_pred)
    return metrics.result()["AP"]


def by_pycocotools(num_images):
    """Return the AP by pycocotools, all classes at once as everyone runs it."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

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


CONTESTANTS = {"COCOMetrics": by_coco_metrics, "pycocotools": by_pycocotools}


def measure(name, num_images):
    """Return the AP, the seconds and the peak memory in GB of one run."""
    start = time.perf_counter()
    score = CONTESTANTS[name](num_images)
    seconds = time.perf_counter() - start
    unit = 1e9 if sys.platform == "darwin" else 1e6
    return float(score), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS), choices=CONTESTANTS)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for _ in range(arguments.rounds):
        for name in arguments.contestants:
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                score, seconds, peak = pool.submit(measure, name, arguments.images).result()
            print(
                f"{name:<12}{arguments.images} images  AP {score:.6f}  {seconds:6.1f} s  "
                f"{peak:5.2f} GB",
                flush=True,
            )


if __name__ == "__main__":
    main()
