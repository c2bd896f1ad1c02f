"""What the cache of huggingface_hub holds of a repository. No socket is opened here.

Its layout (`refs/<name>` holds a commit, `snapshots/<commit>/<path>` links to `blobs/<digest>`) is
the client's own, so that diffusers and transformers share the files.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ...wording import logger
from ..names import is_plain
from ..source import HubOptions

_log = logger(__name__)


@dataclass(frozen=True)
class Entry:
    """A file as a repository lists it.

    Attributes:
        size: bytes; -1 where that isn't told.
        digest: what identifies its content: 64 hexadecimal digits of SHA-256 for a file of Git
            LFS, 40 of the git blob for another. None where that isn't told.
    """

    size: int = -1
    digest: str | None = None


def repository_folder(repository: str, options: HubOptions) -> Path:
    """Where the cache keeps a repository; it may not exist."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    cache = Path(options.cache_dir or constants.HF_HUB_CACHE).expanduser()
    return cache / repo_folder_name(repo_id=repository, repo_type="model")


def cached_commit(folder: Path, revision: str) -> str | None:
    """The commit that `revision` stood for when it was last fetched; None if never."""
    if not _is_ref(revision):
        return None
    ref = folder / "refs" / revision
    try:
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    except (OSError, UnicodeDecodeError):
        return None
    return commit if is_plain(commit) and (folder / "snapshots" / commit).is_dir() else None


def remember(folder: Path, revision: str, commit: str) -> None:
    """Note which commit `revision` stands for, as the client does; a warning where that fails."""
    ref = folder / "refs" / revision
    if revision == commit or not _is_ref(revision) or cached_commit(folder, revision) == commit:
        return
    try:
        ref.parent.mkdir(parents=True, exist_ok=True)
        temporary = ref.with_name(f"{ref.name}.{uuid.uuid4().hex[:8]}")
        temporary.write_text(commit, encoding="utf-8")
        os.replace(temporary, ref)
    except (OSError, ValueError) as error:
        _log.warning("the cache can't note the commit in %s: %s", ref, error)


def _is_ref(revision: str) -> bool:
    return all(is_plain(part) for part in revision.split("/"))


def cached_listing(repository: str, options: HubOptions, commit: str) -> Mapping[str, Entry] | None:
    """All files of a commit, if the client kept the listing; it does from release 2 on."""
    import huggingface_hub

    try:
        listing: Any = huggingface_hub.get_cached_repo_tree
        found = listing(repository, revision=commit, cache_dir=options.cache_dir)
    except Exception:
        return None
    # Of a file of Git LFS it tells the digest of the pointer, so none is taken from there.
    return {file.path: Entry(file.size) for file in found}


def entry_of(file: object) -> Entry:
    """The entry of a file as the client describes one."""
    lfs = getattr(file, "lfs", None)
    size = getattr(lfs or file, "size", None)
    digest = getattr(file, "blob_id", None) if lfs is None else lfs.sha256
    return Entry(-1 if size is None else int(size), digest)


def wrong_with(file: Path, entry: Entry, *, thoroughly: bool) -> str | None:
    """What is wrong with a cached file, in words; None if it is as `entry` says.

    Args:
        thoroughly: read it, and compare its digest; else only its size. Where the entry has no
            digest, the cache names the content by it.
    """
    if not file.is_file():
        return "it is missing"
    size = file.stat().st_size
    if entry.size not in (-1, size):
        return f"it should have {entry.size:,} bytes and has {size:,}"
    real = file.resolve()
    digest = entry.digest or (real.name if real.parent.name == "blobs" else "")
    if thoroughly and _digest(file, len(digest)) not in (digest, None):
        return f"its content is not what the repository has ({digest[:12]}...)"
    return None


def _digest(file: Path, length: int) -> str | None:
    """The digest with so many digits of the content of `file`; None for a kind not known."""
    from huggingface_hub.utils.sha import git_hash, sha_fileobj

    if length == 40:
        return git_hash(file.read_bytes())
    with file.open("rb") as stream:
        return sha_fileobj(stream).hex() if length == 64 else None


def drop(file: Path, blobs: Path) -> None:
    """Remove a damaged file from the cache: its name in the snapshot, and its content."""
    try:
        real = file.resolve()
        file.unlink(missing_ok=True)
        if real.is_relative_to(blobs.resolve()):
            real.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"the damaged file {file} can't be removed from the cache ({error}); remove it"
        ) from error
