"""Repositories of the Hub, through huggingface_hub and its cache."""

from __future__ import annotations

import glob
import logging
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CheckpointError, DamagedFileError
from .answers import explained, first_line, may_pass
from .cache import (
    Entry,
    drop,
    entry_of,
    in_folder,
    open_cached,
    remember,
    repository_folder,
    wrong_with,
)
from .headers import Header, header_of, read_header
from .names import inside, is_plain
from .source import HubOptions, Source

_log = logging.getLogger(__name__)

_FIRST = 1 << 16
"""Bytes that a header is hoped to fit in: more than most have, and one request."""

_WAITS = (1.0, 4.0)
"""Seconds before each further attempt at what failed for a reason that may pass."""


@dataclass(frozen=True)
class HubSource:
    """One commit of a repository: what it lists is fetched from that commit and no other.

    A file that is fetched is compared with the digest that the repository gives for it. One that
    is in the cache with another size is fetched again, alone.
    """

    repository: str
    commit: str
    entries: Mapping[str, Entry]
    options: HubOptions
    _done: set[str] = field(default_factory=set, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Repository and commit."""
        return f"{self.repository}@{self.commit[:12]}"

    @property
    def cure(self) -> str:
        """See `Source`."""
        return "check the repository and the revision"

    @property
    def root(self) -> Path:
        """The local folder of the commit, in the cache."""
        return repository_folder(self.repository, self.options) / "snapshots" / self.commit

    def files(self, *folder: str) -> Mapping[str, int]:
        """See `Source`."""
        return in_folder(self.entries, folder)

    def header(self, path: str) -> Header:
        """See `Source`. Of a file that is not in the cache only the first bytes are fetched."""
        if path not in self.entries:
            raise CheckpointError(f"{self.name} has no file {path}; {self.cure}")
        if not self._must_be_fetched(path):
            return read_header(self.root / path)
        size = self.entries[path].size
        if size < 0:
            return read_header(self.fetch([path]) / path)
        first = self._part(path, 0, min(size, _FIRST))

        def read(start: int, stop: int) -> bytes:
            return first[start:stop] if stop <= len(first) else self._part(path, start, stop)

        return header_of(f"{path} of {self.name}", size, read)

    def _part(self, path: str, start: int, stop: int) -> bytes:
        """Some bytes of a file, by a range request."""
        from huggingface_hub import constants, get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

        if stop <= start:
            return b""
        headers = build_hf_headers(token=self.options.token, library_name="autopipe")
        headers["Range"] = f"bytes={start}-{stop - 1}"
        headers["Accept-Encoding"] = "identity"
        try:
            url = hf_hub_url(self.repository, path, revision=self.commit)
            with get_session().stream(
                "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
            ) as answer:
                hf_raise_for_status(answer)
                content = bytearray()
                for block in answer.iter_bytes():
                    content += block
                    if len(content) >= stop:
                        break
        except Exception as error:
            raise explained(error, self.repository, self.options) from error
        # A server that knows no ranges sends everything from the start.
        part = content if answer.status_code == 206 else content[start:]
        return bytes(part[: stop - start])

    def missing(self, paths: Iterable[str]) -> list[str]:
        """See `Source`."""
        return [path for path in paths if self._must_be_fetched(path)]

    def fetch(self, paths: Iterable[str], *, thoroughly: bool = False) -> Path:
        """See `Source`."""
        wanted = sorted(set(paths))
        absent = [path for path in wanted if path not in self.entries]
        if absent:
            raise CheckpointError(f"{self.name} has no file {absent[0]}; {self.cure}")
        new = self.missing(wanted)
        if thoroughly:
            damaged = self._drop_damaged([path for path in wanted if path not in new])
            new = sorted([*new, *damaged])
        if new:
            self._check_space(new)
            self._download(new)
            # What arrived damaged may arrive whole at a second attempt.
            again = self._drop_damaged(new)
            if again:
                self._download(sorted(again))
            for path, problem in self._drop_damaged(again).items():
                raise DamagedFileError(
                    f"{path} of {self.name} arrived damaged, twice: {problem}. Nothing of it was "
                    f"kept; try again later, or tell the owner of the repository"
                )
            self._done.update(new)
        try:
            remember(self.repository, self.options, self.commit)
        except OSError as error:
            _log.warning("the cache can't note the commit of %s: %s", self.repository, error)
        return self.root

    def _drop_damaged(self, paths: Iterable[str], thoroughly: bool = True) -> dict[str, str]:
        """Remove those of `paths` from the cache whose content is wrong; says what was wrong."""
        wrong: dict[str, str] = {}
        for path in paths:
            file = inside(self.root, path)
            problem = wrong_with(file, self.entries[path], thoroughly=thoroughly)
            if problem is not None:
                wrong[path] = problem
                if file.is_file():
                    _log.warning("%s is damaged (%s) and is fetched again", file, problem)
                drop(file, self.root.parents[1] / "blobs")
        return wrong

    def _check_space(self, paths: Iterable[str]) -> None:
        """Raise `CheckpointError` if the disk of the cache can't hold what is to be fetched."""
        size = sum(max(self.entries[path].size, 0) for path in paths)
        place = next(p for p in (self.root, *self.root.parents) if p.is_dir())
        free = shutil.disk_usage(place).free
        if size > free:
            raise CheckpointError(
                f"{self.repository} needs {size:,} more bytes, and the disk of {place} has "
                f"{free:,} left; free some space, or pass cache_dir= on another disk"
            )

    def _must_be_fetched(self, path: str) -> bool:
        if path in self._done:
            return False
        file = inside(self.root, path)
        return self.options.force_download or bool(
            wrong_with(file, self.entries[path], thoroughly=False)
        )

    def _download(self, paths: list[str]) -> None:
        self._drop_damaged(paths, thoroughly=False)
        for wait in (*_WAITS, None):
            try:
                self._snapshot(paths)
                return
            except Exception as error:
                if wait is None or not may_pass(error):
                    raise explained(error, self.repository, self.options) from error
                _log.warning("fetching %s failed (%s); trying again", self.repository, error)
                time.sleep(wait)

    def _snapshot(self, paths: list[str]) -> None:
        from huggingface_hub import snapshot_download

        snapshot_download(
            self.repository,
            revision=self.commit,
            cache_dir=self.options.cache_dir,
            force_download=self.options.force_download,
            token=self.options.token,
            allow_patterns=[glob.escape(path) for path in paths],
        )
        absent = [path for path in paths if not (self.root / path).is_file()]
        if absent:
            raise ConnectionError(f"the Hub did not send {absent[0]}")


def open_repository(repository: str, options: HubOptions) -> Source:
    """The repository at one commit: of the Hub, or of the cache where the Hub can't be reached.

    Raises:
        CheckpointError: there is no such repository or revision, access to it is not granted,
            or the Hub can't be reached and nothing is in the cache.
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
            f"{repository} can't be fetched again while HF_HUB_OFFLINE is set; unset it, or leave "
            f"force_download out"
        )
    if options.local_files_only or constants.HF_HUB_OFFLINE:
        return _cached(repository, options, None)
    try:
        info = HfApi(token=options.token, library_name="autopipe").model_info(
            repository,
            revision=options.revision,
            files_metadata=True,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
    except Exception as error:
        if not may_pass(error) or options.force_download:
            raise explained(error, repository, options) from error
        return _cached(repository, options, error)
    if not is_plain(info.sha):
        raise CheckpointError(
            f"the Hub gave no commit for {repository}; check HF_ENDPOINT, or try again later"
        )
    entries = {s.rfilename: entry_of(s) for s in info.siblings or () if _is_path(s.rfilename)}
    return HubSource(repository, str(info.sha), entries, options)


def _is_path(path: str) -> bool:
    """Whether a listed path leads to a place inside; others are treated as if not listed."""
    return all(is_plain(part) for part in path.split("/"))


def _cached(repository: str, options: HubOptions, reason: Exception | None) -> Source:
    source = open_cached(repository, options)
    if source is None:
        why = (
            f"the Hub can't be reached ({first_line(reason)})"
            if reason
            else "only the cache may be used (local_files_only or HF_HUB_OFFLINE)"
        )
        revision = f" --revision {options.revision}" if options.revision else ""
        raise CheckpointError(
            f"{repository} is neither a local folder nor in the cache, and {why}; check the path, "
            f"or run `autopipe download {repository}{revision}` while online"
        ) from reason
    if reason is not None:
        _log.warning(
            "the Hub can't be reached (%s), so %s is taken from the cache",
            first_line(reason),
            source.name,
        )
    return source
