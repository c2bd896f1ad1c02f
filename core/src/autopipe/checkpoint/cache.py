"""What the cache of huggingface_hub holds of a repository. No socket is opened here.

Its layout (`refs/<name>` holds a commit, `snapshots/<commit>/<path>` links to `blobs/<digest>`) is
the client's own, so that diffusers and transformers share the files.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError, DamagedFileError
from .headers import Header, read_header
from .names import inside, is_plain
from .source import HubOptions

_BLOCK = 1 << 20


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


def cached_commit(repository: str, options: HubOptions) -> str | None:
    """The commit that the wanted revision stood for when it was last fetched; None if never."""
    folder = repository_folder(repository, options)
    revision = options.revision or "main"
    if not _is_ref(revision):
        return None
    ref = folder / "refs" / revision
    try:
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    except (OSError, UnicodeDecodeError):
        return None
    return commit if is_plain(commit) and (folder / "snapshots" / commit).is_dir() else None


def remember(repository: str, options: HubOptions, commit: str) -> None:
    """Note which commit the wanted revision stands for, as the client does."""
    revision = options.revision or "main"
    ref = repository_folder(repository, options) / "refs" / revision
    if revision == commit or not _is_ref(revision):
        return
    if ref.is_file() and ref.read_text(encoding="utf-8") == commit:
        return
    ref.parent.mkdir(parents=True, exist_ok=True)
    temporary = ref.with_name(f"{ref.name}.{uuid.uuid4().hex[:8]}")
    temporary.write_text(commit, encoding="utf-8")
    os.replace(temporary, ref)


def _is_ref(revision: str) -> bool:
    return all(is_plain(part) for part in revision.split("/"))


def cached_listing(repository: str, options: HubOptions, commit: str) -> Mapping[str, Entry] | None:
    """All files of a commit, if the client kept the listing; it does from release 2 on."""
    import huggingface_hub

    listing = getattr(huggingface_hub, "get_cached_repo_tree", None)
    if listing is None:
        return None
    try:
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


def in_folder(entries: Mapping[str, Entry], folder: tuple[str, ...]) -> dict[str, int]:
    """The files directly in a folder: name -> bytes."""
    prefix = "".join(f"{part}/" for part in folder)
    return {
        path.removeprefix(prefix): entry.size
        for path, entry in entries.items()
        if path.startswith(prefix) and "/" not in path.removeprefix(prefix)
    }


def wrong_with(file: Path, entry: Entry, *, thoroughly: bool) -> str | None:
    """What is wrong with a cached file, in words; None if it is as `entry` says.

    Args:
        thoroughly: read it, and compare its digest; else only its size.
    """
    if not file.is_file():
        return "it is missing"
    size = file.stat().st_size
    if entry.size not in (-1, size):
        return f"it should have {entry.size:,} bytes and has {size:,}"
    if thoroughly and entry.digest is not None and _digest(file, size, entry.digest) is False:
        return f"its content is not what the repository has ({entry.digest[:12]}...)"
    return None


def _digest(file: Path, size: int, expected: str) -> bool | None:
    """Whether the content of `file` has this digest; None for a kind that is not known."""
    if len(expected) == 64:
        state = hashlib.sha256()
    elif len(expected) == 40:
        state = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    else:
        return None
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            state.update(block)
    return state.hexdigest() == expected


def _kept_under(file: Path) -> str | None:
    """The digest that names the content of a file in the cache; None in a cache without links."""
    real = file.resolve()
    return real.name if real.parent.name == "blobs" else None


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


@dataclass(frozen=True)
class CachedSource:
    """One commit of a repository as far as it was fetched before: what is used offline.

    `entries` are all files of the commit where the client kept the listing, so that what is
    missing is known by name; else those that are there.
    """

    repository: str
    commit: str
    root: Path
    entries: Mapping[str, Entry]
    revision: str | None = None

    @property
    def name(self) -> str:
        """Repository and commit."""
        return f"{self.repository}@{self.commit[:12]}"

    @property
    def cure(self) -> str:
        """See `Source`."""
        revision = f" --revision {self.revision}" if self.revision else ""
        return (
            f"only the cache is in use, and it holds this checkpoint in part; run "
            f"`autopipe download {self.repository}{revision}` while online"
        )

    def files(self, *folder: str) -> Mapping[str, int]:
        """See `Source`."""
        return in_folder(self.entries, folder)

    def missing(self, paths: Iterable[str]) -> list[str]:
        """See `Source`."""
        return list(self._wrong(paths, thoroughly=False))

    def fetch(self, paths: Iterable[str], *, thoroughly: bool = False) -> Path:
        """See `Source`."""
        wrong = self._wrong(sorted(set(paths)), thoroughly)
        if wrong:
            path, problem = next(iter(wrong.items()))
            more = f", and {len(wrong) - 1} more files are not whole" if len(wrong) > 1 else ""
            kind = CheckpointError if problem == "it is missing" else DamagedFileError
            raise kind(f"{path} of {self.name} can't be read: {problem}{more}; {self.cure}")
        return self.root

    def _wrong(self, paths: Iterable[str], thoroughly: bool) -> dict[str, str]:
        """What is wrong with those of `paths` with which something is."""
        wrong: dict[str, str] = {}
        for path in paths:
            file = inside(self.root, path)
            entry = Entry(self.entries.get(path, Entry()).size, _kept_under(file))
            if problem := wrong_with(file, entry, thoroughly=thoroughly):
                wrong[path] = problem
        return wrong

    def header(self, path: str) -> Header:
        """See `Source`."""
        return read_header(self.fetch([path]) / path)


def open_cached(repository: str, options: HubOptions) -> CachedSource | None:
    """What the cache holds of a repository; None for nothing."""
    commit = cached_commit(repository, options)
    if commit is None:
        return None
    root = repository_folder(repository, options) / "snapshots" / commit
    entries = cached_listing(repository, options, commit)
    if entries is None:
        there = (path for path in root.rglob("*") if path.is_file())
        entries = {p.relative_to(root).as_posix(): Entry(p.stat().st_size) for p in there}
    return CachedSource(repository, commit, root, entries, options.revision)
