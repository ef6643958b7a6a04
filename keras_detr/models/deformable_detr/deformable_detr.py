"""Deformable DETR: a set of objects from a few points on several feature maps."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from keras_detr.checkpoints import (
    DEFORMABLE_DETR_TABLE,
    deformable_detr_settings,
    resolve_shared_heads,
)
from keras_detr.checkpoints.counts import MOST_CHANNELS, MOST_LAYERS, check_counts
from keras_detr.layers.contrastive_denoising import check_denoising
from keras_detr.layers.deformable_detr.decoder import DeformableDecoder
from keras_detr.layers.deformable_detr.encoder import DeformableEncoder
from keras_detr.layers.deformable_detr.encoder_proposals import (
    EncoderProposals,
    best_tokens,
    take_tokens,
)
from keras_detr.layers.deformable_detr.heads import (
    FIRST_SIDE_LOGIT,
    new_box_head,
    new_class_head,
)
from keras_detr.layers.deformable_detr.references import sine_codes_of_boxes
from keras_detr.layers.multilayer_perceptron import MultilayerPerceptron
from keras_detr.layers.primitives.initializers import HostNormal, xavier_uniform
from keras_detr.layers.primitives.token_dense import TokenDense
from keras_detr.layers.set_prediction_decoder import SetPredictionDecoder
from keras_detr.losses.hungarian_loss import HungarianLoss
from keras_detr.models.deformable_detr.deformable_detr_checkpoint import (
    deformable_detr_in_transformers,
    deformable_detr_variables,
)
from keras_detr.models.deformable_detr.deformable_detr_presets import DEFORMABLE_DETR_PRESETS
from keras_detr.models.necks.multi_scale_neck import MultiScaleNeck
from keras_detr.models.presets.detector_settings import detector_arguments
from keras_detr.models.presets.head_fitting import DENOISING_POSITIONS, LABEL_TABLE
from keras_detr.models.task import SetPredictionDetector, raw_outputs
from keras_detr.ops.boxes import inverse_sigmoid
from keras_detr.optimizers.detr_optimizer import detr_optimizer


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
        denoising: `ContrastiveDenoising`, or `None` to train as published. Needs
            `use_box_refinement`.
        neck: layer from the pyramid to tokens. Default: `MultiScaleNeck(hidden_dim, num_levels)`.
        prediction_decoder: `SetPredictionDecoder`. Default: the 100 most confident pairs of query
            and class.
        class_names: sequence of str, one a class, or `None`.
        **kwargs: `preprocessor_sizes`, see `SetPredictionDetector`; others of `keras.Model`.

    Inputs, outputs and errors are those of `SetPredictionDetector`; class logits are independent,
    one for each class and none for no-object. In training two-stage adds "encoder_classification"
    (batch, tokens, classes) and "encoder_box" (batch, tokens, 4), `denoising` the outputs of its
    queries.

    Example:
        ```python
        model = keras_detr.DeformableDETR.from_preset(
            "deformable_detr_r50", num_classes=2, bounding_box_format="xyxy"
        )
        model.compile()  # The paper's optimizer and loss.
        model.fit(train_batches, epochs=1)
        ```

    Source: Zhu et al. 2021; models/deformable_detr.py of the original.
    """

    def __init__(
        self,
        backbone: Any,
        num_classes: int,
        bounding_box_format: str | None = None,
        *,
        num_queries: int = 300,
        hidden_dim: int = 256,
        num_heads: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        feed_forward_dim: int = 1024,
        num_levels: int = 4,
        num_points: int = 4,
        dropout: float = 0.1,
        activation: str | Callable[..., Any] = "relu",
        use_box_refinement: bool = False,
        use_two_stage: bool = False,
        denoising: Any = None,
        neck: Any = None,
        prediction_decoder: Any = None,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if use_two_stage and not use_box_refinement:
            raise ValueError(
                "`use_two_stage` needs `use_box_refinement=True`: proposals are boxes for the "
                "decoder to refine."
            )
        if denoising is not None and not use_box_refinement:
            raise ValueError(
                "`denoising` needs `use_box_refinement=True`: denoising queries start from boxes "
                "for the decoder to refine."
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
        self.denoising = check_denoising(denoising)
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
        self.class_heads = [
            new_class_head(num_classes, hidden_dim, self.dtype_policy, f"class_head_{index}")
            for index in range(num_heads_of_layers)
        ]
        self.box_heads = [
            new_box_head(
                hidden_dim,
                self.dtype_policy,
                f"box_head_{index}",
                # Boxes start small where none are proposed.
                side_logit=FIRST_SIDE_LOGIT if index == 0 and not use_two_stage else 0.0,
            )
            for index in range(num_heads_of_layers)
        ]
        self._build_parts()

    def _build_parts(self):
        token_shape = (None, None, self.hidden_dim)
        self.build_neck()
        self.encoder.build(token_shape)
        self.decoder.build(token_shape)
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
        if self.denoising is not None:
            self.denoising.build((self.num_classes, self.hidden_dim))
            self.denoising_positions = MultilayerPerceptron(
                self.hidden_dim,
                self.hidden_dim,
                num_layers=2,
                dtype=self.dtype_policy,
                name=DENOISING_POSITIONS,
            )
            self.denoising_positions.build((None, None, 2 * self.hidden_dim))
        self.built = True

    def predict_set(self, pyramid, pixel_mask, training, return_auxiliary, targets=None):
        """Return the raw outputs for a feature pyramid."""
        (states, boxes, _), outputs = self._decode(
            pyramid,
            pixel_mask,
            training=training,
            targets=targets,
            return_intermediate=return_auxiliary,
        )
        outputs = outputs if return_auxiliary else {}
        num_queries = None if targets is None else self.num_queries
        return {**raw_outputs(self._classify(states), boxes, num_queries), **outputs}

    def attend_set(self, pyramid, pixel_mask):
        """Return the raw outputs for a feature pyramid, and what the decoder read."""
        (states, boxes, (points, weights)), _ = self._decode(
            pyramid, pixel_mask, training=False, return_intermediate=False
        )
        attention = {"sampling_points": points, "attention_weights": weights}
        return {**raw_outputs(self._classify(states), boxes), **attention}

    def _decode(self, pyramid, pixel_mask, training, targets=None, **settings):
        """Return what the decoder makes of a feature pyramid, and raw outputs of the encoder."""
        flat = self.neck(pyramid, pixel_mask)
        memory, centers = self.encoder.encode(flat, training)
        outputs = {}
        if self.use_two_stage:
            states, positions, references, outputs = self._propose(memory, centers, flat)
        else:
            states, positions, references = self._learned_queries(ops.shape(memory)[0])
        if targets is not None:
            states, positions, denoising = self._add_denoising(states, positions, targets)
            settings = {**settings, **denoising}
        decoded = self.decoder(
            states,
            positions,
            references,
            memory,
            spatial_shapes=flat["spatial_shapes"],
            valid_ratios=flat["valid_ratios"],
            predict_boxes=self._predict_boxes,
            token_mask=flat["mask"],
            training=training,
            **settings,
        )
        return decoded, outputs

    def _add_denoising(self, states, positions, targets):
        """Return states and positions with those of denoising queries, and what these need."""
        noisy_states, anchors, query_mask = self.denoising(
            targets["boxes"], targets["classes"], num_matching_queries=self.num_queries
        )
        codes = ops.cast(sine_codes_of_boxes(anchors, self.hidden_dim), self.compute_dtype)
        positions = ops.broadcast_to(positions, ops.shape(states))
        states = ops.concatenate([states, ops.cast(noisy_states, states.dtype)], axis=1)
        positions = ops.concatenate([positions, self.denoising_positions(codes)], axis=1)
        return states, positions, {"denoising_boxes": anchors, "query_mask": query_mask}

    def _learned_queries(self, batch):
        """Return states, positions and reference points of the learned queries."""
        embeddings = ops.expand_dims(self.query_embeddings, 0)
        positions, states = ops.split(embeddings, 2, axis=-1)
        references = ops.sigmoid(self.reference_points(ops.cast(positions, "float32")))
        repeats = (batch, 1, 1)
        states = ops.tile(ops.cast(states, self.compute_dtype), repeats)
        return states, ops.cast(positions, self.compute_dtype), ops.tile(references, repeats)

    def _propose(self, memory, centers, flat):
        """Return states, positions and references of the best proposals, and raw outputs."""
        tokens, places = self.proposals(
            memory, centers, spatial_shapes=flat["spatial_shapes"], token_mask=flat["mask"]
        )
        logits = ops.cast(self.class_heads[-1](tokens), "float32")
        boxes = self.box_heads[-1](tokens) + places
        # The first class stands for "an object", as in the encoder's loss.
        best = best_tokens(logits[..., 0], self.num_queries)
        chosen = ops.stop_gradient(take_tokens(boxes, best))
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
    def default_loss(cls) -> HungarianLoss:
        """Return the loss of Zhu et al. 2021."""
        return HungarianLoss.deformable_detr()

    def default_optimizer(self, schedule: Callable[[float], Any] = float, **settings: Any) -> Any:
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
            **settings,
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
        return {**heads, LABEL_TABLE: class_rows}

    def fit_checkpoint(self, tensors, class_rows, may_reset_classes, source):
        """Return a checkpoint's tensors with the heads and queries that the model has."""
        tensors = resolve_shared_heads(tensors, len(self.class_heads))
        return super().fit_checkpoint(tensors, class_rows, may_reset_classes, source)

    def in_transformers(self):
        """Return what transformers' files hold of the detector."""
        return deformable_detr_in_transformers(self)

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
            "denoising": keras.saving.serialize_keras_object(self.denoising),
        }
