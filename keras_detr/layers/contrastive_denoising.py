"""Queries made of noisy objects, which a detector learns to clean up."""

from typing import Any

import keras
from keras import ops

from keras_detr.checkpoints.counts import check_counts
from keras_detr.layers.primitives.initializers import HostNormal
from keras_detr.ops.boxes import center_to_corners, inverse_sigmoid
from keras_detr.ops.target_objects import pack_target_objects

# How near to 0 and 1 the anchors of denoising queries come, as in the original.
EPSILON = 1e-3


def check_denoising(denoising):
    """Return an argument `denoising`, or raise a ValueError if it can't be a new detector's."""
    if denoising is None:
        return None
    if not isinstance(denoising, ContrastiveDenoising):
        raise ValueError(
            "`denoising` must be a `ContrastiveDenoising`, or None for training without. "
            f"Received: {denoising!r}."
        )
    if denoising.built:
        raise ValueError(
            "`denoising` belongs to a detector already, whose labels it has learned. Pass a new "
            "`ContrastiveDenoising` to each detector."
        )
    return denoising


@keras.saving.register_keras_serializable("keras_detr")
class ContrastiveDenoising(keras.layers.Layer):
    """Make queries of an image's objects, with noise in their labels and boxes.

    They take part in training only. Each object gives two queries to each group: a positive one,
    near to its box, which is to find it; and a negative one, further away, which is to find
    nothing. Because it is known what they should find, they learn without matching, and teach the
    decoder to correct boxes before matching has settled. There are as many groups as
    `num_queries` allows for the number of rows, padding included, that the boxes of a batch have,
    and at least one. So shapes follow from shapes, and images with padded boxes get fewer groups
    than the original's, which counts objects.

    Args:
        num_queries: int, how many positive queries there are at most, unless a batch has more
            objects.
        label_noise_ratio: float in [0, 1]. Half of it is the share of queries that get a class at
            random, which may be their own.
        box_noise_scale: float, at least 0. A corner's coordinates move by up to this share of half
            the box' width or height; those of negative queries by once to twice as much.
        seed: int or `None`, of the noise.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        boxes: float (batch, objects, 4), rel_center_xywh of the unpadded image. They are clipped
            to the image; those without area make no queries.
        classes: int (batch, objects), 0-based, -1 for padding.
        num_matching_queries: int, the queries of the detector that come before these.

    Returns:
        triple of states (batch, N, size) in the compute dtype, the embedding of each noisy label;
        of anchors, float32 (batch, N, 4), rel_center_xywh in (0, 1); and of what may attend to
        what, bool (1, num_matching_queries + N, num_matching_queries + N): matching queries to
        matching queries, denoising queries to these and to their own group. The N queries are laid
        out as [group][positive | negative][object]. Padding has a state of zeros, and an anchor in
        the middle of the image.

    Example:
        ```python
        from keras_detr.layers import ContrastiveDenoising

        denoising = ContrastiveDenoising(num_queries=6, seed=0)
        denoising.build((2, 8))  # The number of classes, and the size of a query.
        boxes = np.array([[[0.5, 0.5, 0.2, 0.3], [0.3, 0.4, 0.1, 0.1]]], "float32")
        states, anchors, mask = denoising(boxes, np.array([[0, 1]]), num_matching_queries=5)
        print(states.shape, mask.shape)  # (1, 12, 8) (1, 17, 17)
        ```

    Source: Zhang et al. 2022 (DINO), section 3.3; models/dino/dn_components.py of the original.
    """

    def __init__(
        self,
        num_queries: int = 100,
        label_noise_ratio: float = 0.5,
        box_noise_scale: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        # Boxes and noise stay in float32.
        super().__init__(autocast=False, **kwargs)
        check_counts(num_queries=num_queries)
        if not 0 <= label_noise_ratio <= 1:
            raise ValueError(
                f"`label_noise_ratio` must be in [0, 1]. Received: {label_noise_ratio!r}."
            )
        if not box_noise_scale >= 0:
            raise ValueError(
                f"`box_noise_scale` must be at least 0. Received: {box_noise_scale!r}."
            )
        self.num_queries = num_queries
        self.label_noise_ratio = label_noise_ratio
        self.box_noise_scale = box_noise_scale
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed, name="noise")

    def build(self, table_shape):
        """Create the table of labels (classes, size); the detector does this."""
        self.label_embeddings = self.add_weight(
            table_shape, HostNormal(stddev=1.0), name="label_embeddings"
        )

    def call(self, boxes, classes, num_matching_queries):
        """Return the queries, and what may attend to what."""
        objects = pack_target_objects(boxes, classes)
        batch, max_objects = ops.shape(objects.classes)
        num_groups = self._num_groups(max_objects)
        shape = (batch, num_groups, 2, max_objects)
        num_denoising = num_groups * 2 * max_objects

        is_object = ops.broadcast_to(objects.is_object[:, None, None], shape)
        labels = self._noisy_labels(objects.classes, shape)
        # Of padding nothing is taken. A product of matrices has dense gradients on all backends.
        one_hot = ops.one_hot(
            ops.where(is_object, labels, -1),
            self.label_embeddings.shape[0],
            dtype=self.compute_dtype,
        )
        states = ops.matmul(one_hot, ops.cast(self.label_embeddings, self.compute_dtype))
        anchors = ops.sigmoid(inverse_sigmoid(self._noisy_boxes(objects.boxes, shape), EPSILON))
        anchors = ops.where(ops.expand_dims(is_object, -1), anchors, 0.5)
        return (
            ops.reshape(states, (batch, num_denoising, self.label_embeddings.shape[1])),
            ops.reshape(anchors, (batch, num_denoising, 4)),
            _may_attend(num_matching_queries, num_denoising, 2 * max_objects),
        )

    def _num_groups(self, max_objects):
        if isinstance(max_objects, int):
            return max(1, self.num_queries // max_objects)
        return ops.maximum(1, self.num_queries // max_objects)

    def _noisy_labels(self, classes, shape):
        """Return labels (batch, groups, 2, objects), some of them drawn anew."""
        labels = ops.broadcast_to(classes[:, None, None], shape)
        if not self.label_noise_ratio:
            return labels
        num_classes = self.label_embeddings.shape[0]
        is_changed = self._uniform(shape, 0.0, 1.0) < 0.5 * self.label_noise_ratio
        drawn = ops.cast(self._uniform(shape, 0.0, num_classes), "int32")
        # A draw can be rounded up to the number of classes.
        return ops.where(is_changed, ops.minimum(drawn, num_classes - 1), labels)

    def _noisy_boxes(self, boxes, shape):
        """Return boxes (batch, groups, 2, objects, 4), their corners moved."""
        boxes = ops.broadcast_to(boxes[:, None, None], (*shape, 4))
        if not self.box_noise_scale:
            return boxes
        steps = self._uniform((*shape, 4), -1.0, 1.0)
        is_negative = ops.reshape(ops.convert_to_tensor([0.0, 1.0], "float32"), (1, 1, 2, 1, 1))
        steps = steps + is_negative * ops.sign(steps)
        half_sizes = ops.concatenate([boxes[..., 2:], boxes[..., 2:]], axis=-1) * 0.5
        corners = center_to_corners(boxes) + steps * half_sizes * self.box_noise_scale
        corners = ops.clip(corners, 0.0, 1.0)
        left_top, right_bottom = corners[..., :2], corners[..., 2:]
        # Corners may have passed each other: such a box is as small as an anchor can be.
        return ops.concatenate([(left_top + right_bottom) * 0.5, right_bottom - left_top], axis=-1)

    def _uniform(self, shape, least, most):
        return keras.random.uniform(shape, least, most, dtype="float32", seed=self.seed_generator)

    def get_build_config(self):
        """Return nothing: the detector that the layer belongs to builds it for its classes."""

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_queries": self.num_queries,
            "label_noise_ratio": self.label_noise_ratio,
            "box_noise_scale": self.box_noise_scale,
            "seed": self.seed,
        }


def _may_attend(num_matching, num_denoising, group_size):
    """Return bool (1, queries, queries), true where a query, in its row, sees another."""
    groups = ops.arange(num_denoising, dtype="int32") // group_size
    groups = ops.concatenate([ops.full((num_matching,), -1, dtype="int32"), groups], axis=0)
    is_same = ops.equal(ops.expand_dims(groups, 1), ops.expand_dims(groups, 0))
    return ops.expand_dims(ops.logical_or(is_same, ops.expand_dims(groups < 0, 0)), 0)
