"""Predict the panoptic segments of raw images."""

from keras_detr.models.task.raw_prediction import raw_predictions
from keras_detr.ops.masks.encoded_masks import encode_masks
from keras_detr.ops.masks.segmentation import panoptic_segments


def segments_of_images(model, images, batch_size=None, *, confidence_threshold, fewest_pixels):
    """Return the segments of each of a list of raw images, as `PanopticSegments` holds them.

    Args:
        model: detector with masks, and with `is_thing`.
        images, batch_size: as in `predict_raw_images`.
        confidence_threshold, fewest_pixels: as in `panoptic_segments`.
    """
    if not images:
        return []
    is_thing = model.is_thing or (True,) * model.num_classes
    names = model.class_names or [f"class {label}" for label in range(model.num_classes)]
    settings = {"confidence_threshold": confidence_threshold}
    rows = [None] * len(images)
    for index, found, sizes in raw_predictions(model, images, batch_size, verbose=0, **settings):
        segment_map, segments = panoptic_segments(
            found["mask_logits"],
            found["classes"],
            found["confidence"],
            is_thing=is_thing,
            fewest_pixels=fewest_pixels,
            **settings,
            **sizes,
        )
        masks = encode_masks(segment_map == segment["id"] for segment in segments)
        rows[index] = [
            {**segment, "name": names[segment["class"]], "mask": mask}
            for segment, mask in zip(segments, masks, strict=True)
        ]
    return rows
