"""DETR: an encoder-decoder transformer that predicts a set of objects."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from keras_detr.checkpoints import DETR_TABLE, detr_settings
from keras_detr.checkpoints.counts import MOST_CHANNELS, MOST_LAYERS, check_counts
from keras_detr.layers.detr.decoder import DETRDecoder
from keras_detr.layers.detr.encoder import DETREncoder
from keras_detr.layers.multilayer_perceptron import MultilayerPerceptron
from keras_detr.layers.primitives.initializers import torch_linear_initializers
from keras_detr.layers.primitives.token_dense import TokenDense
from keras_detr.layers.set_prediction_decoder import SetPredictionDecoder
from keras_detr.models.detr.detr_checkpoint import detr_in_transformers, detr_variables
from keras_detr.models.detr.detr_presets import DETR_PRESETS
from keras_detr.models.necks.single_scale_neck import SingleScaleNeck, coarsest_level
from keras_detr.models.presets.detector_settings import detector_arguments
from keras_detr.models.task import SetPredictionDetector, raw_outputs


@keras.saving.register_keras_serializable("keras_detr")
class DETR(SetPredictionDetector):
    """Detect objects as a set: no anchors, no non-maximum suppression.

    Args:
        backbone: a keras_detr, KerasCV or KerasHub backbone; its highest level is read.
        num_classes: int, the real classes; labels run from 0 to `num_classes - 1`.
        bounding_box_format: str, of targets and of detections: KerasCV's eight formats and
            "rel_center_xywh". Relative formats mean fractions of the unpadded image.
        num_queries: int, the most objects that an image can have.
        hidden_dim: int, the size of tokens and queries.
        num_heads: int, must divide `hidden_dim`.
        num_encoder_layers: int.
        num_decoder_layers: int.
        feed_forward_dim: int, width of the feed-forward networks.
        dropout: float in [0, 1).
        activation: str or callable, of the feed-forward networks.
        normalize_before: bool, pre-norm transformer layers instead of post-norm.
        neck: layer from the pyramid to tokens, positions and mask. Default:
            `SingleScaleNeck(hidden_dim)`.
        prediction_decoder: `SetPredictionDecoder`. Default: one that keeps a detection for every
            query.
        class_names: sequence of str, one a class, or `None`.
        **kwargs: `preprocessor_sizes`, see `SetPredictionDetector`; others of `keras.Model`.

    Example:
    ```python
    model = keras_detr.DETR.from_preset("detr_r50", num_classes=3, bounding_box_format="xyxy")
    model.compile()
    model.fit(train_batches, validation_data=validation_batches, epochs=10)
    detections = model.predict(images)
    ```

    Inputs, outputs and errors are those of `SetPredictionDetector`.

    Source: Carion et al. 2020; models/detr.py of the original.
    """

    def __init__(
        self,
        backbone: Any,
        num_classes: int,
        bounding_box_format: str | None = None,
        *,
        num_queries: int = 100,
        hidden_dim: int = 256,
        num_heads: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        feed_forward_dim: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[..., Any] = "relu",
        normalize_before: bool = False,
        neck: Any = None,
        prediction_decoder: Any = None,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        check_counts(
            num_queries=num_queries, num_heads=num_heads, feed_forward_dim=feed_forward_dim
        )
        check_counts(MOST_CHANNELS, hidden_dim=hidden_dim)
        check_counts(MOST_LAYERS, least=0, num_encoder_layers=num_encoder_layers)
        check_counts(MOST_LAYERS, num_decoder_layers=num_decoder_layers)
        super().__init__(
            backbone,
            num_classes,
            bounding_box_format,
            prediction_decoder
            or SetPredictionDecoder(
                bounding_box_format, max_detections=num_queries, name="prediction_decoder"
            ),
            class_names=class_names,
            **kwargs,
        )
        self.num_queries = num_queries
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.num_encoder_layers = num_encoder_layers
        self.num_decoder_layers = num_decoder_layers
        self.feed_forward_dim = feed_forward_dim
        self.dropout = dropout
        self.activation = keras.activations.get(activation)
        self.normalize_before = normalize_before
        self.neck = neck or SingleScaleNeck(hidden_dim, dtype=self.dtype_policy, name="neck")
        transformer = {
            "num_heads": num_heads,
            "feed_forward_dim": feed_forward_dim,
            "dropout": dropout,
            "activation": activation,
            "normalize_before": normalize_before,
            "dtype": self.dtype_policy,
        }
        self.encoder = DETREncoder(num_encoder_layers, name="encoder", **transformer)
        self.decoder = DETRDecoder(num_queries, num_decoder_layers, name="decoder", **transformer)
        kernel_initializer, bias_initializer = torch_linear_initializers(hidden_dim)
        self.class_head = TokenDense(
            num_classes + 1,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            dtype=self.dtype_policy,
            name="class_head",
        )
        self.box_head = MultilayerPerceptron(
            hidden_dim, 4, output_dtype="float32", dtype=self.dtype_policy, name="box_head"
        )
        self.build_neck()
        self.encoder.build((None, None, hidden_dim))
        self.decoder.build((None, None, hidden_dim))
        self.class_head.build((None, None, num_queries, hidden_dim))
        self.box_head.build((None, None, num_queries, hidden_dim))
        self.built = True

    def predict_set(self, pyramid, pixel_mask, training, return_auxiliary):
        """Return the raw outputs for a feature pyramid."""
        states, _, _ = self._transform(
            pyramid, pixel_mask, training=training, return_intermediate=return_auxiliary
        )
        return self._read(states)

    def attend_set(self, pyramid, pixel_mask):
        """Return the raw outputs for a feature pyramid, and what the decoder attended to."""
        states, (weights,), _ = self._transform(
            pyramid, pixel_mask, training=False, return_intermediate=False, return_attention=True
        )
        height, width = ops.shape(pyramid[coarsest_level(pyramid)])[1:3]
        weights = ops.transpose(weights, (0, 1, 3, 2, 4))
        weights = ops.reshape(weights, (*ops.shape(weights)[:-1], height, width))
        return {**self._read(states), "attention_weights": weights}

    def _transform(self, pyramid, pixel_mask, training, **settings):
        """Return the decoder's states and attention, and what it read: the neck's and the memory.

        The third is a dict of what the neck returns, and "memory", the encoder's tokens.
        """
        flat = self.neck(pyramid, pixel_mask)
        mask = None if flat["mask"] is None else ops.expand_dims(flat["mask"], 1)
        memory = self.encoder(
            flat["tokens"], flat["positions"], attention_mask=mask, training=training
        )
        states, attention = self.decoder(
            memory, flat["positions"], attention_mask=mask, training=training, **settings
        )
        return states, attention, {**flat, "memory": memory}

    def _read(self, states):
        """Return the raw outputs that the heads make of the decoder's states."""
        logits = ops.cast(self.class_head(states), "float32")
        boxes = ops.sigmoid(self.box_head(states))
        return raw_outputs(logits, boxes)

    presets: ClassVar[dict] = DETR_PRESETS
    hub_model_type = "detr"
    hub_architecture = "DetrForObjectDetection"
    checkpoint_table = DETR_TABLE
    checkpoint_settings = staticmethod(detr_settings)

    def checkpoint_variables(self):
        """Return the variables by canonical name."""
        return detr_variables(self)

    @classmethod
    def checkpoint_arguments(cls, settings):
        """Return the constructor's arguments."""
        return detector_arguments(settings, SingleScaleNeck)

    def checkpoint_class_heads(self, class_rows):
        """Return the one class head, with the rows of the preset."""
        return {"class_embed": class_rows}

    def in_transformers(self):
        """Return what transformers' files hold of the detector."""
        return detr_in_transformers(self)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_queries": self.num_queries,
            "hidden_dim": self.hidden_dim,
            "num_heads": self.num_heads,
            "num_encoder_layers": self.num_encoder_layers,
            "num_decoder_layers": self.num_decoder_layers,
            "feed_forward_dim": self.feed_forward_dim,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "normalize_before": self.normalize_before,
        }
