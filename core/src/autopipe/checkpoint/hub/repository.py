"""Hub repositories, accessed through huggingface_hub and its cache."""

from __future__ import annotations

import glob
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...errors import CheckpointError, DamagedFileError
from ...wording import logger
from ..formats.headers import Header, header_of
from ..source import HubOptions, Source
from .answers import explained, may_pass
from .cache import (
    Entry,
    drop,
    remember,
    repository_folder,
    wrong_with,
)
from .patience import LongWaitError, briefly, interruptibly

_log = logger(__name__)

_FIRST = 1 << 16
"""Bytes of the first request for a header; most headers are smaller."""

_WAITS = (1.0, 4.0)
"""Seconds before each retry of a failure that may be temporary."""


class HubSource(Source):
    """One commit of a repository, in the cache. Missing files are fetched from the same commit.

    The checksums of fetched files are verified. A cached file of the wrong size is fetched again.

    Attributes:
        entries: the files of the commit.
    """

    commit: str
    hint = "check the repository and the revision"

    def __init__(
        self, repository: str, commit: str, entries: Mapping[str, Entry], options: HubOptions
    ) -> None:
        self.folder = repository_folder(repository, options)
        super().__init__(
            self.folder / "snapshots" / commit,
            f"{repository}@{commit[:12]}",
            follow_links=options.follow_links,
        )
        # The folder of blobs may be a link to another disk.
        self._also = (self.folder / "blobs",)
        self.origin = f"{repository}@{commit}"
        self.repository, self.commit = repository, commit
        self.entries, self.options = entries, options
        self._done = set[str]()
        self._noted = False

    def files(self, *folder: str) -> Mapping[str, int]:
        """See `Source`."""
        if not self._listings:
            listings: dict[tuple[str, ...], dict[str, int]] = {}
            for path, entry in self.entries.items():
                *above, name = path.split("/")
                listings.setdefault(tuple(above), {})[name] = entry.size
            self._listings = dict(listings)
        return self._listings.get(folder, {})

    def missing(self, paths: Iterable[str]) -> list[str]:
        """See `Source`."""
        new = [path for path in paths if path not in self._done]
        return new if self.options.force_download else list(self._wrong(new, thoroughly=False))

    def fetch(self, paths: Iterable[str], *, thoroughly: bool = False) -> Path:
        """See `Source`."""
        wanted = sorted(set(paths))
        self._check_listed(wanted)
        new = self.missing(wanted)
        if thoroughly:
            damaged = self._drop_damaged([path for path in wanted if path not in new])
            new = sorted([*new, *damaged])
        if new:
            self._check_space(new)
            self._download(new)
            # A damaged file is fetched a second time.
            again = self._drop_damaged(new)
            if again:
                self._download(sorted(again))
            for path, problem in self._drop_damaged(again).items():
                raise DamagedFileError(
                    f"the download of {path} of {self.name} was damaged twice: {problem}. The file "
                    f"was discarded; try again later, or tell the owner of the repository"
                )
            self._done.update(new)
        if not self._noted:
            remember(self.folder, self.options.revision or "main", self.commit)
            self._noted = True
        return self.root

    def _wrong(self, paths: Iterable[str], thoroughly: bool) -> dict[str, str]:
        """Return the damaged files among `paths`, each with a description of the damage."""
        found = {
            path: wrong_with(
                self.inside(path),
                self.entries.get(path, Entry()),
                self.folder / "blobs",
                thoroughly=thoroughly,
            )
            for path in paths
        }
        return {path: problem for path, problem in found.items() if problem is not None}

    def _check_listed(self, paths: Iterable[str]) -> None:
        for path in paths:
            if path not in self.entries:
                raise CheckpointError(f"{self.name} has no file {path}; {self.hint}")

    def _drop_damaged(self, paths: Iterable[str], thoroughly: bool = True) -> dict[str, str]:
        """Remove the damaged files among `paths` from the cache; return them as `_wrong` does."""
        wrong = self._wrong(paths, thoroughly)
        for path, problem in wrong.items():
            file = self.root / path
            if file.is_file():
                _log.warning("%s is damaged (%s) and is fetched again", file, problem)
            drop(file, self.folder / "blobs")
        return wrong

    def _check_space(self, paths: Iterable[str]) -> None:
        """Raise `CheckpointError` if the disk of the cache is too small for the files to fetch."""
        size = sum(max(self.entries[path].size, 0) for path in paths)
        folder = next(p for p in (self.root, *self.root.parents) if p.is_dir())
        free = shutil.disk_usage(folder).free
        if size > free:
            raise CheckpointError(
                f"{self.repository} needs {size:,} more bytes, but the disk of {folder} has "
                f"{free:,} left; free disk space, or pass cache_dir= on another disk"
            )

    def _download(self, paths: list[str]) -> None:
        from huggingface_hub import snapshot_download

        def fetch(progress: type) -> None:
            snapshot_download(
                self.repository,
                revision=self.commit,
                cache_dir=self.options.cache_dir,
                force_download=self.options.force_download,
                token=self.options.token,
                allow_patterns=[glob.escape(path) for path in paths],
                tqdm_class=progress,
            )

        self._drop_damaged(paths, thoroughly=False)
        for wait in (*_WAITS, None):
            try:
                with briefly():
                    interruptibly(fetch)
                absent = [path for path in paths if not (self.root / path).is_file()]
                if absent:
                    raise ConnectionError(f"the Hub did not send {absent[0]}")
                return
            except Exception as error:
                if wait is None or isinstance(error, LongWaitError) or not may_pass(error):
                    raise explained(error, self.repository, self.options) from error
                _log.warning("fetching %s failed (%s); trying again", self.repository, error)
                time.sleep(wait)

    def header(self, path: str) -> Header:
        """See `Source`. Of a file that is not cached, only the first bytes are fetched."""
        self._check_listed([path])
        size = self.entries[path].size
        if size < 0 or not self.missing([path]):
            return super().header(path)
        first = self._part(path, 0, min(size, _FIRST))

        def read(start: int, stop: int) -> bytes:
            return first[start:stop] if stop <= len(first) else self._part(path, start, stop)

        return header_of(f"{path} of {self.name}", size, read)

    def _part(self, path: str, start: int, stop: int) -> bytes:
        """Fetch some bytes of a file by a range request."""
        from huggingface_hub import constants, get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

        if stop <= start:
            return b""
        headers = build_hf_headers(token=self.options.token, library_name="autopipe")
        headers["Range"] = f"bytes={start}-{stop - 1}"
        headers["Accept-Encoding"] = "identity"
        try:
            url = hf_hub_url(self.repository, path, revision=self.commit)
            with (
                briefly(),
                get_session().stream(
                    "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
                ) as answer,
            ):
                hf_raise_for_status(answer)
                content = bytearray()
                for block in answer.iter_bytes():
                    content += block
                    if len(content) >= stop:
                        break
        except Exception as error:
            raise explained(error, self.repository, self.options) from error
        # A server without range requests sends everything from the start.
        part = content if answer.status_code == 206 else content[start:]
        return bytes(part[: stop - start])


class CachedSource(HubSource):
    """The cached part of a commit, used offline.

    If the client cached no listing, `entries` are the fetched files.
    """

    def fetch(self, paths: Iterable[str], *, thoroughly: bool = False) -> Path:
        """See `Source`."""
        for path, problem in (wrong := self._wrong(sorted(set(paths)), thoroughly)).items():
            more = f" ({len(wrong) - 1} more files are incomplete)" if len(wrong) > 1 else ""
            kind = CheckpointError if problem == "it is missing" else DamagedFileError
            raise kind(f"{path} of {self.name} can't be read: {problem}{more}; {self.hint}")
        return self.root

    def header(self, path: str) -> Header:
        """See `Source`."""
        return Source.header(self, path)
