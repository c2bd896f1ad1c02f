"""Resolves a repository to one commit, by the Hub or its cache."""

from __future__ import annotations

from ...errors import CheckpointError
from ...wording import logger
from ..names import is_plain
from ..source import HubOptions, Source
from .answers import explained, first_line, may_pass
from .cache import (
    cached_commit,
    cached_listing,
    entries_of,
    found_in,
    repository_folder,
)
from .patience import briefly
from .repository import CachedSource, HubSource

_log = logger(__name__)


def open_repository(repository: str, options: HubOptions) -> Source:
    """Open a repository at one commit, from the Hub, or from the cache if the Hub can't be reached.

    Raises:
        CheckpointError: if there is no such repository or revision, access is not granted, or the
            Hub can't be reached and the cache is empty.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise explained(error, repository, options) from error
    if options.force_download and constants.HF_HUB_OFFLINE:
        raise CheckpointError(
            f"force_download can't fetch {repository} while HF_HUB_OFFLINE is set; unset it, or "
            f"leave force_download out"
        )
    if options.local_files_only or constants.HF_HUB_OFFLINE:
        return _open_cached(repository, options, None)
    try:
        with briefly():
            info = HfApi(token=options.token, library_name="autopipe").model_info(
                repository,
                revision=options.revision,
                files_metadata=True,
                timeout=constants.HF_HUB_ETAG_TIMEOUT,
            )
    except Exception as error:
        if may_pass(error) and not options.force_download:
            return _open_cached(repository, options, error)
        raise explained(error, repository, options) from error
    commit = getattr(info, "sha", None)
    if not is_plain(commit):
        raise CheckpointError(
            f"the Hub returned no commit for {repository}; check HF_ENDPOINT, or try again later"
        )
    return HubSource(repository, commit, entries_of(getattr(info, "siblings", None)), options)


def _open_cached(repository: str, options: HubOptions, reason: Exception | None) -> Source:
    """Open the cached part of a repository.

    Args:
        reason: why the Hub can't be reached; None if offline mode is requested.
    """
    from huggingface_hub import constants

    folder = repository_folder(repository, options)
    commit = cached_commit(folder, options.revision or "main")
    hint = f"run `autopipe download {repository}"
    hint += f" --revision {options.revision}`" if options.revision else "`"
    if reason:
        hint += " when the Hub can be reached"
    elif constants.HF_HUB_OFFLINE:
        hint = f"unset HF_HUB_OFFLINE and {hint}"
    else:
        hint = f"{hint}, or leave local_files_only out"
    if commit is None:
        why = (
            f"the Hub can't be reached ({first_line(reason)})"
            if reason
            else "access to the Hub is disabled"
        )
        raise CheckpointError(
            f"{repository} is neither a local folder nor in the cache, and {why}; check the path, "
            f"or {hint}"
        ) from reason
    entries = cached_listing(repository, options, commit)
    if entries is None:
        root = folder / "snapshots" / commit
        entries = dict(found_in(root))
    source = CachedSource(repository, commit, entries, options)
    source.hint = f"offline, and the cache holds only part of this checkpoint; {hint}"
    if reason is not None:
        _log.warning(
            "the Hub can't be reached (%s); using %s from the cache",
            first_line(reason),
            source.name,
        )
    return source
