"""From raw outputs to boxes in pixels with classes and scores."""

import numpy as np
from programs import compiled

from works import peers

NUM_CLASSES = {"detr": 81, "deformable_detr": 80}


def outputs(family, batch, queries):
    """Return random logits and boxes, float32."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(batch, queries, NUM_CLASSES[family]))
    boxes = generator.uniform(0.2, 0.5, (batch, queries, 4))
    return logits.astype("float32"), boxes.astype("float32")


def ours(family, batch, queries):
    """Return a callable that decodes."""
    from keras_detr.layers import SetPredictionDecoder

    activation = {"detr": "softmax", "deformable_detr": "sigmoid"}[family]
    decoder = SetPredictionDecoder("xyxy", activation=activation)
    logits, boxes = outputs(family, batch, queries)
    height, width = np.full(batch, 800.0, "float32"), np.full(batch, 1066.0, "float32")

    def decode(predictions, height, width):
        return decoder(predictions, (height, width))

    return compiled(decode, {"classification": logits, "box": boxes}, height, width)


def transformers(family, batch, queries):
    """Return a callable that decodes with transformers' image processor."""
    import torch
    from transformers import DeformableDetrImageProcessor, DetrImageProcessor
    from transformers.models.detr.modeling_detr import DetrObjectDetectionOutput

    processors = {"detr": DetrImageProcessor, "deformable_detr": DeformableDetrImageProcessor}
    processor = processors[family]()
    logits, boxes = (
        torch.tensor(x, device=peers.device()) for x in outputs(family, batch, queries)
    )
    found = DetrObjectDetectionOutput(logits=logits, pred_boxes=boxes)
    sizes = torch.tensor([[800, 1066]] * batch, device=peers.device())

    def run():
        processor.post_process_object_detection(found, threshold=0.0, target_sizes=sizes)
        peers.synchronize()

    return run


CONTENDERS = {"keras_detr": ours, "transformers": transformers}
