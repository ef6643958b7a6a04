"""Register the classes that saved Keras files can hold, without importing them.

`keras.saving.load_model` finds a class by its registered name. Importing a class registers it, but
can take seconds and imports TensorFlow. Until then a light placeholder is registered.
"""

import importlib

import keras

PACKAGE = "keras_detr"

# The module that defines each class registered under `PACKAGE`.
HOMES = {
    "ContrastiveDenoising": "layers.contrastive_denoising",
    "DETR": "models.detr.detr",
    "DETRAugmentation": "preprocessing.detr_augmentation",
    "DETRDecoder": "layers.detr.decoder",
    "DETRDecoderLayer": "layers.detr.decoder",
    "DETREncoder": "layers.detr.encoder",
    "DETREncoderLayer": "layers.detr.encoder",
    "DETRPreprocessor": "preprocessing.detr_preprocessor",
    "DETRSegmenter": "models.detr.detr_segmenter",
    "DINODETR": "models.dino_detr.dino_detr",
    "DINODecoder": "layers.dino_detr.decoder",
    "DeformableDETR": "models.deformable_detr.deformable_detr",
    "DeformableDecoder": "layers.deformable_detr.decoder",
    "DeformableDecoderLayer": "layers.deformable_detr.decoder",
    "DeformableEncoder": "layers.deformable_detr.encoder",
    "DeformableEncoderLayer": "layers.deformable_detr.encoder",
    "Dropout": "layers.primitives.dropout",
    "EncoderProposals": "layers.deformable_detr.encoder_proposals",
    "FeedForward": "layers.primitives.feed_forward",
    "FocalClassification": "losses.focal_classification",
    "FrozenBatchNormalization": "layers.primitives.frozen_batch_normalization",
    "FrozenNormConv2D": "layers.primitives.frozen_norm_conv2d",
    "FusedAdamW": "optimizers.fused_adamw",
    "GlobalClipMultiOptimizer": "optimizers.global_clip_multi_optimizer",
    "GroupNorm": "layers.primitives.group_norm",
    "HostNormal": "layers.primitives.initializers",
    "HostUniform": "layers.primitives.initializers",
    "HungarianLoss": "losses.hungarian_loss",
    "LearnedPositionEmbedding": "layers.learned_position_embedding",
    "MaskAttention": "layers.detr.mask_attention",
    "MaskHead": "layers.detr.mask_head",
    "MultiHeadAttention": "layers.primitives.multi_head_attention",
    "MultiScaleDeformableAttention": "layers.deformable_detr.multi_scale_deformable_attention",
    "MultiScaleNeck": "models.necks.multi_scale_neck",
    "MultilayerPerceptron": "layers.multilayer_perceptron",
    "PadToCanvas": "preprocessing.pad_to_canvas",
    "PaddedMaxPooling2D": "layers.primitives.padded_max_pooling2d",
    "RandomChoice": "preprocessing.pipelines",
    "RandomHorizontalFlip": "preprocessing.random_horizontal_flip",
    "RandomResizeShortestSide": "preprocessing.random_resize_shortest_side",
    "RandomSizeCrop": "preprocessing.random_size_crop",
    "ResNetBackbone": "models.backbones.resnet_backbone",
    "Resize": "preprocessing.resize",
    "ResizeShortestSide": "preprocessing.resize_shortest_side",
    "SetPredictionDecoder": "layers.set_prediction_decoder",
    "SinePositionEmbedding": "layers.sine_position_embedding",
    "SingleScaleNeck": "models.necks.single_scale_neck",
    "SoftmaxClassification": "losses.softmax_classification",
    "TokenDense": "layers.primitives.token_dense",
    "TokenNorm": "layers.primitives.token_norm",
    "TokenProposals": "layers.deformable_detr.encoder_proposals",
}


class DeferredClass:
    """A placeholder for a class, which is imported at the first use of an attribute.

    Args:
        module: str, the full name of the module that defines the class.
        name: str, the name of the class.
    """

    def __init__(self, module, name):
        self._module = module
        self._name = name

    def __getattr__(self, attribute):
        return getattr(self._import(), attribute)

    def __call__(self, *args, **kwargs):
        """Return an object of the class."""
        return self._import()(*args, **kwargs)

    def __repr__(self):
        return f"<{self._module}.{self._name}, not imported yet>"

    def _import(self):
        return getattr(importlib.import_module(self._module), self._name)


def register_saved_classes():
    """Register a placeholder for every class; importing the class replaces it.

    Classes that are imported already stay registered.
    """
    registered = keras.saving.get_custom_objects()
    for name, module in HOMES.items():
        deferred = DeferredClass(f"{PACKAGE}.{module}", name)
        registered.setdefault(f"{PACKAGE}>{name}", deferred)
