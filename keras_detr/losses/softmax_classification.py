"""DETR's classification: one class or no-object for every query."""

import keras
from keras import ops

from keras_detr.losses.layer_sums import sum_by_layer, weigh_images
from keras_detr.losses.matching_costs import values_of_classes


@keras.saving.register_keras_serializable("keras_detr")
class SoftmaxClassification:
    """Compare logits that end with no-object to the classes of matched objects.

    Args:
        no_object_weight: float, the weight of queries without an object in the cross-entropy:
            there are many more of them than of objects.

    Example:
        ```python
        from keras_detr.losses import SoftmaxClassification

        loss = keras_detr.HungarianLoss(SoftmaxClassification(no_object_weight=0.2))
        y_true = {"boxes": np.full((1, 1, 4), 0.5, "float32"), "classes": np.array([[1]])}
        y_pred = {
            "classification": np.zeros((1, 5, 3), "float32"),  # Two classes and no-object.
            "box": np.full((1, 5, 4), 0.4, "float32"),
        }
        print(float(loss(y_true, y_pred)))
        ```

    Source: Carion et al. 2020, sections 3.1 and A.4; models/detr.py of the original.
    """

    activation = "softmax"

    def __init__(self, no_object_weight: float = 0.1) -> None:
        self.no_object_weight = no_object_weight

    def num_classes(self, logits):
        """Return the number of real classes that logits (..., C + 1) speak of."""
        return logits.shape[-1] - 1

    def cost(self, logits, classes):
        """Return the matching cost of objects and queries, minus the probability of the class.

        Args:
            logits: float32 (batch, layers, queries, C + 1).
            classes: int32 (batch, objects), the classes of the objects.

        Returns:
            float32 (batch, layers, objects, queries).
        """
        probabilities = ops.softmax(logits, axis=-1)[..., :-1]
        return -values_of_classes(probabilities, classes)

    def loss(self, logits, target_is_class, num_objects, mean_over_replicas, image_weights=None):
        """Return the weighted cross-entropy of every layer, a mean over all queries.

        Args:
            logits: float32 (batch, layers, queries, C + 1).
            target_is_class: float32 (batch, layers, queries, C), one-hot; zeros for no object.
            num_objects: float32 scalar, the mean number of objects on a replica, at least 1.
                Unused: the sum of weights normalizes.
            mean_over_replicas: callable that averages a tensor over the replicas of a distribution.
            image_weights: float32 (batch,), 0 for images that only fill up the batch, 1 for others;
                or `None`, all are 1.

        Returns:
            float32 (layers,). The mean over all replicas is the loss of the whole batch.
        """
        log_probabilities = ops.log_softmax(logits, axis=-1)
        is_object = ops.sum(target_is_class, axis=-1)
        log_probability = (
            ops.sum(target_is_class * log_probabilities[..., :-1], axis=-1)
            + (1.0 - is_object) * self.no_object_weight * log_probabilities[..., -1]
        )
        weights = is_object + (1.0 - is_object) * self.no_object_weight
        log_probability, weights = weigh_images([log_probability, weights], image_weights)
        normalizer = mean_over_replicas(sum_by_layer(weights))
        return -sum_by_layer(log_probability) / normalizer

    def is_object(self, logits):
        """Return which queries speak of an object: bool (batch, queries)."""
        return ops.argmax(logits, axis=-1) != logits.shape[-1] - 1

    def get_config(self):
        """Return the constructor's arguments."""
        return {"no_object_weight": self.no_object_weight}

    @classmethod
    def from_config(cls, config):
        """Build from `get_config`."""
        return cls(**config)
