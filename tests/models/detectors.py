"""The detectors that the contract tests run on, made tiny: a new detector is one row here."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from keras_detr.layers import ContrastiveDenoising, SinePositionEmbedding
from keras_detr.models import (
    DETR,
    DINODETR,
    DeformableDETR,
    DETRSegmenter,
    MultiScaleNeck,
    ResNetBackbone,
)

NUM_CLASSES = 3
NUM_QUERIES = 10
NUM_LAYERS = 2
HEIGHT, WIDTH = 64, 96


class Detector(NamedTuple):
    """Say what the contract needs to know of a detector.

    Attributes:
        build: callable from overriding arguments to a tiny model.
        num_logits: int, how many logits a query has.
        num_detections: int, how many detections an image gets.
        class_head: callable from a model to the layer that classifies its last queries.
        idle: tuple of str, path prefixes of variables that the first step can't move.
        sees_padding: bool, whether padding takes part in a normalization, as in the original.
        has_proposals: bool, whether the encoder's best tokens have classes and boxes of their own.
        has_denoising: bool, whether training adds denoising queries.
        has_masks: bool, whether queries have masks.
    """

    build: Callable
    num_logits: int
    num_detections: int
    class_head: Callable
    idle: tuple = ()
    sees_padding: bool = False
    has_proposals: bool = False
    has_denoising: bool = False
    has_masks: bool = False


def tiny_backbone(**overrides):
    """Build a ResNet of 8 layers."""
    settings = {
        "stackwise_num_filters": (8, 16, 16, 32),
        "stackwise_num_blocks": (1, 1, 1, 1),
        "stem_num_filters": 8,
        "name": "resnet",
    }
    return ResNetBackbone(18, **{**settings, **overrides})


def patch_backbone(levels=(5,), **kwargs):
    """Build a backbone whose cells, in level 5 of 32 by 32 pixels, don't see each other."""
    images = keras.Input((None, None, 3), name="images")
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(images)
    maps = [
        keras.layers.Conv2D(32, 2**n, strides=2**n, activation="relu", name=f"patches_{n}")(x)
        for n in levels
    ]
    backbone = keras.Model(images, maps, name="patch_backbone", **kwargs)
    backbone.pyramid_level_inputs = {f"P{n}": f"patches_{n}" for n in levels}
    return backbone


def tiny_settings(overrides):
    """Return the arguments that all tiny detectors share, overridden by a test's."""
    return {
        "backbone": overrides.get("backbone") or tiny_backbone(),
        "num_classes": NUM_CLASSES,
        "bounding_box_format": "xyxy",
        "num_queries": NUM_QUERIES,
        "hidden_dim": 32,
        "num_heads": 4,
        "num_encoder_layers": 1,
        "num_decoder_layers": NUM_LAYERS,
        "feed_forward_dim": 64,
        "dropout": 0.0,
        "name": "detector",
        **overrides,
    }


def tiny_detr(**overrides):
    """Build a DETR that runs in milliseconds."""
    return DETR(**tiny_settings(overrides))


def tiny_detr_segmenter(**overrides):
    """Build a DETR with masks that runs in milliseconds."""
    return DETRSegmenter(**tiny_settings(overrides))


def tiny_deformable_detr(**overrides):
    """Build a Deformable DETR that runs in milliseconds."""
    settings = {"num_levels": 4, "num_points": 1, **tiny_settings(overrides)}
    if "neck" not in overrides:
        settings["neck"] = MultiScaleNeck(32, settings["num_levels"], num_groups=4, name="neck")
    return DeformableDETR(**settings)


def tiny_dino_detr(**overrides):
    """Build a DINO that runs in milliseconds."""
    settings = {"num_levels": 4, "num_points": 1, **tiny_settings(overrides)}
    if "neck" not in overrides:
        settings["neck"] = MultiScaleNeck(
            32,
            settings["num_levels"],
            num_groups=4,
            position_embedding=SinePositionEmbedding(32, temperature=20.0),
            name="neck",
        )
    return DINODETR(**settings)


DETECTORS = {
    "detr": Detector(
        tiny_detr,
        NUM_CLASSES + 1,
        NUM_QUERIES,
        lambda model: model.class_head,
        # The first decoder layer's queries attend to each other's states, which are all zero.
        idle=("decoder/layer_0/self_attn", "decoder/layer_0/norm1"),
    ),
    "detr_segmenter": Detector(
        tiny_detr_segmenter,
        NUM_CLASSES + 1,
        NUM_QUERIES,
        lambda model: model.class_head,
        idle=("decoder/layer_0/self_attn", "decoder/layer_0/norm1"),
        sees_padding=True,
        has_masks=True,
    ),
    "deformable_detr": Detector(
        tiny_deformable_detr,
        NUM_CLASSES,
        NUM_CLASSES * NUM_QUERIES,
        lambda model: model.class_heads[-1],
        # Nothing passes a kernel that starts at zero: the box head's last one, and those that make
        # points and weights of positions.
        idle=("box_head_0/layer_0", "box_head_0/layer_1", "neck/level_embeddings"),
        sees_padding=True,
    ),
    "dino_detr": Detector(
        tiny_dino_detr,
        NUM_CLASSES,
        NUM_CLASSES * NUM_QUERIES,
        lambda model: model.class_head,
        # Nothing passes the last kernels of the box heads, which start at zero.
        idle=(
            "box_head/layer_0",
            "box_head/layer_1",
            "proposal_box_head/layer_0",
            "proposal_box_head/layer_1",
            "neck/level_embeddings",
        ),
        sees_padding=True,
        has_proposals=True,
        has_denoising=True,
    ),
}


def tiny_batch(seed=0, batch_size=4):
    """Make a padded batch of images of several sizes, the last without objects.

    Returns:
        dict of "images" float32 (batch, 64, 96, 3) in 0..255, "pixel_mask" uint8, and
        "bounding_boxes" in the format "xyxy", with "masks" that fill the boxes.
    """
    generator = np.random.default_rng(seed)
    images = generator.uniform(0, 255, (batch_size, HEIGHT, WIDTH, 3)).astype("float32")
    pixel_mask = np.zeros((batch_size, HEIGHT, WIDTH), "uint8")
    boxes = np.full((batch_size, 3, 4), -1.0, "float32")
    classes = np.full((batch_size, 3), -1, "int32")
    for index in range(batch_size):
        height, width = HEIGHT - 8 * (index % 4), WIDTH - 24 * ((index + 1) % 4)
        pixel_mask[index, :height, :width] = 1
        images[index] *= pixel_mask[index, :, :, None]
        for place in range(min(3, batch_size - 1 - index)):
            left, top = generator.uniform(0, 0.5, 2) * (width, height)
            size = generator.uniform(0.2, 0.5, 2) * (width, height)
            boxes[index, place] = left, top, left + size[0], top + size[1]
            classes[index, place] = generator.integers(NUM_CLASSES)
    return {
        "images": images,
        "pixel_mask": pixel_mask,
        "bounding_boxes": {"boxes": boxes, "classes": classes, "masks": _filled(boxes, classes)},
    }


def _filled(boxes, classes):
    """Return bool (batch, objects, 64, 96), true inside of boxes."""
    left, top, right, bottom = np.moveaxis(boxes[..., None, None], 2, 0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    is_inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return is_inside & (classes >= 0)[..., None, None]


def matching_loss(history):
    """Return the last loss of a training's history without the parts of denoising queries."""
    denoising = sum(history[name][-1] for name in history if name.startswith("denoising_"))
    return history["loss"][-1] - denoising


def inputs_of(batch):
    """Return a batch without its targets."""
    return {"images": batch["images"], "pixel_mask": batch["pixel_mask"]}


class Batches(keras.utils.PyDataset):
    """Give batches as they are."""

    def __init__(self, *batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def smooth_detector(name, seed=0, **settings):
    """Build a tiny detector whose results can be compared: of smooth gradients, and without noise.

    Args:
        name: str, of `DETECTORS`.
        seed: int.
        **settings: of its class.
    """
    keras.utils.set_random_seed(seed)
    if DETECTORS[name].has_denoising:
        # Each device and process draws noise of its own.
        settings["denoising"] = ContrastiveDenoising(label_noise_ratio=0, box_noise_scale=0)
    model = DETECTORS[name].build(**settings)
    # A new deformable detector samples at the very centers of pixels, where its gradient jumps.
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        value = keras.ops.convert_to_numpy(variable)
        variable.assign(value + generator.normal(0, 0.02, value.shape))
    return model
