"""The description of published weights."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_detr.checkpoints import CorruptedFileError, HubFile

# Authors put the start of a file's SHA-256 before its suffix, as torch does.
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.\w+")


@dataclass(frozen=True)
class Preset(Mapping):
    """Describe published weights and the model that they belong to.

    It reads like the dicts in `presets` of KerasHub too: `preset["metadata"]["description"]`,
    `["params"]` and `["path"]`, and `preset["hf_handle"]` in place of `["kaggle_handle"]`.

    Attributes:
        description: str, one line.
        settings: dict, what the model's `checkpoint_arguments` turns into arguments.
        weights: `HubFile`, where the weights are. The Hub's own hash is compared, as none is known
            for these files.
        official_url: str, the file of the authors, which `weights=` accepts too. Its name holds the
            start of its SHA-256 where they give one.
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

    def __getitem__(self, key):
        return self._for_keras_hub()[key]

    def __iter__(self):
        return iter(self._for_keras_hub())

    def __len__(self):
        return len(self._for_keras_hub())

    def _for_keras_hub(self):
        metadata = {
            "description": self.description,
            "params": self.num_parameters,
            "path": self.weights.repo_id,
        }
        return {"metadata": metadata, "hf_handle": f"hf://{self.weights.repo_id}"}

    def weights_at(self, revision):
        """Return where the weights are at a revision, whose hash isn't known; `None` is its own."""
        if revision is None:
            return self.weights
        return replace(self.weights, revision=revision, sha256=None)

    def check_official_file(self, path):
        """Raise an error if a local file has the name of the authors' file, and other content.

        A file of another name may hold anything.

        Raises:
            CorruptedFileError: the SHA-256 isn't that of the name.
        """
        path, name = Path(path), self.official_url.rsplit("/", 1)[-1]
        found = _HASH_IN_NAME.search(name)
        if path.name != name or not found or not path.is_file():
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(found[1]):
            raise CorruptedFileError(
                f"{str(path)!r} ({path.stat().st_size:,} bytes) should have a SHA-256 that starts "
                f"with {found[1]}, but has {digest}: it was cut off or damaged. Download it again "
                f"from {self.official_url}, or rename it if it is another file."
            )
