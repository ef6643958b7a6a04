"""What the parity tests of all detectors share: small settings, images, what a file must hold."""

import numpy as np

from keras_detr.checkpoints import read_tensors, to_canonical_names

# What issue and papers' users ask for; float32 sums in another order differ by a tenth of it.
TOLERANCE = 1e-4
MEAN = np.array((0.485, 0.456, 0.406), "float32")
STANDARD_DEVIATION = np.array((0.229, 0.224, 0.225), "float32")
TINY_RESNET = {
    "layer_type": "basic",
    "depths": [1, 2, 1, 2],
    "hidden_sizes": [8, 16, 16, 32],
    "embedding_size": 8,
}
TINY_TRANSFORMER = {
    "d_model": 32,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "num_queries": 10,
}


def assert_telling(logits, boxes):
    """Check that what a query adds, and an image, is far above the tolerance.

    Parity of outputs that are all alike would prove little.

    Args:
        logits: array (batch, layers, queries, rows).
        boxes: array (batch, layers, queries, 4).
    """
    assert 0.3 < logits.std() < 30
    for outputs in (logits, boxes):
        assert outputs.std(axis=2).mean() > 50 * TOLERANCE
        assert outputs.std(axis=0).mean() > 50 * TOLERANCE


def assert_every_tensor_has_a_variable(model, file, resolve=dict):
    """Check that a file's tensors and a model's variables are the same set.

    Args:
        model: the detector.
        file: path of the file that the model was loaded from.
        resolve: callable from canonical tensors to those that the model wants.
    """
    renamed = to_canonical_names(read_tensors(file), model.checkpoint_table)
    assert not renamed.skipped
    named = model.checkpoint_variables()
    assert resolve(renamed.tensors).keys() == named.keys()
    filled = {id(entry.variable) for entry in named.values()}
    assert filled == {id(variable) for variable in model.weights}


def originals_inputs(images, pixel_mask):
    """Return what an original of torch takes, in float64.

    In float64, so that only the rounding of the model under test counts.

    Args:
        images: float32 array (batch, height, width, 3) in 0..255.
        pixel_mask: array (batch, height, width), 1 on the image.

    Returns:
        pair of tensors: float64 (batch, 3, height, width), normalized, 0 on padding; and int64.
    """
    import torch

    normalized = (images / 255.0 - MEAN) / STANDARD_DEVIATION * pixel_mask[..., None]
    images = torch.tensor(np.transpose(normalized, (0, 3, 1, 2)).astype("float64"))
    return images, torch.tensor(pixel_mask.astype("int64"))


def dilate_last_stage(model):
    """Make the last stage keep its resolution; transformers itself can do so with timm only.

    Source: models/backbone.py of the original, `replace_stride_with_dilation`.
    """
    stage = model.model.backbone.model.encoder.stages[-1]
    for index, block in enumerate(stage.layers):
        for module in block.modules():
            if hasattr(module, "kernel_size"):
                module.stride = (1, 1)
                if module.kernel_size == (3, 3) and index > 0:
                    module.dilation = module.padding = (2, 2)


def images_of_two_sizes(height, width):
    """Make a padded batch of an upright and a lying image, with garbage where they are padded.

    Returns:
        pair of images float32 (2, height, width, 3) in 0..255 and pixel mask uint8.
    """
    generator = np.random.default_rng(1)
    # Coarse blocks: a network averages fine noise away, and all tokens would look alike.
    blocks = generator.uniform(0, 255, (2, -(-height // 16), -(-width // 16), 3))
    images = blocks.repeat(16, 1).repeat(16, 2)[:, :height, :width].astype("float32")
    pixel_mask = np.zeros((2, height, width), "uint8")
    pixel_mask[0, :, : width // 2 + 9] = 1
    pixel_mask[1, : height // 2 + 13, :] = 1
    return images, pixel_mask
