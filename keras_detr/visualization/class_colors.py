"""A fixed color for each class, which is readable on dark and on light images."""

import numpy as np

# Of lines and labels: it sets them off from light images.
OUTLINE = (0.04, 0.05, 0.07, 0.72)

# The golden angle keeps the hues of any number of classes apart.
_GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))
_FIRST_HUE = 0.9
_LIGHTNESS = (0.74, 0.84)
_CHROMA = 0.17

_OKLAB_TO_CONE_ROOTS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_CONES_TO_LINEAR_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def class_color(class_id):
    """Return the color of a class: red, green and blue as floats in [0, 1].

    All colors have a similar lightness: black text is readable on each, and with a dark outline
    each stands out from dark and from light images.

    Source: Ottosson 2020, "A perceptual color space for image processing" (Oklab).
    """
    hue = _FIRST_HUE + class_id * _GOLDEN_ANGLE
    lightness = _LIGHTNESS[class_id // 8 % len(_LIGHTNESS)]
    # Reduce the chroma in steps until the color is in the sRGB gamut.
    for chroma in np.linspace(_CHROMA, 0.0, 35):
        oklab = np.array([lightness, chroma * np.cos(hue), chroma * np.sin(hue)])
        linear = _CONES_TO_LINEAR_RGB @ (_OKLAB_TO_CONE_ROOTS @ oklab) ** 3
        if linear.min() >= 0.0 and linear.max() <= 1.0:
            break
    linear = np.clip(linear, 0.0, 1.0)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return tuple(float(value) for value in srgb)
