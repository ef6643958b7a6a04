"""Draw colored shapes on textured backgrounds, and record the pixels of each."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

CLASS_NAMES = ("circle", "square", "triangle", "star", "cross")

# A shape may hide at most this share of another one.
_LARGEST_HIDDEN_SHARE = 0.15
_NUM_PLACES_TRIED = 20
# The least distance in RGB, 0..255, between a shape and the mean color behind it.
_SMALLEST_CONTRAST = 140.0
# The distance between the two colors of a texture, as a share of that of two random colors.
_TEXTURE_CONTRAST = 0.3


class Scene(NamedTuple):
    """Hold a drawn image and which pixels belong to which object.

    Attributes:
        image: uint8 (height, width, 3).
        owners: int32 (height, width), the object a pixel shows, -1 for the background.
        classes: int32 (N,), indices into `CLASS_NAMES`.
    """

    image: np.ndarray
    owners: np.ndarray
    classes: np.ndarray


def draw_scene(rng, height, width, num_objects, size_range, max_tilt):
    """Draw a `Scene` of shapes: tilted, colored, overlapping but mostly visible.

    A shape that doesn't fit is left out. `size_range` is the pair of `min_size` and `max_size` of
    `ShapesConfig`, which has the units of the sizes and of `max_tilt`.
    """
    canvas = _background(rng, height, width)
    owners = np.full((height, width), -1, np.int32)
    full_areas, classes = [], []
    for _ in range(num_objects):
        label = int(rng.integers(len(CLASS_NAMES)))
        mask = _place(rng, label, owners, full_areas, size_range, max_tilt)
        if mask is None:
            continue
        canvas[mask] = _color(rng, canvas[mask].mean(axis=0)) + rng.normal(0, 6, (mask.sum(), 3))
        owners[mask] = len(classes)
        full_areas.append(int(mask.sum()))
        classes.append(label)
    image = np.clip(np.round(canvas), 0, 255).astype(np.uint8)
    return Scene(image, owners, np.array(classes, np.int32))


def _place(rng, label, owners, full_areas, size_range, max_tilt):
    height, width = owners.shape
    for _ in range(_NUM_PLACES_TRIED):
        radius = 0.5 * min(height, width) * rng.uniform(*size_range)
        center = rng.uniform([radius, radius], [width - radius, height - radius])
        angle = np.deg2rad(rng.uniform(-max_tilt, max_tilt))
        mask = _shape_mask(label, center, radius, angle, height, width)
        hidden = np.bincount(owners[mask] + 1, minlength=len(full_areas) + 1)[1:]
        remaining = np.bincount(owners[owners >= 0], minlength=len(full_areas)) - hidden
        if mask.any() and np.all(remaining >= (1 - _LARGEST_HIDDEN_SHARE) * np.array(full_areas)):
            return mask
    return None


def _shape_mask(label, center, radius, angle, height, width):
    mask = Image.new("1", (width, height))
    draw = ImageDraw.Draw(mask)
    if CLASS_NAMES[label] == "circle":
        (x, y) = center
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1)
    else:
        points = np.array(_outline(CLASS_NAMES[label])) * radius
        cos, sin = np.cos(angle), np.sin(angle)
        points = points @ np.array([[cos, sin], [-sin, cos]]) + center
        draw.polygon([tuple(point) for point in points], fill=1)
    return np.array(mask)


def _outline(name):
    """Return the corners of an upright shape in the unit circle; y points down."""
    if name == "cross":
        arm, reach = 0.3, 0.95
        corner = [(arm, reach), (arm, arm), (reach, arm), (reach, -arm), (arm, -arm), (arm, -reach)]
        return corner + [(-x, -y) for x, y in corner]
    num_corners, inner, first_turn = {
        "square": (4, 1.0, 1 / 8),
        "triangle": (3, 1.0, -1 / 4),
        "star": (10, 0.42, -1 / 4),
    }[name]
    turns = (np.arange(num_corners) / num_corners + first_turn) * 2 * np.pi
    radii = np.where(np.arange(num_corners) % 2 == 0, 1.0, inner)
    return [(r * np.cos(t), r * np.sin(t)) for r, t in zip(radii, turns, strict=True)]


def _color(rng, behind):
    while True:
        color = rng.uniform(0, 255, 3)
        if np.linalg.norm(color - behind) >= _SMALLEST_CONTRAST:
            return color


def _background(rng, height, width):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    first, second = rng.uniform(40, 215, (2, 3))
    second = first + _TEXTURE_CONTRAST * (second - first)
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    texture = rng.integers(3)
    if texture == 0:  # A gradient.
        share = (along - along.min()) / max(float(np.ptp(along)), 1.0)
    elif texture == 1:  # Stripes.
        share = 0.5 + 0.5 * np.sin(along * (2 * np.pi / rng.uniform(6, 24)))
    else:  # Soft noise.
        coarse = rng.uniform(0, 255, (max(height // 12, 2), max(width // 12, 2))).astype(np.uint8)
        soft = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        share = np.asarray(soft) / 255.0
    canvas = first + share[..., None] * (second - first)
    return canvas + rng.normal(0, rng.uniform(2, 10), (height, width, 3))
