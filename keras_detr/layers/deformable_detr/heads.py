"""The heads of Deformable DETR and its kin, with the starting values of their papers."""

import math

import keras
import numpy as np

from keras_detr.layers.multilayer_perceptron import MultilayerPerceptron
from keras_detr.layers.primitives.initializers import torch_linear_initializers
from keras_detr.layers.primitives.token_dense import TokenDense

# How likely a class is taken to be at the start.
PRIOR_PROBABILITY = 0.01
# What the first box head adds to the logits of sides at the start, where queries have points only.
FIRST_SIDE_LOGIT = -2.0


def new_class_head(num_classes, hidden_dim, dtype, name):
    """Return a dense layer that gives each class an independent logit, built.

    Source: Lin et al. 2017, section 4.1 (starting values); Zhu et al. 2021, section A.4.
    """
    log_odds = math.log(PRIOR_PROBABILITY / (1 - PRIOR_PROBABILITY))
    head = TokenDense(
        num_classes,
        kernel_initializer=torch_linear_initializers(hidden_dim)[0],
        bias_initializer=keras.initializers.Constant(log_odds),
        dtype=dtype,
        name=name,
    )
    head.build((None, None, hidden_dim))
    return head


def new_box_head(hidden_dim, dtype, name, side_logit=0.0):
    """Return a perceptron that corrects the logits of boxes, built; at the start, by nothing.

    `side_logit` is what it adds to the logits of width and height at the start.
    """
    head = MultilayerPerceptron(hidden_dim, 4, output_dtype="float32", dtype=dtype, name=name)
    head.build((None, None, hidden_dim))
    last = head.dense_layers[-1]
    last.kernel.assign(np.zeros(last.kernel.shape, "float32"))
    last.bias.assign(np.array([0.0, 0.0, side_logit, side_logit], "float32"))
    return head
