"""Detect objects in image files: a picture and a JSON file come out.

    python examples/predict.py photo.jpg holiday_pictures/ --output detections

Takes files and folders. `--weights` names a file of official or Hub weights; without it the
preset's are downloaded once. A file that is no image is named, and the rest is done.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from keras import ops
from PIL import Image, ImageOps

import keras_detr
from keras_detr.preprocessing import ResizeShortestSide
from keras_detr.visualization import plot_detections

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", type=Path, help="image files or folders of them")
    parser.add_argument(
        "--preset", default="detr_r50", help="a preset, a saved folder, or hf://owner/name"
    )
    parser.add_argument("--weights", default=None, help="a file with official or Hub names")
    parser.add_argument("--output", type=Path, default=Path("detections"))
    parser.add_argument("--threshold", type=float, default=0.7, help="least confidence shown")
    parser.add_argument("--short-side", type=int, default=None, help="default: as the model says")
    parser.add_argument("--longest-side", type=int, default=None, help="default: as the model says")
    return parser.parse_args()


def find_files(paths):
    """Return the files, and those that lie in the folders, in order."""
    files = []
    for path in paths:
        if path.is_dir():
            files += sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        else:
            files.append(path)
    return files


def detect(model, resize, image):
    """Return the detections of one image (height, width, 3), boxes xyxy in its own pixels."""
    images = ops.convert_to_tensor(resize({"images": image})["images"])[None]
    outputs = model(images, training=False, return_auxiliary=False)
    decoded = model.decode_predictions(outputs, images)
    found = {name: ops.convert_to_numpy(value)[0] for name, value in decoded.items()}
    height, width = image.shape[:2]
    found["boxes"] = found["boxes"] * np.array([width, height, width, height])
    return found


def as_records(found, class_names, threshold):
    """Return the confident detections as JSON takes them, boxes as COCO has them (xywh)."""
    records = []
    for box, label, confidence in zip(
        found["boxes"], found["classes"], found["confidence"], strict=True
    ):
        if confidence < threshold:
            continue
        left, top, right, bottom = (float(side) for side in box)
        records.append(
            {
                "class": int(label),
                "name": class_names[label] if class_names else str(label),
                "confidence": round(float(confidence), 4),
                "box": [round(v, 2) for v in (left, top, right - left, bottom - top)],
            }
        )
    return records


def main():
    arguments = parse_arguments()
    files = find_files(arguments.images)
    if not files:
        sys.exit(f"no images in {', '.join(map(str, arguments.images))}")
    model = keras_detr.SetPredictionDetector.from_preset(
        arguments.preset, weights=arguments.weights, bounding_box_format="rel_xyxy"
    )
    short_side, longest_side = model.preprocessor_sizes
    resize = ResizeShortestSide(
        arguments.short_side or short_side,
        longest_side=arguments.longest_side or longest_side,
        bounding_box_format="rel_xyxy",
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    results, num_broken = [], 0
    for file in files:
        try:
            with Image.open(file) as opened:
                image = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        except OSError as error:
            print(f"{file}: not read ({error})", file=sys.stderr)
            num_broken += 1
            continue
        found = detect(model, resize, image)
        records = as_records(found, model.class_names, arguments.threshold)
        picture = arguments.output / f"{file.stem}_detections.png"
        plot_detections(
            image,
            found,
            "xyxy",
            class_names=model.class_names,
            confidence_threshold=arguments.threshold,
            title=file.name,
            path=picture,
        )
        height, width = image.shape[:2]
        results.append({"file": str(file), "height": height, "width": width, "detections": records})
        print(f"{file}: {len(records)} objects -> {picture}", flush=True)
    path = arguments.output / "detections.json"
    path.write_text(json.dumps(results, indent=2), encoding="utf-8")
    print(f"{len(results)} images -> {path}" + (f", {num_broken} broken" if num_broken else ""))
    if num_broken:
        sys.exit(1)


if __name__ == "__main__":
    main()
