"""DINO: Deformable DETR with better anchors, and training without matching's detours."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from keras_detr.checkpoints import DINO_DETR_TABLE, resolve_shared_heads
from keras_detr.checkpoints.counts import MOST_CHANNELS, MOST_LAYERS, check_counts
from keras_detr.layers.contrastive_denoising import ContrastiveDenoising, check_denoising
from keras_detr.layers.deformable_detr.encoder import DeformableEncoder
from keras_detr.layers.deformable_detr.encoder_proposals import (
    TokenProposals,
    best_tokens,
    take_tokens,
)
from keras_detr.layers.deformable_detr.heads import new_box_head, new_class_head
from keras_detr.layers.dino_detr.decoder import DINODecoder, corrected
from keras_detr.layers.primitives.initializers import HostNormal
from keras_detr.layers.set_prediction_decoder import SetPredictionDecoder
from keras_detr.layers.sine_position_embedding import SinePositionEmbedding
from keras_detr.losses.hungarian_loss import HungarianLoss
from keras_detr.models.dino_detr.dino_detr_checkpoint import dino_detr_variables
from keras_detr.models.dino_detr.dino_detr_presets import DINO_DETR_PRESETS
from keras_detr.models.necks.multi_scale_neck import MultiScaleNeck
from keras_detr.models.presets.detector_settings import detector_arguments
from keras_detr.models.presets.head_fitting import LABEL_TABLE, without_spare_labels
from keras_detr.models.task import SetPredictionDetector, raw_outputs

# The longest wavelength of a token's position code is 2 pi times this.
TEMPERATURE = 20.0


@keras.saving.register_keras_serializable("keras_detr")
class DINODETR(SetPredictionDetector):
    """Detect objects as a set, starting from proposed boxes and trained to denoise.

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
        denoising: `ContrastiveDenoising`, "auto" for one with the paper's settings, or `None` to
            train with matching alone. It costs nothing outside of training.
        neck: layer from the pyramid to tokens. Default: `MultiScaleNeck` with the paper's
            position codes.
        prediction_decoder: `SetPredictionDecoder`. Default: the 300 most confident pairs of query
            and class.
        class_names: sequence of str, one a class, or `None`.
        **kwargs: `preprocessor_sizes`, see `SetPredictionDetector`; others of `keras.Model`.

    Inputs, outputs and errors are those of `SetPredictionDetector`; class logits are independent,
    one for each class and none for no-object. In training there are besides
    "encoder_classification" (batch, queries, classes) and "encoder_box" (batch, queries, 4), of the
    tokens that queries start from, and the outputs of `denoising`'s queries.

    Example:
        ```python
        model = keras_detr.DINODETR.from_preset(
            "dino_detr_r50", num_classes=2, bounding_box_format="xyxy"
        )
        model.compile()  # The paper's optimizer and loss; `fit` makes the denoising queries.
        model.fit(train_batches, epochs=1)
        ```

    Source: Zhang et al. 2022 (DINO); models/dino/dino.py of the original.
    """

    def __init__(
        self,
        backbone: Any,
        num_classes: int,
        bounding_box_format: str | None = None,
        *,
        num_queries: int = 900,
        hidden_dim: int = 256,
        num_heads: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        feed_forward_dim: int = 2048,
        num_levels: int = 4,
        num_points: int = 4,
        dropout: float = 0.0,
        activation: str | Callable[..., Any] = "relu",
        denoising: Any = "auto",
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
        check_counts(MOST_LAYERS, num_levels=num_levels, num_points=num_points)
        super().__init__(
            backbone,
            num_classes,
            bounding_box_format,
            prediction_decoder
            or SetPredictionDecoder(
                bounding_box_format,
                activation="sigmoid",
                max_detections=300,
                name="prediction_decoder",
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
        if isinstance(denoising, str) and denoising == "auto":
            denoising = ContrastiveDenoising(dtype=self.dtype_policy, name="denoising")
        self.denoising = check_denoising(denoising)
        self.neck = neck or MultiScaleNeck(
            hidden_dim,
            num_levels,
            position_embedding=_position_embedding(hidden_dim, dtype=self.dtype_policy),
            dtype=self.dtype_policy,
            name="neck",
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
        self.decoder = DINODecoder(num_decoder_layers, name="decoder", **transformer)
        self._build_parts()

    def _build_parts(self):
        token_shape = (None, None, self.hidden_dim)
        sizes = (self.hidden_dim, self.dtype_policy)
        self.build_neck()
        self.encoder.build(token_shape)
        self.decoder.build(token_shape)
        self.class_head = new_class_head(self.num_classes, *sizes, "class_head")
        self.box_head = new_box_head(*sizes, "box_head")
        self.proposals = TokenProposals(self.hidden_dim, dtype=self.dtype_policy, name="proposals")
        self.proposals.build(token_shape)
        self.proposal_class_head = new_class_head(self.num_classes, *sizes, "proposal_class_head")
        self.proposal_box_head = new_box_head(*sizes, "proposal_box_head")
        self.content_queries = self.add_weight(
            (self.num_queries, self.hidden_dim), HostNormal(stddev=1.0), name="content_queries"
        )
        if self.denoising is not None:
            self.denoising.build((self.num_classes, self.hidden_dim))
        self.built = True

    def predict_set(self, pyramid, pixel_mask, training, return_auxiliary, targets=None):
        """Return the raw outputs for a feature pyramid."""
        (tokens, proposed), (states, boxes, _) = self._decode(
            pyramid,
            pixel_mask,
            training=training,
            targets=targets,
            return_intermediate=return_auxiliary,
        )
        num_queries = None if targets is None else self.num_queries
        outputs = raw_outputs(*self._read(states, boxes), num_queries)
        if return_auxiliary:
            logits = ops.cast(self.proposal_class_head(tokens), "float32")
            outputs.update(encoder_classification=logits, encoder_box=proposed)
        return outputs

    def attend_set(self, pyramid, pixel_mask):
        """Return the raw outputs for a feature pyramid, and what the decoder read."""
        _, (states, boxes, (points, weights)) = self._decode(
            pyramid, pixel_mask, training=False, return_intermediate=False
        )
        attention = {"sampling_points": points, "attention_weights": weights}
        return {**raw_outputs(*self._read(states, boxes)), **attention}

    def _decode(self, pyramid, pixel_mask, training, targets=None, **settings):
        """Return the chosen tokens and their boxes, and what the decoder makes of a pyramid."""
        flat = self.neck(pyramid, pixel_mask)
        memory, centers = self.encoder.encode(flat, training)
        tokens, boxes = self._propose(memory, centers, flat)
        # Mixed query selection: where to look is chosen, what to look for is learned.
        anchors = ops.stop_gradient(boxes)
        content = ops.expand_dims(ops.cast(self.content_queries, self.compute_dtype), 0)
        states = ops.tile(content, (ops.shape(memory)[0], 1, 1))
        query_mask = None
        if targets is not None:
            noisy_states, noisy_anchors, query_mask = self.denoising(
                targets["boxes"], targets["classes"], num_matching_queries=self.num_queries
            )
            noisy_states = ops.cast(noisy_states, states.dtype)
            states = ops.concatenate([states, noisy_states], axis=1)
            anchors = ops.concatenate([anchors, noisy_anchors], axis=1)
        decoded = self.decoder(
            states,
            anchors,
            memory,
            spatial_shapes=flat["spatial_shapes"],
            valid_ratios=flat["valid_ratios"],
            box_head=self.box_head,
            token_mask=flat["mask"],
            query_mask=query_mask,
            training=training,
            **settings,
        )
        return (tokens, boxes), decoded

    def _propose(self, memory, centers, flat):
        """Return the most promising tokens (batch, queries, size) and their boxes."""
        tokens, places = self.proposals(
            memory, centers, spatial_shapes=flat["spatial_shapes"], token_mask=flat["mask"]
        )
        # Choosing has no gradient, and only the chosen ones need a box.
        logits = ops.cast(self.proposal_class_head(ops.stop_gradient(tokens)), "float32")
        best = best_tokens(ops.max(logits, axis=-1), self.num_queries)
        places = take_tokens(ops.broadcast_to(places, (*ops.shape(tokens)[:2], 4)), best)
        tokens = take_tokens(tokens, best)
        return tokens, ops.sigmoid(self.proposal_box_head(tokens) + places)

    def _read(self, states, boxes):
        """Return class logits and boxes of the decoder's states."""
        logits = ops.cast(self.class_head(states), "float32")
        return logits, corrected(boxes, self.box_head(states))

    @classmethod
    def default_loss(cls) -> HungarianLoss:
        """Return the loss of Zhang et al. 2022 (DINO)."""
        return HungarianLoss.dino_detr()

    has_no_object = False
    use_two_stage = True

    presets: ClassVar[dict] = DINO_DETR_PRESETS
    checkpoint_table = DINO_DETR_TABLE

    def checkpoint_variables(self):
        """Return the variables by canonical name."""
        return dino_detr_variables(self)

    @classmethod
    def checkpoint_arguments(cls, settings):
        """Return the constructor's arguments."""
        return detector_arguments(
            settings,
            MultiScaleNeck,
            num_levels=settings["num_levels"],
            position_embedding=_position_embedding(settings["hidden_dim"]),
        )

    def checkpoint_class_heads(self, class_rows):
        """Return the class heads of decoder and proposals, and the table of labels."""
        names = ("class_embed.0", "transformer.enc_out_class_embed", LABEL_TABLE)
        return dict.fromkeys(names, class_rows)

    def fit_checkpoint(self, tensors, class_rows, may_reset_classes, source):
        """Return a checkpoint's tensors with the heads that the model has."""
        tensors = without_spare_labels(resolve_shared_heads(tensors, 1), "class_embed.0")
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
            "denoising": keras.saving.serialize_keras_object(self.denoising),
        }


def _position_embedding(hidden_dim, **kwargs):
    """Return the codes of tokens' positions."""
    return SinePositionEmbedding(
        hidden_dim, temperature=TEMPERATURE, name="position_embedding", **kwargs
    )
