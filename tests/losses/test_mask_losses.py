"""The losses of masks beside the original's formulas in torch, in values and gradients."""

import numpy as np
import pytest
from scipy.special import expit

from keras_detr.losses import HungarianLoss
from keras_detr.losses.mask_losses import mask_losses
from tests.losses.detection_batches import pad, random_objects, random_predictions, split_layers
from tests.losses.reference_loss import DETR, match
from tests.ops.gradients import value_and_gradients

NUM_CLASSES, QUERIES, SIZE, MAP = 3, 9, (24, 30), (6, 8)
COUNTS = {"some": [2, 0, 4], "none": [0, 0, 0]}


def batch(counts, seed=0):
    """Return objects, predictions with masks, and true masks of the padded images."""
    rng = np.random.default_rng(seed)
    objects = random_objects(rng, counts, NUM_CLASSES)
    y_pred = split_layers(*random_predictions(rng, len(counts), 2, QUERIES, NUM_CLASSES + 1))
    y_pred["mask"] = rng.normal(0, 3, (len(counts), QUERIES, *MAP)).astype("float32")
    y_true = pad(objects, num_rows=5)
    y_true["masks"] = rng.random((len(counts), 5, *SIZE)) < 0.3
    return y_true, y_pred


def queries_of(y_true, y_pred, counts):
    """Return the last layer's query of each object, by image."""
    return [
        match(
            y_pred["classification"][image],
            y_pred["box"][image],
            (y_true["boxes"][image, :count], y_true["classes"][image, :count]),
            DETR,
        )
        for image, count in enumerate(counts)
    ]


def by_torch(logits, masks, num_objects):
    """Return the original's losses of the matched pairs, and their gradients to the logits."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    logits = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    resized = functional.interpolate(logits[:, None], size=SIZE, mode="bilinear")[:, 0].flatten(1)
    truth = torch.tensor(masks, dtype=torch.float64).flatten(1)
    entropy = functional.binary_cross_entropy_with_logits(resized, truth, reduction="none")
    share = resized.sigmoid()
    right = share * truth + (1 - share) * (1 - truth)
    focal = entropy * (1 - right) ** 2 * (0.25 * truth + 0.75 * (1 - truth))
    dice = 1 - (2 * (share * truth).sum(1) + 1) / (share.sum(1) + truth.sum(1) + 1)
    losses = focal.mean(1).sum() / num_objects, dice.sum() / num_objects
    gradients = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in losses]
    return [loss.item() for loss in losses], [gradient.numpy() for gradient in gradients]


def test_losses_and_gradients_of_the_original():
    pytest.importorskip("torch")
    y_true, y_pred = batch(COUNTS["some"])
    loss = HungarianLoss.detr()
    queries = queries_of(y_true, y_pred, COUNTS["some"])
    # The image of each object, and its query.
    pairs = np.repeat(np.arange(3), COUNTS["some"]), np.concatenate(queries).astype(int)
    masks = np.concatenate([y_true["masks"][i, :n] for i, n in enumerate(COUNTS["some"])])
    expected, expected_gradients = by_torch(y_pred["mask"][pairs], masks, len(masks))
    for index, name in enumerate(HungarianLoss.mask_component_names):

        def part(mask, name=name):
            return loss.components(y_true, {**y_pred, "mask": mask})[name]

        value, (gradient,) = value_and_gradients(part, y_pred["mask"])
        assert value == pytest.approx(expected[index], rel=1e-5)
        largest = np.abs(expected_gradients[index]).max()
        np.testing.assert_allclose(
            gradient[pairs], expected_gradients[index], atol=1e-5 * largest, rtol=0
        )
        # Masks of queries without an object aren't compared with anything.
        gradient = gradient.copy()
        gradient[pairs] = 0
        assert not gradient.any()


@pytest.mark.every_backend
def test_formulas():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (2, 3, 4, 5)).astype("float32")
    masks = rng.random((2, 3, 4, 5)) < 0.4
    is_object = np.array([[True, True, False], [True, False, False]])
    share = expit(logits.astype("float64"))
    right = np.where(masks, share, 1 - share)
    focal = -np.log(right) * (1 - right) ** 2 * np.where(masks, 0.25, 0.75)
    shared, whole = (share * masks).sum((2, 3)), share.sum((2, 3)) + masks.sum((2, 3))
    dice = 1 - (2 * shared + 1) / (whole + 1)
    found = [float(loss) for loss in mask_losses(logits, masks, is_object)]
    expected = focal.mean((2, 3))[is_object].sum(), dice[is_object].sum()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.every_backend
@pytest.mark.parametrize("counts", COUNTS)
def test_parts_are_logged_and_summed(counts):
    y_true, y_pred = batch(COUNTS[counts])
    loss = HungarianLoss.detr(mask_weight=2.0, dice_weight=3.0)
    parts = {name: float(part) for name, part in loss.components(y_true, y_pred).items()}
    names = (*loss.component_names, *loss.mask_component_names)
    assert float(loss(y_true, y_pred)) == pytest.approx(sum(parts[n] for n in names), rel=1e-6)
    plain = HungarianLoss.detr().components(y_true, y_pred)
    for name, weight in (("mask_loss", 2.0), ("dice_loss", 3.0)):
        assert parts[name] == pytest.approx(weight * float(plain[name]), rel=1e-6)
        assert (parts[name] > 0) == (counts == "some")
    without = {name: value for name, value in y_pred.items() if name != "mask"}
    assert "mask_loss" not in loss.components(y_true, without)


@pytest.mark.every_backend
def test_dropped_and_reordered_rows_keep_their_masks():
    y_true, y_pred = batch([3, 0, 2])
    loss = HungarianLoss.detr()
    expected = loss.components(y_true, y_pred)
    # A row of padding first, and one whose box has no area.
    moved = {name: np.roll(rows, 1, axis=1) for name, rows in y_true.items()}
    moved["classes"][:, 4] = 0
    moved["boxes"][:, 4] = (0.5, 0.5, 0, 0)
    found = loss.components(moved, y_pred)
    assert float(found["dropped_boxes"]) == 3
    for name in loss.mask_component_names:
        assert float(found[name]) == pytest.approx(float(expected[name]), rel=1e-6)


@pytest.mark.every_backend
def test_no_rows_at_all():
    y_true, y_pred = batch([0, 0, 0])
    y_true = {name: rows[:, :0] for name, rows in y_true.items()}
    parts = HungarianLoss.detr().components(y_true, y_pred)
    assert float(parts["mask_loss"]) == float(parts["dice_loss"]) == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"masks": None}, r"`y_true` must have 'masks'.*Received: \['boxes', 'classes'\]"),
        (
            {"masks": np.ones((3, 4, 8, 8), bool)},
            r"`y_true\['masks'\]` must .* \(3, 5\)",
        ),
        ({"mask": np.ones((3, 8, 4, 4), "float32")}, r"`y_pred\['mask'\]` must .* \(3, 9\)"),
        ({"mask": np.ones((3, 9, 4), "float32")}, r"`y_pred\['mask'\]` must .*Received: \(3, 9, 4"),
    ],
)
def test_shapes_that_do_not_fit(changed, message):
    y_true, y_pred = batch(COUNTS["some"])
    (name, value) = next(iter(changed.items()))
    target = y_pred if name == "mask" else y_true
    target.update(changed)
    if value is None:
        del target[name]
    with pytest.raises(ValueError, match=message):
        HungarianLoss.detr().components(y_true, y_pred)
