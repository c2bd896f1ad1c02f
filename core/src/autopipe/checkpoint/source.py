"""Where a checkpoint's files are, and what was read of them.

A source lists its files without reading them and fetches those that a plan names. What reads a
file only ever sees a local folder. Nothing is read twice: listings, JSON files and headers of
weights stay with the source, which is made for one loading.

A file is opened through its source, which sees to it that what is open is a regular file inside
the checkpoint, and that files of a folder are not those of two saves.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CheckpointError
from ..json_files import read_json_object
from ..regular import look, opened
from .atomic import check_whole
from .formats.headers import Header, read_header, reading
from .names import inside

FOLLOW_LINKS = "AUTOPIPE_FOLLOW_LINKS"
"""The environment variable that stands for `follow_links=True`."""


def follows_links() -> bool:
    """Whether the environment says that links may lead out of a checkpoint."""
    return os.environ.get(FOLLOW_LINKS, "").lower() not in ("", "0", "false", "no")


@dataclass(frozen=True)
class HubOptions:
    """The keywords that say where to look: in the Hub, in its cache, behind links."""

    revision: str | None = None
    token: str | bool | None = field(default=None, repr=False)
    cache_dir: str | Path | None = None
    force_download: bool = False
    local_files_only: bool = False
    follow_links: bool = field(default_factory=follows_links)


class Source(ABC):
    """A checkpoint whose files can be listed, and fetched to a local folder.

    Attributes:
        root: the local folder; of a repository it may not be there yet.
        name: what the caller asked for, for messages.
        origin: where the checkpoint is: a folder, or a repository with its commit.
        commit: the commit of a repository; None for a folder.
        cure: what to do where something is absent, for messages.
        follow_links: whether links may lead out of it.
    """

    cure = "fetch the checkpoint again"
    commit: str | None = None
    _also: tuple[Path, ...] = ()

    def __init__(
        self, root: Path, name: str | None = None, *, follow_links: bool | None = None
    ) -> None:
        self.root = root
        self.follow_links = follows_links() if follow_links is None else follow_links
        self.name = self.origin = str(root) if name is None else name
        self._listings: dict[tuple[str, ...], Mapping[str, int]] = {}
        self._json: dict[str, dict[str, Any]] = {}
        self._headers: dict[str, Header] = {}

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
            ConfigError: it is absent, or is not a JSON object.
        """
        if path not in self._json:
            self._json[path] = read_json_object(self._here(path), self.open)
        return self._json[path]

    def header(self, path: str) -> Header:
        """The header of a safetensors file, which need not be fetched for it.

        Raises:
            CheckpointError, UnsafeCheckpointError: as `fetch`.
            DamagedFileError: it is not whole, as far as its header and its size tell.
        """
        if path not in self._headers:
            self._headers[path] = read_header(self._here(path), self.open)
        return self._headers[path]

    def inside(self, path: str) -> Path:
        """The file or folder at `path`, which no link leads out to unless links are followed.

        Raises:
            UnsafeCheckpointError: a link leads out.
        """
        return self.root / path if self.follow_links else inside(self.root, path, *self._also)

    def open(self, file: Path, largest: int | None = None) -> BinaryIO:
        """A file of this checkpoint, which was fetched, open for reading bytes.

        Raises:
            OSError: it is not a regular file, has more than `largest` bytes, or can't be opened.
            UnsafeCheckpointError: a link leads out, or did when the file was opened.
        """
        stream = opened(file, largest)
        try:
            # What is open now is looked at, since a link may have been put there just before.
            real = self.inside(file.relative_to(self.root).as_posix()).resolve()
            if not os.path.samestat(os.fstat(stream.fileno()), real.lstat()):
                raise _changed(file)
        except BaseException:
            stream.close()
            raise
        return stream

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Inside, files are read that belong together.

        Raises:
            CheckpointError: one of a folder has changed since it was first looked at.
        """
        yield

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

    def _here(self, path: str) -> Path:
        """A file, fetched if need be."""
        return self.fetch([path]) / path


class LocalSource(Source):
    """A folder.

    Another program may save into it while it is read, so each file is remembered as it was when it
    was first looked at, and compared in the end.
    """

    def __init__(
        self, root: Path, name: str | None = None, *, follow_links: bool | None = None
    ) -> None:
        super().__init__(root, name, follow_links=follow_links)
        self._seen: dict[Path, _State] = {}

    def missing(self, paths: Iterable[str]) -> list[str]:
        """See `Source`."""
        return [path for path in paths if not os.path.lexists(self.inside(path))]

    def fetch(self, paths: Iterable[str], *, thoroughly: bool = False) -> Path:
        """See `Source`. A file that is not a regular one is refused as well."""
        every = list(paths)
        for path in self.missing(every):
            raise CheckpointError(f"{self.root / path} is absent; {self.cure}")
        for path in every:
            file = self.root / path
            with reading(file):
                self._note(file, look(file))
        return self.root

    def files(self, *folder: str) -> Mapping[str, int]:
        """See `Source`. What can't be read as a file is listed too, and refused when it is.

        Raises:
            CheckpointError: a save into the folder was interrupted.
        """
        if folder not in self._listings:
            listed = self.inside("/".join(folder))
            check_whole(listed)
            with reading(listed):
                self._listings[folder] = dict(_listed(listed)) if listed.is_dir() else {}
        return self._listings[folder]

    def open(self, file: Path, largest: int | None = None) -> BinaryIO:
        """See `Source`."""
        try:
            stream = super().open(file, largest)
        except FileNotFoundError:
            check_whole(file.parent)
            raise
        try:
            self._note(file, os.fstat(stream.fileno()))
        except CheckpointError:
            stream.close()
            raise
        return stream

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """See `Source`."""
        try:
            yield
        except Exception:
            # What went wrong may have its cause in this.
            self._compare()
            raise
        self._compare()

    def _note(self, file: Path, found: os.stat_result) -> None:
        state = _state(found)
        if self._seen.setdefault(file, state) != state:
            raise _changed(file)

    def _compare(self) -> None:
        for file, state in self._seen.items():
            try:
                now = _state(os.stat(file))
            except OSError:
                raise _changed(file) from None
            if now != state:
                raise _changed(file)

    def _here(self, path: str) -> Path:
        return self.inside(path)


_State = tuple[int, int, int]


def _state(found: os.stat_result) -> _State:
    """What tells whether a file is another one, or has been written to.

    Its number doesn't help: file systems in user space may give it another one at each look.
    """
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _changed(file: Path) -> CheckpointError:
    return CheckpointError(
        f"{file} changed while its checkpoint was read, so its files may not fit together: another "
        f"program writes there; load it again when that is done"
    )


def _listed(folder: Path) -> Iterator[tuple[str, int]]:
    """What stands in a folder under the name of a file, sorted, with its bytes."""
    for name in sorted(os.listdir(folder)):
        place = folder / name
        is_file = os.path.isfile(place)
        # A folder called model_index.json is not absent, and no folder of a component either.
        if is_file or not os.path.isdir(place) or name.endswith(_FILES):
            # One of another program may be gone again.
            with suppress(FileNotFoundError):
                yield name, os.path.getsize(place) if is_file else -1


_FILES = (".json", ".safetensors", ".bin")
