"""Find the masks of objects in image files, or divide the images into things and stuff.

    python examples/segment.py photo.jpg holiday_pictures/ --model detr_r50_panoptic
    python examples/segment.py photo.jpg --model my_segmenter.keras --kind instances

Takes files and folders, and writes a picture of each, and a JSON file with masks in COCO's form. A
file that isn't an image is reported, and the others are processed. Copy it and change it.
"""

import argparse
import json
import pathlib

import keras_detr


def parse_arguments():
    parser = argparse.ArgumentParser(description="Find masks in image files.")
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument(
        "--model", default="detr_r50_panoptic", help="a preset, folder, hf://owner/name or .keras"
    )
    parser.add_argument("--weights", help="a file with official or Hub names, for a preset")
    parser.add_argument("--kind", choices=("panoptic", "instances"), default="panoptic")
    parser.add_argument("--confidence-threshold", type=float, help="default: 0.85, instances 0.5")
    parser.add_argument("--output", default="segments", help="folder")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    model = keras_detr.load(arguments.model, weights=arguments.weights)
    if not model.has_masks:
        raise SystemExit(f"{arguments.model} has no masks: it is a {type(model).__name__}")
    find = model.segment if arguments.kind == "panoptic" else model.detect
    threshold = arguments.confidence_threshold
    results = find(
        arguments.images, **({} if threshold is None else {"confidence_threshold": threshold})
    )

    folder = pathlib.Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    for found in results:
        if found.error is None:  # The log says what is wrong with the others.
            found.plot(path=folder / f"{found.path.name}.{arguments.kind}.png")
            print(found)
    path = folder / f"{arguments.kind}.json"
    path.write_text(json.dumps([found.to_dict() for found in results], indent=2), encoding="utf-8")
    num_broken = sum(found.error is not None for found in results)
    print(f"images read: {len(results) - num_broken}, broken: {num_broken} -> {path}")
    if num_broken:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
