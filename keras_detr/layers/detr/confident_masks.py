"""The masks of those queries that are confident enough, and of no others."""

from keras import ops

from keras_detr.ops.backends import current
from keras_detr.ops.batched_rows import batched_rows

# Of an image: their maps are in memory together.
_QUERIES_AT_ONCE = 10
# The logit of a mask that isn't computed: it is nowhere.
_NOWHERE = -100.0


def masks_of_confident(masks_of, states, size, confidence, threshold=None):
    """Return masks, the most confident first and a few at a time, down to a threshold.

    Args:
        masks_of: function from states (batch, few queries, features) to logits (batch, few queries,
            height, width).
        states: (batch, queries, features).
        size: pair of int, the height and width of the masks.
        confidence: float32 (batch, queries).
        threshold: float, or float32 (batch,); `None` for the masks of all queries.

    Returns:
        float32 (batch, queries, height, width), logits. Less confident queries may have masks that
        weren't computed, and are nowhere.
    """
    batch, num_queries = ops.shape(states)[0], states.shape[1]
    at_once = min(_QUERIES_AT_ONCE, num_queries)
    num_parts = -(-num_queries // at_once)
    order = ops.cast(ops.argsort(-confidence, axis=1), "int32")
    # The last part is filled up with the least confident query.
    places = ops.minimum(ops.arange(num_parts * at_once), num_queries - 1)
    parts = batched_rows(states, ops.take(order, places, axis=1))
    parts = ops.reshape(parts, (-1, num_parts, at_once, states.shape[2]))
    num_wanted = _num_wanted(confidence, threshold)
    part_numbers = ops.reshape(ops.arange(num_parts), (1, num_parts, 1, 1, 1))

    def is_any_wanted(part):
        return part * at_once < num_wanted

    def compute(part, masks):
        found = ops.expand_dims(masks_of(ops.take(parts, part, axis=1)), 1)
        return ops.where(ops.equal(part_numbers, part), found, masks)

    masks = ops.full((batch, num_parts, at_once, *size), _NOWHERE, dtype="float32")
    masks = current().repeat_while(is_any_wanted, compute, masks, num_parts)
    masks = ops.reshape(masks, (-1, num_parts * at_once, *size))
    return batched_rows(masks, ops.cast(ops.argsort(order, axis=1), "int32"))


def _num_wanted(confidence, threshold):
    """Return how many queries of the image that has most are confident enough, int32."""
    if threshold is None:
        return ops.convert_to_tensor(confidence.shape[1], "int32")
    threshold = ops.reshape(ops.convert_to_tensor(threshold, "float32"), (-1, 1))
    is_wanted = ops.greater_equal(confidence, threshold)
    return ops.max(ops.sum(ops.cast(is_wanted, "int32"), axis=1))
