"""Detect objects in image files, and write pictures and a JSON file.

    python examples/predict.py photo.jpg holiday_pictures/ --output detections

Takes files and folders. `--weights` is a file of official or Hub weights; without it the preset's
weights are downloaded once. A file that isn't an image is reported, and the others are processed.
"""

import argparse
import json
import sys
from pathlib import Path

import keras_detr
from keras_detr.preprocessing import DETRPreprocessor


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


def main():
    arguments = parse_arguments()
    model = keras_detr.ObjectDetector.from_preset(
        arguments.preset, weights=arguments.weights, bounding_box_format="xyxy"
    )
    if arguments.short_side or arguments.longest_side:
        short_side, longest_side = model.preprocessor_sizes or (800, 1333)
        model.preprocessor = DETRPreprocessor(
            arguments.short_side or short_side,
            longest_side=arguments.longest_side or longest_side,
            bounding_box_format="xyxy",
        )
    try:
        results = model.detect(arguments.images, confidence_threshold=arguments.threshold)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(str(error))
    arguments.output.mkdir(parents=True, exist_ok=True)
    # Of a broken file `detect` has logged what is wrong.
    read = [found for found in results if not found.error]
    for found in read:
        # Keep the suffix: a folder may hold photo.png beside photo.jpg.
        picture = arguments.output / f"{found.path.name}.detections.png"
        found.plot(picture)
        print(f"{found.path}: {len(found)} objects -> {picture}", flush=True)
    path = arguments.output / "detections.json"
    content = [found.to_dict() for found in read]
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
    num_broken = len(results) - len(read)
    print(f"{len(read)} images -> {path}" + (f", {num_broken} broken" if num_broken else ""))
    if num_broken:
        sys.exit(1)


if __name__ == "__main__":
    main()
