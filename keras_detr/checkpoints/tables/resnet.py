"""Names of a ResNet's tensors.

The canonical names are torchvision's, which timm shares: `conv1.weight`, `bn1.running_mean`,
`layer1.0.conv2.weight`, `layer1.0.downsample.0.weight`. Hugging Face's ResNet counts its stages
from 0 and calls the same tensors `embedder.embedder.convolution.weight`,
`encoder.stages.0.layers.0.layer.1.convolution.weight`, `...shortcut.convolution.weight`.

Source: torchvision models/resnet.py; transformers models/resnet/modeling_resnet.py.
"""

from .rename_table import RenameTable

_NORM = r"(weight|bias|running_mean|running_var)"


def _hugging_face_rows():
    """Return the rows of Hugging Face's names, whose stages and convolutions start at 0."""
    block, norm = r"(\d+)", _NORM
    rows = [
        _row(r"embedder.embedder.convolution.weight", r"conv1.weight"),
        _row(r"embedder.embedder.normalization.\1", r"bn1.\1", norm),
    ]
    for stage in range(4):
        name, layer = rf"encoder.stages.{stage}.layers.\1", rf"layer{stage + 1}.\1"
        parts = [(f"layer.{index}", f"conv{index + 1}", f"bn{index + 1}") for index in range(3)]
        for part, *targets in (*parts, ("shortcut", "downsample.0", "downsample.1")):
            rows += [
                _row(rf"{name}.{part}.convolution.weight", rf"{layer}.{targets[0]}.weight", block),
                _row(rf"{name}.{part}.normalization.\2", rf"{layer}.{targets[1]}.\2", block, norm),
            ]
    return tuple(rows)


def _row(name, target, *groups):
    """Return the row of a name that holds "\\1", "\\2" for what the groups match."""
    pattern = name.replace(".", r"\.")
    for index, group in enumerate(groups, start=1):
        pattern = pattern.replace(rf"\{index}", group)
    return pattern, target, name


RESNET_RENAMES = (
    (r"conv1\.weight", r"conv1.weight"),
    (rf"bn1\.{_NORM}", r"bn1.\1"),
    (r"layer([1-4])\.(\d+)\.conv([1-3])\.weight", r"layer\1.\2.conv\3.weight"),
    (rf"layer([1-4])\.(\d+)\.bn([1-3])\.{_NORM}", r"layer\1.\2.bn\3.\4"),
    (r"layer([1-4])\.(\d+)\.downsample\.0\.weight", r"layer\1.\2.downsample.0.weight"),
    (rf"layer([1-4])\.(\d+)\.downsample\.1\.{_NORM}", r"layer\1.\2.downsample.1.\3"),
    *_hugging_face_rows(),
)

CLASSIFIER_SKIPS = (
    (r"fc\.(weight|bias)", "ImageNet classifier, not part of the backbone"),
    (r"classifier\.\d+\.(weight|bias)", "ImageNet classifier, not part of the backbone"),
)

BOOKKEEPING_SKIPS = (
    (r"(.*\.)?num_batches_tracked", "batch counter, not used"),
    (r"(.*\.)?total_(params|ops)", "written by a profiler, not a weight"),
)

RESNET_TABLE = RenameTable(
    wrappers=r"((module|model|resnet|_backbone)\.)*",
    renames=RESNET_RENAMES,
    skips=BOOKKEEPING_SKIPS + CLASSIFIER_SKIPS,
)
