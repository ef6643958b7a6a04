"""The focal loss of independent logits: of classes, and of the pixels of masks."""

from keras import ops


def sigmoid_focal_loss(logits, targets, alpha, gamma):
    """Return the focal loss of each logit.

    Args:
        logits: float32 tensor; -inf is sure to be no.
        targets: float32, 1 for yes and 0 for no, of the same shape.
        alpha: float in [0, 1], the weight of yes against no.
        gamma: float, how much less well-classified logits count.

    Source: Lin et al. 2017, equation 5.
    """
    # Yes and no mirror each other: the loss needs only the logit of the wrong answer. The
    # cross-entropy is its softplus, which is stable, and smooth at 0 too.
    of_wrong = (1 - 2 * targets) * logits
    weight = (1 - alpha) + (2 * alpha - 1) * targets
    return weight * ops.sigmoid(of_wrong) ** gamma * ops.softplus(of_wrong)
