"""The parts that the papers name: position embeddings, transformers, heads, decoding."""

from keras_detr.layers.contrastive_denoising import ContrastiveDenoising
from keras_detr.layers.deformable_detr.decoder import DeformableDecoder, DeformableDecoderLayer
from keras_detr.layers.deformable_detr.encoder import DeformableEncoder, DeformableEncoderLayer
from keras_detr.layers.deformable_detr.encoder_proposals import EncoderProposals
from keras_detr.layers.deformable_detr.multi_scale_deformable_attention import (
    MultiScaleDeformableAttention,
)
from keras_detr.layers.detr.decoder import DETRDecoder, DETRDecoderLayer
from keras_detr.layers.detr.encoder import DETREncoder, DETREncoderLayer
from keras_detr.layers.detr.mask_attention import MaskAttention
from keras_detr.layers.detr.mask_head import MaskHead
from keras_detr.layers.dino_detr.decoder import DINODecoder
from keras_detr.layers.learned_position_embedding import LearnedPositionEmbedding
from keras_detr.layers.multilayer_perceptron import MultilayerPerceptron
from keras_detr.layers.primitives.frozen_batch_normalization import FrozenBatchNormalization
from keras_detr.layers.set_prediction_decoder import SetPredictionDecoder
from keras_detr.layers.sine_position_embedding import SinePositionEmbedding

__all__ = [
    "ContrastiveDenoising",
    "DETRDecoder",
    "DETRDecoderLayer",
    "DETREncoder",
    "DETREncoderLayer",
    "DINODecoder",
    "DeformableDecoder",
    "DeformableDecoderLayer",
    "DeformableEncoder",
    "DeformableEncoderLayer",
    "EncoderProposals",
    "FrozenBatchNormalization",
    "LearnedPositionEmbedding",
    "MaskAttention",
    "MaskHead",
    "MultiScaleDeformableAttention",
    "MultilayerPerceptron",
    "SetPredictionDecoder",
    "SinePositionEmbedding",
]
