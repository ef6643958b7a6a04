"""Costs of all pairs against one pair at a time."""

import numpy as np
import pytest
from keras import ops

from keras_detr.losses.matching_costs import giou_cost, l1_cost
from tests.losses.detection_batches import random_boxes
from tests.losses.reference_loss import generalized_iou

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("num_objects", [0, 4])
def test_costs_of_all_pairs(num_objects):
    rng = np.random.default_rng(1)
    objects, queries = random_boxes(rng, (2, num_objects)), random_boxes(rng, (2, 3, 5))
    tensors = [ops.convert_to_tensor(x, "float32") for x in (objects, queries)]
    l1, giou = (ops.convert_to_numpy(cost(*tensors)) for cost in (l1_cost, giou_cost))
    assert l1.shape == giou.shape == (2, 3, num_objects, 5)
    for b, layer, n, q in np.ndindex(l1.shape):
        pair = objects[b, n], queries[b, layer, q]
        assert l1[b, layer, n, q] == pytest.approx(np.abs(pair[0] - pair[1]).sum(), rel=1e-5)
        assert giou[b, layer, n, q] == pytest.approx(-generalized_iou(*pair), abs=1e-5)
