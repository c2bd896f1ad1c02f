"""Access to the files of a checkpoint.

A source lists its files without reading them, and fetches those that a plan names into a local
folder. It is made for one load and caches listings, JSON files and headers of weights, so nothing
is read twice.

Files are opened through their source, which ensures that they are regular files inside the
checkpoint, and that the files of a folder don't come from two different saves.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import CheckpointError
from ..json_files import read_json_object
from ..regular import look, opened
from .atomic import check_whole
from .exchange import HEADS
from .formats.headers import Header, read_header, reading
from .names import inside

if TYPE_CHECKING:
    from torch import Tensor

    from .formats.tensors import Target

LARGE = 1 << 30
"""If more bytes than these must be fetched, the headers of weights are looked at before."""

FOLLOW_LINKS = "AUTOPIPE_FOLLOW_LINKS"
"""The environment variable that sets the default of `follow_links`."""


def follows_links() -> bool:
    """Whether the environment allows links that lead out of a checkpoint."""
    return os.environ.get(FOLLOW_LINKS, "").lower() not in ("", "0", "false", "no")


@dataclass(frozen=True)
class HubOptions:
    """The options for the Hub, its cache, and links."""

    revision: str | None = None
    token: str | bool | None = field(default=None, repr=False)
    cache_dir: str | Path | None = None
    force_download: bool = False
    local_files_only: bool = False
    follow_links: bool = field(default_factory=follows_links)


class Source(ABC):
    """A checkpoint whose files can be listed, and fetched to a local folder.

    Attributes:
        root: the local folder, which may not exist yet for a repository.
        name: the name that the caller gave, for messages.
        origin: the folder, or the repository with its commit.
        commit: the commit of a repository; None for a folder.
        hint: what to do if something is absent, for messages.
        follow_links: whether links may lead out of it.
    """

    hint = "fetch the checkpoint again"
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
        """Return the files directly in a folder: name -> size in bytes (-1: unknown).

        Raises:
            UnsafeCheckpointError: if the folder is a link that leads out of the checkpoint.
        """

    def json(self, path: str) -> dict[str, Any]:
        """Return the JSON object in a file.

        Raises:
            CheckpointError, UnsafeCheckpointError: as for `fetch`, for a repository.
            ConfigError: if the file is absent or not a JSON object.
        """
        if path not in self._json:
            self._json[path] = read_json_object(self._here(path), self.open)
        return self._json[path]

    def header(self, path: str) -> Header:
        """Return the header of a safetensors file, without fetching the whole file.

        Raises:
            CheckpointError, UnsafeCheckpointError: as for `fetch`.
            DamagedFileError: if its header or its size shows that it is incomplete.
        """
        if path not in self._headers:
            self._headers[path] = read_header(self._here(path), self.open)
        return self._headers[path]

    def inside(self, path: str) -> Path:
        """Return the local path of `path`, after checking links unless they may be followed.

        Raises:
            UnsafeCheckpointError: if a link leads out of the checkpoint.
        """
        return self.root / path if self.follow_links else inside(self.root, path, *self._also)

    def open(self, file: Path, largest: int | None = None) -> BinaryIO:
        """Open a fetched file of this checkpoint for reading bytes.

        Raises:
            OSError: if it is not a regular file, has more than `largest` bytes, or can't be opened.
            UnsafeCheckpointError: if a link leads out of the checkpoint.
        """
        stream = opened(file, largest)
        try:
            # Check the open file, because a link may have been created just before.
            real = self.inside(file.relative_to(self.root).as_posix()).resolve()
            if not os.path.samestat(os.fstat(stream.fileno()), real.lstat()):
                raise _changed(file)
        except BaseException:
            stream.close()
            raise
        return stream

    def place(self, path: str) -> Path:
        """Return the fetched file that contains what lies at `path`."""
        return self.root / path

    def label(self, folder: tuple[str, ...]) -> Path:
        """Return the folder of a component as messages and configs name it."""
        return self.root.joinpath(*folder)

    def pickled(self, paths: Iterable[str], target: Target) -> dict[str, Tensor]:
        """Return the tensors of fetched pickles; see `autopipe.checkpoint.formats.tensors`.

        Raises:
            UnsafeCheckpointError: if a file contains anything other than tensors.
            DamagedFileError: if a file is truncated, empty or a Git LFS pointer.
        """
        from .formats.tensors import read_pickled

        return read_pickled([self.root / path for path in paths], target, self.open)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Context manager that checks that no file changes while the checkpoint is read.

        Raises:
            CheckpointError: if a file in a local folder has changed since it was first accessed.
        """
        yield

    @abstractmethod
    def missing(self, paths: Iterable[str]) -> list[str]:
        """Return those of `paths` that are not local yet, or have the wrong size."""

    @abstractmethod
    def fetch(self, paths: Iterable[str], *, thoroughly: bool = False) -> Path:
        """Fetch these files if necessary; return the checkpoint's local folder.

        Args:
            thoroughly: also verify the checksums of files that were local before, if known.

        Raises:
            CheckpointError: if a file is absent or can't be fetched.
            UnsafeCheckpointError: if a file is a link that leads out of the checkpoint.
        """

    def _here(self, path: str) -> Path:
        """Fetch a file if necessary and return its local path."""
        return self.fetch([path]) / path


class LocalSource(Source):
    """A local folder.

    Another program may save into it while it is read, so the state of each file is recorded on
    first access and compared at the end.
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
        """See `Source`. Files that are not regular are refused."""
        every = list(paths)
        for path in self.missing(every):
            self._check_absent(self.root / path)
            raise CheckpointError(f"{self.root / path} is absent; {self.hint}")
        for path in every:
            file = self.root / path
            with reading(file):
                try:
                    found = look(file)
                except FileNotFoundError:
                    self._check_absent(file)
                    raise
                self._note(file, found)
        return self.root

    def _check_absent(self, file: Path) -> None:
        """Check that `file`, which was not found, isn't one that a save had moved aside.

        Raises:
            CheckpointError: if it was there before, or is there now, or a save was interrupted.
        """
        check_whole(file.parent)
        folder = file.parent.relative_to(self.root).parts
        if file.is_file() or file.name in self._listings.get(folder, ()):
            raise _changed(file)

    def files(self, *folder: str) -> Mapping[str, int]:
        """See `Source`. Files that can't be read are listed, too, and refused when opened.

        Raises:
            CheckpointError: if a save into the folder was interrupted, or has begun and ended.
        """
        if folder not in self._listings:
            listed = self.inside("/".join(folder))
            check_whole(listed)
            with reading(listed):
                found = dict(_listed(listed)) if listed.is_dir() else {}
            # A save that began meanwhile may have moved the head of the folder aside.
            check_whole(listed)
            for head in HEADS:
                if head not in found and (listed / head).is_file():
                    raise _changed(listed / head)
            self._listings[folder] = found
        return self._listings[folder]

    def open(self, file: Path, largest: int | None = None) -> BinaryIO:
        """See `Source`."""
        try:
            stream = super().open(file, largest)
        except FileNotFoundError:
            self._check_absent(file)
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
            # A changed file may be the cause of the error.
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
    """The facts that show whether a file was replaced or written to.

    The inode number is not one of them: file systems in user space may change it.
    """
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _changed(file: Path) -> CheckpointError:
    return CheckpointError(
        f"{file} changed while its checkpoint was read, so its files may not fit together; another "
        f"program is writing there. Load the checkpoint again when that is done"
    )


def _listed(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the entries of a folder that count as files, sorted, with their sizes in bytes."""
    for name in sorted(os.listdir(folder)):
        place = folder / name
        is_file = os.path.isfile(place)
        # A folder called model_index.json counts as a file: it is neither absent nor a component.
        if is_file or not os.path.isdir(place) or name.endswith(_FILES):
            # A temporary file of another program may have disappeared.
            with suppress(FileNotFoundError):
                yield name, os.path.getsize(place) if is_file else -1


_FILES = (".json", ".safetensors", ".bin")
