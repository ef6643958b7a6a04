"""Sizes, pixels and boxes by the EXIF tag, against PIL and painted pixels."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from keras_detr.preprocessing.exif_orientation import (
    orientation_of,
    oriented_pixels,
    turned_corners,
    turned_size,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def tags(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def encoded(orientation, suffix="png"):
    stream = io.BytesIO()
    settings = {} if orientation is None else {"exif": tags(orientation)}
    Image.fromarray(PIXELS).save(stream, suffix, **settings)
    return stream.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
class TestTurns:
    def test_pixels_and_size_are_those_of_pil(self, orientation):
        with Image.open(io.BytesIO(encoded(orientation))) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture))
            found = oriented_pixels(picture, PIXELS, orientation, is_turned=True)
            assert oriented_pixels(picture, PIXELS, orientation, is_turned=False) is PIXELS
        np.testing.assert_array_equal(found, expected)
        assert turned_size(PIXELS.shape[:2], orientation) == expected.shape[:2]

    def test_boxes_go_with_the_pixels(self, orientation):
        corners = np.array([[1, 0, 3, 2], [0, 1, 7, 4], [2.0, 2, 2, 5]])
        for box in corners.astype(int):
            left, top, right, bottom = box
            pixels = np.zeros((5, 7, 3), np.uint8)
            pixels[top:bottom, left:right] = 1
            with Image.open(io.BytesIO(encoded(orientation))) as picture:
                turned = oriented_pixels(picture, pixels, orientation, is_turned=True)
            sizes = np.array([turned.shape[:2]])
            (found,) = turned_corners(box[None].astype(float), sizes, orientation).astype(int)
            again = np.zeros_like(turned)
            again[found[1] : found[3], found[0] : found[2]] = 1
            np.testing.assert_array_equal(turned, again)
        # A box without an area, or of a negative one, stays so.
        sizes = np.array([turned_size((5, 7), orientation)] * 3)
        turned = turned_corners(corners[:, [2, 1, 0, 3]], sizes, orientation)
        assert sorted((turned[0, 2:] - turned[0, :2]).tolist()) == [-2, 2]


def with_chunk_at_the_end(content, kind, data):
    chunk = len(data).to_bytes(4, "big") + kind + data
    chunk += zlib.crc32(kind + data).to_bytes(4, "big")
    return content[:-12] + chunk + content[-12:]


class TestTags:
    def test_a_tag_behind_the_pixels(self):
        # PNG files leave out the "Exif" and two zeros of JPEG's.
        content = with_chunk_at_the_end(encoded(None), b"eXIf", tags(6).tobytes()[6:])
        with Image.open(io.BytesIO(content)) as picture:
            assert orientation_of(picture) == 6
            np.testing.assert_array_equal(np.asarray(picture), PIXELS)

    def test_pixels_are_not_decoded_for_a_tag(self, monkeypatch):
        content = with_chunk_at_the_end(encoded(6), b"tEXt", b"date\x00today")
        for suffix, data in (("png", content), ("jpeg", encoded(6, "jpeg"))):
            with Image.open(io.BytesIO(data)) as picture:
                monkeypatch.setattr(picture, "load", lambda: pytest.fail("decoded"))
                assert orientation_of(picture) == 6, suffix

    @pytest.mark.parametrize("value", [0, 9, 600, "6", (6, 6)])
    def test_values_that_say_nothing(self, value):
        picture = Image.fromarray(PIXELS)
        picture.getexif()[274] = value
        assert orientation_of(picture) == 1

    def test_damaged_tags_are_left_aside(self):
        picture = Image.fromarray(PIXELS)
        picture.info["exif"] = b"Exif\x00\x00no tags"
        assert orientation_of(picture) == 1
        content = encoded(6, "jpeg")
        place = content.index(b"Exif\x00\x00") + 6
        damaged = content[:place] + b"\xff" * 8 + content[place + 8 :]
        with Image.open(io.BytesIO(damaged)) as picture:
            assert orientation_of(picture) == 1
