"""Deformable DETR's classification: a yes or no for every pair of query and class."""

import keras
from keras import ops

from keras_detr.losses.layer_sums import sum_by_layer, weigh_images
from keras_detr.losses.matching_costs import values_of_classes
from keras_detr.losses.sigmoid_focal_loss import sigmoid_focal_loss


@keras.saving.register_keras_serializable("keras_detr")
class FocalClassification:
    """Compare independent logits of classes to the classes of matched objects.

    Args:
        alpha: float in [0, 1], the weight of a query's class against its other classes.
        gamma: float, how much less well-classified pairs count.

    Example:
        ```python
        from keras_detr.losses import FocalClassification

        loss = keras_detr.HungarianLoss(FocalClassification(), class_weight=2.0, class_cost=2.0)
        y_true = {"boxes": np.full((1, 1, 4), 0.5, "float32"), "classes": np.array([[1]])}
        y_pred = {
            "classification": np.zeros((1, 5, 2), "float32"),  # One logit a class.
            "box": np.full((1, 5, 4), 0.4, "float32"),
        }
        print(float(loss(y_true, y_pred)))
        ```

    Source: Lin et al. 2017, equation 5; Zhu et al. 2021, section A.4.
    """

    activation = "sigmoid"

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0) -> None:
        self.alpha = alpha
        self.gamma = gamma

    def num_classes(self, logits):
        """Return the number of real classes that logits (..., C) speak of."""
        return logits.shape[-1]

    def cost(self, logits, classes):
        """Return the matching cost of objects and queries, (batch, layers, objects, queries).

        Arguments are those of `SoftmaxClassification.cost`, with C logits.
        """
        probability = ops.sigmoid(values_of_classes(logits, classes))
        # The original adds the same guard before its logarithms.
        guard = 1e-8
        if_negative = -(1 - self.alpha) * probability**self.gamma * ops.log(1 - probability + guard)
        if_positive = -self.alpha * (1 - probability) ** self.gamma * ops.log(probability + guard)
        return if_positive - if_negative

    def loss(self, logits, target_is_class, num_objects, mean_over_replicas, image_weights=None):
        """Return the focal loss of every layer, (layers,), divided by the number of objects.

        Arguments are those of `SoftmaxClassification.loss`, with C logits; -inf is sure to be no
        object. `mean_over_replicas` is unused: `num_objects` is global already.
        """
        losses = sigmoid_focal_loss(logits, target_is_class, self.alpha, self.gamma)
        (losses,) = weigh_images([losses], image_weights)
        return sum_by_layer(losses) / num_objects

    def is_object(self, logits):
        """Return which queries speak of an object, more likely than not: bool (batch, queries)."""
        return ops.max(logits, axis=-1) > 0.0

    def get_config(self):
        """Return the constructor's arguments."""
        return {"alpha": self.alpha, "gamma": self.gamma}

    @classmethod
    def from_config(cls, config):
        """Build from `get_config`."""
        return cls(**config)
