"""Register the classes that saved Keras files can hold, without importing them or Keras.

`keras.saving.load_model` finds a class by its registered name. Importing a class registers it, but
can take seconds and imports TensorFlow. Until then a light placeholder is registered. Keras itself
takes seconds too: where nothing has imported it yet, the placeholders wait until something does.
"""

import importlib
import sys

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


class KerasFinder:
    """A finder of modules that registers the classes as soon as Keras is imported.

    It finds nothing by itself: the other finders of `sys.meta_path` do.
    """

    def find_spec(self, name, path=None, target=None):
        """Return what the others find for Keras, with a loader that registers; else `None`."""
        if name != "keras":
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            self._register_after(spec.loader)
        return spec

    def _register_after(self, loader):
        execute = loader.exec_module

        def execute_and_register(module):
            # Where Keras can't be imported, because its backend is missing, it may be tried again.
            execute(module)
            del loader.exec_module
            sys.meta_path.remove(self)
            _register()

        loader.exec_module = execute_and_register


def register_saved_classes():
    """Register a placeholder for every class, at once or when Keras is imported.

    Importing a class replaces its placeholder. Classes that are imported already stay registered.
    """
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, KerasFinder())


def _register():
    import keras

    registered = keras.saving.get_custom_objects()
    for name, module in HOMES.items():
        deferred = DeferredClass(f"{PACKAGE}.{module}", name)
        registered.setdefault(f"{PACKAGE}>{name}", deferred)
