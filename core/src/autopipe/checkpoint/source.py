"""Where a checkpoint's files are, and what was read of them.

A source lists its files without reading them and fetches those that a plan names. What reads a
file only ever sees a local folder. Nothing is read twice: listings, JSON files and headers of
weights stay with the source, which is made for one loading.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import read_json_object
from ..errors import CheckpointError
from .atomic import Heads, heads_of
from .headers import Header, read_header, reading
from .names import inside


@dataclass(frozen=True)
class HubOptions:
    """The keywords that say where in the Hub, or in its cache, to look."""

    revision: str | None = None
    token: str | bool | None = field(default=None, repr=False)
    cache_dir: str | Path | None = None
    force_download: bool = False
    local_files_only: bool = False


class Source(ABC):
    """A checkpoint whose files can be listed, and fetched to a local folder.

    Attributes:
        root: the local folder; of a repository it may not be there yet.
        name: what the caller asked for, for messages.
        origin: where the checkpoint is: a folder, or a repository with its commit.
        commit: the commit of a repository; None for a folder.
        cure: what to do where something is absent, for messages.
    """

    cure = "fetch the checkpoint again"
    commit: str | None = None

    def __init__(self, root: Path, name: str | None = None) -> None:
        self.root = root
        self.name = self.origin = str(root) if name is None else name
        self._listings: dict[tuple[str, ...], Mapping[str, int]] = {}
        self._json: dict[str, dict[str, Any]] = {}
        self._headers: dict[str, Header] = {}
        self._heads: dict[Path, Heads] = {}

    @abstractmethod
    def files(self, *folder: str) -> Mapping[str, int]:
        """The files directly in a folder of the checkpoint: name -> bytes (-1: unknown).

        Raises:
            UnsafeCheckpointError: the folder is a link that leads out of the checkpoint.
        """

    def json(self, path: str) -> dict[str, Any]:
        """The JSON object in a file.

        Raises:
            CheckpointError, UnsafeCheckpointError: as `fetch`, for a repository.
            ConfigError: it is absent, or is no JSON object.
        """
        if path not in self._json:
            self._json[path] = read_json_object(self._here(path))
        return self._json[path]

    def header(self, path: str) -> Header:
        """The header of a safetensors file, which need not be fetched for it.

        Raises:
            CheckpointError, UnsafeCheckpointError: as `fetch`.
            DamagedFileError: it is not whole, as far as its header and its size tell.
        """
        if path not in self._headers:
            self._headers[path] = read_header(self._here(path))
        return self._headers[path]

    @abstractmethod
    def missing(self, paths: Iterable[str]) -> list[str]:
        """Those of `paths` that are not here yet, or not whole as far as their size tells."""

    @abstractmethod
    def fetch(self, paths: Iterable[str], *, thoroughly: bool = False) -> Path:
        """Make sure that these files are there; returns the checkpoint's local folder.

        Args:
            thoroughly: compare also those that were here before with their digests, if the
                source knows any.

        Raises:
            CheckpointError: one is absent or can't be fetched.
            UnsafeCheckpointError: one is a link that leads out of the checkpoint.
        """

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """What was listed before and is read inside is of one state of the checkpoint.

        Raises:
            CheckpointError: another process has saved over it meanwhile.
        """
        try:
            yield
        finally:
            for folder, heads in self._heads.items():
                if heads_of(folder) != heads:
                    raise CheckpointError(
                        f"{folder} was saved over while it was loaded; load it again"
                    )

    def _here(self, path: str) -> Path:
        """A file, fetched if need be."""
        return self.fetch([path]) / path


class LocalSource(Source):
    """A folder."""

    def missing(self, paths: Iterable[str]) -> list[str]:
        """See `Source`."""
        return [path for path in paths if not inside(self.root, path).is_file()]

    def fetch(self, paths: Iterable[str], *, thoroughly: bool = False) -> Path:
        """See `Source`."""
        for path in self.missing(paths):
            raise CheckpointError(f"{self.root / path} is absent; {self.cure}")
        return self.root

    def files(self, *folder: str) -> Mapping[str, int]:
        """See `Source`."""
        if folder in self._listings:
            return self._listings[folder]
        listed = inside(self.root, "/".join(folder))
        self._heads[listed] = heads_of(listed)
        with reading(listed):
            found = sorted(listed.iterdir()) if listed.is_dir() else []
            sizes = {}
            for path in found:
                # One of another process may be gone again.
                with suppress(FileNotFoundError):
                    if path.is_file():
                        sizes[path.name] = path.stat().st_size
            self._listings[folder] = sizes
        return self._listings[folder]

    def _here(self, path: str) -> Path:
        return inside(self.root, path)
