"""Write the attention masks that transformers' RT-DETR makes; a script, run by its test.

Transformers loads torch's compilers, which some builds can't share a process with TensorFlow's.
"""

import json
import sys

import numpy as np
import torch
from transformers.models.rt_detr.modeling_rt_detr import get_contrastive_denoising_training_group


def may_attend(counts, num_matching, num_denoising):
    """Return bool (queries, queries), denoising queries first: a row's query sees a column's."""
    targets = [
        {
            "class_labels": torch.zeros(count, dtype=torch.int64),
            "boxes": torch.full((count, 4), 0.5),
        }
        for count in counts
    ]
    _, _, mask, _ = get_contrastive_denoising_training_group(
        targets=targets,
        num_classes=5,
        num_queries=num_matching,
        class_embed=torch.nn.Embedding(6, 8, padding_idx=5),
        num_denoising_queries=num_denoising,
        label_noise_ratio=0.0,
        box_noise_scale=0.0,
    )
    return (mask == 0).numpy()


if __name__ == "__main__":
    np.savez(sys.argv[1], *(may_attend(*case) for case in json.loads(sys.argv[2])))
