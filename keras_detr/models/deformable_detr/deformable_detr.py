"""Deformable DETR: a set of objects from a few points on several feature maps."""

import math
from typing import ClassVar

import keras
import numpy as np
from keras import ops

from keras_detr.checkpoints import (
    DEFORMABLE_DETR_TABLE,
    deformable_detr_settings,
    resolve_shared_heads,
)
from keras_detr.layers.deformable_detr.decoder import DeformableDecoder
from keras_detr.layers.deformable_detr.encoder import DeformableEncoder
from keras_detr.layers.deformable_detr.encoder_proposals import EncoderProposals
from keras_detr.layers.multilayer_perceptron import MultilayerPerceptron
from keras_detr.layers.primitives.counts import MOST_CHANNELS, MOST_LAYERS, check_counts
from keras_detr.layers.primitives.initializers import (
    HostNormal,
    torch_linear_initializers,
    xavier_uniform,
)
from keras_detr.layers.primitives.token_dense import TokenDense
from keras_detr.layers.set_prediction_decoder import SetPredictionDecoder
from keras_detr.losses.hungarian_loss import HungarianLoss
from keras_detr.models.deformable_detr.deformable_detr_checkpoint import deformable_detr_variables
from keras_detr.models.deformable_detr.deformable_detr_presets import DEFORMABLE_DETR_PRESETS
from keras_detr.models.necks.multi_scale_neck import MultiScaleNeck
from keras_detr.models.presets.detector_settings import detector_arguments
from keras_detr.models.task import SetPredictionDetector, raw_outputs
from keras_detr.ops.boxes import inverse_sigmoid
from keras_detr.optimizers.detr_optimizer import detr_optimizer

# How likely a class is taken to be at the start.
PRIOR_PROBABILITY = 0.01


@keras.saving.register_keras_serializable("keras_detr")
class DeformableDETR(SetPredictionDetector):
    """Detect objects as a set, attending to few points on several scales.

    Args:
        backbone: a keras_detr, KerasCV or KerasHub backbone; its levels from P3 on are read.
        num_classes: int, the real classes; labels run from 0 to `num_classes - 1`.
        bounding_box_format: str, of targets and of detections: KerasCV's eight formats and
            "rel_center_xywh". Relative formats mean fractions of the unpadded image.
        num_queries: int, the most objects that an image can have.
        hidden_dim: int, the size of tokens and queries.
        num_heads: int, must divide `hidden_dim`.
        num_encoder_layers: int.
        num_decoder_layers: int.
        feed_forward_dim: int, width of the feed-forward networks.
        num_levels: int, feature maps. 1 reads the backbone's highest level only.
        num_points: int, points that a head reads on each map.
        dropout: float in [0, 1).
        activation: str or callable, of the feed-forward networks.
        use_box_refinement: bool, whether each decoder layer corrects the boxes of the one before.
        use_two_stage: bool, whether queries start from boxes that the encoder proposes. Needs
            `use_box_refinement`.
        neck: layer from the pyramid to tokens. Default: `MultiScaleNeck(hidden_dim, num_levels)`.
        prediction_decoder: `SetPredictionDecoder`. Default: the 100 most confident pairs of query
            and class.
        class_names: sequence of str, one a class, or `None`.
        **kwargs: `preprocessor_sizes`, see `SetPredictionDetector`; others of `keras.Model`.

    Inputs, outputs and errors are those of `SetPredictionDetector`; class logits are independent,
    one for each class and none for no-object. In training two-stage adds "encoder_classification"
    (batch, tokens, classes) and "encoder_box" (batch, tokens, 4).

    Source: Zhu et al. 2021; models/deformable_detr.py of the original.
    """

    def __init__(
        self,
        backbone,
        num_classes,
        bounding_box_format=None,
        *,
        num_queries=300,
        hidden_dim=256,
        num_heads=8,
        num_encoder_layers=6,
        num_decoder_layers=6,
        feed_forward_dim=1024,
        num_levels=4,
        num_points=4,
        dropout=0.1,
        activation="relu",
        use_box_refinement=False,
        use_two_stage=False,
        neck=None,
        prediction_decoder=None,
        class_names=None,
        **kwargs,
    ):
        if use_two_stage and not use_box_refinement:
            raise ValueError(
                "`use_two_stage` needs `use_box_refinement=True`: proposals are boxes for the "
                "decoder to refine."
            )
        check_counts(
            num_queries=num_queries, num_heads=num_heads, feed_forward_dim=feed_forward_dim
        )
        check_counts(MOST_CHANNELS, hidden_dim=hidden_dim)
        check_counts(MOST_LAYERS, least=0, num_encoder_layers=num_encoder_layers)
        check_counts(MOST_LAYERS, num_decoder_layers=num_decoder_layers)
        check_counts(MOST_LAYERS, num_levels=num_levels, num_points=num_points)
        super().__init__(
            backbone,
            num_classes,
            bounding_box_format,
            prediction_decoder
            or SetPredictionDecoder(
                bounding_box_format, activation="sigmoid", name="prediction_decoder"
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
        self.num_levels = num_levels
        self.num_points = num_points
        self.dropout = dropout
        self.activation = keras.activations.get(activation)
        self.use_box_refinement = use_box_refinement
        self.use_two_stage = use_two_stage
        self.neck = neck or MultiScaleNeck(
            hidden_dim, num_levels, dtype=self.dtype_policy, name="neck"
        )
        transformer = {
            "num_levels": num_levels,
            "num_points": num_points,
            "num_heads": num_heads,
            "feed_forward_dim": feed_forward_dim,
            "dropout": dropout,
            "activation": activation,
            "dtype": self.dtype_policy,
        }
        self.encoder = DeformableEncoder(num_encoder_layers, name="encoder", **transformer)
        self.decoder = DeformableDecoder(
            num_decoder_layers, use_box_refinement=use_box_refinement, name="decoder", **transformer
        )
        # Without refinement one head serves all layers; the encoder's proposals have the last one.
        num_heads_of_layers = num_decoder_layers + use_two_stage if use_box_refinement else 1
        self.class_heads = [self._class_head(index) for index in range(num_heads_of_layers)]
        self.box_heads = [
            MultilayerPerceptron(
                hidden_dim, 4, num_layers=3, dtype=self.dtype_policy, name=f"box_head_{index}"
            )
            for index in range(num_heads_of_layers)
        ]
        self._build_parts()

    def _class_head(self, index):
        log_odds = math.log(PRIOR_PROBABILITY / (1 - PRIOR_PROBABILITY))
        return TokenDense(
            self.num_classes,
            kernel_initializer=torch_linear_initializers(self.hidden_dim)[0],
            bias_initializer=keras.initializers.Constant(log_odds),
            dtype=self.dtype_policy,
            name=f"class_head_{index}",
        )

    def _build_parts(self):
        token_shape = (None, None, self.hidden_dim)
        self.build_neck()
        self.encoder.build(token_shape)
        self.decoder.build(token_shape)
        for head in (*self.class_heads, *self.box_heads):
            head.build(token_shape)
        for index, head in enumerate(self.box_heads):
            self._start_at_reference(head.dense_layers[-1], is_first=index == 0)
        if self.use_two_stage:
            self.proposals = EncoderProposals(
                self.hidden_dim, dtype=self.dtype_policy, name="proposals"
            )
            self.proposals.build(token_shape)
        else:
            self.query_embeddings = self.add_weight(
                (self.num_queries, 2 * self.hidden_dim),
                HostNormal(stddev=1.0),
                name="query_embeddings",
            )
            self.reference_points = TokenDense(
                2,
                kernel_initializer=xavier_uniform(self.hidden_dim, 2),
                dtype="float32",
                name="reference_points",
            )
            self.reference_points.build(token_shape)
        self.built = True

    def _start_at_reference(self, dense, is_first):
        """Let a box head start without an opinion, but for small boxes where none are proposed."""
        dense.kernel.assign(np.zeros(dense.kernel.shape, "float32"))
        side = -2.0 if is_first and not self.use_two_stage else 0.0
        dense.bias.assign(np.array([0.0, 0.0, side, side], "float32"))

    def predict_set(self, pyramid, pixel_mask, training, return_auxiliary):
        """Return the raw outputs for a feature pyramid."""
        (states, boxes, _), outputs = self._decode(
            pyramid, pixel_mask, training=training, return_intermediate=return_auxiliary
        )
        outputs = outputs if return_auxiliary else {}
        return {**raw_outputs(self._classify(states), boxes), **outputs}

    def attend_set(self, pyramid, pixel_mask):
        """Return the raw outputs for a feature pyramid, and what the decoder read."""
        (states, boxes, (points, weights)), _ = self._decode(
            pyramid, pixel_mask, training=False, return_intermediate=False
        )
        attention = {"sampling_points": points, "attention_weights": weights}
        return {**raw_outputs(self._classify(states), boxes), **attention}

    def _decode(self, pyramid, pixel_mask, training, **settings):
        """Return what the decoder makes of a feature pyramid, and raw outputs of the encoder."""
        flat = self.neck(pyramid, pixel_mask)
        shapes, ratios, mask = flat["spatial_shapes"], flat["valid_ratios"], flat["mask"]
        centers = _centers(shapes, ratios)
        memory = self.encoder(
            flat["tokens"],
            flat["positions"],
            ops.expand_dims(centers, 2) * ops.expand_dims(ratios, 1),
            spatial_shapes=shapes,
            token_mask=mask,
            training=training,
        )
        outputs = {}
        if self.use_two_stage:
            states, positions, references, outputs = self._propose(memory, centers, shapes, mask)
        else:
            states, positions, references = self._learned_queries(ops.shape(memory)[0])
        decoded = self.decoder(
            states,
            positions,
            references,
            memory,
            spatial_shapes=shapes,
            valid_ratios=ratios,
            predict_boxes=self._predict_boxes,
            token_mask=mask,
            training=training,
            **settings,
        )
        return decoded, outputs

    def _learned_queries(self, batch):
        """Return states, positions and reference points of the learned queries."""
        embeddings = ops.expand_dims(self.query_embeddings, 0)
        positions, states = ops.split(embeddings, 2, axis=-1)
        references = ops.sigmoid(self.reference_points(ops.cast(positions, "float32")))
        repeats = (batch, 1, 1)
        states = ops.tile(ops.cast(states, self.compute_dtype), repeats)
        return states, ops.cast(positions, self.compute_dtype), ops.tile(references, repeats)

    def _propose(self, memory, centers, shapes, mask):
        """Return states, positions and references of the best proposals, and raw outputs."""
        tokens, places = self.proposals(memory, centers, spatial_shapes=shapes, token_mask=mask)
        logits = ops.cast(self.class_heads[-1](tokens), "float32")
        boxes = ops.cast(self.box_heads[-1](tokens), "float32") + places
        # The first class stands for "an object", as in the encoder's loss.
        _, best = ops.top_k(logits[..., 0], self.num_queries)
        chosen = ops.take_along_axis(boxes, ops.expand_dims(best, -1), axis=1)
        chosen = ops.stop_gradient(chosen)
        positions, states = self.proposals.queries(chosen)
        outputs = {"encoder_classification": logits, "encoder_box": ops.sigmoid(boxes)}
        return states, positions, ops.sigmoid(chosen), outputs

    def _predict_boxes(self, index, states, references):
        """Return the boxes of a decoder layer, relative to its reference points."""
        head = self.box_heads[index if self.use_box_refinement else 0]
        corrections = ops.cast(head(states), "float32")
        places = inverse_sigmoid(references)
        if references.shape[-1] == 2:
            places = ops.concatenate([places, ops.zeros_like(places)], axis=-1)
        return ops.sigmoid(corrections + places)

    def _classify(self, states):
        """Return class logits of the last decoder layers, as many as there are states."""
        if not self.use_box_refinement:
            return ops.cast(self.class_heads[0](states), "float32")
        count = states.shape[1]
        first = self.num_decoder_layers - count
        logits = [self.class_heads[first + index](states[:, index]) for index in range(count)]
        return ops.cast(ops.stack(logits, axis=1), "float32")

    @classmethod
    def default_loss(cls):
        """Return the loss of Zhu et al. 2021."""
        return HungarianLoss.deformable_detr()

    def default_optimizer(self, schedule=float):
        """Return the optimizer of Zhu et al. 2021; see `SetPredictionDetector`."""
        slow_layers = ["sampling_offsets"]
        if not self.use_two_stage:
            slow_layers.append("reference_points")
        return detr_optimizer(
            self,
            schedule(2e-4),
            schedule(2e-5),
            slow_layers=slow_layers,
            slow_learning_rate=schedule(2e-5),
        )

    has_no_object = False

    presets: ClassVar[dict] = DEFORMABLE_DETR_PRESETS
    hub_model_type = "deformable_detr"
    checkpoint_table = DEFORMABLE_DETR_TABLE
    checkpoint_settings = staticmethod(deformable_detr_settings)

    def checkpoint_variables(self):
        """Return the variables by canonical name."""
        return deformable_detr_variables(self)

    @classmethod
    def checkpoint_arguments(cls, settings):
        """Return the constructor's arguments."""
        return detector_arguments(settings, MultiScaleNeck, num_levels=settings["num_levels"])

    def checkpoint_class_heads(self, class_rows):
        """Return the class heads of the decoder's layers, and last that of the proposals."""
        heads = {f"class_embed.{index}": class_rows for index in range(len(self.class_heads))}
        if self.use_two_stage and class_rows is not None:
            # To the encoder's head every object is of the checkpoint's first row, whether or not
            # that is a class.
            heads[f"class_embed.{len(heads) - 1}"] = (0, *class_rows[1:])
        return heads

    def fit_checkpoint(self, tensors, class_rows, may_reset_classes, source):
        """Return a checkpoint's tensors with the heads and queries that the model has."""
        tensors = resolve_shared_heads(tensors, len(self.class_heads))
        return super().fit_checkpoint(tensors, class_rows, may_reset_classes, source)

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
            "num_levels": self.num_levels,
            "num_points": self.num_points,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "use_box_refinement": self.use_box_refinement,
            "use_two_stage": self.use_two_stage,
        }


def _centers(spatial_shapes, valid_ratios):
    """Return the place of each token in the unpadded image: float32 (batch or 1, tokens, 2)."""
    centers = []
    for level, (height, width) in enumerate(spatial_shapes):
        rows, columns = (
            (ops.arange(side, dtype="float32") + 0.5) / ops.cast(side, "float32")
            for side in (height, width)
        )
        grid = ops.stack(ops.meshgrid(columns, rows), axis=-1)
        ratio = ops.expand_dims(valid_ratios[:, level], 1)
        centers.append(ops.reshape(grid, (1, -1, 2)) / ratio)
    return ops.concatenate(centers, axis=1)
