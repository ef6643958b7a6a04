"""The parts of the models: normalization, position embeddings, transformer layers, heads."""

from keras_detr.layers.deformable_decoder import DeformableDecoder
from keras_detr.layers.deformable_decoder_layer import DeformableDecoderLayer
from keras_detr.layers.deformable_encoder import DeformableEncoder
from keras_detr.layers.deformable_encoder_layer import DeformableEncoderLayer
from keras_detr.layers.detr_decoder import DETRDecoder
from keras_detr.layers.detr_decoder_layer import DETRDecoderLayer
from keras_detr.layers.detr_encoder import DETREncoder
from keras_detr.layers.detr_encoder_layer import DETREncoderLayer
from keras_detr.layers.dropout import Dropout
from keras_detr.layers.encoder_proposals import EncoderProposals
from keras_detr.layers.feed_forward import FeedForward
from keras_detr.layers.frozen_batch_normalization import FrozenBatchNormalization
from keras_detr.layers.frozen_norm_conv2d import FrozenNormConv2D
from keras_detr.layers.group_norm import GroupNorm
from keras_detr.layers.learned_position_embedding import LearnedPositionEmbedding
from keras_detr.layers.multi_head_attention import MultiHeadAttention
from keras_detr.layers.multi_scale_deformable_attention import MultiScaleDeformableAttention
from keras_detr.layers.multilayer_perceptron import MultilayerPerceptron
from keras_detr.layers.padded_max_pooling2d import PaddedMaxPooling2D
from keras_detr.layers.set_prediction_decoder import SetPredictionDecoder
from keras_detr.layers.sine_position_embedding import SinePositionEmbedding
from keras_detr.layers.token_dense import TokenDense
from keras_detr.layers.token_norm import TokenNorm

__all__ = [
    "DETRDecoder",
    "DETRDecoderLayer",
    "DETREncoder",
    "DETREncoderLayer",
    "DeformableDecoder",
    "DeformableDecoderLayer",
    "DeformableEncoder",
    "DeformableEncoderLayer",
    "Dropout",
    "EncoderProposals",
    "FeedForward",
    "FrozenBatchNormalization",
    "FrozenNormConv2D",
    "GroupNorm",
    "LearnedPositionEmbedding",
    "MultiHeadAttention",
    "MultiScaleDeformableAttention",
    "MultilayerPerceptron",
    "PaddedMaxPooling2D",
    "SetPredictionDecoder",
    "SinePositionEmbedding",
    "TokenDense",
    "TokenNorm",
]
