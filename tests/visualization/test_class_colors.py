"""Class colors: stable, apart from each other, readable."""

import numpy as np

from keras_detr.visualization.class_colors import class_color


def relative_luminance(color):
    """Return WCAG's relative luminance of an sRGB color."""
    color = np.asarray(color)
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_colors_are_in_the_gamut():
    colors = np.array([class_color(i) for i in range(200)])
    assert colors.shape == (200, 3)
    assert colors.min() >= 0.0
    assert colors.max() <= 1.0


def test_black_letters_can_be_read_on_every_color():
    for i in range(200):
        # WCAG asks for a contrast of 7 in its strictest level.
        assert (relative_luminance(class_color(i)) + 0.05) / 0.05 > 7


def test_the_first_classes_differ_at_a_glance():
    colors = np.array([class_color(i) for i in range(8)])
    distances = np.abs(colors[:, None] - colors[None]).max(-1) + np.eye(8)
    assert distances.min() > 0.15


def test_coco_classes_all_differ():
    assert len({class_color(i) for i in range(80)}) == 80


def test_a_class_keeps_its_color():
    np.testing.assert_allclose(class_color(0), class_color(np.int64(0)))
