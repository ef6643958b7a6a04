"""Detect objects in image files, and write pictures and a JSON file.

    python examples/predict.py photo.jpg holiday_pictures/ --model detr_r50

Takes files and folders. A file that isn't an image is reported, and the others are processed. Copy
it and change it; `keras-detr predict` does the same, without changes.
"""

import argparse
import json
import pathlib

import keras_detr


def parse_arguments():
    parser = argparse.ArgumentParser(description="Detect objects in image files.")
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument(
        "--model", default="detr_r50", help="a preset, folder, hf://owner/name or .keras file"
    )
    parser.add_argument("--weights", help="a file with official or Hub names, for a preset")
    parser.add_argument("--confidence-threshold", type=float, default=0.5, help="the least shown")
    parser.add_argument("--output", default="detections", help="folder")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    model = keras_detr.load(arguments.model, weights=arguments.weights)
    results = model.detect(arguments.images, confidence_threshold=arguments.confidence_threshold)

    folder = pathlib.Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    for found in results:
        if found.error is None:  # `detect` has logged what is wrong with the others.
            # With its suffix: a folder may hold photo.png beside photo.jpg.
            found.plot(path=folder / f"{found.path.name}.detections.png")
            print(found)
    path = folder / "detections.json"
    path.write_text(json.dumps([found.to_dict() for found in results], indent=2), encoding="utf-8")
    num_broken = sum(found.error is not None for found in results)
    print(f"images read: {len(results) - num_broken}, broken: {num_broken} -> {path}")
    if num_broken:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
