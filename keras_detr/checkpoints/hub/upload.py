"""Upload a folder to a repository of the Hugging Face Hub.

huggingface_hub transfers the files, and commits them at once when all have arrived. What goes wrong
is told here in one sentence, with what to do.
"""

import json
import logging
from pathlib import Path

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HFValidationError, RevisionNotFoundError

from ..files.regular_files import read_json_object
from .download import NotInRepositoryError
from .handles import handle_parts, hub_hint

logger = logging.getLogger("keras_detr")

_CARD = "README.md"
_CONFIG = "config.json"


def check_upload(handle, token) -> str:
    """Return the repository that a handle names, if something could be uploaded to it.

    Args:
        handle: str "hf://owner/name".
        token: str, or `None` for that of `hf auth login` or HF_TOKEN.

    Raises:
        ValueError: the handle has another form.
        PermissionError: there is no token.
        ConnectionError: HF_HUB_OFFLINE is set.
    """
    repo_id, revision = handle_parts(handle) or (None, None)
    if repo_id is None or revision is not None:
        raise ValueError(
            "`preset` must be 'hf://owner/name', the repository to upload to (a branch is "
            f"`revision`). Received: {str(handle)!r}{hub_hint(handle)}."
        )
    if constants.HF_HUB_OFFLINE:
        raise ConnectionError(
            f"Nothing can be uploaded to {repo_id!r}, as HF_HUB_OFFLINE forbids it: unset it, or "
            "keep the model with `save_to_preset`."
        )
    if not (isinstance(token, str) or get_token()):
        raise PermissionError(
            f"There is no token to upload to {repo_id!r} with: create one that may write at "
            f"{constants.ENDPOINT}/settings/tokens, and run `hf auth login`, set HF_TOKEN, or pass "
            "`token`."
        )
    return repo_id


def upload_folder(
    folder, repo_id, *, own_format, private, token, revision, commit_message, replace_card
) -> str:
    """Upload a folder, creating the repository if necessary; one commit, or none.

    A README.md that is in the repository stays as it is, unless `replace_card`.

    Args:
        folder: path of the folder, with config.json and README.md.
        repo_id: str, from `check_upload`.
        own_format: str, "format" in the config.json of repositories of this kind. One with another
            config.json holds another tool's model, and is left alone.
        private: bool, or `None` for the owner's default. Only a new repository heeds it.
        token: str or `None`, see `check_upload`.
        revision: str or `None`, the branch.
        commit_message: str.
        replace_card: bool.

    Returns:
        str, the address of the repository's files at the new commit.

    Raises:
        PermissionError: the Hub doesn't accept the token, or it may not write there.
        FileNotFoundError: there is no such branch (a `NotInRepositoryError`).
        ValueError: the Hub refuses the name or the model card, or the repository holds another
            tool's model.
        ConnectionError: the Hub can't be reached, or the transfer broke off.
    """
    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        present = set(api.list_repo_files(repo_id, revision=revision))
        if _CONFIG in present:
            path = api.hf_hub_download(repo_id, _CONFIG, revision=revision)
            _check_format(Path(path), own_format, repo_id)
        is_card_kept = _CARD in present and not replace_card
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            commit_message=commit_message,
            ignore_patterns=[_CARD] if is_card_kept else None,
        )
    except Exception as error:  # The HTTP client's types differ between versions of the package.
        explained = _explained(error, repo_id, revision)
        if explained is error:
            raise
        raise explained from error
    if is_card_kept:
        logger.warning(
            "The README.md of %s stays as it was, so it doesn't tell of this upload; pass "
            "`replace_card=True` to replace it.",
            repo_id,
        )
    return f"{constants.ENDPOINT}/{repo_id}/tree/{commit.oid}"


def _check_format(path, own_format, repo_id):
    """Check that a config.json to be replaced isn't of another tool's model."""
    try:
        found = read_json_object(path).get("format")
    except ValueError:
        found = None
    if found != own_format:
        raise ValueError(
            f"The Hub repository {repo_id!r} holds another tool's model: its {_CONFIG} isn't of "
            f"{own_format}, and would be replaced. Upload to another name."
        )


def _explained(error, repo_id, revision):
    """Return the error to raise for one of huggingface_hub: a sentence that says what to do."""
    where = f"{repo_id!r} at {constants.ENDPOINT}"
    settings = f"{constants.ENDPOINT}/settings/tokens"
    status = _status_of(error)
    if isinstance(error, HFValidationError):
        return ValueError(
            f"`preset` must be 'hf://owner/name', and {repo_id!r} isn't a name that the Hub allows."
        )
    if isinstance(error, RevisionNotFoundError):
        return NotInRepositoryError(
            f"The Hub repository {repo_id!r} has no branch {revision!r}: leave `revision` out, or "
            "create the branch first."
        )
    if status == 401:
        return PermissionError(
            f"The Hub doesn't accept the token for {where}: create one that may write at "
            f"{settings}, and run `hf auth login`, set HF_TOKEN, or pass `token`."
        )
    if status == 403:
        return PermissionError(
            f"The token may not write to {where}: upload to a name of your own, or take a token "
            f"that may write there ({settings})."
        )
    if status == 404:
        return NotInRepositoryError(
            f"There is no Hub repository {where}, or the token may not see it: check the owner's "
            f"name, and the token's rights at {settings}."
        )
    is_explained = isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError)
    if is_explained and status is None:
        return error
    if status in (400, 409, 413, 422):
        reason = error if is_explained else _innermost(error)
        return ValueError(f"The Hub refuses the upload to {where}: {_one_line(reason)}.")
    return ConnectionError(
        f"The upload to {where} broke off: {_one_line(_innermost(error))}. Nothing incomplete was "
        "committed; try again."
    )


def _causes(error):
    """Yield an error, what caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def _status_of(error):
    """Return the HTTP status that an error stands for, or `None`."""
    responses = (getattr(cause, "response", None) for cause in _causes(error))
    return next((response.status_code for response in responses if response is not None), None)


def _innermost(error):
    """Return what the innermost of an error's causes says."""
    texts = [str(cause) for cause in _causes(error) if str(cause)]
    return texts[-1] if texts else type(error).__name__


def _one_line(reason):
    """Return a message of the HTTP client on one line, without where to read about HTTP."""
    lines = [line for line in str(reason).splitlines() if not line.startswith("For more info")]
    return " ".join(" ".join(lines).split()).rstrip(".")
