"""Sharing: give a detector to others, as files of transformers or on the Hub."""

from keras_detr.checkpoints import write_hub_folder


class DetectorSharing:
    """Write what others can load: transformers' files."""

    def export_to_transformers(self, folder):
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
