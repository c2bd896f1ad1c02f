"""The cache of converted networks: what they compute, without their weights.

An entry is a folder with the files of the engine and `entry.json`, which has their hashes. Entries
are written beside the cache and moved into it whole; a process that reads one keeps what it read.
The folder belongs to the user alone, and an entry that is not as it was written is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopipe.regular import opened
from autopipe.wording import logger, reason

_log = logger(__name__)

_ABOUT = "entry.json"
_UNFINISHED = "unfinished-"
_LARGEST = 64 << 20
_OLD = 3600.0
"""Seconds after which an unfinished entry belongs to no process."""


@dataclass(frozen=True)
class Entry:
    """A converted network in the cache.

    Attributes:
        folder: the folder with its files.
        about: what the engine noted when it was made.
        size: the bytes of its files.
        used: when it was last used, in seconds since 1970.
    """

    folder: Path
    about: Mapping[str, Any]
    size: int
    used: float


def cache_folder() -> Path:
    """The folder of the cache: `autopipe/engines` in `XDG_CACHE_HOME`, by default `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "autopipe" / "engines"


class Topologies:
    """A cache of converted networks.

    Args:
        folder: where it is; by default `cache_folder()`.
        most_bytes, most_entries: beyond these, the entries not used for longest are removed.
    """

    def __init__(
        self, folder: Path | None = None, most_bytes: int = 512 << 20, most_entries: int = 100
    ) -> None:
        self.folder = cache_folder() if folder is None else folder
        self.most_bytes, self.most_entries = most_bytes, most_entries

    def find(self, key: str) -> Entry | None:
        """Return the entry of a key; None if there is none, or it is damaged."""
        folder = self.folder / key
        if not folder.is_dir() or not _is_private(self.folder):
            return None
        try:
            entry = _read(folder)
        except (OSError, ValueError, TypeError, KeyError) as error:
            _log.warning("the cached topology %s is damaged (%s); it is made again", key, error)
            _remove(folder)
            return None
        with suppress(OSError):
            os.utime(folder)
        return entry

    def add(
        self, key: str, write: Callable[[Path], Mapping[str, Any]]
    ) -> tuple[Entry, Callable[[], None]]:
        """Make an entry.

        Args:
            write: writes the files into a folder and returns what to note about them.

        Returns:
            the entry and a function that removes it if it was not cached, since the folder can't be
            written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _is_private(self.folder):
                raise PermissionError(f"{self.folder} belongs to or is open to other users")
            made = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
            is_cached = True
        except OSError as error:
            _log.warning("converted networks can't be cached: %s", reason(error))
            made, is_cached = Path(tempfile.mkdtemp(prefix="autopipe-")), False
        try:
            about = dict(write(made))
            about["files"] = {one.name: _digest(one) for one in sorted(made.iterdir())}
            (made / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
            if not is_cached:
                return _read(made), lambda: _remove(made)
            target = self.folder / key
            try:
                os.replace(made, target)
            except OSError:  # Another process was faster.
                _remove(target)
                os.replace(made, target)
            self._trim()
            return _read(target), lambda: None
        except BaseException:
            _remove(made)
            raise

    def entries(self) -> list[Entry]:
        """Return all entries, those used last first."""
        found = []
        for folder in self._folders():
            with suppress(OSError, ValueError, TypeError, KeyError):
                found.append(_read(folder, check=False))
        return sorted(found, key=lambda entry: -entry.used)

    def remove(self, entry: Entry) -> None:
        """Remove an entry."""
        _remove(entry.folder)

    def clear(self) -> int:
        """Remove all entries; return the bytes of their files."""
        size = 0
        for folder in self._folders():
            size += _size(folder)
            _remove(folder)
        return size

    def _folders(self) -> list[Path]:
        with suppress(OSError):
            return [one for one in self.folder.iterdir() if one.is_dir() and not one.is_symlink()]
        return []

    def _trim(self) -> None:
        for folder in self._folders():
            with suppress(OSError):
                left = time.time() - folder.stat().st_mtime > _OLD
                if folder.name.startswith(_UNFINISHED) and left:
                    _remove(folder)
        size = 0
        for count, entry in enumerate(self.entries(), 1):
            size += entry.size
            if count > 1 and (count > self.most_entries or size > self.most_bytes):
                _remove(entry.folder)


def _is_private(folder: Path) -> bool:
    """Whether only this user can write into `folder`."""
    if sys.platform == "win32":
        return True
    found = os.lstat(folder)
    is_own = found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode)
    return is_own and not found.st_mode & 0o022


def _read(folder: Path, check: bool = True) -> Entry:
    """Return the entry in `folder`.

    Raises:
        OSError, ValueError, TypeError, KeyError: if it is not one, or was changed.
    """
    with opened(folder / _ABOUT, _LARGEST) as stream:
        about = json.load(stream)
    files: Mapping[str, str] = about["files"]
    for name, digest in files.items() if check else ():
        file = folder / name
        if Path(name).name != name or file.is_symlink() or _digest(file) != digest:
            raise ValueError(f"{name} was changed")
    return Entry(folder, about, _size(folder), folder.stat().st_mtime)


def _digest(file: Path) -> str:
    with opened(file, _LARGEST) as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def _size(folder: Path) -> int:
    with suppress(OSError):
        return sum(one.stat().st_size for one in folder.iterdir())
    return 0


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
