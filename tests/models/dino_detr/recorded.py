"""What the original DINO computes for weights and inputs that NumPy makes again.

`recorded.md` says how the figures were recorded. Nothing here needs torch.
"""

import pathlib
import zlib
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from keras_detr.checkpoints import COCO_CATEGORY_IDS
from tests.models.dino_detr.official_weights import OfficialSizes, official_tensors

_FOLDER = pathlib.Path(__file__).parent
NUM_DENOISING_QUERIES = 100
LOSS_PARTS = tuple(
    f"{source}{part}_loss"
    for source in ("", "encoder_", "denoising_")
    for part in ("classification", "box", "giou")
)


class Case(NamedTuple):
    """A detector and a padded batch of two images that the original was run on.

    Attributes:
        name: str, of the file with what the original computed.
        sizes: `OfficialSizes`.
        image_sizes: height and width of each image; the batch has the largest of both.
        class_rows: tuple of int, the row of the official class head that scores each class.
        counts: tuple of pairs, the objects of both images in each batch that was trained on.
    """

    name: str
    sizes: OfficialSizes
    image_sizes: tuple
    class_rows: tuple
    counts: tuple


SMALL = Case(
    name="small",
    sizes=OfficialSizes(
        stem_num_filters=8,
        stage_num_filters=(8, 16, 16, 32),
        stage_num_blocks=(1, 2, 1, 2),
        is_bottleneck=False,
        hidden_dim=64,
        feed_forward_dim=48,
        num_heads=4,
        num_encoder_layers=2,
        num_decoder_layers=3,
        num_queries=20,
        num_classes=7,
        seed=42,
    ),
    image_sizes=((96, 128), (80, 104)),
    class_rows=tuple(range(7)),
    counts=((7, 3), (5, 0)),
)
# The architecture of the preset, whose class head has a row for each id of COCO, used or not.
FULL = Case(
    name="full",
    sizes=OfficialSizes(
        unused_rows=tuple(row for row in range(91) if row not in COCO_CATEGORY_IDS),
        equal_queries=90,
        proposal_seed=94,
    ),
    image_sizes=((256, 320), (224, 288)),
    class_rows=COCO_CATEGORY_IDS,
    counts=((7, 3),),
)


def inputs_of(case):
    """Make the padded batch of a case, with garbage where it is padded.

    Returns:
        dict of "images", float32 (2, height, width, 3) in 0..255, and "pixel_mask", uint8
        (2, height, width), 1 on the image.
    """
    height, width = np.max(case.image_sizes, axis=0)
    generator = np.random.default_rng(1)
    # Coarse blocks: a network averages fine noise away, and all tokens would look alike.
    blocks = generator.uniform(0, 255, (2, -(-height // 8), -(-width // 8), 3))
    images = blocks.repeat(8, 1).repeat(8, 2)[:, :height, :width].astype("float32")
    pixel_mask = np.zeros((2, height, width), "uint8")
    for mask, (image_height, image_width) in zip(pixel_mask, case.image_sizes, strict=True):
        mask[:image_height, :image_width] = 1
    return {"images": images, "pixel_mask": pixel_mask}


def targets_of(case, counts):
    """Make the objects of a batch, inside of their images.

    Args:
        case: `Case`.
        counts: pair of int, the objects of each image.

    Returns:
        dict of "boxes", float32 (2, most objects, 4), rel_center_xywh, and "classes", int32
        (2, most objects); both are -1 where there is no object.
    """
    generator = np.random.default_rng(counts)
    boxes = np.full((2, max(counts), 4), -1, "float32")
    classes = np.full((2, max(counts)), -1, "int32")
    for image, count in enumerate(counts):
        sizes = generator.uniform(0.1, 0.5, (count, 2))
        corners = generator.uniform(0.02, 0.98 - sizes)
        boxes[image, :count] = np.concatenate([corners + sizes / 2, sizes], axis=-1)
        classes[image, :count] = generator.integers(0, len(case.class_rows), count)
    return {"boxes": boxes, "classes": classes}


def weights_of(case):
    """Make the weights of a case under the official names, those that the original had.

    Raises:
        AssertionError: NumPy made other weights than those that the record belongs to.
    """
    tensors = official_tensors(case.sizes)
    assert checksum_of(tensors) == recorded(case)["weights_checksum"]
    return tensors


def checksum_of(tensors):
    """Return the CRC-32 of all values, in the order of the names."""
    checksum = 0
    for name in sorted(tensors):
        checksum = zlib.crc32(np.ascontiguousarray(tensors[name]).tobytes(), checksum)
    return checksum


def recorded(case):
    """Return every array of a case's file by its name; `recorded.md` lists them."""
    with np.load(_FOLDER / f"{case.name}.npz") as file:
        return dict(file)


def recorded_losses(case, counts, has_plain_giou=False):
    """Return the weighted parts of the loss, and their sum as "loss".

    Args:
        case: `Case`.
        counts: pair of int, one of the case's.
        has_plain_giou: bool, whether unions and hulls of boxes are as they are. The original adds
            1e-6 to them.

    Returns:
        dict of name to float.
    """
    values = recorded(case)[f"{batch_name(counts)}/losses{_ending(has_plain_giou)}"]
    return dict(zip((*LOSS_PARTS, "loss"), values.tolist(), strict=True))


def recorded_gradient_norms(case, counts, has_plain_giou=False):
    """Return the norm of the loss' gradient with respect to each tensor that trains.

    The arguments are those of `recorded_losses`.

    Returns:
        dict of official name to float. The three projections of an attention's `in_proj_weight`
        and `in_proj_bias` are apart, as `q_proj.weight` and so on. A shared head is there once.
    """
    arrays = recorded(case)
    norms = arrays[f"{batch_name(counts)}/gradient_norms{_ending(has_plain_giou)}"]
    return dict(zip(arrays["gradient_names"].tolist(), norms.tolist(), strict=True))


def recorded_outputs(case):
    """Return the outputs that `in_recorded_order` makes of a model's, as the original has them."""
    names = ("classification", "box", "last_box", "encoder_classification", "encoder_box")
    return {name: value for name, value in recorded(case).items() if name in names}


def in_recorded_order(outputs, case):
    """Put queries in the order of the record, and keep those that are there.

    Proposals of nearly the same score may change places: they are matched by their boxes.

    Args:
        outputs: dict of raw outputs of a model, arrays of NumPy.
        case: `Case`.

    Returns:
        dict of "classification" (2, layers, kept, classes) and "box" (2, layers, kept, 4),
        "encoder_classification" (2, kept, classes), and of all queries "last_box" (2, queries, 4)
        and "encoder_box" (2, queries, 4).
    """
    arrays = recorded(case)
    kept = arrays["ranks"]
    ordered = {}
    for image, boxes in enumerate(arrays["encoder_box"]):
        _, order = linear_sum_assignment(cdist(boxes, outputs["encoder_box"][image]))
        of_image = {
            "last_box": outputs["box"][image][order],
            "encoder_box": outputs["encoder_box"][image][order],
            "encoder_classification": outputs["encoder_classification"][image][order[kept]],
        }
        for name in ("classification", "box"):
            layers = [*outputs[f"aux_{name}"][image], outputs[name][image]]
            of_image[name] = np.stack(layers)[:, order[kept]]
        for name, value in of_image.items():
            ordered.setdefault(name, []).append(value)
    return {name: np.stack(values) for name, values in ordered.items()}


def recorded_denoising_outputs(case, counts):
    """Return the outputs of the denoising queries of a batch.

    Without noise all groups are alike, and so are the positive and the negative half of each.

    Returns:
        dict of "denoising_classification" (2, layers, N, classes) and "denoising_box" (2, layers,
        N, 4), in the order [group][positive, negative][object].
    """
    arrays = recorded(case)
    num_halves = 2 * (NUM_DENOISING_QUERIES // max(counts))
    outputs = {}
    for name in ("denoising_classification", "denoising_box"):
        half = arrays[f"{batch_name(counts)}/{name}"]
        outputs[name] = np.concatenate([half] * num_halves, axis=2)
    return outputs


def batch_name(counts):
    """Return the prefix of a training batch's arrays in the file, such as "7_and_3"."""
    return "{}_and_{}".format(*counts)


def _ending(has_plain_giou):
    return "_of_plain_giou" if has_plain_giou else ""
