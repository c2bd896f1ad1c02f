"""Uploading a saved folder to the Hub."""

from __future__ import annotations

from pathlib import Path

HUB_KEYWORDS = ("repo_id", "commit_message", "private", "token", "create_pr")


def upload(
    folder: str | Path,
    wanted: bool,
    *,
    repo_id: str | None = None,
    commit_message: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    create_pr: bool = False,
) -> None:
    """Upload `folder` if `wanted`, into a repository that is made if absent.

    Args:
        repo_id: the repository; the folder's name by default.

    Raises:
        CheckpointError: the Hub refuses, or can't be reached.
    """
    if not wanted:
        return
    from huggingface_hub import create_repo, upload_folder

    from .hub import explained
    from .source import HubOptions

    name = repo_id or Path(folder).resolve().name
    try:
        repository = create_repo(name, private=private, token=token, exist_ok=True)
        upload_folder(
            repo_id=repository.repo_id,
            folder_path=folder,
            commit_message=commit_message or "Upload a checkpoint",
            token=token,
            create_pr=create_pr,
        )
    except Exception as error:
        raise explained(error, name, HubOptions(token=token)) from error
