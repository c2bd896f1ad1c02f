"""Reads the cache of huggingface_hub, without network access.

The cache has the client's own layout (`refs/<name>` contains a commit, `snapshots/<commit>/<path>`
is a link to `blobs/<digest>`), so diffusers and transformers share the files.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ...regular import look, opened, replaced
from ...wording import logger
from ..formats.headers import reading
from ..names import is_plain
from ..source import HubOptions

_log = logger(__name__)

_LONGEST_REF = 1000
_LARGEST_TREE = 1 << 26
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A file in the listing of a repository.

    Attributes:
        size: the size in bytes; -1 if unknown.
        digest: the checksum: 64 hexadecimal digits of SHA-256 for a Git LFS file, 40 of the git
            blob for others; None if unknown.
    """

    size: int = -1
    digest: str | None = None


def repository_folder(repository: str, options: HubOptions) -> Path:
    """Return the cache folder of a repository, which may not exist."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    cache = Path(options.cache_dir or constants.HF_HUB_CACHE).expanduser()
    return cache / str(repo_folder_name(repo_id=repository, repo_type="model"))


def cached_commit(folder: Path, revision: str) -> str | None:
    """Return the commit of `revision` when it was last fetched; None if never."""
    if not _is_ref(revision):
        return None
    ref = folder / "refs" / revision
    try:
        with opened(ref, _LONGEST_REF) as stream:
            commit = stream.read(_LONGEST_REF).decode("utf-8").strip()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        commit = revision
    except (OSError, UnicodeDecodeError) as error:
        _log.warning("%s can't be read (%s) and is ignored; remove it", ref, error)
        return None
    return commit if is_plain(commit) and os.path.isdir(folder / "snapshots" / commit) else None


def remember(folder: Path, revision: str, commit: str) -> None:
    """Record the commit of `revision` in the cache, as the client does; warn if that fails."""
    ref = folder / "refs" / revision
    if revision == commit or not _is_ref(revision) or cached_commit(folder, revision) == commit:
        return
    try:
        ref.parent.mkdir(parents=True, exist_ok=True)
        with replaced(ref) as file:
            file.write_text(commit, encoding="utf-8")
    except (OSError, ValueError) as error:
        _log.warning("the commit can't be recorded in %s: %s", ref, error)


def _is_ref(revision: str) -> bool:
    return all(is_plain(part) for part in revision.split("/"))


def cached_listing(repository: str, options: HubOptions, commit: str) -> Mapping[str, Entry] | None:
    """Return all files of a commit, if the client cached the listing (since its release 2)."""
    import huggingface_hub

    try:
        # Reading a named pipe would block the client.
        look(repository_folder(repository, options) / "trees" / f"{commit}.json", _LARGEST_TREE)
        listing: Any = huggingface_hub.get_cached_repo_tree
        found = listing(repository, revision=commit, cache_dir=options.cache_dir)
    except Exception:
        return None
    # For Git LFS files it has the checksum of the pointer, so checksums are ignored.
    return {path: Entry(entry.size) for path, entry in entries_of(found).items()}


def entries_of(files: object) -> dict[str, Entry]:
    """Return the files of a listing of the client, by path. The listing is not trusted.

    Entries that are not paths, or that lead out of the repository, are ignored.
    """
    described = files if isinstance(files, (list, tuple)) else ()
    paths = [getattr(file, "rfilename", getattr(file, "path", None)) for file in described]
    return {
        path: _entry(file)
        for path, file in zip(paths, described)
        if isinstance(path, str) and all(is_plain(part) for part in path.split("/"))
    }


def _entry(file: object) -> Entry:
    lfs = getattr(file, "lfs", None)
    size = getattr(file if lfs is None else lfs, "size", None)
    digest = getattr(file, "blob_id", None) if lfs is None else getattr(lfs, "sha256", None)
    if type(size) is not int or not 0 <= size < 1 << 63:
        size = -1
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", digest):
        digest = None
    return Entry(size, digest)


def found_in(root: Path) -> Iterator[tuple[str, Entry]]:
    """Yield the entries of a snapshot that count as files, with their paths."""
    for path in sorted(root.rglob("*")):
        if os.path.isfile(path) or not os.path.isdir(path):
            size = path.stat().st_size if os.path.isfile(path) else -1
            yield path.relative_to(root).as_posix(), Entry(size)


def wrong_with(file: Path, entry: Entry, blobs: Path, *, thoroughly: bool) -> str | None:
    """Describe what is wrong with a cached file; None if it matches `entry`.

    Args:
        blobs: the folder of contents, whose names are their checksums.
        thoroughly: read the file and compare its checksum, not only its size. If the entry has no
            checksum, the name of the blob is used.
    """
    try:
        size = look(file).st_size
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return str(error)
    if entry.size not in (-1, size):
        return f"it should have {entry.size:,} bytes, but has {size:,}"
    real = file.resolve()
    digest = entry.digest or (real.name if real.parent == blobs.resolve() else "")
    if thoroughly and _digest(file, len(digest)) not in (digest, None):
        return f"its checksum differs from that of the repository ({digest[:12]}...)"
    return None


def _digest(file: Path, length: int) -> str | None:
    """Return the checksum of `file` with `length` digits (40 or 64); None for other lengths."""
    if length not in (40, 64):
        return None
    with reading(file), opened(file) as stream:
        found = hashlib.sha256() if length == 64 else hashlib.sha1(usedforsecurity=False)
        if length == 40:
            found.update(b"blob %d\0" % os.fstat(stream.fileno()).st_size)
        while block := stream.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def drop(file: Path, blobs: Path) -> None:
    """Remove a damaged file from the cache: the link in the snapshot, and the blob."""
    try:
        real = file.resolve()
        file.unlink(missing_ok=True)
        if real.is_relative_to(blobs.resolve()):
            real.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"the damaged file {file} can't be removed from the cache ({error}); remove it"
        ) from error
