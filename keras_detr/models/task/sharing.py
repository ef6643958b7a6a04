"""Sharing: give a detector to others, as files of transformers or on the Hub."""

import os
from collections.abc import Mapping
from typing import Any

from keras_detr.checkpoints import write_hub_folder
from keras_detr.models.presets.model_card import detector_card
from keras_detr.models.presets.uploaded_preset import upload_preset
from keras_detr.ops.processes import by_first_process


class DetectorSharing:
    """Upload a detector to the Hub, and write what transformers loads."""

    @by_first_process
    def upload_preset(
        self,
        preset: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
        license: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        replace_card: bool = False,
    ) -> str:
        """Upload configuration and weights to the Hugging Face Hub, for `from_preset`.

        What `save_to_preset` writes goes into one commit, with a model card (README.md) that says
        what the model detects, how large it is and how to load it. The repository is created if it
        doesn't exist. It needs a token that may write: from `hf auth login`, HF_TOKEN, or `token`.

        Args:
            preset: str "hf://owner/name", the repository.
            private: bool or `None`, whether a new repository is private; by default as its owner
                has set.
            token: str or `None`.
            revision: str or `None`, a branch that exists; by default the main one.
            commit_message: str or `None`.
            license: str or `None`, an identifier of the Hub's list, such as "apache-2.0", for the
                model card.
            metrics: dict of str to number or str, or `None`, for the model card: what
                `COCOEvaluation` returned, say, and on what.
            replace_card: bool, whether to replace a README.md that is in the repository. By
                default it stays as it is, since it may have been edited.

        Returns:
            str, the address of the files on the Hub, at the new commit.

        Raises:
            ValueError: `preset` doesn't start with "hf://", an argument is malformed, or the
                repository holds another tool's model.
            PermissionError: there is no token, or it may not write there.
            ConnectionError: the Hub can't be reached, or the transfer broke off. Nothing is
                committed then; locally nothing is left either way.

        Example:
        <!-- not run: it needs a token -->
        ```python
        address = model.upload_preset(
            "hf://my-name/my-detector", license="apache-2.0", metrics={"AP": 0.42}
        )
        again = keras_detr.SetPredictionDetector.from_preset("hf://my-name/my-detector")
        ```
        """
        return upload_preset(
            self,
            preset,
            detector_card,
            private=private,
            token=token,
            revision=revision,
            commit_message=commit_message,
            license=license,
            metrics=metrics,
            replace_card=replace_card,
        )

    @by_first_process
    def export_to_transformers(self, folder: str | os.PathLike[str]) -> None:
        """Write the detector to a folder that Hugging Face's transformers loads.

        The folder holds config.json, preprocessor_config.json and model.safetensors. transformers
        then computes the same logits and boxes; `from_preset` reads the folder too. What only
        training needs isn't kept: denoising queries, frozen layers, the optimizer, and
        `bounding_box_format`. Neither torch nor transformers is needed for writing.

        Args:
            folder: str or path of a new or empty folder, or of an earlier export, which is
                replaced.

        Raises:
            ValueError: transformers has no such model (DINO, dilation, pre-norm layers, a backbone
                other than `ResNetBackbone`, a neck or position embedding of another kind); the
                message names the reason. Or `folder` holds something else.
            OSError: a file can't be written. What was there before is as it was.

        Example:
        ```python
        model.export_to_transformers("for_transformers")
        # In an environment with torch and transformers:
        # transformers.AutoModelForObjectDetection.from_pretrained("for_transformers")
        again = keras_detr.SetPredictionDetector.from_preset("for_transformers")
        ```
        """
        config, tensors = self.in_transformers()
        backbone = self.backbone
        write_hub_folder(
            folder,
            config,
            tensors,
            self.preprocessor_sizes,
            backbone.mean,
            backbone.standard_deviation,
        )
