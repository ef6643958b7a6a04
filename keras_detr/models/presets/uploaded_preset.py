"""Upload a preset: what `save_preset` writes, and its model card, to a repository of the Hub."""

import tempfile
from pathlib import Path

from keras_detr.checkpoints.hub.upload import check_upload, upload_folder
from keras_detr.models.presets.model_card import check_license, check_metrics
from keras_detr.models.presets.saved_preset import FORMAT, save_preset


def upload_preset(
    model,
    preset,
    card,
    *,
    private=None,
    token=None,
    revision=None,
    commit_message=None,
    license=None,
    metrics=None,
    replace_card=False,
):
    """Save a model to a temporary folder, and upload it; see `DetectorSharing.upload_preset`.

    Args:
        model: `keras.Model` with a `get_config`.
        preset: str, "hf://owner/name".
        card: callable from the model, "owner/name", a license or `None` and a dict of metrics to
            the text of its model card.

    The other arguments are those of `DetectorSharing.upload_preset`.
    """
    license, metrics = check_license(license), check_metrics(metrics)
    repo_id = check_upload(preset, token)
    with tempfile.TemporaryDirectory(prefix="keras_detr-") as folder:
        save_preset(model, folder)
        text = card(model, repo_id, license, metrics)
        (Path(folder) / "README.md").write_text(text, encoding="utf-8")
        return upload_folder(
            folder,
            repo_id,
            own_format=FORMAT,
            private=private,
            token=token,
            revision=revision,
            commit_message=commit_message or f"Upload {type(model).__name__} with keras_detr",
            replace_card=replace_card,
        )
