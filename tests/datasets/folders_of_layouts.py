"""Write the same images and boxes in each layout that `load_folder` knows."""

import json

import numpy as np
from PIL import Image

NAMES = ("cat", "dog")
# By part and file: (height, width), and objects as (label, left, top, right, bottom) in pixels.
PARTS = {
    "train": {
        "b.png": ((40, 60), [(0, 10, 5, 30, 25), (1, 0, 0, 60, 20)]),
        "a.png": ((50, 50), [(1, 5, 5, 45, 40)]),
        "c.png": ((60, 40), []),
        "d.png": ((48, 64), [(0, 16, 12, 48, 36)]),
        "e.png": ((64, 48), [(1, 6, 8, 24, 32)]),
    },
    "valid": {"f.png": ((40, 80), [(1, 20, 10, 60, 30)])},
    "test": {"g.png": ((80, 40), [(0, 10, 20, 30, 60)])},
}


def write_image(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(map(ord, path.name))
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_coco(folder, parts=PARTS):
    """Write the layout of Roboflow's COCO-JSON; outside of training ids have another order."""
    for part, images in parts.items():
        ids = {label: label if part == "train" else 5 - label for label in range(len(NAMES))}
        content = {
            "images": [],
            "annotations": [],
            "categories": [{"id": ids[label], "name": name} for label, name in enumerate(NAMES)],
        }
        for image_id, (name, (size, objects)) in enumerate(images.items()):
            write_image(folder / part / name, size)
            content["images"].append(
                {"id": image_id, "file_name": name, "height": size[0], "width": size[1]}
            )
            for label, left, top, right, bottom in objects:
                content["annotations"].append(
                    {
                        "id": len(content["annotations"]),
                        "image_id": image_id,
                        "category_id": ids[label],
                        "bbox": [left, top, right - left, bottom - top],
                        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
                    }
                )
        (folder / part / "_annotations.coco.json").write_text(json.dumps(content))


def write_yolo(folder, parts=PARTS):
    """Write Ultralytics' layout."""
    lines = [f"names: [{', '.join(NAMES)}]"]
    for part, images in parts.items():
        lines.append(f"{'val' if part == 'valid' else part}: {part}/images")
        for name, ((height, width), objects) in images.items():
            write_image(folder / part / "images" / name, (height, width))
            rows = []
            for label, left, top, right, bottom in objects:
                box = (left + right) / 2 / width, (top + bottom) / 2 / height
                box += (right - left) / width, (bottom - top) / height
                rows.append(" ".join(map(str, (label, *box))))
            labels = folder / part / "labels" / name.replace(".png", ".txt")
            labels.parent.mkdir(exist_ok=True)
            labels.write_text("\n".join(rows))
    (folder / "data.yaml").write_text("\n".join(lines))


def write_voc(folder, parts=PARTS):
    """Write VOC's layout, with a list of names for each part."""
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (folder / "Annotations").mkdir()
    for part, images in parts.items():
        stems = [name.removesuffix(".png") for name in images]
        (lists / f"{'val' if part == 'valid' else part}.txt").write_text("\n".join(stems))
        for name, (size, objects) in images.items():
            write_image(folder / "JPEGImages" / name, size)
            _write_xml(folder / "Annotations" / name, size, objects)


def write_voc_of_roboflow(folder, parts=PARTS):
    """Write XML files beside the images, in a folder for each part."""
    for part, images in parts.items():
        for name, (size, objects) in images.items():
            write_image(folder / part / name, size)
            _write_xml(folder / part / name, size, objects)


def _write_xml(path, size, objects):
    entries = "".join(
        f"<object><name>{NAMES[label]}</name><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for label, left, top, right, bottom in objects
    )
    sides = f"<height>{size[0]}</height><width>{size[1]}</width>"
    path.with_suffix(".xml").write_text(f"<annotation><size>{sides}</size>{entries}</annotation>")


WRITERS = {
    "coco": write_coco,
    "yolo": write_yolo,
    "voc": write_voc,
    "voc_of_roboflow": write_voc_of_roboflow,
}
