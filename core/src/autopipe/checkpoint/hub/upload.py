"""Uploads a saved folder to the Hub."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any

from ...errors import ArgumentError, ArgumentTypeError, CheckpointError
from ...regular import UNFINISHED, replaced
from ...wording import shown
from ..exchange import MARK
from ..names import parts_of
from .answers import first_line, status_of
from .patience import briefly

CARD_NAME = "README.md"

HUB_KEYWORDS = ("repo_id", "commit_message", "private", "token", "create_pr")

_CARD = """---
library_name: diffusers
tags:
- autopipe
---

# {name}

Saved by autopipe in the format of diffusers; `from_pretrained("{repository}")` of either loads it.
"""
"""The model card. The Hub shows usage examples for its `library_name`."""


class PushToHubMixin:
    """Adds `push_to_hub` to classes with `save_pretrained`."""

    save_pretrained: Any

    def push_to_hub(
        self,
        repo_id: str,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        create_pr: bool = False,
        safe_serialization: bool = True,
        variant: str | None = None,
        subfolder: str | None = None,
    ) -> str:
        """Save and upload to a Hub repository, in one commit.

        Args:
            repo_id: `owner/name`, or the name alone for your own account; created if absent.
            commit_message: the commit message.
            private: whether a newly created repository is private.
            token: a token with write permission; by default that of `hf auth login`.
            create_pr: propose the commit as a pull request.
            safe_serialization: if True write safetensors, else pickled state dicts.
            variant: part of the names of the weight files.
            subfolder: the folder in the repository.

        Returns:
            The URL of the commit, or of the pull request.

        Raises:
            ArgumentError: if a value can't be used. Nothing was saved or uploaded.
            CheckpointError: if the Hub refuses, or can't be reached.
        """
        hub: dict[str, Any] = {
            "commit_message": commit_message,
            "private": private,
            "token": token,
            "create_pr": create_pr,
            "subfolder": subfolder,
        }
        check_upload(None, repo_id, **hub)
        given = {"safe_serialization": safe_serialization, "variant": variant}
        known = inspect.signature(self.save_pretrained).parameters
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / repo_id.rpartition("/")[2]
            self.save_pretrained(folder, **{k: v for k, v in given.items() if k in known})
            return push_folder(folder, repo_id, **hub)


def check_upload(
    folder: str | Path | None,
    repo_id: object = None,
    *,
    commit_message: object = None,
    private: object = None,
    token: object = None,
    create_pr: object = False,
    subfolder: str | Path | None = None,
) -> None:
    """Check the arguments of `push_folder`.

    Args:
        folder: the folder that names the repository if there is no `repo_id`.

    Raises:
        ArgumentError: if a value can't be used.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    kinds: dict[str, tuple[object, tuple[type, ...]]] = {
        "repo_id": (repo_id, (str, *([] if folder is None else [type(None)]))),
        "commit_message": (commit_message, (str, type(None))),
        "private": (private, (bool, type(None))),
        "token": (token, (str, bool, type(None))),
        "create_pr": (create_pr, (bool,)),
        "subfolder": (subfolder, (str, Path, type(None))),
    }
    for name, (value, types) in kinds.items():
        if not isinstance(value, types):
            expected = " or ".join(one.__name__ for one in types if one is not type(None))
            raise ArgumentTypeError(f"{name} must be {expected}, not {shown(value)}")
    parts_of(subfolder)
    given = str(repo_id or Path(folder or "").absolute().name)
    try:
        validate_repo_id(given)
    except HFValidationError:
        raise ArgumentError(
            f"repo_id={shown(given)} is not a valid repository name; give one like 'owner/name', "
            f"of letters, digits, '-', '_' and '.'"
        ) from None


def push_folder(
    folder: str | Path,
    repo_id: str | None = None,
    *,
    commit_message: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    create_pr: bool = False,
    subfolder: str | None = None,
) -> str:
    """Commit the files of `folder` to a repository, which is created if absent.

    By default, the repository has the name of the folder. If neither has a README.md, one that
    names the library is written into `folder` first.

    Returns:
        The URL of the commit, or of the pull request.

    Raises:
        CheckpointError: if the Hub refuses, or can't be reached.
    """
    from huggingface_hub import HfApi

    repo_id = repo_id or Path(folder).resolve().name
    target = "/".join(parts_of(subfolder))
    try:
        with briefly():
            api = HfApi(token=token, library_name="autopipe")
            repository = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            card = Path(folder) / CARD_NAME
            if not target and not card.exists() and not api.file_exists(repository, CARD_NAME):
                name = repository.rpartition("/")[2]
                with replaced(card) as file:
                    text = _CARD.format(name=name, repository=repository)
                    file.write_text(text, encoding="utf-8")
            info = api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                path_in_repo=target or None,
                commit_message=commit_message or "Upload with autopipe",
                create_pr=create_pr,
                ignore_patterns=[f"{UNFINISHED}*", f"*/{UNFINISHED}*", f"*{MARK}"],
            )
    except Exception as error:
        raise _explained(error, repo_id) from error
    return str(info.pr_url or info.commit_url)


def _explained(error: Exception, repository: str) -> CheckpointError:
    """Return the error for a failed upload, which says what to do."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = status_of(error)
    if isinstance(error, OfflineModeIsEnabled):
        hint = "HF_HUB_OFFLINE is set; unset it"
    elif status in (401, 403, 404):
        hint = "run `hf auth login` or pass token=, with a token that may write there"
    else:
        hint = "check the connection and try again"
    return CheckpointError(
        f"{repository} can't be uploaded to the Hub: {first_line(error)}; {hint}"
    )
