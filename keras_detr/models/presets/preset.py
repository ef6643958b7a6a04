"""The description of published weights."""

from dataclasses import dataclass, replace
from typing import Any

from keras_detr.checkpoints import HubFile


@dataclass(frozen=True)
class Preset:
    """Describe published weights and the model that they belong to.

    Attributes:
        description: str, one line.
        settings: dict, what the model's `checkpoint_arguments` turns into arguments.
        weights: `HubFile`, where the weights are.
        official_url: str, the file of the authors, which `weights=` accepts too.
        license: str, SPDX identifier.
        num_parameters: int, of the model that the preset builds.
        published: dict of figures as their authors report them, with "protocol" and "source".
    """

    description: str
    settings: dict[str, Any]
    weights: HubFile
    official_url: str
    license: str
    num_parameters: int
    published: dict[str, Any]

    def weights_at(self, revision):
        """Return where the weights are at a revision, whose hash isn't known; `None` is its own."""
        if revision is None:
            return self.weights
        return replace(self.weights, revision=revision, sha256=None)
