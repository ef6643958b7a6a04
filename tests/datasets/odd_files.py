"""Odd, broken and hostile files, as strangers' data sets hold them, each with a name."""

import gzip
import io
import json
import os
import struct
import zlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 20, 30
NAMES = ["cat", "dog"]
TEMPLATES = {
    "coco": {
        "images": [{"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [2, 3, 10, 8], "area": 80},
            {"id": 2, "image_id": 7, "category_id": 5, "bbox": [5, 5, 6, 6], "iscrowd": 0},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
    },
    "yolo": "0 0.5 0.5 0.4 0.4\n1 0.3 0.4 0.2 0.2\n",
    "voc": "<annotation><size><width>30</width><height>20</height><depth>3</depth></size>"
    "<object><name>cat</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>11</ymax>"
    "</bndbox></object><object><name>dog</name><difficult>0</difficult><bndbox><xmin>6</xmin>"
    "<ymin>6</ymin><xmax>11</xmax><ymax>11</ymax></bndbox></object></annotation>",
    "yaml": "train: images\nnames: [cat, dog]\n",
}


def picture(mode="RGB", size=(WIDTH, HEIGHT)):
    """Return an image of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(kind="PNG", image=None, **settings):
    """Return the bytes of an image's file."""
    file = io.BytesIO()
    (image or picture()).save(file, kind, **settings)
    return file.getvalue()


def png_with_header(width, height, depth=8, color=2):
    """Return a PNG whose header says this, and whose pixels are another image's."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    right = encoded()
    return right[:12] + header + struct.pack(">I", zlib.crc32(header)) + right[33:]


def odd_images():
    """Return a dict of file name to bytes, or to what `os` makes of a path."""
    jpeg, png = encoded("JPEG"), encoded()
    exif = {tag: Image.Exif() for tag in (0, 3, 6, 9, 65535)}
    for tag, entries in exif.items():
        entries[274] = tag
    images = {
        "empty.jpg": b"",
        "one_byte.png": b"\x89",
        "zeros.jpg": bytes(1000),
        "text.jpg": b"404 Not Found",
        "page.png": b"<!DOCTYPE html><html><body>Sign in</body></html>",
        "pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "archive.jpg": gzip.compress(jpeg),
        "header_only.jpg": jpeg[:20],
        "half.jpg": jpeg[: len(jpeg) // 2],
        "half.png": png[: len(png) // 2],
        "without_end.jpg": jpeg[:-2],
        "with_tail.jpg": jpeg + b"tail" * 100,
        "two_in_one.jpg": jpeg + jpeg,
        "one_bit_off.png": png[:60] + bytes([png[60] ^ 1]) + png[61:],
        "wrong_checksum.png": png[:29] + b"\0\0\0\0" + png[33:],
        "really_png.jpg": png,
        "really_jpeg.png": jpeg,
        "really_gif.png": encoded("GIF"),
        "really_bmp.jpg": encoded("BMP"),
        "really_tiff.jpg": encoded("TIFF"),
        "upper.JPG": jpeg,
        "mixed.Jpeg": jpeg,
        "bomb.png": png_with_header(60_000, 60_000),
        "endless.png": png_with_header(2**31 - 1, 2**31 - 1),
        "no_width.png": png_with_header(0, 20),
        "other_height.png": png_with_header(WIDTH, HEIGHT + 1),
        "odd_depth.png": png_with_header(WIDTH, HEIGHT, depth=3),
        "odd_color.png": png_with_header(WIDTH, HEIGHT, color=5),
        "one_pixel.png": encoded(image=picture(size=(1, 1))),
        "a_line.png": encoded(image=picture(size=(3000, 1))),
        "a_column.jpg": encoded("JPEG", picture(size=(1, 3000))),
        "grey.png": encoded(image=picture("L")),
        "bits.png": encoded(image=picture("1")),
        "palette.png": encoded(image=picture("P")),
        "clear.png": encoded(image=picture("RGBA")),
        "grey_clear.png": encoded(image=picture("LA")),
        "deep.png": encoded(image=Image.fromarray(np.full((20, 30), 999, np.uint16))),
        "inks.jpg": encoded("JPEG", picture("CMYK")),
        "inks.tif": encoded("TIFF", picture("CMYK")),
        "lab.tif": encoded("TIFF", picture("LAB")),
        "float.tif": encoded("TIFF", picture("F")),
        "luma.jpg": encoded("JPEG", picture("YCbCr")),
        "progressive.jpg": encoded("JPEG", progressive=True),
        "thumbnails.jpg": encoded("JPEG", quality=1),
        "moving.gif": encoded("GIF", save_all=True, append_images=[picture("L")]),
        "moving.png": encoded(save_all=True, append_images=[picture("RGB")]),
        "pages.tif": encoded("TIFF", save_all=True, append_images=[picture("L", (9, 9))]),
        "packed.tif": encoded("TIFF", compression="tiff_lzw"),
        "half.tif": encoded("TIFF")[:100],
        "half.gif": encoded("GIF")[:100],
        "half.bmp": encoded("BMP")[:100],
        "half.webp": encoded("WEBP")[:60],
        "web.webp": encoded("WEBP"),
        "icon.ico": encoded("ICO"),
        "bad_exif.jpg": jpeg[:2] + b"\xff\xe1\x00\x10Exif\0\0MM\0*\xff\xff\xff\xff" + jpeg[2:],
        "long_comment.jpg": jpeg[:2] + b"\xff\xfe\xff\xff" + bytes(65533) + jpeg[2:],
        "with space.jpg": jpeg,
        " leading.jpg": jpeg,
        "-rf.jpg": jpeg,
        "caf\u00e9.jpg": jpeg,
        "cafe\u0301.png": png,
        "\u5199\u771f.jpg": jpeg,
        "percent%20.jpg": jpeg,
        "new\nline.jpg": jpeg,
        "\x1b[31mred.jpg": b"no image",
        "many.dots.in.it.jpg": jpeg,
        "a" * 200 + ".jpg": jpeg,
        ".hidden.jpg": jpeg,
        "folder.jpg": os.mkdir,
        "pipe.png": os.mkfifo,
        "loop.jpg": lambda path: os.symlink("loop.jpg", path),
        "nowhere.jpg": lambda path: os.symlink("no such file", path),
        "device.png": lambda path: os.symlink("/dev/zero", path),
    }
    images |= {f"turned_{tag}.jpg": encoded("JPEG", exif=exif[tag]) for tag in exif}
    return images


def with_entry(path, value):
    """Return the COCO-JSON of the template with one entry replaced; `...` leaves it out."""
    content = json.loads(json.dumps(TEMPLATES["coco"]))
    *parents, key = path
    place = content
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return json.dumps(content).encode()


def odd_coco():
    """Return a dict of name to the bytes of a JSON file."""
    right = json.dumps(TEMPLATES["coco"])
    image, box = ("images", 0), ("annotations", 0)
    files = {
        "empty": b"",
        "blank": b" \n",
        "null": b"null",
        "list": b"[]",
        "dict": b"{}",
        "number": b"1",
        "cut": right[:150].encode(),
        "byte order mark": b"\xef\xbb\xbf" + right.encode(),
        "utf-16": right.encode("utf-16"),
        "utf-32": right.encode("utf-32"),
        "latin-1": right.replace("cat", "caf\u00e9").encode("latin-1"),
        "zeros at the end": right.encode() + bytes(8),
        "two documents": (right + right).encode(),
        "a comma too many": (right[:-1] + ",}").encode(),
        "python": str(TEMPLATES["coco"]).encode(),
        "packed": gzip.compress(right.encode()),
        "deep": b"[" * 200_000,
        "deep inside": (right[:-1] + ', "info": ' + "[" * 50_000 + "]" * 50_000 + "}").encode(),
        "results": json.dumps(TEMPLATES["coco"]["annotations"]).encode(),
        "labelme": json.dumps({"shapes": [], "imagePath": "a.png", "version": "5"}).encode(),
        "repeated key": (right[:-1] + ', "annotations": []}').encode(),
    }
    places = {
        "images": (image[:1], (None, {}, [], [None], "a.png")),
        "annotations": (box[:1], (None, {"1": {}}, [], [[]], "text")),
        "categories": (("categories",), (None, [], {}, ["cat"])),
        "name": (("categories", 0, "name"), (None, "", 5, "dog", ["cat"], ...)),
        "category": (("categories", 0, "id"), (None, "3", 5, -1, 2**70, ...)),
        "id": ((*image, "id"), (None, "7", 7.0, True, 2**70, [], ...)),
        "file": (
            (*image, "file_name"),
            (None, 5, "", ".", "b.png", "a\0.png", "http://a/b.png", "x" * 5000, "A.PNG", ...),
        ),
        "height": ((*image, "height"), (None, "20", 0, -20, 10**12, WIDTH, [20], ...)),
        "box": (
            (*box, "bbox"),
            (None, [], "text", [1, 2, 3], [0] * 5, ["2", "3", "4", "5"], {"x": 1}, [1e400] * 4),
        ),
        "turned box": ((*box, "bbox"), ([1, 2, 10**400, 4], [9, 9, -4, -4], [40, 40, 5, 5])),
        "of image": ((*box, "image_id"), (None, "7", 8, [7], ...)),
        "of category": ((*box, "category_id"), (None, "3", 4, [3], ...)),
        "crowd": ((*box, "iscrowd"), (None, "no", 2, [1])),
        "area": ((*box, "area"), (None, "80", -1, 10**400, float("nan"))),
    }
    for name, (path, values) in places.items():
        files |= {f"{name} {i}": with_entry(path, value) for i, value in enumerate(values)}
    return files


def odd_texts(right):
    """Return a dict of name to what may stand in the place of any text file."""
    return {
        "byte order mark": b"\xef\xbb\xbf" + right.encode(),
        "utf-16": right.encode("utf-16"),
        "latin-1": right.replace("cat", "caf\u00e9").encode("latin-1"),
        "zeros": bytes(64),
        "binary": bytes(range(256)),
        "folder": os.mkdir,
        "pipe": os.mkfifo,
        "loop": lambda path: os.symlink(path, path),
    }


def odd_yolo():
    """Return a dict of name to the bytes of a label file."""
    right = TEMPLATES["yolo"]
    texts = {
        "empty": "",
        "blank": " \n\t\n",
        "windows": right.replace("\n", "\r\n"),
        "old mac": right.replace("\n", "\r"),
        "tabs": right.replace(" ", "\t"),
        "commas": right.replace(" ", ","),
        "decimal commas": right.replace(".", ","),
        "without end": right.rstrip(),
        "header": "class x y w h\n" + right,
        "comment": "# labels\n" + right,
        "names": right.replace("0 ", "cat ", 1),
        "pixels": "0 15 10 12 8\n1 9 8 6 4\n",
        "confidence": right.replace("\n", " 0.9\n"),
        "cut": right[:-6],
        "nan": "0 nan nan nan nan\n" + right,
        "infinite": "0 0.5 0.5 inf inf\n" + right,
        "huge": f"0 {'9' * 400} 0.5 0.1 0.1\n" + right,
        "huge class": f"{10**30} 0.5 0.5 0.1 0.1\n" + right,
        "negative": "0 0.5 0.5 -0.1 0.1\n" + right,
        "underscores": "0 0_1 0.5 0.1 0.1\n" + right,
        "other digits": "\u0661 0.5 0.5 0.1 0.1\n" + right,
        "long line": "0 " + "0.5 " * 10_000 + "\n" + right,
        "many lines": right * 500,
        "json": json.dumps(TEMPLATES["coco"]),
        "page": "<!DOCTYPE html>\n<html></html>\n",
    }
    files = {name: text.encode() for name, text in texts.items()}
    return files | odd_texts(right) | {"latin-1": b"0 0.5 0.5 0.1 0.1 \xe9\n"}


def odd_voc():
    """Return a dict of name to the bytes of an XML file."""
    right = TEMPLATES["voc"]
    bomb = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
    stranger = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    texts = {
        "empty": "",
        "text": "no XML",
        "cut": right[:200],
        "page": "<html><body>Sign in</body></html>",
        "other root": right.replace("annotation", "annotations"),
        "without objects": "<annotation/>",
        "bomb": f'<!DOCTYPE a [<!ENTITY e0 "lol">{bomb}]>' + right.replace("cat", "&e9;"),
        "stranger": stranger + right.replace("cat", "&x;"),
        "unknown entity": right.replace("cat", "&nbsp;"),
        "deep": "<a>" * 50_000,
        "deep inside": right.replace("<size>", "<b>" * 5000 + "</b>" * 5000 + "<size>"),
        "encoding": '<?xml version="1.0" encoding="klingon"?>' + right,
        "wrong encoding": '<?xml version="1.0" encoding="utf-16"?>' + right,
        "namespace": right.replace("<annotation>", '<annotation xmlns="http://a/b">'),
        "section": right.replace("cat", "<![CDATA[cat]]>"),
        "comment": right.replace("cat", "cat<!-- a comment -->"),
        "lines": right.replace("cat", "\n  cat\n"),
        "no name": right.replace("<name>cat</name>", ""),
        "no box": right.replace("bndbox", "box"),
        "other name": right.replace("cat", "bird"),
        "two boxes": right.replace("<bndbox>", "<bndbox></bndbox><bndbox>", 1),
        "polygon": right.replace("bndbox", "polygon"),
        "size in words": right.replace("<width>30", "<width>thirty"),
        "no size": right.replace("<size>", "<sizes>").replace("</size>", "</sizes>"),
        "other size": right.replace("<width>30", "<width>300"),
        "turned size": right.replace("<width>30", "<width>20").replace("t>20", "t>30"),
        "size of zero": right.replace("<width>30", "<width>0").replace("<height>20", "<height>0"),
        "huge size": right.replace("<width>30", f"<width>{'9' * 5000}"),
    }
    values = ("", "-5", "3.5", "3,5", " 3 ", "nan", "inf", "1e400", "0x3", "300", "3 4", "\u0663")
    texts |= {f"corner {value}": right.replace("n>3<", f"n>{value}<") for value in values}
    values = ("", "1", "2", "yes", "-1", " 1 ")
    texts |= {f"difficult {value}": right.replace("t>0<", f"t>{value}<") for value in values}
    files = {name: text.encode() for name, text in texts.items()}
    return files | odd_texts(right)


def odd_yaml():
    """Return a dict of name to the bytes of a data.yaml."""
    right = TEMPLATES["yaml"]
    bomb = "".join(f"e{i + 1}: &e{i + 1} [{', '.join([f'*e{i}'] * 9)}]\n" for i in range(9))
    texts = {
        "empty": "",
        "text": "no settings",
        "list": "- train\n- names\n",
        "no names": "train: images\n",
        "no train": "names: [cat, dog]\n",
        "null names": "train: images\nnames:\n",
        "one name": "train: images\nnames: cat\n",
        "map with a hole": "train: images\nnames: {0: cat, 2: dog}\n",
        "repeated name": "train: images\nnames: [cat, cat]\n",
        "nested names": "train: images\nnames: [[cat], [dog]]\n",
        "bomb": "e0: &e0 lol\n" + bomb + right,
        "merge": "a: &a {names: [cat, dog]}\n<<: *a\ntrain: images\n",
        "code": "train: !!python/object/apply:os.system ['exit 1']\nnames: [cat]\n",
        "tabs": right.replace(": ", ":\t"),
        "cut": right[:24],
        "colon": "train: images: more\n" + right,
        "two documents": right + "---\n" + right,
        "deep": "a: " + "[" * 20_000,
        "itself": "train: &a [*a]\nnames: [cat, dog]\n",
        "number": "train: 5\nnames: [cat, dog]\n",
        "map": "train: {a: images}\nnames: [cat, dog]\n",
        "elsewhere": "train: no/such/folder\nnames: [cat, dog]\n",
        "url": "train: https://a/b.zip\nnames: [cat, dog]\n",
        "keypoints": right + "kpt_shape: [17]\n",
        "many keypoints": right + f"kpt_shape: [{10**30}, 3]\n",
    }
    files = {name: text.encode() for name, text in texts.items()}
    return files | odd_texts(right)


def write(path, content):
    """Write bytes, or let a function make something else of the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
